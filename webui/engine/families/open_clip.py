"""OpenCLIP's towers in the names of transformers' CLIP, for one encoder to drive both.

Ilharco et al. 2021, OpenCLIP. The weights are seen through a view: nothing is read before it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from webui.engine.families.weights import WeightsFile

Part = Callable[[Tensor], Tensor]

_NAMES = (
    (r"^positional_embedding$", "embeddings.position_embedding.weight"),
    (r"^token_embedding\.", "embeddings.token_embedding."),
    (r"^ln_final\.", "final_layer_norm."),
    (r"^transformer\.resblocks\.(\d+)\.", r"encoder.layers.\1."),
    (r"\.ln_1\.", ".layer_norm1."),
    (r"\.ln_2\.", ".layer_norm2."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"\.attn\.", ".self_attn."),
)
_PROJECTIONS = {"text_projection": "text_projection.weight", "proj": "visual_projection.weight"}
_OWN = ("logit_scale", "attn_mask")
"""Of the training alone."""


def as_clip(file: WeightsFile, *prefixes: str) -> WeightsFile:
    """The tower below the first prefix that the file has, under the names of `CLIPTextModel`.

    `text_projection.weight` is among them, as a linear layer holds it: (embedding, width); `visual_projection.weight`
    is likewise, of a tower that sees, whose own parts at either end keep their names.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    sources: dict[str, tuple[str, Part]] = {}
    for name, full in file.under(*prefixes).items():
        if name in _OWN:
            continue
        shape = file.shapes[full]
        if name in _PROJECTIONS:
            shapes[_PROJECTIONS[name]] = shape[::-1]
            sources[_PROJECTIONS[name]] = (full, lambda tensor: tensor.T)
        elif match := re.fullmatch(r"(.*\.attn)\.in_proj_(weight|bias)", name):
            for rank, letter in enumerate("qkv"):
                own = f"{_renamed(match[1] + '.')}{letter}_proj.{match[2]}"
                shapes[own] = (shape[0] // 3, *shape[1:])
                sources[own] = (full, _third(rank))
        else:
            own = _renamed(name)
            shapes[own], sources[own] = shape, (full, _whole)

    def tensor(name: str) -> Tensor:
        full, part = sources[name]
        return part(file.tensor(full))

    return replace(file, shapes=shapes, tensor=tensor)


def _renamed(name: str) -> str:
    for pattern, new in _NAMES:
        name = re.sub(pattern, new, name)
    return name


def _whole(tensor: Tensor) -> Tensor:
    return tensor


def _third(rank: int) -> Part:
    return lambda tensor: tensor.chunk(3)[rank]

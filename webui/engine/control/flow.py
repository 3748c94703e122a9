"""ControlNets of transformers: SD3's and Flux's, in the form of diffusers.

They see the hint as latents, and what they say is added behind each block of the transformer: `Conditioning.behind`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers import FluxControlNetModel, FluxTransformer2DModel, SD3ControlNetModel, SD3Transformer2DModel
from torch import Tensor, nn

from webui.base.errors import UserError
from webui.engine.families import flux, ldm
from webui.engine.families.family import Conditioning
from webui.engine.families.flow_model import FlowModel
from webui.engine.families.weights import WeightsFile

HEAD_WIDTH = 64
"""Of SD3's attention, where nothing tells."""
FLUX_UNION: Mapping[str, int] = {"Hard Edge": 0, "Tile": 1, "Depth": 2, "OpenPose": 4}
"""Kinds of maps, as ControlNet Union calls them -> their numbers in networks of Flux for several kinds (InstantX,
Shakker Labs)."""


class Said(NamedTuple):
    """What a network adds behind each block of a transformer, and behind each single one of Flux: (rows, n, width)."""

    behind: tuple[Tensor, ...]
    behind_single: tuple[Tensor, ...] = ()


@dataclass(eq=False)
class FlowControl:
    """A ControlNet of a transformer."""

    network: SD3ControlNetModel | FluxControlNetModel

    @property
    def kinds(self) -> int:
        """How many kinds of maps it tells apart; 0: it knows one."""
        return int(getattr(self.network.config, "num_mode", None) or 0)

    def fits(self, transformer: nn.Module) -> bool:
        """Whether it was made for a transformer like this one."""
        kind = SD3Transformer2DModel if isinstance(self.network, SD3ControlNetModel) else FluxTransformer2DModel
        if not isinstance(transformer, kind):
            return False
        ours, theirs = self.network.config, transformer.config
        widths = [each.num_attention_heads * each.attention_head_dim for each in (ours, theirs)]
        text = ours.joint_attention_dim in (None, theirs.joint_attention_dim)
        return text and widths[0] == widths[1] and ours.pooled_projection_dim == theirs.pooled_projection_dim

    def seen(self, latents: Tensor, model: FlowModel) -> Tensor:
        """The hint as the network takes it; latents: (1, c, h, w), as the model's own are."""
        if getattr(self.network.config, "force_zeros_for_pooled_projection", False):
            return latents + model.shift * model.scale  # it was trained without the shift
        return latents

    def said(
        self, model: FlowModel, x: Tensor, t: Tensor, conditioning: Conditioning, seen: Tensor, which: int
    ) -> Said:
        """x: (rows, c, h, w), t: (rows,); seen: (1 or rows, c, h, w); which: the kind of map."""
        x, dtype = model.even(x), self.network.dtype
        told = {name: _of(value, dtype) for name, value in model.told(x, t, conditioning).items()}
        hint = model.patched(model.even(seen).expand(len(x), -1, -1, -1)).to(dtype)
        if isinstance(self.network, SD3ControlNetModel):
            return self._said_by_sd3(self.network, model, told, hint)
        if not self.network.config.guidance_embeds:
            told["guidance"] = None
        mode = torch.full((len(x), 1), which, device=x.device) if self.kinds else None
        double, single = self.network(controlnet_cond=hint, controlnet_mode=mode, return_dict=False, **told)
        return Said(tuple(double or ()), tuple(single or ()))

    def _said_by_sd3(self, network: SD3ControlNetModel, model: FlowModel, told: dict[str, Any], hint: Tensor) -> Said:
        transformer: nn.Module = model.parts["unet"]
        if network.config.force_zeros_for_pooled_projection:
            told["pooled_projections"] = torch.zeros_like(told["pooled_projections"])
        if network.pos_embed is None:
            placed = transformer.get_submodule("pos_embed")(told["hidden_states"].to(model.placement.dtype))
            told["hidden_states"] = placed.to(network.dtype)
        if network.context_embedder is None:
            del told["encoder_hidden_states"]
        return Said(tuple(network(controlnet_cond=hint, return_dict=False, **told)[0]))


def _of(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def behind_each(said: Said, transformer: nn.Module) -> Said:
    """One for each block of the transformer, so that what several networks say can be added."""
    is_even = isinstance(transformer, FluxTransformer2DModel)
    behind = _spread(said.behind, _length(transformer, "transformer_blocks"), is_even=is_even)
    if not is_even:
        return Said(behind)
    return Said(behind, _spread(said.behind_single, _length(transformer, "single_transformer_blocks"), is_even=True))


def _length(transformer: nn.Module, name: str) -> int:
    return sum(1 for _ in transformer.get_submodule(name).children())


def _spread(outputs: Sequence[Tensor], blocks: int, *, is_even: bool) -> tuple[Tensor, ...]:
    """is_even: each for as many blocks as any other (Flux); else in proportion (SD3)."""
    if not outputs:
        return ()
    if is_even:
        each = -(-blocks // len(outputs))
        return tuple(outputs[block // each] for block in range(blocks))
    return tuple(outputs[int(block / (blocks / len(outputs)))] for block in range(blocks))


def flow_control_of(file: WeightsFile, family: str, device: torch.device, dtype: torch.dtype) -> FlowControl:
    """The network of a file. family: "SD3" or "Flux".

    Raises:
        ModelError: it is damaged, or of a form that cannot be opened.
    """
    if any(name.startswith(("double_blocks.", "input_hint_block.")) for name in file.shapes):
        raise file.error("it is a ControlNet for Flux in a form of its own", "Use one in the form of diffusers.")
    try:
        config = _sd3_config(file) if family == "SD3" else _flux_config(file)
    except (KeyError, ValueError) as error:
        raise file.error(f"it is not complete (no {error})") from error
    with ldm.unfilled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*FluxPosEmbed", FutureWarning)  # diffusers imports it from its old place
        network = (SD3ControlNetModel if family == "SD3" else FluxControlNetModel)(**config)
    names = {name: name for name in network.state_dict()}
    ldm.check_complete(network, names, file, "ControlNet")
    ldm.fill(network, names, file, device, dtype)
    return FlowControl(network)


def _sd3_config(file: WeightsFile) -> dict[str, Any]:
    shapes = file.shapes
    width, channels, patch, _ = shapes["pos_embed_input.proj.weight"]
    has_text, has_places = "context_embedder.weight" in shapes, "pos_embed.proj.weight" in shapes
    own = shapes["pos_embed.proj.weight"][1] if has_places else channels
    if channels != own:
        raise file.error("it wants a mask beside the picture", "ControlNets for inpainting are not available for SD3.")
    normed = shapes.get("transformer_blocks.0.attn.norm_q.weight")
    head = normed[0] if normed else HEAD_WIDTH
    blocks = flux.count_blocks(shapes, "transformer_blocks")
    return {
        "patch_size": patch,
        "in_channels": channels,
        "num_layers": blocks,
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1] if has_text else None,
        "caption_projection_dim": shapes["context_embedder.weight"][0] if has_text else width,
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed.pos_embed"][1]) if has_places else 96,
        "dual_attention_layers": tuple(
            block for block in range(blocks) if f"transformer_blocks.{block}.attn2.to_q.weight" in shapes
        ),
        "qk_norm": "rms_norm" if normed else None,
        "pos_embed_type": "sincos" if has_places else None,
        "use_pos_embed": has_places,
        "force_zeros_for_pooled_projection": has_text,
    }


def _flux_config(file: WeightsFile) -> dict[str, Any]:
    modes = file.shapes.get("controlnet_mode_embedder.weight")
    return {**flux.sizes_in(file.shapes), "num_mode": modes[0] if modes else None}


def mode_of(kind: str, kinds: int) -> int:
    """The number of a kind of maps for a network of Flux that tells several apart. kind: as in `OF_UNION`.

    Raises:
        UserError: it does not know that kind, or nobody says which it is.
    """
    number = FLUX_UNION.get(kind)
    if number is None or number >= kinds:
        raise UserError(
            "This ControlNet Union must be told what kind of map it sees.",
            hint=f"Choose the kind of map: {', '.join(FLUX_UNION)}.",
            field="union_control_type",
        )
    return number

"""Image encoders: the towers of CLIP that see, and what they say of a picture to networks that take it for a prompt.

Radford et al. 2021, arXiv:2103.00020. Which tower a file holds is told by its shapes: the large one of OpenAI, or
OpenCLIP's huge and giant ones, in the names of transformers or of OpenCLIP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from webui.base.errors import ModelError
from webui.engine.families import ldm
from webui.engine.families.open_clip import as_clip
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.memory import Profile
from webui.engine.preprocessors.picture import Bytes
from webui.engine.residents import ResidentKind
from webui.request.model_ref import ModelRef

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained on, by channel, 0 to 1."""
HEADS: Mapping[int, int] = MappingProxyType({768: 12, 1024: 16, 1280: 16, 1664: 16})
"""Of the published towers, by their widths: they are in no shape."""
HEAD_WIDTH = 64
"""Of any other."""
OPENAI = 1024
"""The width up to which towers are OpenAI's, with an activation of their own."""
LONGEST = 8
"""How many times as long as wide a picture is looked at, at most: the square is in its middle."""
PLACE, FILE = "models/ControlNetPreprocessor/clip_vision", "clip_h.pth"
USUAL: Mapping[int, str] = MappingProxyType({1024: "clip_vitl.pth", 1280: "clip_h.pth", 1664: "clip_g.pth"})
"""What A1111 calls the file of a tower of this width."""
PROJECTED: Mapping[int, int] = MappingProxyType({768: 1024, 1024: 1280, 1280: 1664})
"""The width of what a tower says in the end -> its own."""


@dataclass(frozen=True, eq=False)
class Vision:
    """What a tower says of one picture."""

    embedded: Tensor
    """(1, projection)"""
    inner: Tensor
    """What the last layer but one gives: (1, patches + 1, width)."""
    last: Tensor
    """What the last layer gives, (1, patches + 1, width)."""


@dataclass(frozen=True)
class Tower:
    """Which tower is wanted."""

    width: int = 0
    projection: int = 0
    """Either one; 0: any."""

    def is_in(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether a view of a file (`_as_clip`) holds it."""
        projection = shapes.get("visual_projection.weight", (0, 0))
        return self.width in (0, projection[1]) and self.projection in (0, projection[0])

    @property
    def usual(self) -> str:
        """What A1111 calls its file."""
        return USUAL.get(self.width or PROJECTED.get(self.projection, 0), FILE)


class ImageEncoder:
    """A tower in memory."""

    def __init__(self, model: CLIPVisionModelWithProjection) -> None:
        self.model = model

    @property
    def nbytes(self) -> int:
        return ldm.parameter_bytes(self.model)

    def seen(self, picture: Bytes) -> Vision:
        """picture: (h, w, 3). What lies beside the square in its middle is not seen."""
        side = int(self.model.config.image_size)
        return self._told(framed(picture, side)[None])

    def unseen(self) -> Vision:
        """What the tower says where there is nothing to see: for the negative half, as IP-Adapter plus was trained."""
        side = int(self.model.config.image_size)
        return self._told(torch.zeros(1, 3, side, side))

    def _told(self, pixels: Tensor) -> Vision:
        given = pixels.to(self.model.device, self.model.dtype)
        output = self.model(pixel_values=given, output_hidden_states=True)
        return Vision(output.image_embeds, output.hidden_states[-2], output.last_hidden_state)


def framed(picture: Bytes, side: int) -> Tensor:
    """(h, w, 3) -> (3, side, side): the square in the middle, as CLIP was trained to see it."""
    image = Image.fromarray(picture)
    short = min(image.size)
    image = _middle(image, (LONGEST * short, LONGEST * short))  # a strip of one pixel would become huge
    wide, high = (int(side * length / short) for length in image.size)
    image = image.resize((wide, high), Image.Resampling.BICUBIC)
    levels = torch.from_numpy(np.array(_middle(image, (side, side)))).float() / 255
    return ((levels - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(2, 0, 1)


def _middle(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of it, of this size where it has as much."""
    wide, high = (min(own, wanted) for own, wanted in zip(image.size, size, strict=True))
    left, top = (image.width - wide) // 2, (image.height - high) // 2
    return image.crop((left, top, left + wide, top + high))


def chosen(towers: Iterable[ModelRef], wanted: Tower) -> ModelRef:
    """The file of a tower, of those that are there.

    Raises:
        ModelError: there is none.
    """
    usual = Path(wanted.usual).stem
    for ref in sorted(towers, key=lambda ref: Path(ref.path).stem != usual):
        try:
            if wanted.is_in(_as_clip(open_weights(ref.path)).shapes):
                return ref
        except ModelError:
            continue  # a broken one is told of where files are listed
    raise ModelError(
        f"The image encoder {wanted.usual} is missing: without it nobody can tell the network what the picture shows.",
        hint=f"Put it into {PLACE}, under any name: it is known by what it holds.",
    )


def opened(path: Path, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    """
    Raises:
        ModelError: it is no image encoder, or damaged.
    """
    file = _as_clip(open_weights(path))
    config = config_of(file)
    with ldm.unfilled():
        model = CLIPVisionModelWithProjection(config)
    places = (config.image_size // config.patch_size) ** 2 + 1
    model.vision_model.embeddings.position_ids = torch.arange(places)[None]
    names = {name: name for name in model.state_dict()}
    ldm.check_complete(model, names, file, "image encoder")
    ldm.fill(model, names, file, device, dtype)
    return ImageEncoder(model.to(device))


def config_of(file: WeightsFile) -> CLIPVisionConfig:
    """By the shapes of a view in which the tower has the names of `CLIPVisionModelWithProjection`.

    Raises:
        ModelError: it is no image encoder.
    """
    shapes = file.shapes
    found = (re.match(r"vision_model\.encoder\.layers\.(\d+)\.", name) for name in shapes)
    try:
        width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
        places = shapes["vision_model.embeddings.position_embedding.weight"][0]
        inner = shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0]
        projection = shapes["visual_projection.weight"][0]
    except (KeyError, ValueError) as error:
        raise file.error(
            f"it is not an image encoder of CLIP (no {error})", "If it is another kind of model, move it away."
        ) from error
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=len({match[1] for match in found if match}),
        num_attention_heads=HEADS.get(width, max(width // HEAD_WIDTH, 1)),
        patch_size=patch,
        image_size=round((places - 1) ** 0.5) * patch,
        projection_dim=projection,
        hidden_act="quick_gelu" if width <= OPENAI else "gelu",
        attn_implementation="sdpa",
    )


_OPEN_CLIP = (
    ("conv1.", "embeddings.patch_embedding."),
    ("class_embedding", "embeddings.class_embedding"),
    ("ln_pre.", "pre_layrnorm."),
    ("ln_post.", "post_layernorm."),
)


def _as_clip(file: WeightsFile) -> WeightsFile:
    """The tower of a file under the names of `CLIPVisionModelWithProjection`, whatever it calls them."""
    prefix = next((each for each in ("visual.", "model.visual.") if file.under(each)), "")
    if prefix:
        return _renamed(as_clip(file, prefix), _named_by_open_clip)
    prefix = next((each for each in ("image_encoder.", "clip.", "model.") if file.under(f"{each}vision_model.")), "")
    return _renamed(file, lambda name: name.removeprefix(prefix))


def _renamed(file: WeightsFile, rename: Callable[[str], str]) -> WeightsFile:
    full = {rename(name): name for name in file.shapes}
    shapes, tensor = {name: file.shapes[old] for name, old in full.items()}, file.tensor
    return replace(file, shapes=shapes, tensor=lambda name: tensor(full[name]))


def _named_by_open_clip(name: str) -> str:
    if name == "visual_projection.weight":
        return name
    for old, new in _OPEN_CLIP:
        if name.startswith(old):
            name = new + name.removeprefix(old)
    return f"vision_model.{name}"


def _placed(path: Path, profile: Profile) -> ImageEncoder:
    return opened(path, profile.device, profile.half if profile.device.type == "cuda" else torch.float32)


IMAGE_ENCODER: ResidentKind[ImageEncoder] = ResidentKind(
    "image encoder", open=_placed, size=lambda encoder: encoder.nbytes
)

"""What SD3 and Flux share: a transformer in a rectified flow, latents of 16 channels, CLIP and T5 side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from webui.catalog.model_families import TRANSFORMERS
from webui.engine.families.clip_text import ClipText
from webui.engine.families.components import Components
from webui.engine.families.family import Conditioning, Encoded, TextOptions, vae_names
from webui.engine.families.ldm_model import LdmModel
from webui.engine.families.t5_text import PreparedT5, T5Text, t5_view
from webui.engine.families.weights import WeightsFile
from webui.engine.networks.embeddings import Embedding

PREFIXES = TRANSFORMERS
CLIP_KEY = "text_model.embeddings.token_embedding.weight"
PREVIEW = tuple((0.06 * (-1) ** i, 0.06 * (-1) ** i, 0.06 * (-1) ** i) for i in range(16))
"""Lightness alone: the channels have no simple colours."""


class FlowModel(LdmModel):
    """A transformer that takes patches of 2 x 2 latent pixels."""

    patch: ClassVar[int] = 2

    @property
    def input_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def even(self, x: Tensor) -> Tensor:
        """x continued to whole patches; what comes out is cut to x's size again."""
        height, width = x.shape[-2:]
        missing = (0, -width % self.patch, 0, -height % self.patch)
        return pad(x, missing, mode="circular") if any(missing) else x

    def told(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> dict[str, Any]:
        """What its transformer is called with, and control networks of its kind as well. x: (b, c, h, w) of whole
        patches."""
        raise NotImplementedError

    def added(self, outputs: Sequence[Tensor]) -> list[Tensor] | None:
        """What control networks add, in the transformer's precision."""
        return [each.to(self.placement.dtype) for each in outputs] or None

    def patched(self, latents: Tensor) -> Tensor:
        """(b, c, h, w) of whole patches as the transformer takes them."""
        raise NotImplementedError


def under(file: WeightsFile, key: str) -> Mapping[str, str]:
    """Names below the prefix under which the file has `key`: without it -> with it. Empty where it has not."""
    prefix = next((prefix for prefix in PREFIXES if prefix + key in file.shapes), None)
    if prefix is None:
        return {}
    return {name.removeprefix(prefix): name for name in file.shapes if name.startswith(prefix)}


# ---------------------------------------------------------------- parts that may lie elsewhere


def clip_files(file: WeightsFile, components: Components) -> list[tuple[WeightsFile, str]]:
    """(file, prefix) of CLIP towers in the checkpoint, or else beside it, the narrowest first."""
    own = [(file, f"text_encoders.{name}.transformer.") for name in ("clip_l", "clip_g")]
    found = [(file, prefix) for file, prefix in own if prefix + CLIP_KEY in file.shapes]
    if not found:
        found = [(other, "") for other in components.text_encoders() if CLIP_KEY in other.shapes]
    return sorted(found, key=lambda one: one[0].shapes[one[1] + CLIP_KEY][1])


def t5_of(file: WeightsFile, components: Components, width: int) -> PreparedT5 | None:
    """The T5 encoder of this width in the checkpoint, or beside it; None where there is none."""
    for candidate in (file, *components.text_encoders()):
        view = t5_view(candidate)
        if view is not None and view.shapes["shared.weight"][1] == width:
            return PreparedT5.of(view)
    return None


def vae_of(file: WeightsFile, chosen: WeightsFile, components: Components, hints: tuple[str, ...]) -> WeightsFile:
    """The file with the VAE. Raises ModelError: there is none."""
    if vae_names(chosen):
        return chosen
    found = components.vae(16, hints)
    if found is None:
        raise file.error(
            "it contains no VAE, and models/VAE has none with 16 channels",
            f"Put {hints[0]}.safetensors into models/VAE.",
        )
    return found


@dataclass(frozen=True, eq=False)
class FlowText:
    """CLIP's pooled text, and T5's tokens with CLIP's in front of them where a family has those too."""

    clips: tuple[ClipText, ...]
    t5: T5Text | None
    width: int
    """Of the tokens."""
    clip_tokens: bool
    """SD3: they stand before T5's, padded to `width`."""
    guidance: bool = False
    """The vector ends with the guidance that the model was distilled with."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        clips = {name: clip.model for name, clip in zip(("text", "text_2"), self.clips, strict=False)}
        return {**clips, **({"text_3": self.t5.model} if self.t5 else {})}

    def encode(self, texts: Sequence[str], options: TextOptions, embeddings: Mapping[str, Embedding]) -> list[Encoded]:
        """tokens: (n, width); vector: (pooled widths of all CLIP towers, and one more with guidance)."""
        clips = [clip.encode(texts, options, embeddings) for clip in self.clips]
        t5 = list(self.t5.encode(texts, options)) if self.t5 else None
        return [
            self._joined([clip[index] for clip in clips], t5[index] if t5 else None, options)
            for index in range(len(texts))
        ]

    def _joined(self, clips: Sequence[Encoded], t5: Tensor | None, options: TextOptions) -> Encoded:
        tokens = []
        if self.clip_tokens:
            both = torch.cat([clip.tokens for clip in clips], dim=1)
            tokens.append(pad(both, (0, self.width - both.shape[1])))
            # A1111: without T5 there are zeros in its place
            tokens.append(torch.zeros_like(tokens[0]) if t5 is None else t5)
        elif t5 is not None:
            tokens.append(t5)
        vector = [clip.vector for clip in clips if clip.vector is not None]
        if self.guidance:
            vector.append(vector[0].new_tensor([options.distilled_guidance]))
        names = tuple(name for clip in clips for name in clip.embeddings)
        return Encoded(torch.cat(tokens), torch.cat(vector), names)

"""A picture described in a sentence, by BLIP (Li et al. 2022, arXiv:2201.12086)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from webui.base.errors import ModelError
from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind
from webui.request.interrogators import Captioning

if TYPE_CHECKING:
    from transformers import BlipForConditionalGeneration, BlipProcessor


@dataclass(frozen=True, eq=False)
class Captioner:
    """BLIP with what prepares its pictures and reads its tokens."""

    model: BlipForConditionalGeneration
    processor: BlipProcessor

    def sentence(self, picture: Image.Image, way: Captioning) -> str:
        """picture: RGB of any size."""
        inputs = self.processor(images=picture, return_tensors="pt")
        words = self.model.generate(
            pixel_values=inputs["pixel_values"].to(self.model.device, self.model.dtype),
            min_length=way.min_length,
            max_length=way.max_length,
            num_beams=way.num_beams,
            do_sample=False,
        )
        return str(self.processor.decode(words[0], skip_special_tokens=True)).strip()


def _opened(folder: Path, profile: Profile) -> Captioner:
    from transformers import BlipForConditionalGeneration, BlipProcessor

    dtype = torch.float32 if profile.device.type == "cpu" else profile.half
    try:
        processor = BlipProcessor.from_pretrained(folder, local_files_only=True)
        model = BlipForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(
            f"BLIP in models/{folder.name} cannot be loaded: {reason.removesuffix('.')}.",
            hint="The folder must hold a BLIP captioning model in the layout of transformers, "
            "with its weights in safetensors format.",
        ) from error
    return Captioner(model.eval().to(torch.device(profile.device)), processor)


CAPTIONER = ResidentKind("captioner", open=_opened, size=lambda captioner: bytes_of(captioner.model))

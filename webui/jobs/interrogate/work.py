"""A picture described: a sentence by BLIP (Li et al. 2022, arXiv:2201.12086), or the tags that DeepDanbooru sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from webui.base.errors import ModelError
from webui.engine.deepbooru import open_tagger
from webui.engine.house import House
from webui.engine.inpaint import flattened
from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind, Residents
from webui.engine.start import opened
from webui.engine.watch import Watch
from webui.jobs.interrogate.request import Captioning, InterrogatePlan
from webui.request.messages import Answered
from webui.request.model_ref import ModelRef

if TYPE_CHECKING:
    from transformers import BlipForConditionalGeneration, BlipProcessor

BACKGROUND = "#ffffff"


def work(plan: InterrogatePlan, house: House) -> Iterator[Answered]:
    """The words."""
    yield Answered(house.watch.job_id, described(plan, house.residents, house.watch))


def described(plan: InterrogatePlan, residents: Residents, watch: Watch) -> str:
    """The words.

    Raises:
        Interrupted: the user stopped it.
        ModelError: the model's files are broken, or another model's.
    """
    watch.begin_batch(0)
    watch.enter("loading", 0.0, 0.5)
    picture = flattened(opened(plan.image), BACKGROUND)
    if isinstance(plan.way, Captioning):
        with residents.lend(CAPTIONER, ModelRef(plan.way.folder, "BLIP")) as captioner:
            return _captioned(picture, plan.way, captioner, watch)
    with residents.lend(TAGGER, plan.way.model) as tagger:
        watch.enter("describing", 0.5, 1.0)
        return plan.way.words(tagger.probabilities(picture, watch))


@dataclass(frozen=True, eq=False)
class Captioner:
    """BLIP with what prepares its pictures and reads its tokens."""

    model: BlipForConditionalGeneration
    processor: BlipProcessor


def _captioned(picture: Image.Image, way: Captioning, captioner: Captioner, watch: Watch) -> str:
    model, processor = captioner.model, captioner.processor
    watch.check()
    watch.enter("describing", 0.5, 1.0)
    inputs = processor(images=picture, return_tensors="pt")
    words = model.generate(
        pixel_values=inputs["pixel_values"].to(model.device, model.dtype),
        min_length=way.min_length,
        max_length=way.max_length,
        num_beams=way.num_beams,
        do_sample=False,
    )
    return str(processor.decode(words[0], skip_special_tokens=True)).strip()


def _captioner(folder: Path, profile: Profile) -> Captioner:
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
            f"BLIP in {folder} cannot be loaded: {reason}",
            hint="The folder must hold a BLIP captioning model in the layout of transformers, "
            "with its weights in safetensors format.",
        ) from error
    return Captioner(model.eval().to(torch.device(profile.device)), processor)


CAPTIONER = ResidentKind("captioner", open=_captioner, size=lambda captioner: bytes_of(captioner.model))
TAGGER = ResidentKind("tagger", open=open_tagger, size=lambda tagger: tagger.nbytes)

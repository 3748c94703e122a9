"""A picture described: a sentence by BLIP (Li et al. 2022, arXiv:2201.12086), or the tags that DeepDanbooru sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from webui.base.errors import ModelError
from webui.engine.deepbooru import open_tagger
from webui.engine.house import House
from webui.engine.inpaint import flattened
from webui.engine.memory import Profile, give_back
from webui.engine.start import opened
from webui.engine.watch import Watch
from webui.jobs.interrogate.request import Captioning, InterrogatePlan
from webui.request.messages import Answered

BACKGROUND = "#ffffff"


def work(plan: InterrogatePlan, house: House) -> Iterator[Answered]:
    """The words."""
    yield Answered(house.watch.job_id, described(plan, house.profile, house.watch))


def described(plan: InterrogatePlan, profile: Profile, watch: Watch) -> str:
    """The words. The model is loaded for them, and put away behind them.

    Raises:
        Interrupted: the user stopped it.
        ModelError: the model's files are broken, or another model's.
    """
    watch.begin_batch(0)
    watch.enter("loading", 0.0, 0.5)
    picture = flattened(opened(plan.image), BACKGROUND)
    try:
        if isinstance(plan.way, Captioning):
            return _captioned(picture, plan.way, profile, watch)
        tagger = open_tagger(Path(plan.way.file), profile)
        watch.enter("describing", 0.5, 1.0)
        return plan.way.words(tagger.probabilities(picture, watch))
    finally:
        give_back(profile.device)


def _captioned(picture: Image.Image, way: Captioning, profile: Profile, watch: Watch) -> str:
    model, processor = _loaded(Path(way.folder), profile)
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


def _loaded(folder: Path, profile: Profile) -> tuple[Any, Any]:
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
            hint="It must be the folder of a BLIP captioning model in the layout of transformers, with safetensors.",
        ) from error
    return model.eval().to(torch.device(profile.device)), processor

"""A picture described by BLIP (Li et al. 2022, arXiv:2201.12086): a sentence that may serve as a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from webui.base.errors import ModelError
from webui.engine.inpaint import flattened
from webui.engine.memory import Profile, give_back
from webui.engine.start import opened
from webui.engine.watch import Watch
from webui.request.interrogate import InterrogatePlan

BACKGROUND = "#ffffff"


def described(plan: InterrogatePlan, profile: Profile, watch: Watch) -> str:
    """The sentence. The model is loaded for it, and put away behind it.

    Raises:
        Interrupted: the user stopped it.
        ModelError: the model's files are broken, or not BLIP's.
    """
    watch.begin_batch(0)
    watch.enter("loading", 0.0, 0.5)
    picture = flattened(opened(plan.image), BACKGROUND)
    model, processor = _loaded(Path(plan.folder), profile)
    watch.check()
    watch.enter("describing", 0.5, 1.0)
    device, dtype = model.device, model.dtype
    try:
        inputs = processor(images=picture, return_tensors="pt")
        words = model.generate(
            pixel_values=inputs["pixel_values"].to(device, dtype),
            min_length=plan.min_length,
            max_length=plan.max_length,
            num_beams=plan.num_beams,
            do_sample=False,
        )
        return str(processor.decode(words[0], skip_special_tokens=True)).strip()
    finally:
        del model
        give_back(profile.device)


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

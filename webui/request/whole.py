"""What a checkpoint passes over that is run as a whole by a pipeline of diffusers, in remarks.

What has no effect with which family stands in `request/capabilities.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from webui.request.fields import Generation
from webui.request.params import default_of
from webui.request.settings import RenderSettings

FIELDS: Mapping[str, str] = {
    "enable_hr": "Hires. fix",
    "refiner_checkpoint": "The refiner",
    "subseed_strength": "The variation seed",
    "seed_resize_from_w": "Resizing the seed",
    "soft_inpainting": "Soft inpainting",
    "show_film": "The film strip",
}
"""Field of a request -> what a remark calls it."""
SETTINGS: Mapping[str, str] = {
    "clip_skip": "Clip skip",
    "eta_noise_seed_delta": "ENSD",
    "tiling": "Tiling",
    "token_merging_ratio": "Token merging",
    "sd_hypernetwork": "The hypernetwork of the settings",
    "sd_lora": "The LoRA of the settings",
}
"""Likewise, of the settings that change pictures."""


def unhonoured(request: Generation, render: RenderSettings) -> list[str]:
    """A sentence for each wish of a request that such a checkpoint passes over."""
    found = [(request, name, said) for name, said in FIELDS.items() if name in type(request).params()]
    found += [(render, name, said) for name, said in SETTINGS.items()]  # type: ignore[misc]
    wished = [
        said for owner, name, said in found if getattr(owner, name) not in (default_of(type(owner), name), "", "None")
    ]
    return [
        f"{said} was not applied: this checkpoint is run as a whole by diffusers."
        for said in (*wished, *request.features)
    ]

"""What a checkpoint passes over that is run as a whole by a pipeline of diffusers, in remarks.

What has no effect with which family stands in `request/capabilities.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from webui import registry
from webui.request.fields import Generation
from webui.request.params import Declared, default_of
from webui.request.settings import RenderSettings

FIELDS: Mapping[str, str] = {
    "enable_hr": "Hires. fix",
    "subseed_strength": "The variation seed",
    "seed_resize_from_w": "Resizing the seed",
}
"""Field of a request -> what a remark calls it."""
SETTINGS: Mapping[str, str] = {
    "clip_skip": "Clip skip",
    "eta_noise_seed_delta": "ENSD",
    "tiling": "Tiling",
    "token_merging_ratio": "Token merging",
    "hypertile_enable_unet": "Hypertile",
    "sd_hypernetwork": "The hypernetwork of the settings",
    "sd_lora": "The LoRA of the settings",
}
"""Likewise, of the settings that change pictures."""


def unhonoured(request: Generation, render: RenderSettings) -> list[str]:
    """A sentence for each wish of a request that such a checkpoint passes over."""
    fields = {name: said for name, said in FIELDS.items() if name in type(request).params()}
    features = (_called(name) for name in request.features if _acts(name, request, render))
    wished = (*_changed(request, fields), *features, *_changed(render, SETTINGS))
    return [f"{said} was not applied: this checkpoint is run as a whole by diffusers." for said in wished]


def _changed(declared: Declared, names: Mapping[str, str]) -> list[str]:
    """What those of these fields are called that say something."""
    nothing = ("", "None")
    return [
        said
        for name, said in names.items()
        if getattr(declared, name) not in (default_of(type(declared), name), *nothing)
    ]


def _acts(feature: str, request: Generation, render: RenderSettings) -> bool:
    """Whether it would, or nobody knows."""
    entry = registry.feature(feature)
    return entry is None or any(True for _ in entry.params.units_of(request, render))


def _called(feature: str) -> str:
    entry = registry.feature(feature)
    return feature if entry is None else entry.params.called or entry.name

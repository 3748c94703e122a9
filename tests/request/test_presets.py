"""Presets are values that the form can hold."""

from __future__ import annotations

import pytest

from webui import registry
from webui.request.fields import Img2Img, Txt2Img
from webui.request.presets import PRESETS, Preset, values_of

BY_NAME = {preset.name: preset for preset in PRESETS}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_fits_both_forms_and_names_what_exists(preset: Preset) -> None:
    values = values_of(preset, "any.safetensors [0123456789]")
    for kind in (Txt2Img, Img2Img):
        made = kind.made(**values)
        assert {name: getattr(made, name) for name in values} == values
    sampler, schedule = registry.sampler_and_schedule(values["sampler_name"], values["scheduler"])
    assert (sampler.name, schedule.name) == (values["sampler_name"], values["scheduler"])


@pytest.mark.parametrize(
    ("title", "steps"),
    [
        ("sdxl_lightning_8step.safetensors [fe3210dc90]", 8),
        ("folder/dreamshaperXL-lightning-2 steps.safetensors", 2),
        ("JuggernautXL_lightning.safetensors", 4),
        ("lightning-120steps.safetensors", 4),
    ],
)
def test_a_lightning_checkpoint_is_asked_for_the_steps_in_its_name(title: str, steps: int) -> None:
    assert values_of(BY_NAME["Lightning"], title)["steps"] == steps
    assert values_of(BY_NAME["Turbo"], title)["steps"] == 4

"""Presets are values that the form can hold."""

from __future__ import annotations

import pytest

from webui import registry
from webui.base.errors import UserError
from webui.features.controlnet.parameters import Params as ControlNet
from webui.request.fields import Img2Img, Txt2Img
from webui.request.presets import PRESETS, Preset, unit_preset, values_of

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


def test_a_preset_of_a_unit_has_what_fits_and_no_pictures() -> None:
    told = {"module": "canny", "weight": 0.5, "image": "a" * 64, "mask": "b" * 64, "gone": 1, "impossible": "Leave out"}
    preset = unit_preset("  Soft\tedges ", [None, told], ControlNet)
    assert preset.name == "Soft edges"
    assert preset.units == (None, {"module": "canny", "weight": 0.5})


@pytest.mark.parametrize(
    ("name", "units", "said"),
    [
        ("", [{}], "has no name"),
        ("a" * 81, [{}], "cannot be named"),
        ("a\0b", [{}], "cannot be named"),
        (7, [{}], "has no name"),
        ("a", [None, None], "no unit that is on"),
        ("a", "canny", "no unit that is on"),
        ("a", [{"weight": 1}, "canny"], "values of a unit by name"),
        ("a", [{"weight": 9}], "Control Weight cannot be 9"),
    ],
)
def test_what_is_no_preset_is_refused_in_words(name: object, units: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        unit_preset(name, units, ControlNet)

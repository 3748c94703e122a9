"""ControlNet's units in infotexts: as the extension writes them, and as its older versions did."""

from __future__ import annotations

from typing import Any

import pytest

from webui.request.fields import Txt2Img
from webui.request.infotext import fields_of, read

PROMPT = "a house\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, "
NEW = (
    'ControlNet 0: "Module: canny, Model: control_v11p_sd15_canny [d14c016b], Weight: 0.8, '
    "Resize Mode: Resize and Fill, Processor Res: 640, Threshold A: 90, Threshold B: 180, "
    "Guidance Start: 0.1, Guidance End: 0.9, Pixel Perfect: False, "
    'Control Mode: My prompt is more important"'
)
BRACKETS = (
    'ControlNet 0: "preprocessor: canny, model: control_v11p_sd15_canny [d14c016b], weight: 0.8, starting/ending: '
    "(0.1, 0.9), resize mode: Resize and Fill, pixel perfect: False, control mode: My prompt is more important, "
    'preprocessor params: (640, 90, 180)"'
)
SINGLE = (
    "ControlNet Enabled: True, ControlNet Preprocessor: canny, ControlNet Model: control_v11p_sd15_canny [d14c016b], "
    "ControlNet Weight: 0.8, ControlNet Guidance Start: 0.1, ControlNet Guidance End: 0.9"
)
NUMBERED = SINGLE.replace("ControlNet ", "ControlNet-1 ")


def units(text: str) -> list[dict[str, Any] | None]:
    found: Any = fields_of(read(PROMPT + text), Txt2Img)["features"]
    listed: list[dict[str, Any] | None] = found["ControlNet"]
    return listed


def told(unit: dict[str, Any] | None, *names: str) -> list[Any]:
    assert unit is not None
    return [unit[name] for name in names]


WHOLE = ("module", "model", "weight", "guidance_start", "guidance_end")


@pytest.mark.parametrize("text", [NEW, BRACKETS])
def test_all_of_a_unit_is_read(text: str) -> None:
    (unit,) = units(text)
    assert told(unit, *WHOLE) == ["canny", "control_v11p_sd15_canny [d14c016b]", 0.8, 0.1, 0.9]
    assert told(unit, "resize_mode", "control_mode") == ["Resize and Fill", "My prompt is more important"]
    assert told(unit, "processor_res", "threshold_a", "threshold_b") == [640, 90, 180]


def test_names_of_old_resize_modes_are_those_of_today() -> None:
    (unit,) = units(BRACKETS.replace("Resize and Fill", "Envelope (Outer Fit)"))
    assert told(unit, "resize_mode") == ["Resize and Fill"]


def test_the_first_versions_wrote_a_label_for_each_value() -> None:
    (unit,) = units(SINGLE)
    assert told(unit, *WHOLE) == ["canny", "control_v11p_sd15_canny [d14c016b]", 0.8, 0.1, 0.9]
    off, unit = units(NUMBERED)
    assert off is None
    assert told(unit, *WHOLE) == ["canny", "control_v11p_sd15_canny [d14c016b]", 0.8, 0.1, 0.9]


@pytest.mark.parametrize("text", ['ControlNet 0: "preprocessor: (((, starting/ending: (0"', SINGLE[:60]])
def test_what_is_broken_does_no_harm(text: str) -> None:
    assert fields_of(read(PROMPT + text), Txt2Img)["seed"] == 1

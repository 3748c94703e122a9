"""What programs ask of ControlNet: units that are off, that cannot act, and that want what is not built."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import Api

SMALL = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 1, "seed": 3}
ON = {"enabled": True, "module": "none", "model": "canny [1]"}


def asked(api: Api, *units: Any) -> tuple[int, Any]:
    scripts = {"controlnet": {"args": list(units)}}
    answer = api.client.post("/sdapi/v1/txt2img", json={**SMALL, "alwayson_scripts": scripts})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("units", [[], [None], [{**ON, "enabled": False}] * 3, [{"model": "canny [1]"}]])
def test_units_that_are_off_are_passed_over(standing: Api, units: list[Any]) -> None:
    """A unit that does not say whether it is on is off, as in A1111."""
    status, found = asked(standing, *units)
    assert (status, json.loads(found["info"])["comments"]) == (200, [])


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ({**ON}, "There is no control network named 'canny [1]'. The unit was left out."),
        ({**ON, "model": "None"}, "ControlNet: no model is chosen. The unit was left out."),
    ],
)
def test_a_unit_that_cannot_act_is_left_out_with_a_remark(standing: Api, unit: dict[str, Any], said: str) -> None:
    status, found = asked(standing, unit)
    assert (status, json.loads(found["info"])["comments"]) == (200, [said])


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ({**ON, "module": "reference_only"}, "the preprocessor reference_only is not in this version"),
        ({**ON, "module": "inpaint_only"}, "the preprocessor inpaint_only is not in this version"),
        ({**ON, "module": "tile_colorfix+sharp", "model": "None"}, "tile_colorfix+sharp is not in this version"),
        ({**ON, "module": "edges of the world"}, "There is no preprocessor named"),
        ({**ON, "input_mode": "batch"}, "the input mode 'batch' is not in this version"),
        ({**ON, "control_mode": 7}, "Control Mode cannot be 7"),
        ({**ON, "threshold_a": "much"}, "is no number"),
    ],
)
def test_what_is_not_built_and_what_is_wrong_is_refused_in_words(
    standing: Api, unit: dict[str, Any], said: str
) -> None:
    status, found = asked(standing, unit)
    assert status == 422 and said in json.dumps(found), found


def test_people_are_told_before_anything_is_made(standing: Api) -> None:
    """Over the own interface, a unit that cannot act is refused."""
    body = {"kind": "txt2img", "request": {**SMALL, "features": {"ControlNet": [{"model": "canny"}]}}}
    answer = standing.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 404 and "There is no control network named" in answer.text, answer.text

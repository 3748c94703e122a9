"""What programs ask of ControlNet: units that are off, that cannot act, and that want what is not there."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.api.conftest import Api, opened
from webui.engine.aside import AsideLane

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
        ({**ON, "model": "None"}, "ControlNet: no model is selected. The unit was left out."),
        (
            {**ON, "module": "hed"},
            "ControlNet: the preprocessor hed is not available in this version. The unit was left out.",
        ),
    ],
)
def test_a_unit_that_cannot_act_is_left_out_with_a_remark(standing: Api, unit: dict[str, Any], said: str) -> None:
    status, found = asked(standing, unit)
    assert (status, json.loads(found["info"])["comments"]) == (200, [said])


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ({**ON, "module": "edges of the world"}, "There is no preprocessor named"),
        ({**ON, "input_mode": "batch"}, "the input mode 'batch' is not available in this version"),
        ({**ON, "control_mode": 0}, "Control Mode cannot be 0"),
        ({**ON, "control_mode": 7}, "Control Mode cannot be 7"),
        ({**ON, "threshold_a": "much"}, "is not a number"),
    ],
)
def test_what_is_not_built_and_what_is_wrong_is_refused_in_words(
    standing: Api, unit: dict[str, Any], said: str
) -> None:
    status, found = asked(standing, unit)
    assert status == 422 and said in json.dumps(found), found


def test_what_a_unit_says_in_vain_is_told(standing: Api) -> None:
    """Names that mean nothing here, where they carry something; what an older page sends along is none of that."""
    unit = {**ON, "ipadapter_input": ["x"], "batch_images": "", "is_ui": True, "use_preview_as_input": False}
    status, found = asked(standing, unit)
    first = json.loads(found["info"])["comments"][0]
    assert (status, first) == (200, "ControlNet: 'ipadapter_input' is unknown here and was ignored.")


def test_people_are_told_before_anything_is_made(standing: Api) -> None:
    """Over the own interface, a unit that cannot act is refused."""
    body = {"kind": "txt2img", "request": {**SMALL, "features": {"ControlNet": [{"model": "canny"}]}}}
    answer = standing.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 422 and "There is no control network named" in answer.text, answer.text


RECORDED = json.loads((Path(__file__).parent / "controlnet.json").read_text("utf-8"))
"""What A1111 1.10.1 with sd-webui-controlnet 1.1.455 answers; kinds and preprocessors beside each other in lists."""
PICTURES = Path(__file__).parents[1] / "golden" / "pictures"


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An installation with networks by the recorded names, whose engine really looks at pictures beside jobs."""
    data = tmp_path_factory.mktemp("controls")
    folder = data / "models" / "ControlNet"
    folder.mkdir(parents=True)
    for title in RECORDED["models"]:
        (folder / f"{bare(title)}.safetensors").write_bytes(b"never opened")
    with opened(data) as api:
        lane = AsideLane(api.engine._hear)
        api.engine.look = lane.put  # type: ignore[method-assign]
        yield api


def bare(title: str) -> str:
    return title.split(" [")[0]


def got(api: Api, path: str) -> Any:
    answer = api.client.get(f"/controlnet/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_lists_have_the_extension_s_form_and_order(controls: Api) -> None:
    assert got(controls, "version") == {"version": 3}
    assert [bare(title) for title in got(controls, "model_list?update=false")["model_list"]] == [
        bare(title) for title in RECORDED["models"]
    ]
    for query, place in (("", 0), ("?alias_names=true", 1)):
        found = got(controls, f"module_list{query}")
        assert found["module_list"] == list(found["module_detail"]) == [line[place] for line in RECORDED["modules"]]
        for line in RECORDED["modules"]:
            told = found["module_detail"][line[place]]
            assert [told["model_free"], [list(slider.values()) for slider in told["sliders"]]] == line[2:], line
    kinds = got(controls, "control_types")["control_types"]
    assert list(kinds) == list(RECORDED["kinds"])
    for kind, (modules, models, option, model) in RECORDED["kinds"].items():
        found = kinds[kind]
        assert (found["default_option"], bare(found["default_model"])) == (option or "none", model or "None"), kind
        if modules is not None:
            assert (found["module_list"], [bare(title) for title in found["model_list"]]) == (modules, models), kind
    assert got(controls, "settings") == {"control_net_unit_count": 3}


def test_programs_are_told_of_units(standing: Api) -> None:
    for kind, titles in standing.client.get("/sdapi/v1/scripts").json().items():
        assert "controlnet" in titles, kind
    infos = [each for each in standing.client.get("/sdapi/v1/script-info").json() if each["name"] == "controlnet"]
    assert [(each["is_alwayson"], each["is_img2img"]) for each in infos] == [(True, False), (True, True)]
    whole = {**RECORDED["unit"]["value"], "weight_type": "linear", "more_images": []}
    assert all(each["args"] == [{**RECORDED["unit"], "value": whole}] * 3 for each in infos)
    told = {"args": [each["value"] for each in infos[0]["args"]]}
    assert asked(standing, *told["args"])[0] == 200, "and may send it back"


@pytest.mark.parametrize("case", RECORDED["detect"], ids=lambda case: case["request"]["controlnet_module"])
def test_a_map_is_the_recorded_one(controls: Api, case: dict[str, Any]) -> None:
    def encoded(name: str) -> str:
        return base64.b64encode((PICTURES / name.removeprefix("@file:")).read_bytes()).decode()

    body = {
        name: [encoded(each) for each in value] if isinstance(value, list) else value
        for name, value in case["request"].items()
    }
    answer = controls.client.post("/controlnet/detect", json=body)
    assert answer.status_code == case["status"], answer.text
    if case["status"] != 200:
        assert case["error"] in answer.json()["detail"]
        return
    assert answer.json()["info"] == "Success"
    found = []
    for content in answer.json()["images"]:
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            pixels = hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()
            found.append([list(picture.size), picture.mode, pixels])
    assert found == case["images"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"controlnet_module": "hed"}, 422, "softedge_hed is not available in this version"),
        ({"controlnet_input_images": ["not a picture"]}, 422, "Invalid encoded image"),
        ({"controlnet_module": "canny", "wide": True}, 422, "would be too long"),
        ({"controlnet_module": "inpaint", "controlnet_masks": ["wide"]}, 422, "The mask has 4000x2 pixels"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_words(
    controls: Api, body: dict[str, Any], status: int, said: str
) -> None:
    def line(width: int) -> str:
        buffer = io.BytesIO()
        Image.new("RGB", (width, 2)).save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue()).decode()

    masks = [line(4000) for _ in body.get("controlnet_masks", ())]
    picture = line(4000 if body.pop("wide", False) else 8)
    wish = {"controlnet_input_images": [picture], **body, "controlnet_masks": masks}
    answer = controls.client.post("/controlnet/detect", json=wish)
    assert answer.status_code == status and said in answer.json()["detail"], answer.text


def test_poses_are_not_drawn_yet(standing: Api) -> None:
    assert standing.client.post("/controlnet/render_openpose_json", json=[]).json() == {
        "info": "No pose data detected."
    }
    assert standing.client.post("/controlnet/render_openpose_json", json=[{"people": []}]).status_code == 501


def test_the_form_shows_as_many_units_as_the_setting_says(api: Api) -> None:
    assert api.client.post("/sdapi/v1/options", json={"control_net_unit_count": 5}).status_code == 200
    assert got(api, "settings") == {"control_net_unit_count": 5}
    infos = [each for each in api.client.get("/sdapi/v1/script-info").json() if each["name"] == "controlnet"]
    assert [len(each["args"]) for each in infos] == [5, 5]

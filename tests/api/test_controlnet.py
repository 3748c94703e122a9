"""What programs ask of ControlNet: units that are off, that cannot act, and that want what is not there."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.api.conftest import Api, opened
from tests.packaged import have_detectors
from webui.engine.aside import AsideLane
from webui.request.messages import Event
from webui.server.jobs.engine_client import _Reader

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
            {**ON, "module": "softedge_anyline"},
            "ControlNet: the preprocessor softedge_anyline is not available in this version. The unit was left out.",
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
    unit = {"model": "canny", "image": astronaut()}
    body = {"kind": "txt2img", "request": {**SMALL, "features": {"ControlNet": [unit]}}}
    answer = standing.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 422 and "There is no control network named" in answer.text, answer.text


def filled(size: tuple[int, int]) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, "white").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ({"module": "canny"}, "there is no picture to follow. Give the unit one."),
        ({"module": "reference_only"}, "there is no picture to follow"),
        (
            {"module": "inpaint", "image": (64, 64), "mask": (32, 64)},
            "the mask has 32x64 pixels, but the picture has 64x64. Use a mask of the same size",
        ),
        (
            {"module": "none", "image": (1, 1), "model": "broken"},
            "broken.safetensors is broken: it is not a ",
        ),
        ({"module": "none", "image": (1, 1), "model": "empty"}, "empty.pth is broken: The file is empty."),
    ],
)
def test_what_can_be_known_is_said_before_anything_is_made(
    api: Api, tmp_path: Path, unit: dict[str, Any], said: str
) -> None:
    """At once on the page and over the own interface; over A1111's, the picture comes without the unit."""
    folder = tmp_path / "models" / "ControlNet"
    folder.mkdir(parents=True)
    (folder / "broken.safetensors").write_bytes(b"never whole")
    (folder / "empty.pth").write_bytes(b"")
    sent = {name: filled(value) if isinstance(value, tuple) else value for name, value in unit.items()}
    body = {"kind": "txt2img", "request": {**SMALL, "features": {"ControlNet": [sent]}}}
    answer = api.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 422 and said in answer.json()["detail"], answer.text
    assert answer.json()["field"] == "features" and str(tmp_path) not in answer.text
    status, found = asked(api, {"enabled": True, **sent})
    assert status == 200 and len(found["images"]) == 1
    assert "ControlNet 0:" in json.loads(found["info"])["infotexts"][0]
    if "model" in unit:
        assert "The unit was left out." in json.loads(found["info"])["comments"][0]


def test_more_units_act_than_the_form_shows(standing: Api) -> None:
    units = [{"enabled": True, "module": "reference_only", "image": filled((8, 8))}] * 5
    status, found = asked(standing, *units)
    assert status == 200 and "ControlNet 4:" in json.loads(found["info"])["infotexts"][0]
    assert json.loads(found["info"])["comments"] == []


RECORDED = json.loads((Path(__file__).parent / "controlnet.json").read_text("utf-8"))
"""What A1111 1.10.1 with sd-webui-controlnet 1.1.455 answers; kinds and preprocessors beside each other in lists."""
PICTURES = Path(__file__).parents[1] / "golden" / "pictures"


def through_the_pipe(event: Event) -> Event:
    """As the server gets it from an engine, whose pipe lets messages pass and nothing else."""
    found: Event = _Reader(io.BytesIO(pickle.dumps(event))).load()
    return found


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An installation with networks by the recorded names, whose engine really looks at pictures beside jobs."""
    data = tmp_path_factory.mktemp("controls")
    folder = data / "models" / "ControlNet"
    folder.mkdir(parents=True)
    for title in RECORDED["models"]:
        (folder / f"{bare(title)}.safetensors").write_bytes(b"never opened")
    with opened(data) as api:
        lane = AsideLane(lambda event: api.engine._hear(through_the_pipe(event)))
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
        ({"controlnet_module": "softedge_anyline"}, 422, "softedge_anyline is not available in this version"),
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


def rendered(api: Api, *poses: Any) -> Any:
    return api.client.post("/controlnet/render_openpose_json", json=list(poses))


def pixels_of(content: str) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        return np.array(picture.convert("RGB"))


def astronaut() -> str:
    return base64.b64encode((Path(__file__).parents[1] / "pictures" / "astronaut.jpg").read_bytes()).decode()


@pytest.mark.parametrize(
    ("module", "parts"),
    [
        ("openpose", "body"),
        ("openpose_hand", "body"),
        ("openpose_face", "body face"),
        ("openpose_full", "body face"),
        ("openpose_faceonly", "face"),
    ],
)
def test_a_pose_is_found_told_and_drawn_again(controls: Api, module: str, parts: str) -> None:
    """By the networks that come with the setup; what is told of it, drawn again, is the same map."""
    have_detectors()
    body = {"controlnet_module": module, "controlnet_input_images": [astronaut()], "controlnet_processor_res": 256}
    found = controls.client.post("/controlnet/detect", json=body).json()
    assert found["comments"] == ["The pose was found by MediaPipe's networks, which come with the setup."]
    (pose,) = found["poses"]
    assert (pose["canvas_width"], pose["canvas_height"]) == (256, 256)
    (person,) = pose["people"]
    assert (person["pose_keypoints_2d"] is not None, person["face_keypoints_2d"] is not None) == (
        "body" in parts,
        "face" in parts,
    )
    if "body" in parts:
        points = np.array(person["pose_keypoints_2d"]).reshape(18, 3)
        neck, right, left = points[[1, 2, 5], :2]
        assert neck == pytest.approx((right + left) / 2)
        assert right[0] < points[0, 0] < left[0], "the person's right is the picture's left"
        assert points[[9, 10, 12, 13]].sum() == 0, "knees and ankles are not in the picture"
        for scale, name in ((1, "fractions"), (256, "pixels")):
            scaled = (points * (scale, scale, 1)).ravel().tolist()
            again = rendered(controls, {**pose, "people": [{**person, "pose_keypoints_2d": scaled}]}).json()
            assert (again["info"], len(again["images"])) == ("Success", 1), name
            assert np.array_equal(pixels_of(again["images"][0]), pixels_of(found["images"][0])), name
    if module == "openpose_full":
        asked = {**body, "controlnet_module": "dw_openpose_full"}
        again = controls.client.post("/controlnet/detect", json=asked).json()
        assert again["images"] == found["images"]
        (said,) = again["comments"]
        assert said.startswith(
            "The pose was found by MediaPipe's networks instead of DWPose's, whose files yolox_l.onnx"
        )
    drawn = pixels_of(found["images"][0])
    assert drawn.shape == (256, 256, 3) and drawn[:20].max() == 0
    assert (drawn == 255).all(2).any() == ("face" in parts), "the points of a face are white"


def test_where_nobody_is_a_pose_is_black_and_says_so(controls: Api) -> None:
    have_detectors()
    for mode, size in (("L", (1, 1)), ("RGBA", (40, 30)), ("I;16", (64, 64))):
        buffer = io.BytesIO()
        Image.new(mode, size).save(buffer, "PNG")
        picture = base64.b64encode(buffer.getvalue()).decode()
        for module, nobody in (
            ("openpose_full", "Nobody was found in the picture."),
            ("mediapipe_face", "No face was found in the picture."),
        ):
            body = {"controlnet_module": module, "controlnet_input_images": [picture]}
            answer = controls.client.post("/controlnet/detect", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["comments"] == [nobody]
            assert pixels_of(answer.json()["images"][0]).max() == 0
            assert answer.json().get("poses", [{}])[0].get("people", []) == []


def test_weights_that_were_not_fetched_are_named(
    controls: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.engine.preprocessors.picture.PACKAGES", tmp_path)
    body = {"controlnet_module": "openpose", "controlnet_input_images": [astronaut()]}
    answer = controls.client.post("/controlnet/detect", json=body)
    assert answer.status_code == 422
    assert "is missing. Fetch it with: python launch.py weights" in answer.json()["detail"]


CANVAS = {"canvas_width": 64, "canvas_height": 64}


@pytest.mark.parametrize(
    ("pose", "said"),
    [
        ({"people": []}, "canvas_width must be a number from 1 to 8192"),
        ({"people": 3, **CANVAS}, "A pose must have people"),
        ({"people": [None], **CANVAS}, "Each of the people"),
        ({"people": [{}] * 1001, **CANVAS}, "1001 people are too many"),
        ({"people": [{"pose_keypoints_2d": [1, 2]}], **CANVAS}, "pose_keypoints_2d must have 18 points"),
        ({"people": [{"face_keypoints_2d": ["x"] * 210}], **CANVAS}, "is not a number"),
        ({"people": [], "canvas_width": 1e9, "canvas_height": 64}, "canvas_width must be"),
        ("a pose", "A pose must have people"),
    ],
)
def test_a_pose_that_cannot_be_drawn_is_refused_in_words(controls: Api, pose: Any, said: str) -> None:
    answer = rendered(controls, pose)
    assert answer.status_code == 422 and said in answer.text, answer.text


def test_people_beyond_the_canvas_and_no_people_are_drawn(controls: Api) -> None:
    assert rendered(controls).json() == {"info": "No pose data detected."}
    far = [1e9, -1e9, 1.0] * 18
    people = [{"pose_keypoints_2d": far, "hand_left_keypoints_2d": [3, 3, 1] * 21}] * 200
    answer = rendered(controls, {"people": [], **CANVAS}, {"people": people, **CANVAS})
    assert [pixels_of(each).any() for each in answer.json()["images"]] == [False, True]


def test_the_form_shows_as_many_units_as_the_setting_says(api: Api) -> None:
    assert api.client.post("/sdapi/v1/options", json={"control_net_unit_count": 5}).status_code == 200
    assert got(api, "settings") == {"control_net_unit_count": 5}
    infos = [each for each in api.client.get("/sdapi/v1/script-info").json() if each["name"] == "controlnet"]
    assert [len(each["args"]) for each in infos] == [5, 5]


def listed(api: Api) -> list[str]:
    return [bare(title) for title in got(api, "model_list")["model_list"]]


def test_the_folders_that_the_settings_name_are_looked_into(api: Api, tmp_path: Path) -> None:
    """Networks in one, files of preprocessors in the other; each is as good as the usual place."""
    networks, annotators = tmp_path / "far" / "networks", tmp_path / "far" / "annotators"
    for folder, name in ((networks / "deep", "own.safetensors"), (annotators / "hed", "ControlNetHED.pth")):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"never whole")
    seen = {"controlnet_module": "softedge_hed", "controlnet_input_images": [astronaut()]}

    def missing() -> str:
        answer = api.client.post("/controlnet/detect", json=seen)
        assert answer.status_code == 422, answer.text
        return str(answer.json()["detail"])

    assert "own" not in listed(api) and "ControlNetHED.pth, which is missing" in missing()
    options = {"control_net_models_path": str(networks), "control_net_modules_path": str(annotators)}
    assert api.client.post("/sdapi/v1/options", json=options).status_code == 200
    assert "own" in listed(api), "below the folder, too"
    assert "ControlNetHED.pth" in missing() and "is broken" in missing()
    assert api.client.get("/sdapi/v1/options").json()["control_net_models_path"] == str(networks)
    assert api.client.post("/sdapi/v1/options", json=dict.fromkeys(options, "")).status_code == 200
    assert "own" not in listed(api) and "which is missing" in missing()


def test_the_program_s_own_memory_is_no_folder_of_networks(api: Api, tmp_path: Path) -> None:
    (tmp_path / "config" / "hidden.safetensors").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "config")
    for name in ("config", str(tmp_path / "config"), "link", "models/../config"):
        options = {"control_net_models_path": name, "control_net_modules_path": name}
        api.client.post("/sdapi/v1/options", json=options)
        assert "hidden" not in listed(api), name
    for nonsense in ("nowhere", "a\0b", "/" + "x" * 5000):
        api.client.post("/sdapi/v1/options", json={"control_net_models_path": nonsense})
        assert listed(api) == [], nonsense


@pytest.mark.parametrize("where", ["{far}/own.safetensors", "{far}/own", "../far/own", "file://{far}/own.safetensors"])
def test_a_request_reaches_no_file_outside_the_folders(api: Api, tmp_path: Path, where: str) -> None:
    """A model is one of the list, by its name; a path is none, and neither is a folder that a request brings along."""
    far = tmp_path.parent / "far"
    far.mkdir(exist_ok=True)
    (far / "own.safetensors").write_bytes(b"x")
    name = where.format(far=far)
    body = {**SMALL, "features": {"ControlNet": [{"model": name, "image": astronaut()}]}}
    answer = api.client.post("/api/v1/jobs", json={"kind": "txt2img", "request": body})
    assert answer.status_code == 422 and "There is no control network named" in answer.text, answer.text
    scripts = {"controlnet": {"args": [{**ON, "model": name, "image": astronaut()}]}}
    brought = {"override_settings": {"control_net_models_path": str(far)}, "alwayson_scripts": scripts}
    answer = api.client.post("/sdapi/v1/txt2img", json={**SMALL, **brought})
    assert answer.status_code == 200, answer.text
    assert "There is no control network named" in json.loads(answer.json()["info"])["comments"][-1]
    assert "own" not in listed(api)


@pytest.mark.parametrize("place", ["image", "mask", "effective_region_mask", "more_images"])
def test_a_picture_is_sent_along_and_never_read_from_the_machine(api: Api, tmp_path: Path, place: str) -> None:
    secret = tmp_path.parent / "secret.png"
    Image.new("RGB", (64, 64), "red").save(secret)
    for said in (str(secret), f"file://{secret}", f"../{secret.name}", "secret.png"):
        value: Any = [said] if place == "more_images" else said
        body = {**SMALL, "features": {"ControlNet": [{"module": "reference_only", place: value}]}}
        answer = api.client.post("/api/v1/jobs", json={"kind": "txt2img", "request": body})
        assert answer.status_code == 422, answer.text
        scripts = {"controlnet": {"args": [{**ON, "module": "reference_only", place: value}]}}
        api.client.post("/sdapi/v1/txt2img", json={**SMALL, "alwayson_scripts": scripts})
    kept = [path.read_bytes() for path in api.app.paths.uploads.rglob("*") if path.is_file()]
    assert secret.read_bytes() not in kept

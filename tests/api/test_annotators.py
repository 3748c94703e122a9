"""`/controlnet/detect` and units with preprocessors whose files people bring."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.annotators import FILES, seen_small, written
from tests.api.conftest import Api, opened
from tests.api.test_controlnet import through_the_pipe
from tests.tensors import drawn, write_tensors
from webui.base.errors import NotFound
from webui.engine.aside import AsideLane
from webui.request.preprocessors import preprocessor


@pytest.fixture(autouse=True)
def _seen_small(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_small(monkeypatch)


@pytest.fixture(scope="module")
def equipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An installation that has no file of a preprocessor yet, whose engine really looks at pictures beside jobs."""
    data = tmp_path_factory.mktemp("equipped")
    with opened(data) as api:
        lane = AsideLane(lambda event: api.engine._hear(through_the_pipe(event)))
        api.engine.look = lane.put  # type: ignore[method-assign]
        yield api


def places(api: Api) -> tuple[Path, Path]:
    """Where files are put, and where A1111's extension keeps them."""
    paths = api.app.paths
    return (
        paths.models / "ControlNetPreprocessor",
        paths.data / "extensions" / "sd-webui-controlnet" / "annotator" / "downloads",
    )


def picture() -> str:
    buffer = io.BytesIO()
    drawn = np.zeros((40, 64, 3), np.uint8)
    drawn[10:30, 20:50] = (200, 90, 40)
    Image.fromarray(drawn).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def detected(api: Api, module: str) -> Any:
    body = {
        "controlnet_module": module,
        "controlnet_input_images": [picture()],
        "controlnet_processor_res": 64,
    }
    return api.client.post("/controlnet/detect", json=body)


@pytest.mark.parametrize("module", ["depth_anything_v2", "hed"])
def test_a_missing_file_is_named_with_its_place(equipped: Api, module: str) -> None:
    folder, name, _ = FILES[module]
    answer = detected(equipped, module)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert f"The preprocessor {module} needs the file {name}, which is missing." in detail
    assert f"Put it into models/ControlNetPreprocessor/{folder}/{name}" in detail


def test_a_unit_without_its_file_is_left_out_with_a_remark(equipped: Api) -> None:
    networks = equipped.app.paths.models / "ControlNet"
    write_tensors(networks / "canny.safetensors", drawn({"never opened": (1,)}))
    unit = {"enabled": True, "module": "pidinet", "model": "canny", "image": picture()}
    body = {"prompt": "a", "width": 64, "height": 64, "steps": 1, "alwayson_scripts": {"controlnet": {"args": [unit]}}}
    answer = equipped.client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 200, answer.text
    said = "The preprocessor pidinet needs the file table5_pidinet.pth, which is missing. The unit was left out."
    assert said in answer.json()["info"]


@pytest.mark.parametrize("module", FILES)
def test_a_map_is_made_with_a_file_in_either_place(equipped: Api, module: str) -> None:
    """By both names of the preprocessor; in the folder of A1111's extension, files are found as they lie."""
    written(module, places(equipped)[len(module) % 2])
    for name in (module, preprocessor(module).title):
        answer = detected(equipped, name)
        assert answer.status_code == 200, answer.text
        with Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0]))) as made:
            assert made.size == (102, 64)
            assert np.ptp(np.array(made)) > 0


def test_what_recognises_faces_is_found_where_its_package_unpacks_it(equipped: Api) -> None:
    catalog, models = equipped.app.catalog, equipped.app.paths.models
    assert catalog.annotators("ip-adapter-auto") == ()
    with pytest.raises(NotFound, match=r"needs the file w600k_r50\.onnx, which is missing") as error:
        catalog.annotators("ip-adapter_face_id")
    assert error.value.hint == "Put it into models/ControlNetPreprocessor/insightface/w600k_r50.onnx."
    path = models / "insightface" / "models" / "buffalo_l" / "w600k_r50.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"never opened")
    for module in ("ip-adapter-auto", "ip-adapter_face_id", "ip-adapter_face_id_plus"):
        assert [ref.path for ref in catalog.annotators(module)] == [str(path)]


def test_a_broken_file_is_named_and_others_go_on(equipped: Api) -> None:
    here = places(equipped)[0] / "hed" / "ControlNetHED.pth"
    here.parent.mkdir(parents=True, exist_ok=True)
    here.write_bytes(b"PK\x03\x04 damaged")
    written("pidinet", places(equipped)[1])
    answer = detected(equipped, "hed")
    assert answer.status_code == 422
    assert "ControlNetHED.pth" in answer.json()["detail"]
    assert detected(equipped, "pidinet").status_code == 200
    here.unlink()

"""The scripts of img2img as A1111 v1.10.1 answered them, asked of the real server."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import RunningServer
from tests.golden.test_pictures import BY_ENCODER, FOLDER, _base64, _read

HERE = FOLDER / "cases" / "flows"
CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_same_pictures_and_infotext(server: RunningServer, case: dict[str, Any]) -> None:
    chosen = {**case["request"]["override_settings"], "sd_model_checkpoint": "tiny-sd1"}
    given = {"init_images": [_base64("init128.png")], "override_settings": chosen, "save_images": False}
    with server.client() as client:
        answer = client.post("sdapi/v1/img2img", json={**case["request"], **given}).json()
    pictures = [Image.open(io.BytesIO(base64.b64decode(each))) for each in answer["images"]]
    assert len(pictures) == len(case["images"])
    for made, file in zip(pictures, case["images"], strict=True):
        with Image.open(Path(HERE, file)) as image:
            theirs = np.asarray(image.convert("RGB"), np.int16)
        apart = np.abs(np.asarray(made.convert("RGB"), np.int16) - theirs)
        assert np.percentile(apart, 99.9) <= BY_ENCODER[0]
        assert apart.mean() <= BY_ENCODER[1]
    head, pairs = _read(case["infotext"])
    ours_head, ours = _read(pictures[0].info["parameters"])
    assert (ours_head, {key: ours.get(key) for key in pairs}) == (head, pairs)

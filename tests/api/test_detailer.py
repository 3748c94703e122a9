"""ADetailer over A1111's API: its routes, and units as its clients send them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import Api

SMALL = {"prompt": "a", "width": 64, "height": 64, "steps": 1, "seed": 3}
UNIT = {"ad_model": "mine.pt", "ad_prompt": "b", "ad_confidence": 0.5}


def made(api: Api, *args: object, kind: str = "txt2img") -> dict[str, Any]:
    body = {**SMALL, "alwayson_scripts": {"ADetailer": {"args": list(args)}}}
    answer = api.client.post(f"/sdapi/v1/{kind}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.json()["info"])
    return found


def with_file(api: Api) -> Api:
    folder = api.app.paths.models / "adetailer"
    folder.mkdir(exist_ok=True)
    (folder / "mine.pt").write_bytes(b"\x80\x02}.")
    return api


def test_its_routes_answer_in_its_form(api: Api) -> None:
    got = {name: api.client.get(f"/adetailer/v1/{name}").json() for name in ("version", "schema", "ad_model")}
    assert set(got["version"]) == {"version"}
    assert got["schema"]["properties"]["ad_denoising_strength"]["default"] == 0.4
    assert "mine.pt" not in got["ad_model"]["ad_model"]
    with_file(api)
    assert "mine.pt" in api.client.get("/adetailer/v1/ad_model").json()["ad_model"]
    assert "adetailer" in api.client.get("/sdapi/v1/scripts").json()["txt2img"]
    assert api.client.get("/adetailer/v1/nothing").status_code == 404


def test_its_values_come_back_in_the_infotext(api: Api) -> None:
    with_file(api)
    (text,) = made(api, True, False, UNIT, {"ad_model": "None"}, {"ad_model": "MINE"})["infotexts"]
    assert "ADetailer model: mine.pt, ADetailer prompt: b, ADetailer confidence: 0.5" in text
    assert "ADetailer model 3rd: MINE" in text and "2nd" not in text


@pytest.mark.parametrize(
    "args", [[False], [True, False, {"ad_model": "None"}], [{**UNIT, "ad_tab_enable": False}], [], [False, False, UNIT]]
)
def test_what_is_off_has_no_effect(args: list[object], standing: Api) -> None:
    found = made(standing, *args)
    assert "ADetailer" not in found["infotexts"][0] and not found["comments"]


def test_a_detector_that_is_missing_costs_its_unit_alone(standing: Api) -> None:
    (remark,) = made(standing, {"ad_model": "nobody's.pt"})["comments"]
    assert "nobody's.pt" in remark and "left out" in remark
    (remark, _) = made(standing, {"ad_model": "nobody's.pt", "ad_new": 5})["comments"]
    assert "ad_new" in remark
    wrong = {"alwayson_scripts": {"ADetailer": {"args": [{"ad_model": "x", "ad_confidence": 7}]}}}
    answer = standing.client.post("/sdapi/v1/txt2img", json={**SMALL, **wrong})
    assert answer.status_code == 422 and "confidence" in answer.text
    asked = {**SMALL, "features": {"ADetailer": [{"ad_model": "nobody's.pt"}]}}
    answer = standing.client.post("/api/v1/jobs", json={"kind": "txt2img", "request": asked})
    assert answer.status_code >= 400 and "nobody's.pt" in answer.text

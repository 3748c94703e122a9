"""Previews over our own API: no job comes of them, and the newest of a name counts."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_extras import ENCODED
from tests.conftest import until
from webui.request.cutting import SubjectMask


def asked(api: Api, name: str = "", **request: Any) -> Any:
    wish = {"images": [ENCODED], "upscaler_1": "Lanczos", **request}
    return api.client.post("/api/v1/preview", json={"kind": "extras", "request": wish, "name": name})


def test_a_preview_is_an_answer_and_no_job(api: Api) -> None:
    answer = asked(api)
    assert answer.status_code == 200, answer.text
    (picture,) = answer.json()["pictures"]
    assert (picture["width"], picture["height"]) == (80, 40)
    assert base64.b64decode(picture["image"]).startswith(b"RIFF")
    assert answer.json()["comments"] == ["Look 1."]
    assert asked(api, images=answer.json()["images"]).status_code == 200, "the picture need not be sent again"
    assert api.client.get("/api/v1/jobs").json()["jobs"] == []


def test_a_newer_question_of_the_name_ends_an_older_one(api: Api) -> None:
    api.engine.by_itself = False
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(asked, api, "left")
        until(lambda: len(api.engine.asides) == 1, "the first question")
        other = pool.submit(asked, api, "right")
        until(lambda: len(api.engine.asides) == 2, "a question of another name")
        second = pool.submit(asked, api, "left", upscaling_resize=3)
        assert first.result(60).status_code == 409
        until(lambda: len(api.engine.asides) == 3, "the newer question")
        for question in api.engine.asides:
            api.engine.look(question)
        assert (second.result(60).status_code, other.result(60).status_code) == (200, 200)


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"images": []}, 422, "There is no picture to preview."),
        ({"images": ["AAAA"]}, 422, "picture"),
        ({"upscaler_1": "Lanzos"}, 404, "Lanzos"),
        ({"upscaling_resize": 1000}, 422, "upscaling_resize"),
    ],
)
def test_what_cannot_be_is_refused_in_words(standing: Api, request_: dict[str, Any], status: int, said: str) -> None:
    answer = asked(standing, **request_)
    assert answer.status_code == status, answer.text
    assert said in answer.text


@pytest.mark.parametrize("kind", ["txt2img", "nonsense"])
def test_a_kind_without_preview_says_which_have_one(standing: Api, kind: str) -> None:
    answer = standing.client.post("/api/v1/preview", json={"kind": kind, "request": {}})
    assert answer.status_code == 422, answer.text
    assert kind in answer.text and "These have one: extras." in answer.text


def test_what_the_engine_refuses_is_the_answer(api: Api) -> None:
    api.engine.by_itself = False
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asked, api)
        until(lambda: api.engine.asides, "the question")
        api.engine.look(api.engine.asides[0], refuses="It would become too large.")
        assert answer.result(60).status_code == 422 and "too large" in answer.result(60).text


def test_the_mask_of_a_picture_s_subject_is_an_answer_and_no_job(api: Api) -> None:
    answer = api.client.post("/api/v1/mask", json={"image": ENCODED, "model": "silueta"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["width"], answer.json()["height"]) == (80, 40)
    (asked,) = api.engine.asides
    assert isinstance(asked.plan, SubjectMask)
    assert (asked.plan.kind, asked.plan.cutting.instead_of) == ("Remove background", "silueta")
    assert api.client.get("/api/v1/jobs").json()["jobs"] == []
    for body, status in (({"image": "AAAA"}, 422), ({"image": ENCODED, "model": "nobody's"}, 404), ({}, 422)):
        assert api.client.post("/api/v1/mask", json=body).status_code == status

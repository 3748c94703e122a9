"""Taggers over HTTP, as A1111's extension and A1111's own route take and answer them, against the real server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests import taggers
from tests.api.test_clients import encoded
from tests.conftest import PATIENCE, RunningServer

NAME = "wd-v1-4-vit-tagger-v2"


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    """With a tagger where the server looks for it."""
    taggers.put_onnx(server.data / "models", NAME)
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as made:
        yield made


def test_a_picture_gets_its_tags_in_the_form_that_the_program_expects(client: httpx.Client) -> None:
    assert client.get("tagger/v1/interrogators").json() == {"models": [NAME]}
    older = {"image": encoded(), "model": "wd14-vit-v2-git", "threshold": 0.9}
    answer = client.post("tagger/v1/interrogate", json=older)
    assert answer.status_code == 200, answer.text
    found = answer.json()["caption"]
    assert list(found) == ["general", "explicit", "red_theme"]
    assert found["red_theme"] == pytest.approx(0.982, abs=1e-3)
    newer = {**older, "queue": "", "name_in_queue": "", "image": f"data:image/png;base64,{encoded()}"}
    told = client.post("tagger/v1/interrogate", json=newer).json()["caption"]
    rating = {name: found[name] for name in ("general", "explicit")}
    assert told == {"rating": rating, "tag": {"red_theme": found["red_theme"]}}
    without = client.post("tagger/v1/interrogate", json={"image": encoded(), "threshold": 0}).json()["caption"]
    assert len(without) == len(taggers.TAGS)


def test_a1111_s_route_takes_a_tagger_s_name(client: httpx.Client) -> None:
    for model in (NAME, "wd14-vit-v2", "wd14"):
        answer = client.post("sdapi/v1/interrogate", json={"image": encoded(), "model": model})
        assert answer.json() == {"caption": r"^_^, red theme, ruby \(gem\)"}, model


def test_what_cannot_be_is_said(client: httpx.Client) -> None:
    ask = {"image": encoded(), "model": NAME}
    for changes, status, said in (
        ({"image": ""}, 404, "Image not found"),
        ({"model": "wd14-moat-v2"}, 404, "Model not found"),
        ({"model": "clip"}, 501, "BLIP"),
        ({"model": "deepdanbooru"}, 501, "DeepDanbooru"),
        ({"image": "!!"}, 422, "image"),
        ({"threshold": 7}, 422, "threshold"),
    ):
        answer = client.post("tagger/v1/interrogate", json={**ask, **changes})
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert client.get("tagger/v1/nothing").status_code == 404


def test_a_program_may_put_taggers_away(client: httpx.Client) -> None:
    answer = client.post("tagger/v1/unload-interrogators")
    assert re.fullmatch(r"Successfully unload \d+ model\(s\)", answer.json())
    assert client.post("tagger/v1/interrogate", json={"image": encoded()}).status_code == 200

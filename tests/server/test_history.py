"""The history over HTTP: everybody sees their own, and an admin sees all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.server.routes import basic
from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.catalog.pictures import SavedPicture, record
from webui.server.guard import Guard
from webui.server.serve import application

ANNA, BERT = basic("anna", "one"), basic("bert", "two")
ROOT = "/internal/history"
TEXT = "a lighthouse by the sea\nSteps: 20, Sampler: Euler, CFG scale: 7.0, Seed: 5"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """A server with three pictures, two of Anna's, one of Bert's."""
    opened: list[App] = []

    def enter(*line: str) -> TestClient:
        chosen = flags.read(["--data-dir", str(tmp_path), "--nowebui", *line])
        app = App(chosen, StandIn())
        opened.append(app)
        app.queue.start(preload=False)
        with app.catalog.database.writing() as connection:
            for number, owner in enumerate(("anna", "bert", "anna")):
                path = tmp_path / f"{number}.png"
                path.write_bytes(b"picture")
                one = SavedPicture("txt2img", "j", 0, owner, TEXT, 8, 8, number, "m", "Euler", float(number))
                record(connection, replace(one, id=f"p{number}", path=str(path)))
        return TestClient(Guard(application(app), chosen, app.access), base_url="http://127.0.0.1:7860")

    yield enter
    for app in opened:
        app.close()


def ids(client: TestClient, headers: dict[str, str], **query: object) -> list[str]:
    answer = client.get(f"{ROOT}/pictures", headers=headers, params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return [picture["id"] for picture in answer.json()["pictures"]]


def test_people_with_names_see_and_delete_their_own(client: Callable[..., TestClient], tmp_path: Path) -> None:
    here = client("--gradio-auth", "anna:one,bert:two")
    assert ids(here, ANNA) == ["p2", "p0"]
    assert ids(here, BERT) == ["p1"]
    assert ids(here, BERT, search="lighthouse") == ["p1"]
    assert here.get(f"{ROOT}/pictures/p1", headers=ANNA).status_code == 404
    assert here.post(f"{ROOT}/pictures/p1", headers=ANNA, json={"rating": 1}).status_code == 404
    answer = here.post(f"{ROOT}/delete", headers=ANNA, json={"ids": ["p1", "p2"], "for_good": True}).json()
    assert answer["deleted"] == ["p2"]
    assert answer["failed"][0]["id"] == "p1"
    assert (tmp_path / "1.png").exists()
    assert not (tmp_path / "2.png").exists()
    assert ids(here, ANNA) == ["p0"]
    assert here.get(f"{ROOT}/pictures").status_code == 401


def test_without_accounts_the_history_is_everybody_s(client: Callable[..., TestClient]) -> None:
    here = client()
    first = here.get(f"{ROOT}/pictures", params={"limit": 2}).json()
    assert [picture["id"] for picture in first["pictures"]] == ["p2", "p1"]
    assert ids(here, {}, before=first["next"], limit=2) == ["p0"]
    assert first["pictures"][0]["prompt"] == "a lighthouse by the sea"
    judged = here.post(f"{ROOT}/pictures/p1", json={"rating": 5, "favourite": True, "tags": ["wall"]}).json()
    assert (judged["rating"], judged["favourite"], judged["tags"]) == (5, True, ["wall"])
    assert ids(here, {}, rating=5) == ids(here, {}, favourite=True) == ids(here, {}, search="wall") == ["p1"]
    assert here.get(f"{ROOT}/choices").json() == {"model": ["m"], "sampler": ["Euler"], "kind": ["txt2img"]}


@pytest.mark.parametrize(
    "query", [{"rating": 9}, {"before": "x"}, {"before": "-1"}, {"before": "9" * 19}, {"limit": 0}, {"since": "inf"}]
)
def test_a_question_that_makes_no_sense_is_refused(client: Callable[..., TestClient], query: dict[str, str]) -> None:
    assert client().get(f"{ROOT}/pictures", params=query).status_code == 422


def test_the_search_for_pictures_on_disk_is_asked_for(client: Callable[..., TestClient]) -> None:
    here = client()
    assert here.post(f"{ROOT}/search").status_code == 200
    assert set(here.get(f"{ROOT}/search").json()) == {"running", "seen", "new"}

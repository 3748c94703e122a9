"""The history over HTTP: everybody sees their own, and an admin sees all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.server.routes import basic
from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.catalog.image_files import encode, read_infotext
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


def test_what_is_deleted_is_restored_by_its_owner_alone(client: Callable[..., TestClient], tmp_path: Path) -> None:
    here = client("--gradio-auth", "anna:one,bert:two")
    assert here.post(f"{ROOT}/delete", headers=ANNA, json={"ids": ["p0", "p1"]}).json()["deleted"] == ["p0"]
    assert not (tmp_path / "0.png").exists()
    trash = here.get(f"{ROOT}/trash", headers=ANNA).json()
    assert ([one["id"] for one in trash["pictures"]], trash["days"]) == (["p0"], 30)
    assert here.get(f"{ROOT}/trash", headers=BERT).json()["pictures"] == []
    assert here.get(f"{ROOT}/trash/p0/thumbnail", headers=BERT).status_code == 404
    assert here.get(f"{ROOT}/trash/p0/thumbnail", headers=ANNA).status_code == 204, "it is no picture"
    refused = here.post(f"{ROOT}/trash/restore", headers=BERT, json={"ids": ["p0"]}).json()
    assert (refused["restored"], refused["failed"][0]["id"]) == ([], "p0")
    assert here.post(f"{ROOT}/trash/delete", headers=BERT, json={"ids": ["p0"]}).json()["deleted"] == []
    assert here.post(f"{ROOT}/trash/restore", headers=ANNA, json={"ids": ["p0"]}).json()["restored"] == ["p0"]
    assert (tmp_path / "0.png").read_bytes() == b"picture"
    assert ids(here, ANNA) == ["p2", "p0"]
    here.post(f"{ROOT}/delete", headers=ANNA, json={"ids": ["p0"]})
    assert here.post(f"{ROOT}/trash/delete", headers=ANNA, json={"ids": ["p0"]}).json()["deleted"] == ["p0"]
    assert not list(tmp_path.rglob("p0.png"))


def test_albums_are_ones_own_and_filter_the_history(client: Callable[..., TestClient]) -> None:
    here = client("--gradio-auth", "anna:one,bert:two")
    album = here.post(f"{ROOT}/albums", headers=ANNA, json={"name": "Wall"}).json()
    place = f"{ROOT}/albums/{album['id']}"
    told = here.post(f"{place}/pictures", headers=ANNA, json={"add": ["p0", "p1"]}).json()
    assert told == {"added": 1, "removed": 0}, "p1 is Bert's"
    assert ids(here, ANNA, album=album["id"]) == ["p0"]
    assert here.get(f"{ROOT}/pictures", headers=BERT, params={"album": album["id"]}).status_code == 404
    assert here.get(f"{ROOT}/albums", headers=BERT).json() == []
    assert here.post(place, headers=BERT, json={"name": "Mine"}).status_code == 404
    assert here.post(place, headers=ANNA, json={"name": "Hall"}).status_code == 200
    assert here.post(f"{ROOT}/albums", headers=ANNA, json={"name": "Hall"}).status_code == 422
    assert here.get(f"{ROOT}/albums", headers=ANNA).json()[0] == {**album, "name": "Hall", "count": 1, "cover": "p0"}
    assert here.delete(place, headers=ANNA).status_code == 200
    assert ids(here, ANNA) == ["p2", "p0"]


def test_an_outline_facets_and_figures_are_of_ones_own_pictures(client: Callable[..., TestClient]) -> None:
    here = client("--gradio-auth", "anna:one,bert:two")
    outline = here.get(f"{ROOT}/outline", headers=ANNA, params={"step": 10}).json()
    assert (outline["total"], len(outline["anchors"])) == (2, 1)
    page = ids(here, ANNA, before=str(int(outline["anchors"][0]) + 1), limit=10)
    assert page == ["p2", "p0"]
    facets = here.get(f"{ROOT}/facets", headers=ANNA, params={"search": "lighthouse"}).json()
    assert facets["model"] == [{"value": "m", "count": 2}]
    assert here.get(f"{ROOT}/storage", headers=BERT).json() == [{"model": "m", "count": 1, "bytes": 7}]
    assert here.get(f"{ROOT}/outline", headers=ANNA, params={"size": "1x"}).status_code == 422


def test_pictures_are_exported_with_their_words_or_without(client: Callable[..., TestClient], tmp_path: Path) -> None:
    here = client("--gradio-auth", "anna:one,bert:two")
    (tmp_path / "0.png").write_bytes(encode(Image.new("RGB", (8, 8)), "png", TEXT).content)
    for metadata in (True, False):
        answer = here.post(f"{ROOT}/export", headers=ANNA, json={"ids": ["p0"], "metadata": metadata})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            (name,) = archive.namelist()
            assert ("lighthouse" in read_infotext(archive.read(name))[0]) is metadata
        assert name == ("0.png" if metadata else "p0.png")
    assert here.post(f"{ROOT}/export", headers=ANNA, json={"ids": ["p1"]}).status_code == 404
    refused = here.post(f"{ROOT}/export", headers=ANNA, json={"ids": ["p2"], "metadata": False})
    assert refused.status_code == 422, "its file is no picture"
    assert not list(tmp_path.rglob("export-*.zip"))

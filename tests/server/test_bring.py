"""Who learns where other programs' models lie, and who may have them used; presets of forms are each user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.server.routes import basic
from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.server.guard import Guard
from webui.server.serve import application

ANNA, BERT = basic("anna", "one"), basic("bert", "two")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    opened: list[App] = []

    def enter(*line: str, host: str = "192.0.2.7") -> TestClient:
        chosen = flags.read(["--data-dir", str(tmp_path / "data"), "--nowebui", *line])
        app = App(chosen, StandIn())
        opened.append(app)
        app.queue.start(preload=False)
        guard = Guard(application(app), chosen, app.access)
        return TestClient(guard, base_url="http://127.0.0.1:7860", client=(host, 50000))

    yield enter
    for app in opened:
        app.close()


def test_from_afar_without_a_name_nobody_learns_of_folders(serving: Callable[..., TestClient]) -> None:
    here = serving()
    for answer in (
        here.get("/internal/bring"),
        here.post("/internal/bring/look"),
        here.post("/internal/bring/folder", json={"path": "/"}),
        here.delete("/internal/bring/used/x"),
    ):
        assert answer.status_code == 403, answer.text
        assert "at the machine" in answer.text


def test_at_the_machine_a_folder_is_named_used_and_left_again(
    serving: Callable[..., TestClient], tmp_path: Path
) -> None:
    old = tmp_path / "elsewhere" / "ComfyUI"
    for name in ("comfy", "custom_nodes", "models/checkpoints"):
        (old / name).mkdir(parents=True)
    (old / "nodes.py").touch()
    (old / "models" / "checkpoints" / "a.safetensors").write_bytes(b"no model")
    here = serving(host="127.0.0.1")
    assert here.post("/internal/bring/folder", json={"path": str(tmp_path / "nowhere")}).status_code in (404, 422)
    assert here.post("/internal/bring/folder", json={"path": "/"}).status_code == 422
    taken = here.post("/internal/bring/folder", json={"path": str(old)}).json()
    assert (taken["program"], taken["models"]) == ("ComfyUI", {"checkpoints": 1}), taken
    assert here.delete(f"/internal/bring/used/{taken['id']}").status_code == 200
    assert here.delete(f"/internal/bring/used/{taken['id']}").status_code == 404
    assert here.post("/internal/bring/take/0000").status_code == 404


def test_presets_of_a_form_are_one_s_own_and_a_hostile_file_changes_nothing(
    serving: Callable[..., TestClient],
) -> None:
    here = serving("--gradio-auth", "anna:one,bert:two")
    place = "/api/v1/form-presets/txt2img"
    assert here.post(place, headers=ANNA, json={"name": "Soft", "values": {"steps": 9}}).status_code == 200
    assert [one["name"] for one in here.get(place, headers=ANNA).json()] == ["Soft"]
    assert here.get(place, headers=BERT).json() == []
    assert here.delete(place, headers=BERT, params={"name": "Soft"}).status_code == 404
    file = [{"name": "a", "values": {"steps": 4}}, {"name": "b", "values": {"steps": []}}, {"name": ["c"]}, {}]
    told = here.post(f"{place}/import", headers=BERT, json={"presets": file}).json()
    assert told["saved"] == ["a"]
    assert len(told["left"]) == 3
    assert [one["values"] for one in here.get(place, headers=BERT).json()] == [{"steps": 4}]
    for body in ({"presets": "x"}, {"presets": [1]}, {}):
        assert here.post(f"{place}/import", headers=BERT, json=body).status_code == 422
    assert here.get("/api/v1/form-presets/extras", headers=ANNA).status_code == 404
    assert here.get(place).status_code == 401

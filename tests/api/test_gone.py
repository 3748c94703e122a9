"""A setting that names a file which is gone: pictures are made without it, and say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api.conftest import Api, opened
from tests.conftest import until

BODY = {"prompt": "a cat", "steps": 1, "width": 64, "height": 64}
FOLDERS = {
    "sd_model_checkpoint": "Stable-diffusion",
    "sd_vae": "VAE",
    "sd_lora": "Lora",
    "sd_hypernetwork": "hypernetworks",
}


def comments(api: Api) -> list[str]:
    answer = api.client.post("/sdapi/v1/txt2img", json=BODY)
    assert answer.status_code == 200, answer.text
    info = json.loads(answer.json()["info"])
    assert len(answer.json()["images"]) == 1
    found: list[str] = info["comments"]
    return found


def file_of(api: Api, key: str) -> Path:
    return api.app.paths.models / FOLDERS[key] / "lost.safetensors"


@pytest.mark.parametrize("key", FOLDERS)
@pytest.mark.parametrize("refreshed", [True, False])
def test_a_file_that_is_deleted_costs_no_picture(api: Api, key: str, refreshed: bool) -> None:
    path = file_of(api, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x02" + bytes(7) + b"{}")  # Safetensors without a tensor.
    api.app.catalog.refresh()
    name = path.name if key in ("sd_model_checkpoint", "sd_vae") else path.stem
    assert api.client.post("/sdapi/v1/options", json={key: name}).status_code == 200
    assert comments(api) == []
    path.unlink()
    if refreshed:
        api.app.catalog.refresh()
    said = comments(api)
    if key in ("sd_model_checkpoint", "sd_vae"):
        assert len(said) == 1 and "lost.safetensors" in said[0] and "instead" in said[0]
    everything = api.client.get("/sdapi/v1/options").json()
    assert path.stem in everything[key], "the choice stands, for when the file comes again"
    assert api.client.post("/sdapi/v1/options", json={**everything, "samples_format": "jpg"}).status_code == 200
    assert api.client.get("/sdapi/v1/options").json()["samples_format"] == "jpg"


@pytest.mark.parametrize("key", FOLDERS)
def test_a_name_that_nothing_ever_had_is_kept_and_passed_over(tmp_path: Path, key: str) -> None:
    """In the config.json that somebody brings along."""
    (tmp_path / "config.json").write_text(json.dumps({key: "gone.safetensors"}))
    with opened(tmp_path) as api:
        said = comments(api)
        if key in ("sd_model_checkpoint", "sd_vae"):
            assert any("'gone.safetensors'" in remark and "instead" in remark for remark in said)
            until(lambda: "'gone.safetensors'" in api.app.queue.models.message, "a notice on the page")
        api.app.settings.change({"samples_format": "webp"})
        assert json.loads((tmp_path / "config.json").read_text())[key] == "gone.safetensors"
        api.app.settings.change({key: "first" if key == "sd_model_checkpoint" else "None"})
        assert comments(api) == []


def test_what_the_request_itself_asks_for_must_be_there(api: Api) -> None:
    answer = api.client.post("/api/v1/jobs", json={"kind": "txt2img", **BODY, "override_settings": {"sd_vae": "gone"}})
    assert answer.status_code in (404, 422)


def test_without_any_checkpoint_it_is_said(api: Api) -> None:
    for path in (api.app.paths.checkpoints).iterdir():
        path.unlink()
    api.app.catalog.refresh()
    answer = api.client.post("/sdapi/v1/txt2img", json=BODY)
    assert answer.status_code == 404
    assert "There is no checkpoint yet" in answer.text

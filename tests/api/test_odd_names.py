"""File names that are no UTF-8, and halves of letters in what programs send: nothing of it becomes an error 500."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.api.conftest import Api
from webui.app import App

ODD = os.fsdecode(b"caf\xe9")
SHOWN = "caf%E9"
EMPTY = (2).to_bytes(8, "little") + b"{}"
"""A safetensors file without tensors."""
HALF = '"a cat \\ud800"'
"""JSON with half a letter in it."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only there file names are bytes")


@linux
def test_models_with_names_that_are_no_text_are_listed_and_used(api: Api) -> None:
    data: Path = api.app.paths.data
    for folder, ending in (
        ("models/Stable-diffusion", ".safetensors"),
        ("models/VAE", ".safetensors"),
        ("models/Lora", ".safetensors"),
        ("models/hypernetworks", ".pt"),
        ("models/ESRGAN", ".pth"),
        ("embeddings", ".pt"),
    ):
        (data / folder).mkdir(parents=True, exist_ok=True)
        (data / folder / f"{ODD}{ending}").write_bytes(EMPTY)
    api.app.catalog.refresh()
    for route, key, name in (
        ("sd-models", "model_name", SHOWN),
        ("sd-vae", "model_name", f"{SHOWN}.safetensors"),
        ("loras", "name", SHOWN),
        ("hypernetworks", "name", SHOWN),
        ("upscalers", "name", SHOWN),
    ):
        assert name in [entry[key] for entry in api.client.get(f"/sdapi/v1/{route}").json()], route
    assert SHOWN in api.client.get("/sdapi/v1/embeddings").json()["loaded"]
    for page in ("checkpoints", "loras", "hypernetworks", "embeddings"):
        cards = api.client.get(f"/internal/cards/list/{page}").json()["cards"]
        (card,) = [card for card in cards if card["name"] == SHOWN]
        assert api.client.get(f"/internal/cards/card/{card['id']}").json()["name"] == SHOWN
        assert api.client.get(f"/internal/cards/card/{card['id']}/insertion").status_code == 200
    assert api.client.post("/sdapi/v1/options", json={"sd_model_checkpoint": SHOWN}).status_code == 200
    made = api.client.post("/sdapi/v1/txt2img", json={"prompt": f"a cat <lora:{SHOWN}:1>", "steps": 1})
    assert made.status_code == 200
    assert f"Model: {SHOWN}" in json.loads(made.json()["info"])["infotexts"][0]


@linux
def test_a_picture_with_such_a_name_is_in_the_history_and_can_be_had(api: Api) -> None:
    folder = api.app.paths.outputs / ODD
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(folder / f"{ODD}.png")
    Image.new("RGB", (8, 8), "blue").save(folder / "plain.png")
    for _ in range(2):
        api.app.catalog.look_for_pictures(api.app.settings.current.save)
        api.app.catalog.folders.wait(60)
    found = api.client.get("/api/v1/history/pictures").json()["pictures"]
    assert sorted(picture["name"] for picture in found) == [f"{SHOWN}.png", "plain.png"]
    for picture in found:
        assert api.client.get(f"/api/v1/pictures/{picture['id']}").status_code == 200
        assert api.client.get(f"/api/v1/pictures/{picture['id']}/thumbnail").status_code == 200
    assert api.client.get("/api/v1/history/pictures", params={"search": "caf"}).status_code == 200


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/sdapi/v1/txt2img", f'{{"prompt": {HALF}, "negative_prompt": {HALF}, "steps": 1, "save_images": true}}'),
        ("/api/v1/jobs", f'{{"kind": "txt2img", "request": {{"prompt": {HALF}, "steps": 1}}}}'),
        ("/sdapi/v1/options", f'{{"samples_filename_pattern": {HALF}}}'),
        ("/sdapi/v1/options", f"{{{HALF}: 1}}"),
        ("/sdapi/v1/txt2img", f'{{"sampler_name": {HALF}, {HALF}: {HALF}}}'),
    ],
)
def test_half_a_letter_is_a_sign_of_its_own(api: Api, route: str, body: str) -> None:
    sent = api.client.post(route, content=body.encode(), headers={"content-type": "application/json"})
    assert sent.status_code < 500, sent.text
    for look in ("/sdapi/v1/options", "/api/v1/jobs", "/api/v1/history/pictures", "/sdapi/v1/txt2img"):
        assert api.client.get(look).status_code < 500
    if "prompt" in body:
        assert sent.status_code in (200, 202)
        assert "a cat \N{REPLACEMENT CHARACTER}" in api.client.get("/api/v1/jobs").text


def test_foreign_metadata_with_half_a_letter_is_read(api: Api) -> None:
    picture = io.BytesIO()
    image = Image.new("RGB", (64, 64))
    told = '{"app_version": "4.0", "positive_prompt": "a cat \\ud800", "steps": 3, "seed": 5}'
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("invokeai_metadata", told)
    image.save(picture, "PNG", pnginfo=info)
    sent = {"image": base64.b64encode(picture.getvalue()).decode()}
    answer = api.client.post("/sdapi/v1/png-info", json=sent)
    assert answer.status_code == 200
    assert answer.json()["info"].startswith("a cat \N{REPLACEMENT CHARACTER}")


def test_a_poisoned_settings_file_is_read_and_mended(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"samples_filename_pattern": "[seed]\\ud800", "theirs \\ud800": 1}')
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (folder / "any.safetensors").write_bytes(b"never opened")
    made = Api(tmp_path)
    with made.client:
        pattern = made.client.get("/sdapi/v1/options").json()["samples_filename_pattern"]
        assert pattern == "[seed]\N{REPLACEMENT CHARACTER}"
        assert made.client.post("/sdapi/v1/options", json={"grid_save": False}).status_code == 200
    made.app.close()
    assert json.loads((tmp_path / "config.json").read_bytes().decode())["theirs \N{REPLACEMENT CHARACTER}"] == 1
    assert isinstance(made.app, App)

"""However many large pictures come at once, no more pixels are decoded than fit into the memory."""

from __future__ import annotations

import ast
import base64
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from tests.api.conftest import opened
from tests.conftest import ROOT
from webui.catalog import image_files
from webui.catalog.decoding import UNCOUNTED, PixelBudget, TooManyPixels
from webui.catalog.uploads import PictureStore
from webui.server.ui import sketch

LARGE = 4 * UNCOUNTED
OWN = {
    "webui/catalog/image_files.py",  # the door itself
    "webui/catalog/cards.py",  # counts
    "webui/catalog/checkup.py",  # decodes none
    "webui/catalog/pictures.py",  # the engine's
    "webui/catalog/grid.py",  # the engine's
    "webui/server/api/controlnet.py",  # the engine's
    "webui/server/jobs/tables.py",  # the engine's
    "webui/server/jobs/runs.py",  # the engine's
}
"""Files of the server that may open pictures by themselves."""


def picture(mode: str = "RGBA", side: int = 2048) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def test_no_more_is_lent_than_there_is_and_everybody_gets_a_turn() -> None:
    budget = PixelBudget(10 * LARGE, most_waiting=100)
    lent, most = 0, 0
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal lent, most
        size = LARGE * (1 + number % 7)
        with budget.lent(size):
            with lock:
                lent += size
                most = max(most, lent)
            time.sleep(0.002)
            with lock:
                lent -= size

    with ThreadPoolExecutor(30) as pool:
        list(pool.map(work, range(200)))
    assert most <= 10 * LARGE
    assert most == budget.most_lent
    assert most > LARGE, "one after the other"


def test_who_would_wait_too_long_is_told_so() -> None:
    budget = PixelBudget(LARGE, patience=0.05, most_waiting=2)
    with budget.lent(LARGE), ThreadPoolExecutor(8) as pool:

        def ask(pixels: int) -> str:
            try:
                with budget.lent(pixels):
                    return "lent"
            except TooManyPixels as error:
                assert error.status == 413
                return error.message

        assert pool.submit(ask, LARGE + 1).result() == "This picture has too many pixels."
        assert pool.submit(ask, UNCOUNTED).result() == "lent"
        assert {*pool.map(ask, [LARGE] * 8)} == {"Too many large pictures are being processed at once."}
        with budget.lent(LARGE):  # Whoever holds some has them for all that is made of the picture.
            pass
    with budget.lent(LARGE):
        pass


def test_a_budget_that_was_refused_or_broken_off_is_whole_again() -> None:
    budget = PixelBudget(LARGE, patience=0.01)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), budget.lent(LARGE):
            raise ZeroDivisionError
        with pytest.raises(TooManyPixels), budget.lent(LARGE + 1):
            pass
    with budget.lent(LARGE):
        pass


def test_every_road_into_the_server_asks_for_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = PixelBudget(UNCOUNTED)
    for module in (image_files, sketch):
        monkeypatch.setattr(module, "DECODING", none)
    content = picture()
    text = base64.b64encode(content).decode()
    roads: list[Any] = [
        lambda: PictureStore(tmp_path).put(content),
        lambda: image_files.read_infotext(content),
        lambda: image_files.pixels_of(content),
        lambda: sketch.sketched(content, picture(side=8)),
        lambda: sketch.sketched_to_inpaint(content, picture(side=8), (1, 1), 0),
    ]
    for road in roads:
        with pytest.raises(TooManyPixels):
            road()
    assert image_files.size_of(content) == (2048, 2048)
    with opened(tmp_path / "data") as api:
        for path, body in (
            ("/sdapi/v1/png-info", {"image": text}),
            ("/sdapi/v1/img2img", {"init_images": [text], "prompt": "x"}),
            ("/sdapi/v1/extra-single-image", {"image": text, "upscaling_resize": 2, "upscaler_1": "Lanczos"}),
            ("/sdapi/v1/interrogate", {"image": text, "model": "clip"}),
        ):
            assert api.client.post(path, json=body).status_code == 413, path


def test_pictures_from_outside_are_opened_in_one_place_alone() -> None:
    found = set()
    for path in (ROOT / "webui").rglob("*.py"):
        if path.is_relative_to(ROOT / "webui" / "engine"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "Image.open":
                found.add(path.relative_to(ROOT).as_posix())
    assert found <= OWN, found - OWN


def test_large_pictures_at_once_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PixelBudget(2 * LARGE, most_waiting=100)
    monkeypatch.setattr(image_files, "DECODING", budget)
    store = PictureStore(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(store.put, [picture("L")] * 16))
    assert len({*names}) == 1
    assert LARGE <= budget.most_lent <= 2 * LARGE


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("with_exif", [True, False])
def test_texts_and_sizes_are_read_without_decoding_a_pixel(
    mode: str, with_exif: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new(mode, (16, 8)).save(buffer, "PNG", exif=exif if with_exif else None)

    def refuse(_image: Image.Image) -> None:
        raise AssertionError("pixels are decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", refuse)
    with image_files.open_picture(buffer.getvalue()) as image:
        assert image_files.infotext_of(image)[0] == ""
    assert image_files.size_of(buffer.getvalue()) == ((8, 16) if with_exif else (16, 8))
    if mode == "RGB":
        assert image_files.read_infotext(buffer.getvalue()) == ("", {})

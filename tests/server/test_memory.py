"""However many large pictures the server has seen, its memory is what it was before."""

from __future__ import annotations

import base64
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import until
from tests.server.test_hostile_events import furnished
from tests.server.watched_page import Caller, opened

SIDE = 4000
"""Of a large picture, in pixels."""
MANY = 24
MEMORY_BACK = 1.1
"""Of what it was before,"""
MORE = 4 * 2**20
"""and as many bytes for the threads that large pictures are read in."""


def picture(side: int) -> str:
    """A PNG file in base64 that is not small: a pattern."""
    rows = Image.linear_gradient("L").resize((side, 64))
    made = Image.new("RGBA", (side, side))
    for top in range(0, side, 64):
        made.paste(Image.merge("RGBA", (rows, rows, rows.rotate(180), rows)), (0, top))
    buffer = io.BytesIO()
    made.save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("/sdapi/v1/png-info", {"image": text}),
        ("/sdapi/v1/img2img", {"init_images": [text], "prompt": "x", "steps": 1}),
        ("/sdapi/v1/extra-single-image", {"image": text, "upscaling_resize": 1, "upscaler_1": "None"}),
    ]


def send(caller: Caller, call: tuple[str, dict[str, Any]]) -> int:
    path, body = call
    return caller.http.post(path, json=body).status_code


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told to give memory back")
def test_large_pictures_leave_no_memory_behind(tmp_path: Path) -> None:
    with opened(furnished(tmp_path / "open")) as page, ThreadPoolExecutor(MANY) as pool:
        caller = page.caller()
        for call in calls(picture(64)) * 2:  # so that everything is imported
            assert send(caller, call) == 200
        before = page.memory()
        large = calls(picture(SIDE))
        answers = list(pool.map(lambda number: send(caller, large[number % 3]), range(MANY)))
        assert {*answers} <= {200, 413}
        assert answers.count(200) >= 3
        limit = MEMORY_BACK * before + MORE
        until(lambda: page.memory() <= limit, f"memory of {limit / 2**20:.0f} MB", page.process)

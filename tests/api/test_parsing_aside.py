"""However long it takes to read what somebody sends, nobody else waits: it is read in a thread of its own."""

from __future__ import annotations

import base64
import io
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from tests.api.conftest import Api
from webui.catalog import image_files
from webui.prompt import chunks, networks, styles
from webui.request import foreign, infotext

PATIENCE = 60.0
"""Seconds for which reading goes on by itself: in these nobody is answered where it holds up the event loop."""
SMALL = {"prompt": "a <lora:none:1> cat", "width": 64, "height": 64, "steps": 2, "seed": 5}


def picture() -> str:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 64x64")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG", pnginfo=info)
    return base64.b64encode(buffer.getvalue()).decode()


PICTURE = picture()
INIT = {**SMALL, "init_images": [PICTURE]}
READING: list[tuple[Callable[..., Any], str, dict[str, Any] | None]] = [
    (image_files.open_picture, "/sdapi/v1/png-info", {"image": PICTURE}),
    (image_files.open_picture, "/sdapi/v1/img2img", INIT),
    (image_files.open_picture, "/sdapi/v1/extra-single-image", {"image": PICTURE}),
    (image_files.open_picture, "/sdapi/v1/extra-batch-images", {"imageList": [{"data": PICTURE, "name": "a.png"}]}),
    (image_files.open_picture, "/api/v1/jobs", {"kind": "img2img", "request": INIT}),
    (foreign.told_infotext, "/sdapi/v1/png-info", {"image": PICTURE}),
    (infotext.read, "/sdapi/v1/png-info", {"image": PICTURE}),
    (infotext.read, "/sdapi/v1/txt2img", {**SMALL, "infotext": "a cat\nSteps: 2, Sampler: Euler"}),
    (networks.extract_networks, "/sdapi/v1/txt2img", SMALL),
    (networks.extract_networks, "/api/v1/jobs", {"kind": "txt2img", "request": SMALL}),
    (chunks.count_tokens, "/internal/tokens?text=cat", None),
    (styles.read_table, "/sdapi/v1/prompt-styles", None),
]


@pytest.mark.parametrize(("reads", "path", "body"), READING, ids=lambda value: getattr(value, "__name__", None))
def test_others_are_answered_while_something_is_read(
    api: Api,
    reads: Callable[..., Any],
    path: str,
    body: dict[str, Any] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    in_time: list[bool] = []

    def slow(*given: Any, **named: Any) -> Any:
        begun.set()
        in_time.append(goes_on.wait(PATIENCE))
        return reads(*given, **named)

    for module in [module for name, module in sys.modules.items() if name.startswith("webui.")]:
        for name, value in list(vars(module).items()):
            if value is reads:
                monkeypatch.setattr(module, name, slow)
    answers: list[int] = []

    def ask() -> None:
        answer = api.client.get(path) if body is None else api.client.post(path, json=body)
        answers.append(answer.status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    assert begun.wait(PATIENCE), "nothing is read here"
    assert api.client.get("/internal/ping").status_code == 200
    assert not answers
    goes_on.set()
    asking.join(PATIENCE)
    assert in_time and all(in_time), "the other one was answered after it"
    assert answers in ([200], [202])

"""Somebody's folders are full of broken things: the page stands all the same, and says which they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser

from tests.broken_things import break_everything
from tests.browser.conftest import WAIT
from tests.browser.visitor import MENU, TINY, Visitor
from tests.conftest import RunningServer, until

GOOD = "txt2img-images/good.png"


def test_one_of_each_broken_thing_changes_nothing_else(
    installation: Path, serving: Callable[..., RunningServer], browser: Browser
) -> None:
    made = break_everything(installation)
    assert len(made) >= 60
    told = PngInfo()
    told.add_text("parameters", "a painted fox\nSteps: 5, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 64x64")
    Image.new("RGB", (64, 64), "orange").save(installation / "outputs" / GOOD, pnginfo=told)

    for start in range(2):
        server = serving()
        server.wait_for_page()
        with httpx.Client(base_url=server.url, timeout=WAIT) as client:
            page = browser.new_page()
            page.set_default_timeout(WAIT)
            visitor = Visitor(page, server.url).arrive()
            for tab in MENU:
                visitor.open(tab)
            visitor.open("txt2img")
            job = visitor.set("txt2img", **TINY).write("txt2img_prompt", f"a fox of start {start}").generate()
            assert visitor.job(job)["state"] == "done", visitor.job(job)["error"]
            assert "Model: other" in visitor.infotext(), "the first whole one of the list"

            search = "api/v1/history/pictures?search=painted+fox"
            found = until(lambda: client.get(search).json()["pictures"], "the fox")  # noqa: B023 - asked at once
            assert [picture["name"] for picture in found] == ["good.png"]
            until(lambda: not client.get("api/v1/history/search").json()["running"], "the end of the search")
            problems = client.get("api/v1/problems").json()["problems"]
            assert {(problem["kind"], problem["name"]) for problem in problems} == set(made)
            for name in ("embeddings", "hypernetworks", "loras", "sd-models", "sd-vae", "upscalers", "prompt-styles"):
                assert client.get(f"sdapi/v1/{name}").status_code == 200, name
            cards = client.get("internal/cards/list/checkpoints", params={"count": 100}).json()["cards"]
            assert {card["name"] for card in cards if not card["fault"]} >= {"other", "tiny-sd1"}
            assert len([card for card in cards if card["fault"]]) > 5
            page.close()
        server.stop()

"""A page of `PageBlocks` is the page that `gr.Blocks` makes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gradio import blocks as gradio_blocks
from gradio import queueing
from gradio.blocks import Block

from webui.server.ui.blocks import PageBlocks, RestingQueue, remember_signatures, server_functions


def small(root: type[gr.Blocks]) -> gr.Blocks:
    """Made within a running event loop: without one Gradio makes a loop for each lock, and leaves it open."""

    async def made() -> gr.Blocks:
        return _small(root)

    return asyncio.run(made())


def _small(root: type[gr.Blocks]) -> gr.Blocks:
    with root(analytics_enabled=False) as page:
        name = gr.Textbox(label="Name", elem_id="name")
        files = gr.FileExplorer(elem_id="files", root_dir=str(Path(__file__).parent))
        gr.Button("Greet", elem_id="greet").click(lambda name: f"Hello {name}", name, name, api_name="greet")
        assert files.server_fns
    return page


def test_the_page_is_described_alike() -> None:
    def told(page: gr.Blocks) -> list[object]:
        config = page.get_config_file()
        first = min(component["id"] for component in config["components"])
        return [
            (
                component["id"] - first,
                component["type"],
                component["props"].get("elem_id"),
                component["props"].get("server_fns"),
            )
            for component in config["components"]
        ]

    assert told(small(PageBlocks)) == told(small(gr.Blocks))


def test_the_app_that_is_mounted_answers_and_gradio_is_as_before() -> None:
    real = gradio_blocks.App

    async def mounted() -> FastAPI:
        page = _small(PageBlocks)
        assert gradio_blocks.App is real and gradio_blocks.queueing is queueing
        return gr.mount_gradio_app(FastAPI(), page, path="/")

    server = asyncio.run(mounted())
    with TestClient(server) as client:
        assert client.get("/config").json()["components"]
        sent = {"data": ["Ada"], "fn_index": 0, "session_hash": "x"}
        assert client.post("/gradio_api/run/greet", json=sent).json()["data"] == ["Hello Ada"]


def test_the_methods_that_the_browser_may_call_are_all_found() -> None:
    remember_signatures()

    def kinds(cls: type) -> set[type]:
        return {cls, *(kind for below in cls.__subclasses__() for kind in kinds(below))}

    found = 0
    for cls in kinds(Block):
        marked = [name for name in dir(cls) if getattr(getattr(cls, name, None), "_is_server_fn", False)]
        assert server_functions(cls) == marked
        found += len(marked)
    assert found


def test_the_queue_of_events_rests_while_none_come(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = small(PageBlocks)._queue
    assert isinstance(queue, RestingQueue)
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert queue.sleep_when_free == queue.LONGEST

    async def comes() -> None:
        taken, *_ = await queue.push(queueing.PredictBodyInternal(session_hash="x", data=[]), None, None)
        assert not taken, "it names no event"

    asyncio.run(comes())
    assert queue.sleep_when_free <= 0.05  # As Gradio has it; on Windows, longer.
    shortest = queue.sleep_when_free
    now += 1.0
    assert shortest < queue.sleep_when_free or shortest > queue.LONGEST
    now += 60.0
    assert queue.sleep_when_free == max(queue.LONGEST, shortest)

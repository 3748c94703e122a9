"""Opening the page: the browser looks through all components for each value that it is given, so it is given news."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.stand_in import StandIn
from webui.app import App
from webui.flags import Flags
from webui.server.ui.page import build

NATIVE = [512, 512, 512, 512]
"""The sizes that stand in a form that nobody has touched."""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App(Flags(data_dir=tmp_path), StandIn())
    yield app
    app.close()


async def built(app: App) -> Any:
    return build(app)  # Gradio asks for an event loop.


def opening(page: Any) -> dict[str, set[str]]:
    """What somebody's browser is told, who opens the page: elem_id -> the names of what changes."""
    event = next(one for one in page.fns.values() if (page._id, "load") in one.targets and one.fn)
    told = event.fn(dict(zip(event.inputs, NATIVE, strict=True)))
    return {one.elem_id: {*update} - {"__type__"} for one, update in told.items()}


def test_a_page_is_told_what_changed_since_it_was_built(app: App, tmp_path: Path) -> None:
    page = asyncio.run(built(app))
    assert opening(page).keys() <= {"quicksettings_notice", "checkpoint_kind"}
    (tmp_path / "models" / "VAE").mkdir(parents=True)
    (tmp_path / "models" / "VAE" / "new.safetensors").write_bytes(b"")
    app.catalog.refresh()
    app.settings.change({"samples_format": "webp"})
    told = opening(page)
    assert told["setting_samples_format"] == {"value"}
    assert told["setting_sd_vae"] == {"choices"}
    assert len(told) < 12, told.keys()


def test_no_event_shows_its_progress_on_its_outputs(app: App) -> None:
    """Gradio would write the state of the event into each of them, at each change."""
    for one in asyncio.run(built(app)).get_config_file()["dependencies"]:
        assert one["show_progress_on"] == [], one["targets"]


def test_help_stands_in_one_line(app: App) -> None:
    """Its docstring has lines as long as code may be; the page breaks them where it likes."""
    described = [one["props"].get("info") or "" for one in asyncio.run(built(app)).get_config_file()["components"]]
    assert any(described)
    assert not [text for text in described if "\n" in text]


def test_controls_are_where_the_documentation_says(app: App) -> None:
    """The ids in its tables, but for A1111's own, which stand in brackets."""
    text = (Path(__file__).parents[3] / "webui" / "docs" / "BESIDE_A1111.md").read_text("utf-8")
    named = set(re.findall(r"`#(\w+)`", re.sub(r"\[`#.*?\]", "", text)))
    there = {block.elem_id for block in asyncio.run(built(app)).blocks.values() if getattr(block, "elem_id", None)}
    assert len(named) > 100 and named <= there, sorted(named - there)

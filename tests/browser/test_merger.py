"""Checkpoint Merger, and words for a picture: jobs of which no picture comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer

SAYS = "#tab_merge .job-status-text"


@pytest.fixture
def tidied(page_server: RunningServer) -> Iterator[RunningServer]:
    """What is merged goes again."""
    yield page_server
    for path in (page_server.data / "models" / "Stable-diffusion").glob("mix*"):
        path.unlink()


@pytest.mark.long
def test_a_merged_checkpoint_is_in_the_list_and_makes_pictures(visitor: Visitor, tidied: RunningServer) -> None:
    own = str(visitor.page.input_value("#setting_sd_model_checkpoint input"))
    visitor.open("merge").see("#merge_generate")
    visitor.page.click("#merge_generate")
    assert "needs a model A" in visitor.notice("merge")
    name = own.partition(" [")[0]
    visitor.choose("merge_primary_model_name", name).choose("merge_secondary_model_name", name)
    visitor.see(f"#merge_outcome :text('0.3({Path(name).stem})')")
    visitor.page.click("#merge_metadata > button")
    visitor.page.click("#merge_read_metadata")
    visitor.until("() => document.querySelector('#merge_metadata_json textarea').value.startsWith('{')")
    visitor.write("merge_custom_name", "mix")
    visitor.see("#merge_outcome :text('A (1 - M) + B M: mix.safetensors')")
    visitor.page.click("#merge_generate")
    visitor.see(f"{SAYS}:text-is('Made: mix.safetensors')")
    assert (tidied.data / "models" / "Stable-diffusion" / "mix.safetensors").stat().st_size > 1000
    visitor.page.click("#merge_generate")
    assert "already" in visitor.see(f"{SAYS}.failed").inner_text()

    assert visitor.page.input_value("#setting_sd_model_checkpoint input").startswith(name)
    visitor.load("mix.safetensors")
    visitor.open("txt2img").set("txt2img", **TINY)
    visitor.generate()
    assert "Model: mix" in visitor.infotext()
    visitor.load(name)

    visitor.open("queue").page.locator(".gesso-jobs li", has_text="Merge: mix").first.locator(".glyph-edit").click()
    visitor.see("#merge_generate")
    assert visitor.value("merge_custom_name") == "mix"
    visitor.until("() => modules.live.models().resident?.some(title => !title.startsWith('mix'))")


@pytest.mark.long
def test_without_a_describer_it_says_where_one_goes(visitor: Visitor) -> None:
    visitor.open("img2img")
    for model in ("clip", "deepdanbooru"):
        visitor.page.click(f"#img2img_interrogate_{model}")
        assert "no picture to describe" in visitor.notice("img2img")


@pytest.mark.long
def test_a_narrow_window_opens_tabs_that_stand_in_its_menu(enter: Enter) -> None:
    visitor = enter(width=390, height=844)
    for tab in ("pnginfo", "merge", "queue", "txt2img"):
        visitor.page.evaluate("tab => { modules.tabs.openTab(tab); }", tab)
        visitor.until("tab => modules.tabs.openedTab() === tab", tab)

"""What is found in the picture is painted anew: a unit is set up on the page, acts, and comes back from an infotext."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer
from tests.engine.detectors.published import save, tensors

UNIT = "txt2img_detailer_0"


@pytest.fixture
def detector(page_server: RunningServer) -> str:
    """A small one, where the server looks for it."""
    folder = page_server.data / "models" / "adetailer"
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "tiny.pt", tensors(seed=3))
    return "tiny.pt"


@pytest.fixture
def boxes_shown(page_server: RunningServer) -> Iterator[None]:
    with page_server.client() as client:
        client.post("sdapi/v1/options", json={"ad_save_previews": True})
        yield
        client.post("sdapi/v1/options", json={"ad_save_previews": False})


def levels(visitor: Visitor) -> np.ndarray:
    made = Image.open(io.BytesIO(visitor.fetch(visitor.shown_picture())))
    return np.asarray(made.convert("RGB"), np.int16)


@pytest.mark.long
@pytest.mark.usefixtures("boxes_shown")
def test_a_unit_is_set_up_and_acts_and_says_what_was_found(visitor: Visitor, detector: str) -> None:
    page = visitor.set("txt2img", **TINY, seed=3).page
    visitor.generate()
    before = levels(visitor)
    page.click("#txt2img_detailer > button")
    page.click(f"#{UNIT}_refresh")
    visitor.choose(f"{UNIT}_ad_model", detector)
    page.click(f"#{UNIT}_detection > button")
    visitor.set(UNIT, ad_mask_k=1, ad_denoising_strength=0.6)
    page.fill(f"#{UNIT}_ad_prompt textarea", "[PROMPT], smiling")
    page.check(f"#{UNIT}_enabled input")
    visitor.see("#txt2img_detailer_badge :text-is('1')")
    job = visitor.job(visitor.generate())
    assert job["state"] == "done", job
    assert "found (" in visitor.see(".gesso-infotext[data-tab=txt2img] .comments").inner_text()
    changed = np.abs(levels(visitor) - before).max(-1) > 0
    assert 0 < changed.sum() < changed.size, "what was found is painted anew, and nothing else"
    boxes = visitor.see("#txt2img_results .extras img").first
    assert "detailer" in str(boxes.get_attribute("src")) + str(boxes.get_attribute("alt"))
    said = visitor.infotext()
    assert f"ADetailer model: {detector}, ADetailer prompt: " in said, said
    assert "ADetailer mask only top k: 1" in said and "ADetailer denoising strength: 0.6" in said
    assert visitor.comes_to_rest and visitor.overflow == 0

"""What a newcomer has without downloading anything: backgrounds removed, faces found and painted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer
from tests.packaged import have_detectors

PHOTO = Path(__file__).parents[1] / "pictures" / "astronaut.jpg"


@pytest.fixture
def boxes_shown(page_server: RunningServer) -> Iterator[None]:
    have_detectors()
    with page_server.client() as client:
        client.post("sdapi/v1/options", json={"ad_save_previews": True})
        yield
        client.post("sdapi/v1/options", json={"ad_save_previews": False})


def shown(visitor: Visitor, tab: str) -> Image.Image:
    return Image.open(io.BytesIO(visitor.fetch(visitor.shown_picture(tab))))


def test_the_background_of_a_photograph_is_removed(visitor: Visitor) -> None:
    have_detectors()
    page = visitor.open("extras").page
    page.set_input_files("#extras_image input[type=file]", PHOTO)
    visitor.see("#extras_image img")
    page.check("#extras_remove_background input")
    visitor.generate("extras")
    made = shown(visitor, "extras")
    assert made.mode == "RGBA"
    wide, high = made.size
    assert made.getpixel((int(wide * 0.44), int(high * 0.23)))[3] > 250, "the face"  # type: ignore[index]
    assert made.getpixel((3, int(high * 0.2)))[3] < 5, "beside her"  # type: ignore[index]


@pytest.mark.long
@pytest.mark.usefixtures("boxes_shown")
def test_a_face_is_found_in_a_photograph_and_painted_anew(visitor: Visitor) -> None:
    page = visitor.open("img2img").set("img2img", **{**TINY, "width": 256, "height": 256}).page
    page.set_input_files("#img2img_image input[type=file]", PHOTO)
    visitor.see("#img2img_image img")
    page.click("#img2img_detailer > button")
    visitor.choose("img2img_detailer_0_ad_model", "face")
    page.check("#img2img_detailer_0_ad_skip_img2img input")
    page.check("#img2img_detailer_0_enabled input")
    job = visitor.job(visitor.generate("img2img"))
    assert job["state"] == "done", job
    assert "1 face found" in visitor.see(".gesso-infotext[data-tab=img2img] .comments").inner_text()
    boxes = visitor.see("#img2img_results .extras img").first
    assert "detailer" in str(boxes.get_attribute("src")) + str(boxes.get_attribute("alt"))

    page = visitor.open("extras").page
    page.set_input_files("#extras_image input[type=file]", PHOTO)
    visitor.see("#extras_image img")
    page.click("#extras_detail > button")
    visitor.choose("extras_detail_model", "face")
    job = visitor.job(visitor.generate("extras"))
    assert job["state"] == "done" and any("1 face found" in said for said in job["comments"]), job
    assert "Postprocess detailer: face" in visitor.infotext("extras")


@pytest.mark.long
def test_without_a_restorer_the_page_says_what_does_it_instead(visitor: Visitor) -> None:
    page = visitor.set("txt2img", **TINY).page
    page.check("#txt2img_restore_faces input")
    visitor.generate()
    said = visitor.see(".gesso-infotext[data-tab=txt2img] .comments").inner_text()
    assert "models/GFPGAN" in said and "ADetailer with the detector 'face'" in said
    page = visitor.open("extras").page
    page.set_input_files("#extras_image input[type=file]", PHOTO)
    visitor.see("#extras_image img")
    page.click("#extras_gfpgan > button")
    visitor.set("extras", gfpgan_visibility=1)
    page.click("#extras_generate")
    assert "ADetailer with the detector 'face'" in visitor.notice("extras")

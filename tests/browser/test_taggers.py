"""A tagger of one's own: it is offered where there is one, describes a picture, and writes captions for a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests import taggers
from tests.browser.conftest import Enter
from tests.browser.visitor import Visitor
from tests.conftest import RunningServer

NAME = "wd-v1-4-vit-tagger-v2"


@pytest.fixture
def tagged(page_server: RunningServer, enter: Enter) -> Iterator[Visitor]:
    """A visitor who comes when the tagger is there."""
    file = taggers.put_onnx(page_server.data / "models", NAME)
    yield enter()
    file.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "red").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red" / "one.png")
    Image.new("RGB", (40, 40), "blue").save(tmp_path / "two.png")
    return tmp_path


@pytest.mark.long
def test_the_tags_of_a_picture_become_the_prompt(tagged: Visitor, folder: Path) -> None:
    page = tagged.open("img2img").page
    page.set_input_files("#img2img_image input[type=file]", folder / "two.png")
    tagged.see("#img2img_image img")
    tagged.see("#img2img_interrogate_wd14").click()
    tagged.until("() => document.querySelector('#img2img_prompt textarea').value === '^_^, blue sky'")
    page.get_by_role("tab", name="Batch", exact=True).click()
    page.click("#img2img_batch_from_dir-button")
    page.fill("#img2img_batch_input_dir :is(textarea, input)", str(folder))
    job = tagged.job(tagged.submit("img2img", lambda: page.click("#img2img_interrogate_wd14")))
    tagged.until("id => modules.live.job(id)?.state === 'done'", job["id"])
    assert tagged.job(job["id"])["answer"] == "2 captions written"
    assert (folder / "red" / "one.txt").read_text() == r"^_^, red theme, ruby \(gem\)"


@pytest.mark.long
def test_extras_writes_captions_for_a_folder(tagged: Visitor, folder: Path) -> None:
    page = tagged.open("extras").page
    page.get_by_role("tab", name="Batch from Directory").click()
    page.fill("#extras_batch_input_dir :is(textarea, input)", str(folder))
    page.click("#extras_caption > button")
    tagged.choose("extras_caption_model", NAME)
    job = tagged.generate("extras")
    assert tagged.job(job)["answer"] == "2 captions written"
    assert (folder / "two.txt").read_text() == "^_^, blue sky"
    (folder / "two.txt").write_text("mine")

    page.fill("#extras_batch_output_dir :is(textarea, input)", str(folder / "made"))
    page.get_by_label("Prepend").check()
    page.click("#extras_flips > button")
    page.check("#extras_flip_horizontal input")
    known = [one["id"] for one in tagged.jobs()]
    page.click("#extras_generate")
    over = "known => modules.live.jobs().filter(j => !known.includes(j.id) && j.state === 'done').length === 2"
    tagged.until(over, known)
    made = {path.relative_to(folder / "made").as_posix() for path in (folder / "made").rglob("*.*")}
    stems = ("red/one", "red/one-1", "two", "two-1")
    assert made == {f"{stem}{ending}" for stem in stems for ending in (".png", ".txt")}
    assert (folder / "made" / "two-1.txt").read_text() == "mine, ^_^, blue sky"
    assert tagged.overflow == 0

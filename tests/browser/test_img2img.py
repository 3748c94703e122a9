"""A picture from a picture: uploaded, sent over, painted on."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.packaged import have


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of two colours, 96 by 64."""
    image = Image.new("RGB", (96, 64), "#2f7d5b")
    image.paste("#f2b134", (48, 0, 96, 64))
    image.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.long
def test_from_an_uploaded_file_at_its_own_size(visitor: Visitor, photo: Path) -> None:
    visitor.open("img2img")
    visitor.page.set_input_files("#img2img_image input[type=file]", photo)
    visitor.see("#img2img_image img")
    visitor.until("() => document.querySelector('#img2img_image img').naturalWidth === 96")
    visitor.page.click("#img2img_detect_image_size_btn")
    for side, length in (("width", "96"), ("height", "64")):
        visitor.until("([id, value]) => modules.dom.field(id).value === value", [f"img2img_{side}", length])
    visitor.set("img2img", steps=4, denoising_strength=0.5, seed=1)
    job = visitor.job(visitor.generate("img2img"))
    assert (job["pictures"][0]["width"], job["pictures"][0]["height"]) == (96, 64)
    assert "Denoising strength: 0.5" in visitor.infotext("img2img")


@pytest.mark.long
def test_without_a_picture_it_says_so(visitor: Visitor) -> None:
    visitor.open("img2img")
    visitor.page.click("#img2img_generate")
    assert "There is no picture to start from." in visitor.notice("img2img")


@pytest.mark.long
def test_a_result_is_sent_over_with_its_parameters(visitor: Visitor) -> None:
    visitor.write("txt2img_prompt", "a green house").set("txt2img", **TINY, seed=31)
    visitor.generate()
    visitor.page.click("#txt2img_send_to_img2img")
    visitor.see("#img2img_image img")
    visitor.until("() => modules.dom.field('img2img_prompt').value === 'a green house'")
    assert visitor.value("img2img_seed") == "31"
    assert visitor.value("img2img_width") == "64"
    visitor.generate("img2img")
    assert "Seed: 31" in visitor.infotext("img2img")


@pytest.mark.long
def test_a_picture_is_sent_as_a_mask(visitor: Visitor, photo: Path) -> None:
    visitor.write("txt2img_prompt", "a mask").set("txt2img", **TINY, seed=32)
    visitor.generate()
    visitor.page.click("#txt2img_send_to_mask")
    visitor.until("() => modules.tabs.openedMode() === 'inpaint_upload'")
    visitor.see("#img2img_upload_mask img")
    # The form stays as it was: a mask brings nothing but itself.
    assert visitor.value("img2img_prompt") == ""
    visitor.page.set_input_files("#img2img_upload_image input[type=file]", photo)
    visitor.see("#img2img_upload_image img")
    visitor.set("img2img", **TINY, seed=33)
    assert visitor.job(visitor.generate("img2img"))["state"] == "done"


@pytest.mark.parametrize(
    ("button", "mode"), [("inpaint", "inpaint"), pytest.param("mask", "inpaint_upload", marks=pytest.mark.long)]
)
def test_a_sub_tab_without_room_is_opened_from_its_menu(enter: Enter, button: str, mode: str) -> None:
    """On a phone the bar of img2img has no room for all of them."""
    visitor = enter(width=390, height=844).write("txt2img_prompt", "a small window").set("txt2img", **TINY, seed=34)
    visitor.generate()
    visitor.page.click(f"#txt2img_send_to_{button}")
    visitor.until("mode => modules.tabs.openedMode() === mode", mode)
    visitor.see(f"#mode_img2img_{mode} img")
    menu = visitor.page.locator("#mode_img2img > .tab-wrapper .overflow-dropdown button")
    assert menu.count(), "there is room for all: the test tells nothing"
    for each in ("batch", "img2img", "inpaint_upload", mode):
        visitor.page.evaluate("mode => { modules.tabs.openSubTab(`mode_img2img_${mode}`); }", each)
        visitor.see(f"#mode_img2img_{each}")
        visitor.until("mode => document.querySelector('#img2img_settings').dataset.mode === mode", each)


def test_only_the_painted_part_changes(visitor: Visitor, photo: Path) -> None:
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_inpaint-button")
    visitor.page.set_input_files("#img2img_inpaint_image input[type=file]", photo)
    canvas = visitor.see("#img2img_inpaint_image .canvas-paper")
    visitor.until("() => document.querySelector('#img2img_inpaint_image .canvas-paper').dataset.width === '96'")
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    mouse = visitor.page.mouse
    mouse.move(x - 20, y)
    mouse.down()
    mouse.move(x, y, steps=4)
    mouse.up()
    visitor.until("() => modules.dom.field('img2img_inpaint_mask').value.length > 100")
    visitor.page.keyboard.press("Control+z")
    visitor.until("() => modules.dom.field('img2img_inpaint_mask').value === ''")
    visitor.page.keyboard.press("Control+Shift+z")
    visitor.until("() => modules.dom.field('img2img_inpaint_mask').value.length > 100")
    visitor.set("img2img", width=96, height=64, steps=4, denoising_strength=1, mask_blur_x=0, mask_blur_y=0)
    visitor.generate("img2img")
    with Image.open(io.BytesIO(visitor.fetch(visitor.shown_picture("img2img")))) as made, Image.open(photo) as original:
        changed = (
            ImageChops.difference(made.convert("RGB"), original).convert("L").point(lambda value: 255 * (value > 3))
        )
    area = changed.getbbox()
    assert area is not None, "nothing changed"
    assert area[2] <= 48, f"the right half was not painted on, but changed: {area}"


@pytest.mark.long
def test_a_mask_may_come_as_a_file(visitor: Visitor, photo: Path, tmp_path: Path) -> None:
    mask = Image.new("L", (96, 64))
    mask.paste(255, (64, 0, 96, 64))
    mask.save(tmp_path / "mask.png")
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_inpaint_upload-button")
    visitor.page.set_input_files("#img2img_upload_image input[type=file]", photo)
    visitor.see("#img2img_upload_image img")
    visitor.page.click("#img2img_generate")
    assert "no mask" in visitor.notice("img2img")
    visitor.page.set_input_files("#img2img_upload_mask input[type=file]", tmp_path / "mask.png")
    visitor.see("#img2img_upload_mask img")
    visitor.set("img2img", width=96, height=64, steps=2, mask_blur_x=0, mask_blur_y=0)
    job_id = visitor.generate("img2img")
    assert visitor.job(job_id)["state"] == "done"
    first = visitor.fetch(visitor.shown_picture("img2img"))

    visitor.set("img2img", steps=7)
    visitor.open("queue").page.click(f".gesso-jobs li[data-id='{job_id}'] .glyph-edit")
    visitor.until("() => document.querySelector('#img2img_steps input[type=number]').value === '2'")
    for place in ("image", "mask"):
        visitor.see(f"#img2img_upload_{place} img")
    visitor.set("img2img", seed=visitor.job(job_id)["pictures"][0]["seed"])
    visitor.generate("img2img")
    with (
        Image.open(io.BytesIO(first)) as before,
        Image.open(io.BytesIO(visitor.fetch(visitor.shown_picture("img2img")))) as after,
    ):
        assert before.tobytes() == after.tobytes(), "edited without a change, it is the same picture"


def paint_left(visitor: Visitor, box_id: str) -> None:
    """A stroke over the left quarter of the picture in this box."""
    canvas = visitor.see(f"#{box_id} .canvas-paper")
    visitor.until("id => document.querySelector(`#${id} .canvas-paper`).dataset.width === '96'", box_id)
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    mouse = visitor.page.mouse
    mouse.move(x - 20, y)
    mouse.down()
    mouse.move(x, y, steps=4)
    mouse.up()


@pytest.mark.long
def test_a_sketch_goes_along_and_to_other_sub_tabs(visitor: Visitor, photo: Path) -> None:
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_sketch-button")
    visitor.page.set_input_files("#img2img_sketch_image input[type=file]", photo)
    paint_left(visitor, "img2img_sketch_image")
    visitor.until("() => modules.dom.field('img2img_sketch_strokes').value.length > 100")
    visitor.set("img2img", width=96, height=64, steps=2, denoising_strength=0)
    visitor.generate("img2img")
    visitor.page.click("#img2img_copy_to_img2img")
    copied = visitor.see("#img2img_image .image-frame img")
    visitor.until("() => document.querySelector('#img2img_image .image-frame img').naturalWidth === 96")
    with Image.open(io.BytesIO(visitor.fetch(str(copied.get_attribute("src"))))) as sheet:
        painted = sheet.convert("RGB").getpixel((20, 32))
        assert isinstance(painted, tuple)
        assert all(abs(one - other) <= 1 for one, other in zip(painted, (0xF2, 0xB1, 0x34), strict=True))
        assert sheet.convert("RGB").getpixel((20, 2)) == (0x2F, 0x7D, 0x5B)


@pytest.mark.long
def test_the_subject_is_selected_as_a_mask_which_can_be_painted_on_and_undone(visitor: Visitor) -> None:
    have("u2netp.onnx")
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_inpaint-button")
    portrait = Path(__file__).parents[1] / "pictures" / "astronaut.jpg"
    visitor.page.set_input_files("#img2img_inpaint_image input[type=file]", portrait)
    visitor.see("#img2img_inpaint_image .canvas-paper")
    visitor.page.click("#mode_img2img_inpaint .canvas-bar button[title^='Select the subject']")
    visitor.until("() => modules.dom.field('img2img_inpaint_mask').value.length > 100")
    content = visitor.page.evaluate("() => modules.dom.field('img2img_inpaint_mask').value")
    mask = Image.open(io.BytesIO(base64.b64decode(content.partition(",")[2]))).convert("L")
    assert mask.size == (256, 256)
    assert mask.crop((60, 90, 150, 250)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) > 230
    assert mask.crop((160, 0, 256, 100)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) < 25
    visitor.page.locator("#img2img_inpaint_image .canvas-paper").hover()
    visitor.page.keyboard.press("Control+z")
    visitor.until("() => modules.dom.field('img2img_inpaint_mask').value === ''")
    assert visitor.comes_to_rest


@pytest.mark.long
def test_an_inpaint_sketch_changes_what_was_sketched_on_at_a_scaled_size(visitor: Visitor, photo: Path) -> None:
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_inpaint_sketch-button")
    visitor.page.set_input_files("#img2img_inpaint_sketch_image input[type=file]", photo)
    visitor.see("#img2img_inpaint_sketch_image .canvas-paper")
    visitor.page.click("#img2img_generate")
    assert "no mask" in visitor.notice("img2img")
    paint_left(visitor, "img2img_inpaint_sketch_image")
    visitor.until("() => modules.dom.field('img2img_inpaint_sketch_strokes').value.length > 100")
    visitor.page.click("#img2img_tab_resize_by-button")
    visitor.set("img2img", scale=1.5, steps=2, mask_blur_x=0, mask_blur_y=0)
    visitor.until("() => document.querySelector('#img2img_scale_text').textContent === 'from 96×64 to 144×96'")
    job = visitor.job(visitor.generate("img2img"))
    assert (job["pictures"][0]["width"], job["pictures"][0]["height"]) == (144, 96)
    visitor.page.click("#img2img_tab_resize_to-button")


def begin_batch(visitor: Visitor, **folders: Path) -> None:
    """Open Batch, From directory, and write the folders into its boxes."""
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_batch-button")
    visitor.page.click("#img2img_batch_from_dir-button")
    for name, folder in folders.items():
        visitor.page.fill(f"#img2img_batch_{name} :is(input, textarea)", str(folder))
    visitor.set("img2img", width=64, height=64, steps=2)


def results_of_batch(visitor: Visitor, said: str) -> list[dict[str, Any]]:
    """Press Generate, and wait for all jobs."""
    known = [job["id"] for job in visitor.jobs()]
    visitor.page.click("#img2img_generate")
    visitor.until("said => document.querySelector('#img2img_notice')?.textContent.includes(said)", said)
    count = int(said.split()[0])
    visitor.until(
        "([known, count]) => modules.live.of('img2img')"
        ".filter(job => !known.includes(job.id) && job.state === 'done').length >= count",
        [known, count],
    )
    return [job for job in visitor.jobs() if job["id"] not in known]


@pytest.mark.long
def test_a_batch_makes_a_job_of_each_picture_of_a_folder(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "in" / "trip").mkdir(parents=True)
    plain = Image.new("RGB", (64, 64), "#ffffff")
    plain.save(tmp_path / "in" / "two.jpg")
    plain.save(tmp_path / "in" / "scan.tif")
    plain.save(tmp_path / "in" / "trip" / "two.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    visitor.open("img2img")
    visitor.page.click("#mode_img2img_batch-button")
    visitor.page.click("#img2img_generate")
    assert "There are no pictures." in visitor.notice("img2img")
    begin_batch(visitor, input_dir=tmp_path / "in", output_dir=tmp_path / "in" / "made")
    results_of_batch(visitor, "3 jobs submitted.")
    assert "broken.png" in visitor.page.inner_text("#img2img_notice")

    def made() -> list[str]:
        return sorted(
            p.relative_to(tmp_path / "in" / "made").as_posix() for p in (tmp_path / "in").rglob("made/**/*.*")
        )

    assert made() == ["scan.png", "trip/two.png", "two.png"]
    results_of_batch(visitor, "3 jobs submitted.")  # What was made is not taken in again, and stays.
    assert made() == ["scan-1.png", "scan.png", "trip/two-1.png", "trip/two.png", "two-1.png", "two.png"]


@pytest.mark.long
def test_in_a_batch_with_masks_a_picture_without_one_is_left_as_it_is(visitor: Visitor, tmp_path: Path) -> None:
    for folder, names in (("in", ("cat", "dog", "owl")), ("masks", ("cat", "owl"))):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("RGB", (64, 64), "#ffffff").save(tmp_path / folder / f"{name}.png")
    begin_batch(visitor, input_dir=tmp_path / "in", output_dir=tmp_path / "made", inpaint_mask_dir=tmp_path / "masks")
    jobs = results_of_batch(visitor, "2 jobs submitted.")
    assert all(job["masked"] for job in jobs)
    assert "dog.png: skipped: it has no mask." in visitor.page.inner_text("#img2img_notice")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["cat.png", "owl.png"]
    visitor.page.fill("#img2img_batch_inpaint_mask_dir :is(input, textarea)", "")

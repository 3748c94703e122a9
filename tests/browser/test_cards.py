"""Cards of LoRAs: found, clicked into the prompt, written about; the picture says which were used."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer, made_checkpoint

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v"
WIDTH = 128
CARDS = ".gesso-cards[data-tab=txt2img]"


def lora(path: Path, value: float, width: int = WIDTH, **metadata: str) -> None:
    """A LoRA of rank 1 for one layer, written without torch."""
    numbers = struct.pack(f"<{2 * width}f", *[value] * (2 * width))
    header = json.dumps(
        {
            f"{LAYER}.lora_up.weight": {"dtype": "F32", "shape": [width, 1], "data_offsets": [0, 4 * width]},
            f"{LAYER}.lora_down.weight": {"dtype": "F32", "shape": [1, width], "data_offsets": [4 * width, 8 * width]},
            "__metadata__": metadata,
        }
    ).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + numbers)


@pytest.fixture
def library(page_server: RunningServer) -> Path:
    folder = page_server.data / "models" / "Lora"
    lora(folder / "ink.safetensors", 0.1)
    tags = json.dumps({"10_anna": {"portrait": 4}})
    lora(folder / "people" / "anna.safetensors", 0.2, ss_tag_frequency=tags)
    return folder


@pytest.mark.long
def test_two_loras_are_added_by_their_cards_and_the_picture_names_them(visitor: Visitor, library: Path) -> None:
    page = visitor.page
    visitor.write("txt2img_prompt", "a red cat").set("txt2img", **TINY)
    page.click(f"{CARDS} [data-page=loras]")
    page.click(f"{CARDS} [aria-label='Refresh the list']")
    for name in ("ink", "anna"):
        page.click(f"{CARDS} .card-use:has-text('{name}')")
        visitor.until("name => modules.dom.field('txt2img_prompt').value.includes(`<lora:${name}:1>`)", name)
    assert visitor.value("txt2img_prompt") == "a red cat <lora:ink:1> <lora:anna:1>"
    visitor.generate()
    infotext = visitor.infotext()
    assert 'Lora hashes: "ink: ' in infotext
    assert "anna: " in infotext

    page.fill(f"{CARDS} .cards-search", "ann")
    visitor.until("() => document.querySelectorAll('.gesso-cards[data-tab=txt2img] .card').length === 1")
    page.click(f"{CARDS} .card-use:has-text('anna')")
    visitor.until("() => modules.dom.field('txt2img_prompt').value === 'a red cat <lora:ink:1>'")

    page.hover(f"{CARDS} .card")
    page.click(f"{CARDS} [aria-label='Edit anna']")
    assert page.input_value("dialog [aria-label='Random prompt']") == "portrait"
    page.fill("dialog [name='activation text']", "portrait of anna")
    page.fill("dialog [name='preferred weight']", "0.6")
    page.click("dialog >> text=Save")
    page.wait_for_selector("dialog", state="detached")
    said = json.loads((library / "people" / "anna.json").read_text("utf-8"))
    assert said["activation text"] == "portrait of anna"
    page.click(f"{CARDS} .card-use:has-text('anna')")
    visitor.until("() => modules.dom.field('txt2img_prompt').value.endsWith('<lora:anna:0.6> portrait of anna')")

    page.hover(f"{CARDS} .card")
    page.click(f"{CARDS} [aria-label='Edit anna']")
    page.click("dialog >> text=Use the picture from the gallery")
    visitor.until("() => document.querySelector('.gesso-cards .card img')?.naturalWidth > 0")
    assert (library / "people" / "anna.preview.png").is_file()

    page.fill(f"{CARDS} .cards-search", "")
    page.click(f"{CARDS} [aria-label='Show folders as a tree or as buttons']")
    page.click(f"{CARDS} .tree button:has-text('people')")
    visitor.until("() => document.querySelectorAll('.gesso-cards[data-tab=txt2img] .card').length === 1")
    page.click(f"{CARDS} [aria-label='Show folders as a tree or as buttons']")


@pytest.fixture
def families(page_server: RunningServer, request: pytest.FixtureRequest) -> Iterator[None]:
    """A small checkpoint each of SD2 with v-prediction and of SDXL, and two LoRAs for the latter."""
    models = page_server.data / "models"
    made = [made_checkpoint(name, request) for name in ("tiny-sd2v", "tiny-sdxl")]
    put = [models / "Stable-diffusion" / file.name for each in made for file in (each, each.with_suffix(".yaml"))]
    for path in put:
        shutil.copy(made[0].parent / path.name, path)
    lora(models / "Lora" / "xl" / "gold.safetensors", 0.1, 64, ss_base_model_version="sdxl_base_v1-0")
    lora(models / "Lora" / "xl" / "deep" / "silver.safetensors", 0.2, 64, ss_base_model_version="sdxl_base_v1-0")
    yield
    for path in put:
        path.unlink()
    shutil.rmtree(models / "Lora" / "xl")


@pytest.mark.long
@pytest.mark.usefixtures("library", "families")
@pytest.mark.long
def test_three_families_take_turns_and_two_loras_are_clicked_for_the_last(visitor: Visitor) -> None:
    page = visitor.page
    page.click("#refresh_sd_model_checkpoint")
    visitor.write("txt2img_prompt", "a red cat").set("txt2img", **TINY)
    for model in ("tiny-sd1", "tiny-sd2v", "tiny-sdxl"):
        visitor.choose("setting_sd_model_checkpoint", model)
        visitor.generate()
        assert f"Model: {model}," in visitor.infotext()
    plain = visitor.shown_picture()

    page.click(f"{CARDS} [data-page=loras]")
    page.click(f"{CARDS} [aria-label='Refresh the list']")
    page.click(f"{CARDS} [aria-label='Show folders as a tree or as buttons']")
    assert not page.locator(f"{CARDS} .cards-folders.tree button:text-is('deep')").count()
    page.click(f"{CARDS} .cards-folders.tree button:text-is('xl')")
    visitor.see(f"{CARDS} .cards-folders.tree button:text-is('deep')")
    visitor.until("() => document.querySelectorAll('.gesso-cards[data-tab=txt2img] .card').length === 2")
    page.select_option(f"{CARDS} [aria-label='Sort by']", "name")
    page.click(f"{CARDS} [aria-label='Reverse the order']")
    visitor.until("() => document.querySelector('.gesso-cards[data-tab=txt2img] .card b').textContent === 'silver'")
    page.click(f"{CARDS} .cards-folders button:text-is('all')")
    page.select_option(f"{CARDS} [aria-label='Base model']", "SDXL")
    page.hover(f"{CARDS} .card:has-text('gold')")
    page.click(f"{CARDS} [aria-label='Metadata of gold']")
    assert "sdxl_base_v1-0" in visitor.see("dialog.card-dialog").inner_text()
    page.keyboard.press("Escape")
    for name in ("gold", "silver"):
        page.click(f"{CARDS} .card-use:has-text('{name}')")
        visitor.until("name => modules.dom.field('txt2img_prompt').value.includes(`<lora:${name}:1>`)", name)
    visitor.generate()
    infotext = visitor.infotext()
    assert 'Lora hashes: "gold: ' in infotext
    assert "silver: " in infotext
    assert visitor.fetch(visitor.shown_picture()) != visitor.fetch(plain)

    visitor.open("settings")
    page.click("#settings_system-button")
    memory = visitor.see("#memory_parts table").inner_text()
    assert "tiny-sdxl" in memory
    for part in ("UNet", "VAE", "Text encoder", "Second text encoder"):
        assert part in memory, memory
    assert visitor.see("#memory_parts p").inner_text().strip()
    visitor.open("txt2img").load("tiny-sd1")

"""Cards of LoRAs: found, clicked into the prompt, written about; the picture says which were used."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_v"
WIDTH = 128
CARDS = ".gesso-cards[data-tab=txt2img]"


def lora(path: Path, value: float) -> None:
    """A LoRA of rank 1 for one layer, written without torch."""
    numbers = struct.pack(f"<{2 * WIDTH}f", *[value] * (2 * WIDTH))
    header = json.dumps(
        {
            f"{LAYER}.lora_up.weight": {"dtype": "F32", "shape": [WIDTH, 1], "data_offsets": [0, 4 * WIDTH]},
            f"{LAYER}.lora_down.weight": {"dtype": "F32", "shape": [1, WIDTH], "data_offsets": [4 * WIDTH, 8 * WIDTH]},
        }
    ).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + numbers)


@pytest.fixture
def library(page_server: RunningServer) -> Path:
    folder = page_server.data / "models" / "Lora"
    lora(folder / "ink.safetensors", 0.1)
    lora(folder / "people" / "anna.safetensors", 0.2)
    return folder


def test_two_loras_are_added_by_their_cards_and_the_picture_names_them(visitor: Visitor, library: Path) -> None:
    page = visitor.page
    visitor.write("txt2img_prompt", "a red cat").set("txt2img", **TINY)
    page.click(f"{CARDS} [data-page=loras]")
    page.click(f"{CARDS} [aria-label='Look again what is on disk']")
    for name in ("ink", "anna"):
        page.click(f"{CARDS} .card-use:has-text('{name}')")
        visitor.until("name => gesso.field('txt2img_prompt').value.includes(`<lora:${name}:1>`)", name)
    assert visitor.value("txt2img_prompt") == "a red cat <lora:ink:1> <lora:anna:1>"
    visitor.generate()
    infotext = visitor.infotext()
    assert 'Lora hashes: "ink: ' in infotext
    assert "anna: " in infotext

    page.fill(f"{CARDS} .cards-search", "ann")
    visitor.until("() => document.querySelectorAll('.gesso-cards[data-tab=txt2img] .card').length === 1")
    page.click(f"{CARDS} .card-use:has-text('anna')")
    visitor.until("() => gesso.field('txt2img_prompt').value === 'a red cat <lora:ink:1>'")

    page.hover(f"{CARDS} .card")
    page.click(f"{CARDS} [aria-label='Edit anna']")
    page.fill("dialog [name='activation text']", "portrait of anna")
    page.fill("dialog [name='preferred weight']", "0.6")
    page.click("dialog >> text=Save")
    page.wait_for_selector("dialog", state="detached")
    said = json.loads((library / "people" / "anna.json").read_text("utf-8"))
    assert said["activation text"] == "portrait of anna"
    page.click(f"{CARDS} .card-use:has-text('anna')")
    visitor.until("() => gesso.field('txt2img_prompt').value.endsWith('<lora:anna:0.6> portrait of anna')")

    page.hover(f"{CARDS} .card")
    page.click(f"{CARDS} [aria-label='Edit anna']")
    page.click("dialog >> text=Take the gallery's picture")
    visitor.until("() => document.querySelector('.gesso-cards .card img')?.naturalWidth > 0")
    assert (library / "people" / "anna.preview.png").is_file()

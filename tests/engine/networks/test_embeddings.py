"""Textual inversion embeddings in all their spellings."""

from __future__ import annotations

import base64
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file

from webui.engine.networks.embeddings import EmbeddingShelf

VECTORS = torch.arange(6, dtype=torch.float32).reshape(2, 3)
AS_JSON = {"string_to_param": {"*": {"TORCHTENSOR": VECTORS.tolist()}}, "name": "word"}


def write(path: Path, kind: str) -> None:
    if kind == "a1111.pt":
        torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": VECTORS}, "step": 100}, path)
    elif kind == "diffusers.bin":
        torch.save({"<word>": VECTORS}, path)
    elif kind == "plain.safetensors":
        save_file({"emb_params": VECTORS}, path)
    elif kind == "text.png":
        info = PngInfo()
        info.add_text("sd-ti-embedding", base64.b64encode(json.dumps(AS_JSON).encode()).decode())
        Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    elif kind == "hidden.png":
        hidden(zlib.compress(json.dumps(AS_JSON).encode())).save(path)


def hidden(data: bytes) -> Image.Image:
    """The data in the lowest four bits of two noisy blocks with black columns between, as A1111 hides it."""
    data += bytes(-len(data) % 24)
    raw = np.frombuffer(data, np.uint8).reshape(8, -1, 3)
    state, mask = 0, []
    for _ in range(raw.size):
        state = (1664525 * state + 1013904223) % 2**32
        mask.append(state % 255 & 0x0F)
    noise = np.array(mask, np.uint8).reshape(raw.shape)
    blocks = [(raw & 0x0F) ^ noise | 0xA0, (raw >> 4) ^ noise | 0xA0]
    pixels = np.concatenate([blocks[0], np.full((8, 2, 3), 0xB0, np.uint8), blocks[1]], axis=1)
    pixels[:, blocks[0].shape[1] : blocks[0].shape[1] + 2] &= 0xF0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["a1111.pt", "diffusers.bin", "plain.safetensors", "text.png", "hidden.png"])
def test_every_spelling_gives_its_vectors(tmp_path: Path, kind: str) -> None:
    path = (tmp_path / "word").with_suffix(Path(kind).suffix)
    write(path, kind)
    found = EmbeddingShelf().read((str(tmp_path), str(tmp_path / "nowhere")))
    assert list(found) == ["word"]
    assert torch.equal(found["word"].towers["clip"], VECTORS)
    assert len(found["word"].short_hash) == 12


def test_an_embedding_for_two_towers_is_for_neither_alone(tmp_path: Path) -> None:
    save_file({"clip_l": VECTORS, "clip_g": VECTORS + 1}, tmp_path / "xl.safetensors")
    assert set(EmbeddingShelf().read((str(tmp_path),))["xl"].towers) == {"clip_l", "clip_g"}


def test_the_towers_of_sdxl_have_two_spellings(tmp_path: Path) -> None:
    save_file({"text_encoders_0": VECTORS, "text_encoders_1": VECTORS + 1}, tmp_path / "xl.safetensors")
    towers = EmbeddingShelf().read((str(tmp_path),))["xl"].towers
    assert torch.equal(towers["clip_g"], VECTORS + 1)


def test_files_without_embedding_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    Image.new("RGB", (8, 8), "white").save(tmp_path / "picture.png")
    assert EmbeddingShelf().read((str(tmp_path),)) == {}
    assert {"broken.pt", "broken.safetensors"} <= {word for record in caplog.records for word in record.message.split()}


def test_what_a_mac_leaves_beside_the_files_is_passed_over_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "word.bin", "diffusers.bin")
    for name in (".DS_Store", "._word.bin", "._word.pt", "._word.safetensors", "._word.png"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07" + bytes(100))
    shelf = EmbeddingShelf()
    assert list(shelf.read((str(tmp_path),))) == ["word"]
    assert not caplog.records
    assert not shelf.broken


def test_who_names_a_broken_embedding_hears_of_it(tmp_path: Path) -> None:
    (tmp_path / "easy.pt").write_bytes(b"\x80\x02")
    torch.save({"clip_l": "text", "clip_g": None}, tmp_path / "odd.pt")
    write(tmp_path / "word.bin", "diffusers.bin")
    shelf = EmbeddingShelf()
    assert list(shelf.read((str(tmp_path),))) == ["word"]
    assert [cause.split()[0] for cause in shelf.missed(["a cat", "Easy, (odd:1.2), word"])] == ["easy.pt", "odd.pt"]
    assert shelf.missed(["uneasy oddity"]) == []


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    shelf = EmbeddingShelf()
    path = tmp_path / "word.safetensors"
    save_file({"emb_params": VECTORS}, path)
    before = shelf.read((str(tmp_path),))
    assert shelf.read((str(tmp_path),)) is before
    save_file({"emb_params": VECTORS + 1}, path)
    os.utime(path, ns=(1, 1))
    assert torch.equal(shelf.read((str(tmp_path),))["word"].towers["clip"], VECTORS + 1)
    path.unlink()
    assert shelf.read((str(tmp_path),)) == {}

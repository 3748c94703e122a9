"""Textual inversion: vectors that stand for a word. Gal et al. 2022, arXiv:2208.01618."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from webui.base.errors import ModelError
from webui.engine.families.weights import load_pickle, open_weights

log = logging.getLogger(__name__)

TENSOR_FILES = (".pt", ".bin", ".safetensors")
PICTURES = (".png", ".webp", ".jxl", ".avif")
Levels = np.ndarray[Any, np.dtype[np.uint8]]

CLIP = "clip"
"""The text tower of files that name none."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """One word's vectors, per text tower: (n, width) each."""

    name: str
    towers: Mapping[str, Tensor]
    sha256: str

    @property
    def short_hash(self) -> str:
        """First twelve hex digits, as infotexts name it."""
        return self.sha256[:12]


@dataclass
class EmbeddingShelf:
    """The embeddings of some folders; read again when a file there comes, goes or changes."""

    _stamp: tuple[object, ...] = ()
    _found: dict[str, Embedding] = field(default_factory=dict)

    def read(self, folders: Sequence[str]) -> Mapping[str, Embedding]:
        """name -> embedding. Files that hold none are passed over with a word in the log."""
        paths = [path for folder in folders for path in _files(Path(folder))]
        stamp = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
        if stamp != self._stamp:
            self._found = {embedding.name: embedding for path in paths if (embedding := _read(path))}
            self._stamp = stamp
        return self._found


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    kinds = (*TENSOR_FILES, *PICTURES)
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in kinds and path.is_file() and ".preview" not in path.suffixes
    )


def _read(path: Path) -> Embedding | None:
    try:
        towers = _towers(_in_picture(path) if path.suffix.lower() in PICTURES else _in_file(path))
    except ModelError as error:
        log.warning("%s", error)
        return None
    if not towers:
        if path.suffix.lower() in TENSOR_FILES:
            log.warning("%s holds no embedding.", path.name)
        return None
    return Embedding(path.stem, towers, hashlib.sha256(path.read_bytes()).hexdigest())


def embedding_of(name: str, content: Mapping[str, Any], sha256: str) -> Embedding | None:
    """The embedding in a file's content, or None where it holds none."""
    towers = _towers(content)
    return Embedding(name, towers, sha256) if towers else None


def _in_file(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".safetensors":
        content = load_pickle(path)
        return content if isinstance(content, dict) else {}
    file = open_weights(path)
    return {name: file.tensor(name) for name in file.shapes}


def _towers(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """A1111's {"string_to_param": {"*": v}}, diffusers' {"<word>": v}, {"emb_params": v}, or SDXL's pair."""
    if {"clip_l", "clip_g"} <= set(content):
        return {tower: _rows(content[tower]) for tower in ("clip_l", "clip_g")}
    # A1111 writes the optimiser's and other numbers beside it; the vectors are under this name
    tensors = list(_tensors(content.get("string_to_param", content)))
    return {CLIP: _rows(tensors[0])} if tensors and tensors[0].ndim in (1, 2) else {}


def _tensors(content: Any) -> Iterator[Tensor]:
    for value in content.values() if isinstance(content, Mapping) else ():
        if isinstance(value, Tensor):
            yield value
        else:
            yield from _tensors(value)


def _rows(vectors: Tensor) -> Tensor:
    rows = vectors.detach().float()
    return rows[None] if rows.ndim == 1 else rows


# ---------------------------------------------------------------- pictures that carry an embedding


def _in_picture(path: Path) -> dict[str, Any]:
    """From the text chunk "sd-ti-embedding" of a PNG, or from its pixels' lowest bits; {} where there is none."""
    try:
        with Image.open(path) as image:
            text = getattr(image, "text", {}).get("sd-ti-embedding")
            if text:
                return dict(_decoded(json.loads(base64.b64decode(text))))
            hidden = _hidden(np.array(image.convert("RGB"))) if path.suffix.lower() == ".png" else None
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return {}
    return hidden or {}


def _decoded(value: Any) -> Any:
    """JSON back to tensors: {"TORCHTENSOR": nested lists}."""
    if isinstance(value, dict):
        if "TORCHTENSOR" in value:
            return torch.tensor(np.array(value["TORCHTENSOR"], dtype=np.float32))
        return {key: _decoded(inner) for key, inner in value.items()}
    return value


def _hidden(pixels: Levels) -> dict[str, Any] | None:
    """A1111's form without text chunks: deflated JSON in the lowest four bits, halves apart by black columns.

    pixels: (h, w, 3) uint8.
    """
    bright = np.all(pixels > 0, axis=2)
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if not len(rows):
        return None
    low = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] & np.uint8(0x0F)
    black = np.flatnonzero(low.sum(axis=(0, 2)) == 0)
    if len(black) < 2:
        return None
    lower, upper = _unmasked(low[:, : black[0]]), _unmasked(low[:, black[-1] + 1 :])
    if lower.shape != upper.shape:
        return None
    try:
        return dict(_decoded(json.loads(zlib.decompress(((upper << 4) | lower).tobytes()))))
    except (zlib.error, ValueError):
        return None


def _unmasked(block: Levels) -> Levels:
    """Undoes the exclusive or with a linear congruential generator (Numerical Recipes' constants)."""
    state, mask = 0, bytearray()
    for _ in range(block.size):
        state = (1664525 * state + 1013904223) % 2**32
        mask.append(state % 255 & 0x0F)
    plain: Levels = np.bitwise_xor(block, np.frombuffer(bytes(mask), np.uint8).reshape(block.shape))
    return plain

"""Textual inversion: vectors that stand for a word. Gal et al. 2022, arXiv:2208.01618."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from webui.base.errors import ModelError
from webui.base.json_values import Json
from webui.base.text import named
from webui.catalog.files import Found, find_files
from webui.engine.families.weights import broken, format_of, load_pickle, open_weights, reading

log = logging.getLogger(__name__)

TENSOR_FILES = (".pt", ".bin", ".safetensors")
PICTURES = (".png", ".webp", ".jxl", ".avif")
LONGEST = 2**26
"""Bytes of JSON that are unpacked from a picture."""
Levels = NDArray[np.uint8]

TOWERS = (("clip_l", "clip_g"), ("text_encoders_0", "text_encoders_1"))
"""What files call the vectors for SDXL's two text towers; the first names are ours."""
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

    broken: dict[str, str] = field(default_factory=dict)
    """name -> why the file that has it is left out"""
    _stamp: tuple[object, ...] = ()
    _found: dict[str, Embedding] = field(default_factory=dict)

    def read(self, folders: Sequence[str]) -> Mapping[str, Embedding]:
        """name -> embedding. Files that hold none are passed over with a word in the log."""
        files = [file for folder in folders for file in sorted(_files(Path(folder)), key=lambda file: file.path)]
        stamp = tuple((str(file.path), file.stamp) for file in files)
        if stamp != self._stamp:
            self._found, self.broken = {}, {}
            for file in files:
                self._learn(file.path)
            self._stamp = stamp
        return self._found

    def missed(self, prompts: Iterable[str]) -> list[str]:
        """Why the embeddings that these prompts may mean are not there."""
        texts = [prompt.casefold() for prompt in prompts]
        meant = (name for name in self.broken if any(_has_word(text, name.casefold()) for text in texts))
        return [self.broken[name] for name in meant if name not in self._found]

    def _learn(self, path: Path) -> None:
        try:
            with reading(path):
                embedding = _read(path)
        except ModelError as error:
            log.warning("%s", error)
            self.broken[named(path.stem)] = error.message
            return
        if embedding:
            self._found[embedding.name] = embedding


def _has_word(text: str, word: str) -> bool:
    """Whether no letter or digit stands beside some occurrence of the word."""
    end = 0
    while word and (start := text.find(word, end)) >= 0:
        end = start + len(word)
        if not text[:start][-1:].isalnum() and not text[end : end + 1].isalnum():
            return True
    return False


def _files(folder: Path) -> list[Found]:
    found = find_files(folder, (*TENSOR_FILES, *PICTURES))
    return [file for file in found if ".preview" not in file.path.suffixes]


def _read(path: Path) -> Embedding | None:
    """None: a picture without an embedding. Raises ModelError."""
    in_picture = path.suffix.lower() in PICTURES
    towers = _towers(_in_picture(path) if in_picture else _in_file(path))
    if not towers:
        if in_picture:
            return None
        raise broken(path, "it does not contain an embedding", "Check that it is the right file.")
    return Embedding(named(path.stem), towers, hashlib.sha256(path.read_bytes()).hexdigest())


def embedding_of(name: str, content: Mapping[str, object], sha256: str) -> Embedding | None:
    """The embedding in a file's content, or None where it holds none."""
    towers = _towers(content)
    return Embedding(name, towers, sha256) if towers else None


def _in_file(path: Path) -> dict[str, object]:
    if format_of(path) == "pickle":
        content = load_pickle(path)
        return content if isinstance(content, dict) else {}
    file = open_weights(path)
    return {name: file.tensor(name) for name in file.shapes}


def _towers(content: Mapping[str, object]) -> dict[str, Tensor]:
    """A1111's {"string_to_param": {"*": v}}, diffusers' {"<word>": v}, {"emb_params": v}, or SDXL's pair."""
    for names in TOWERS:
        vectors = [vector for name in names if _is_vectors(vector := content.get(name))]
        if len(vectors) == len(names):
            return {tower: _rows(tensor) for tower, tensor in zip(TOWERS[0], vectors, strict=True)}
    # A1111 writes the optimiser's and other numbers beside it; the vectors are under this name
    tensors = list(_tensors(content.get("string_to_param", content)))
    return {CLIP: _rows(tensors[0])} if tensors and _is_vectors(tensors[0]) else {}


def _is_vectors(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.ndim in (1, 2) and value.numel() > 0 and not value.is_complex()


def _tensors(content: object) -> Iterator[Tensor]:
    for value in content.values() if isinstance(content, Mapping) else ():
        if isinstance(value, Tensor):
            yield value
        else:
            yield from _tensors(value)


def _rows(vectors: Tensor) -> Tensor:
    rows = vectors.detach().float()
    return rows[None] if rows.ndim == 1 else rows


# ---------------------------------------------------------------- pictures that carry an embedding


def _in_picture(path: Path) -> dict[str, object]:
    """From the text chunk "sd-ti-embedding" of a PNG, or from its pixels' lowest bits; {} where there is none."""
    try:
        with Image.open(path) as image:
            text = getattr(image, "text", {}).get("sd-ti-embedding")
            if text:
                return _decoded(json.loads(base64.b64decode(text)))
            hidden = _hidden(np.array(image.convert("RGB"))) if path.suffix.lower() == ".png" else None
    except (OSError, ValueError, TypeError, RecursionError, UnidentifiedImageError, Image.DecompressionBombError):
        return {}
    return hidden or {}


def _decoded(value: Json) -> dict[str, object]:
    """An object of JSON with its tensors. Raises TypeError: it is something else."""
    if not isinstance(value, dict) or "TORCHTENSOR" in value:
        raise TypeError("it is not a table of tensors")
    return {key: _with_tensors(inner) for key, inner in value.items()}


def _with_tensors(value: Json) -> object:
    """JSON back to tensors: {"TORCHTENSOR": nested lists}."""
    if isinstance(value, dict):
        if "TORCHTENSOR" in value:
            return torch.tensor(np.array(value["TORCHTENSOR"], dtype=np.float32))
        return {key: _with_tensors(inner) for key, inner in value.items()}
    return value


def _hidden(pixels: Levels) -> dict[str, object] | None:
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
        unpacked = zlib.decompressobj().decompress(((upper << 4) | lower).tobytes(), LONGEST)
        return _decoded(json.loads(unpacked))
    except (zlib.error, ValueError, TypeError):
        return None


def _unmasked(block: Levels) -> Levels:
    """Undoes the exclusive or with a linear congruential generator (Numerical Recipes' constants)."""
    state, mask = 0, bytearray()
    for _ in range(block.size):
        state = (1664525 * state + 1013904223) % 2**32
        mask.append(state % 255 & 0x0F)
    plain: Levels = np.bitwise_xor(block, np.frombuffer(bytes(mask), np.uint8).reshape(block.shape))
    return plain

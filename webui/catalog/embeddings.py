"""Textual inversion embeddings on disk, and what a file tells of one before it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from webui.base.errors import ModelError
from webui.base.paths import Paths
from webui.catalog.files import Found
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.headers import read_header, sizes_of
from webui.catalog.pickles import Outline, read_outlines

ENDINGS = (".safetensors", ".pt", ".bin")
TOLD = {"step": int, "sd_checkpoint": str, "sd_checkpoint_name": str}
"""What A1111 writes beside the vectors."""
DEEPEST = 4
"""So far into a file's tables vectors are looked for."""


class Embeddings:
    """The embeddings of an installation. Looked for anew each time, as at each job."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._places = [SearchFolder(folder, ENDINGS) for folder in paths.embeddings]
        self._folders = folders

    def scan(self) -> list[Found]:
        """All of them, folder by folder in natural order."""
        return [file for _, file in self._folders.look("embeddings", self._places)]


def describe(path: Path) -> dict[str, object]:
    """`shape` (the length of a vector), `vectors` (how many), and what its trainer wrote beside them, or None.

    Raises:
        ModelError: the file holds no embedding, or cannot be read.
    """
    content = _header(path) if path.suffix.lower() == ".safetensors" else read_outlines(path)
    if not isinstance(content, Mapping):
        raise ModelError(f"{path.name} does not contain an embedding.")
    shape, vectors = _measured(path, content)
    told = {key: content.get(key) if type(content.get(key)) is kind else None for key, kind in TOLD.items()}
    return {**told, "shape": shape, "vectors": vectors}


def _header(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, entry in read_header(path).items():
        shape = sizes_of(entry.get("shape")) if isinstance(entry, dict) else None
        if name != "__metadata__" and shape is not None:
            found[name] = Outline(tuple(shape))
    return found


def _measured(path: Path, content: Mapping[object, object]) -> tuple[int, int]:
    """(length of a vector, how many); SDXL's two text encoders have vectors of their own, told as one."""
    pair = [content.get("clip_l"), content.get("clip_g")]
    found = [each for each in pair if isinstance(each, Outline)]
    if len(found) < len(pair):
        found = list(_outlines(content.get("string_to_param", content), DEEPEST))[:1]
    sides = [(1, *outline.shape)[-2:] for outline in found if len(outline.shape) in (1, 2)]
    if not sides or len(sides) < len(found):
        raise ModelError(f"{path.name} does not contain an embedding.")
    return sum(width for _, width in sides), sides[-1][0]


def _outlines(content: object, depth: int) -> Iterator[Outline]:
    if isinstance(content, Outline):
        yield content
    elif isinstance(content, Mapping) and depth:
        for value in content.values():
            yield from _outlines(value, depth - 1)

"""Both towers of a CLIP model in .onnx files: one file, or one for each tower, as they are published.

Known by what they take: pictures (b, 3, height, width), tokens (b, n). `text_model.onnx` lies beside
`vision_model.onnx`; `textual/model.onnx` beside `visual/model.onnx`; or `model.onnx` takes both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from webui.base.json_values import Json, as_object
from webui.engine.control.vision import framed
from webui.engine.describers.onnx_session import Given, Run, runner
from webui.engine.describers.towers import LENGTH, tokens_of
from webui.engine.detectors.onnx_graph import FLOAT16, INT32, OnnxGraph, OnnxInput, graph_in
from webui.engine.families.weights import broken
from webui.engine.preprocessors.picture import Bytes
from webui.prompt.tokens import END

PAIRS = (("textual", "visual"), ("text", "vision"), ("text", "visual"), ("text", "image"))
"""What the names of the files of a pair, or of their folders, differ in."""
SIDE, LARGEST_SIDE = 224, 1024
"""Pixels of the squares that are seen, where neither file nor configuration says so."""
CONFIG, LARGEST_CONFIG = "preprocessor_config.json", 2**20
PUT = "Put both towers of a CLIP model into models/CLIP: text_model.onnx and vision_model.onnx, say."
WORDS = END + 1
"""How many tokens CLIP knows."""
PICTURES, TOKENS = 4, 2
"""Dimensions of what is taken."""
MASK = "mask"
"""In the name of the input that says which tokens count."""


@dataclass(frozen=True, eq=False)
class _Tower:
    """A graph, and which of its inputs and outputs is meant."""

    path: Path
    graph: OnnxGraph
    run: Run
    input: str
    output: str

    @property
    def taken(self) -> OnnxInput:
        return self.graph.inputs[self.input]

    def told(self, given: Given) -> Tensor:
        """(n, projection) of (n, ...); what else the graph takes is filled."""
        others = {name: _filler(name, taken, given) for name, taken in self.graph.inputs.items() if name != self.input}
        rows = [given] if self.taken.shape[0] != 1 else [given[at : at + 1] for at in range(len(given))]
        found = np.concatenate([self.run({self.input: row, **others}, self.output) for row in rows])
        if found.ndim != 2 or len(found) != len(given):
            raise broken(self.path, f"its answer {self.output} has the shape {list(found.shape)}", PUT)
        if not np.isfinite(found).all():
            raise broken(self.path, "its answers contain no numbers (NaN)", "Download it again.")
        return torch.from_numpy(found)


def _filler(name: str, taken: OnnxInput, given: Given) -> Given:
    """What an input gets that has nothing to say: no picture, tokens that all count."""
    if len(taken.shape) == PICTURES:
        sides = [length or SIDE for length in taken.shape[2:]]
        return np.zeros((1, 3, *sides), np.float16 if taken.kind == FLOAT16 else np.float32)
    shape = given.shape if given.ndim == len(taken.shape) else (1, taken.shape[1] or LENGTH)
    return np.full(shape, 1 if MASK in name else END, np.int32 if taken.kind == INT32 else np.int64)


@dataclass(frozen=True, eq=False)
class OnnxTowers:
    """Towers that onnxruntime or OpenCV carries out."""

    seeing: _Tower
    reading: _Tower
    side: int

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in {self.seeing.path, self.reading.path})

    def seen(self, picture: Bytes) -> Tensor:
        levels = framed(picture, self.side)[None].numpy()
        kind = np.float16 if self.seeing.taken.kind == FLOAT16 else np.float32
        return self.seeing.told(np.ascontiguousarray(levels, kind))

    def read(self, phrases: tuple[str, ...]) -> Tensor:
        tokens = tokens_of(phrases, self.reading.taken.shape[1]).numpy()
        return self.reading.told(tokens.astype(np.int32 if self.reading.taken.kind == INT32 else np.int64))


def opened(path: Path, device: torch.device) -> OnnxTowers:
    """
    Raises:
        ModelError: it is no CLIP model, the file of the other tower is missing, or one is damaged.
    """
    own = graph_in(path)
    sees, reads = (any(_is_taken(name, taken, rank) for name, taken in own.inputs.items()) for rank in (4, 2))
    if not sees and not reads:
        raise broken(path, "it is no CLIP model: it takes neither pictures nor tokens", PUT)
    if sees and reads:
        run = runner(path, device)
        seeing, reading = _tower(path, own, run, PICTURES), _tower(path, own, run, TOKENS)
    else:
        other = _other(path)
        if other is None:
            missing = "reads" if sees else "sees"
            raise broken(path, f"the file of the tower that {missing} is not beside it", PUT)
        mine = _tower(path, own, runner(path, device), PICTURES if sees else TOKENS)
        theirs = _tower(other, graph_in(other), runner(other, device), TOKENS if sees else PICTURES)
        seeing, reading = (mine, theirs) if sees else (theirs, mine)
    if WORDS not in reading.graph.heights:
        raise broken(reading.path, "it reads other tokens than CLIP's", PUT)
    return OnnxTowers(seeing, reading, _side(seeing))


def _is_taken(name: str, taken: OnnxInput, rank: int) -> bool:
    """Whether it takes pictures (4), or tokens (2)."""
    fits = taken.shape[1] in (0, 3) if rank == PICTURES else MASK not in name
    return len(taken.shape) == rank and fits


def _tower(path: Path, graph: OnnxGraph, run: Run, rank: int) -> _Tower:
    """One of a graph's towers."""
    name = next((name for name, taken in graph.inputs.items() if _is_taken(name, taken, rank)), "")
    if not name or not graph.outputs:
        raise broken(path, f"it does not take {'pictures' if rank == PICTURES else 'tokens'}", PUT)
    wanted = "image_embed" if rank == PICTURES else "text_embed"
    output = next((each for each in graph.outputs if wanted in each), graph.outputs[0])
    return _Tower(path, graph, run, name, output)


def _other(path: Path) -> Path | None:
    """The file of the other tower."""
    for pair in PAIRS:
        for old, new in (pair, pair[::-1]):
            beside = path.with_name(path.name.replace(old, new))
            apart = path.parent.with_name(path.parent.name.replace(old, new)) / path.name
            found = next((each for each in (beside, apart) if each != path and each.is_file()), None)
            if found is not None:
                return found
    return None


def _side(seeing: _Tower) -> int:
    """Of the squares that a tower sees, in pixels."""
    side = seeing.taken.shape[2] or _configured(seeing.path) or SIDE
    if not 1 <= side <= LARGEST_SIDE or seeing.taken.shape[2] != seeing.taken.shape[3]:
        raise broken(seeing.path, f"it takes pictures of {side} pixels", PUT)
    return side


def _configured(path: Path) -> int:
    """What the configuration beside the file, or one folder above, says of the side; 0: nothing."""
    for folder in (path.parent, path.parent.parent):
        file = folder / CONFIG
        try:
            if file.is_file() and file.stat().st_size <= LARGEST_CONFIG:
                said: Json = as_object(json.loads(file.read_bytes())).get("crop_size")
                side = as_object(said).get("height") if isinstance(said, dict) else said
                return side if isinstance(side, int) else 0
        except (OSError, ValueError, RecursionError):
            return 0
    return 0

"""WD14 taggers: which of some ten thousand tags of Danbooru a picture has, by SmilingWolf's networks.

They see a white square of 448 pixels with the picture in its middle, blue first. Files in .onnx want levels of 0 to
255, with the colours innermost, and answer with probabilities; timm's in .safetensors want the levels about 0, and
answer before the sigmoid. The list of tags beside the file tells ratings (category 9), characters (4) and all others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from webui.base.errors import ModelError
from webui.catalog.tagger_files import tags_beside
from webui.engine.describers.onnx_session import runner
from webui.engine.describers.timm_networks import network_of
from webui.engine.detectors.onnx_graph import OnnxGraph, graph_in
from webui.engine.families.weights import broken, open_weights
from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind
from webui.request.interrogators import Group, ScoredTag

Levels: TypeAlias = NDArray[np.float32]
Run: TypeAlias = Callable[[Levels], Levels]
"""(side, side, 3), blue first, 0 to 255 -> the probability of each tag."""
SIDE, LARGEST_SIDE = 448, 2048
LARGEST_LIST = 32 * 2**20
"""Bytes of a list of tags."""
LONGEST_TAG = 200
GROUPS: dict[str, Group] = {"9": "rating", "4": "character"}
WHITE = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class WdTagger:
    """An opened tagger."""

    tags: tuple[tuple[str, Group], ...]
    run: Run
    side: int
    path: Path
    nbytes: int

    def scored(self, picture: Image.Image) -> tuple[ScoredTag, ...]:
        """How likely each tag is. picture: RGB of any size.

        Raises:
            ModelError: the network does not answer as a tagger does.
        """
        found = np.asarray(self.run(squared(picture, self.side)), np.float32).reshape(-1)
        if len(found) != len(self.tags):
            raise broken(
                self.path,
                f"it has {len(found)} answers, but {tags_beside(self.path).name} lists {len(self.tags)} tags",
                "Put the list that belongs to it beside it.",
            )
        if not np.isfinite(found).all():
            raise broken(self.path, "its answers contain no numbers (NaN)", "Download it again.")
        levels = np.clip(found, 0, 1).tolist()
        return tuple(ScoredTag(name, score, group) for (name, group), score in zip(self.tags, levels, strict=True))


def squared(picture: Image.Image, side: int) -> Levels:
    """(side, side, 3), blue first, 0 to 255: the picture in the middle of a white square."""
    longest = max(picture.size)
    scale = side / longest
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    square = Image.new("RGB", (side, side), WHITE)
    small = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    square.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.ascontiguousarray(np.asarray(square, np.float32)[:, :, ::-1])


# ---------------------------------------------------------------- the list of tags


def tags_in(path: Path) -> tuple[tuple[str, Group], ...]:
    """(name, group) of each tag in a list, in the order of the network's answers.

    Raises:
        ModelError: the list is missing, or is none.
    """
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise broken(path, "it is too large for a list of tags")
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise broken(path, "it is not a list of tags", "Download it again.") from error
    names = [(row.get("name") or "").strip()[:LONGEST_TAG] for row in rows]
    if not names or not all(names):
        raise broken(path, "it has no column of names, or a row without one", "Download it again.")
    return tuple(
        (name, GROUPS.get(row.get("category") or "", "general")) for name, row in zip(names, rows, strict=True)
    )


# ---------------------------------------------------------------- the networks


def _opened(path: Path, profile: Profile) -> WdTagger:
    """
    Raises:
        ModelError: the network or its list is broken; most are called the same, so the folder is named, too.
    """
    try:
        return _tagger_in(path, profile)
    except ModelError as error:
        raise ModelError(f"The tagger in {path.parent.name}: {error.message}", hint=error.hint) from error


def _tagger_in(path: Path, profile: Profile) -> WdTagger:
    tags = tags_in(tags_beside(path))
    if path.suffix.lower() != ".onnx":
        return _by_torch(path, tags, profile)
    graph = graph_in(path)
    name, side, is_last = _frame_of(path, graph)
    carried_out = runner(path, torch.device(profile.device))

    def run(levels: Levels) -> Levels:
        laid = levels[None] if is_last else levels.transpose(2, 0, 1)[None]
        return carried_out({name: np.ascontiguousarray(laid)}, graph.outputs[0])

    return WdTagger(tags, run, side, path, path.stat().st_size)


def _by_torch(path: Path, tags: tuple[tuple[str, Group], ...], profile: Profile) -> WdTagger:
    device = torch.device(profile.device)
    dtype = torch.float32 if device.type == "cpu" else profile.half
    network, config = network_of(open_weights(path), device, dtype)
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in (config.mean, config.deviation))

    def run(levels: Levels) -> Levels:
        colours = torch.from_numpy(levels[:, :, ::-1].copy()).permute(2, 0, 1)[None] / 255
        given = ((colours - mean) / deviation).flip(1)  # blue first, after the mean of each colour
        found: Levels = network(given.to(device, dtype)).float().sigmoid()[0].cpu().numpy()
        return found

    return WdTagger(tags, run, config.side, path, bytes_of(network))


def _frame_of(path: Path, graph: OnnxGraph) -> tuple[str, int, bool]:
    """(the input's name, pixels of the sides of the pictures that the file takes, whether their channels are last).

    Raises:
        ModelError: it takes no pictures.
    """
    shown = "It is not a tagger's file."
    if len(graph.inputs) != 1 or not graph.outputs:
        raise broken(path, "it does not take one picture, or gives no answer", shown)
    name, taken = next(iter(graph.inputs.items()))
    sides = taken.shape
    if len(sides) != 4 or 3 not in (sides[1], sides[3]):
        raise broken(path, f"it takes no pictures (its input has the shape {list(sides)})", shown)
    is_last = sides[3] == 3
    high, wide = (sides[1], sides[2]) if is_last else (sides[2], sides[3])
    if high != wide or high > LARGEST_SIDE:
        raise broken(path, f"it takes pictures of {wide}x{high} pixels", shown)
    return name, high or SIDE, is_last


WD14: ResidentKind[WdTagger] = ResidentKind("tagger", open=_opened, size=lambda tagger: tagger.nbytes)

"""WD14 taggers: which of some ten thousand tags of Danbooru a picture has, by SmilingWolf's networks.

They see a white square of 448 pixels with the picture in its middle, blue first. Files in .onnx want levels of 0 to
255, with the colours innermost, and answer with probabilities; timm's in .safetensors want the levels about 0, and
answer before the sigmoid. The list of tags beside the file tells ratings (category 9), characters (4) and all others.
"""

from __future__ import annotations

import csv
import io
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from webui.base.errors import ModelError
from webui.base.protobuf import below, fields, number_in, text_in
from webui.catalog.tagger_files import tags_beside
from webui.engine.describers.timm_networks import network_of
from webui.engine.families.weights import broken, open_weights, reading
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
RUNTIME = "onnxruntime"
INSTALL = (
    "Install onnxruntime, which carries out more networks, in the program's environment: pip install '.[taggers]'."
)
# Numbers of fields, of onnx.proto (https://github.com/onnx/onnx, Apache-2.0).
GRAPH, INPUT, TYPE, TENSOR, SHAPE, DIMENSION, LENGTH, INITIALIZER, NAME, INITIALIZER_NAME = (
    7,
    11,
    2,
    1,
    2,
    1,
    1,
    5,
    1,
    8,
)


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
    with reading(path):
        side, is_last = _onnx_frame(path)
        run = _by_runtime(path, profile, is_last) or _by_opencv(path, is_last)
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


class _Session(Protocol):
    """What is used of onnxruntime's sessions."""

    def run(self, outputs: None, given: dict[str, Levels]) -> list[Levels]: ...
    def get_inputs(self) -> list[_Named]: ...


class _Named(Protocol):
    name: str


def _by_runtime(path: Path, profile: Profile, is_last: bool) -> Run | None:
    """The file run by onnxruntime; None: that is not installed. Raises what that raises: `reading` names the file."""
    try:
        runtime = import_module(RUNTIME)
    except (ImportError, OSError):
        return None
    wanted = ["CUDAExecutionProvider"] if torch.device(profile.device).type == "cuda" else []
    providers = [name for name in (*wanted, "CPUExecutionProvider") if name in runtime.get_available_providers()]
    session: _Session = runtime.InferenceSession(str(path), providers=providers)
    name = session.get_inputs()[0].name

    def run(levels: Levels) -> Levels:
        with reading(path):
            return session.run(None, {name: _laid(levels, is_last)})[0]

    return run


def _by_opencv(path: Path, is_last: bool) -> Run:
    """The file run by OpenCV, which knows fewer networks.

    Raises:
        ModelError: it cannot be opened.
    """
    try:
        network = cv2.dnn.readNetFromONNX(str(path), cv2.dnn.ENGINE_NEW)
    except cv2.error as error:
        raise broken(path, f"OpenCV cannot open it ({_first_line(error)})", INSTALL) from error

    def run(levels: Levels) -> Levels:
        network.setInput(_laid(levels, is_last))
        try:
            return np.asarray(network.forward(), np.float32)
        except cv2.error as error:
            raise broken(path, f"OpenCV cannot carry it out ({_first_line(error)})", INSTALL) from error

    return run


def _laid(levels: Levels, is_last: bool) -> Levels:
    """(side, side, 3) -> (1, side, side, 3), or (1, 3, side, side) where the channels are not last."""
    return np.ascontiguousarray(levels[None] if is_last else levels.transpose(2, 0, 1)[None])


def _onnx_frame(path: Path) -> tuple[int, bool]:
    """(pixels of the sides of the pictures that the file takes, whether their channels are last).

    Raises:
        ModelError: it takes no pictures.
        ValueError: it is no ONNX file.
    """
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)  # unmapped with the last view of it
    for number, graph in fields(memoryview(content)):
        if number == GRAPH and isinstance(graph, memoryview):
            return _frame_of(path, graph)
    raise ValueError("it is not an ONNX file")


def _frame_of(path: Path, graph: memoryview) -> tuple[int, bool]:
    within = list(fields(graph))
    weights = {text_in(value, INITIALIZER_NAME) for number, value in within if number == INITIALIZER}
    for number, value in within:
        if number != INPUT or text_in(value, NAME) in weights:
            continue
        sides = [number_in(each, LENGTH) for each in below(value, TYPE, TENSOR, SHAPE, DIMENSION)]
        if len(sides) != 4 or 3 not in (sides[1], sides[3]):
            raise broken(path, f"it takes no pictures (its input has the shape {sides})", "It is not a tagger's file.")
        is_last = sides[3] == 3
        high, wide = (sides[1], sides[2]) if is_last else (sides[2], sides[3])
        if high != wide or high > LARGEST_SIDE:
            raise broken(path, f"it takes pictures of {wide}x{high} pixels", "It is not a tagger's file.")
        return high or SIDE, is_last
    raise broken(path, "it takes nothing", "It is not a tagger's file.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]


WD14: ResidentKind[WdTagger] = ResidentKind("tagger", open=_opened, size=lambda tagger: tagger.nbytes)

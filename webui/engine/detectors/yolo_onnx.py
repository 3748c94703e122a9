"""YOLO networks as .onnx files, carried out by OpenCV: what `yolo export format=onnx` writes for detectors and
segmenters (YOLOv8 and later ones whose answers are alike)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from webui.base.protobuf import below, fields, number_in, text_in
from webui.engine.detectors.found import Detection
from webui.engine.detectors.regions import Bytes
from webui.engine.detectors.yolo_answers import SIDE, Answers, Floats, found_in, framed
from webui.engine.families.weights import broken, reading
from webui.engine.memory import Profile
from webui.engine.residents import ResidentKind

LARGEST_SIDE = 4096
HINT = "Export it again (yolo export model=NAME.pt format=onnx), without nms=True."
# Numbers of fields, of onnx.proto (https://github.com/onnx/onnx, Apache-2.0).
GRAPH, NOTE = 7, 14
INPUT, TYPE, TENSOR, SHAPE, DIMENSION, LENGTH, INITIALIZER, NAME = 11, 2, 1, 2, 1, 1, 5, 1
INITIALIZER_NAME = 8


@dataclass(frozen=True)
class Described:
    """What a file says of itself."""

    frame: tuple[int, int]
    """(width, height) of the pictures that it takes."""
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OnnxYolo:
    """An opened file."""

    network: cv2.dnn.Net
    described: Described
    path: Path
    nbytes: int

    def __call__(self, picture: Bytes, confidence: float) -> list[Detection]:
        """
        Raises:
            ModelError: its answers are not those of a YOLO network.
        """
        frame = framed(picture, self.described.frame)
        self.network.setInput(frame.pixels)
        try:
            made = self.network.forward(self.network.getUnconnectedOutLayersNames())
        except cv2.error as error:
            raise broken(self.path, f"OpenCV cannot carry it out ({_first_line(error)})", HINT) from error
        return found_in(self._answers(made), frame, confidence, self.described.names)

    def _answers(self, made: object) -> Answers:
        """From (1, 4 + classes, n): the middles and sizes of the boxes, and how sure it is of each class; with masks
        (1, 4 + classes + k, n) and (1, k, h, w)."""
        outputs = [np.asarray(each, np.float32) for each in made] if isinstance(made, list | tuple) else []
        rows = next((each[0] for each in outputs if each.ndim == 3 and each.shape[0] == 1), None)
        prototypes = next((each[0] for each in outputs if each.ndim == 4 and each.shape[0] == 1), None)
        kinds = prototypes.shape[0] if prototypes is not None else 0
        if rows is None or rows.shape[0] < 5 + kinds or rows.shape[0] > rows.shape[1] or not np.isfinite(rows).all():
            raise broken(self.path, "its answers are not those of a YOLOv8 detector", HINT)
        x, y, width, height = rows[:4]
        boxes = np.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), axis=1)
        end = len(rows) - kinds
        weights: Floats | None = rows[end:].T if prototypes is not None else None
        return Answers(boxes, rows[4:end].T, weights, prototypes)


def opened(path: Path) -> OnnxYolo:
    """The network in a file.

    Raises:
        ModelError: it is damaged, or of another kind.
    """
    with reading(path):
        content = path.read_bytes()
        told = described(path, content)
        try:
            network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        except cv2.error as error:
            raise broken(path, f"OpenCV cannot read it ({_first_line(error)})", HINT) from error
        network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        return OnnxYolo(network, told, path, len(content))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:150]


# ---------------------------------------------------------------- what the file says of itself


def described(path: Path, content: bytes) -> Described:
    """
    Raises:
        ModelError: it takes something else than pictures.
    """
    names: Mapping[int, str] = {}
    frame = (SIDE, SIDE)
    for number, value in fields(memoryview(content)):
        if number == NOTE and isinstance(value, memoryview):
            key, text = (text_in(value, each) for each in (1, 2))
            names = _names(text) if key == "names" else names
        if number == GRAPH and isinstance(value, memoryview):
            frame = _frame(path, value) or frame
    return Described(frame, names)


def _frame(path: Path, graph: memoryview) -> tuple[int, int] | None:
    """(width, height) of its input, where these are fixed."""
    within = list(fields(graph))
    weights = {text_in(value, INITIALIZER_NAME) for number, value in within if number == INITIALIZER}
    for number, value in within:
        if number != INPUT or text_in(value, NAME) in weights:
            continue
        sides = [number_in(each, LENGTH) for each in below(value, TYPE, TENSOR, SHAPE, DIMENSION)]
        if len(sides) != 4 or sides[1] not in (0, 3):
            raise broken(path, f"it takes no pictures (its input has the shape {sides})", HINT)
        if max(sides) > LARGEST_SIDE:
            raise broken(path, f"it takes pictures of {sides[3]}x{sides[2]} pixels, which is too large", HINT)
        return (sides[3], sides[2]) if sides[2] and sides[3] else None
    return None


def _names(text: str) -> Mapping[int, str]:
    """From "{0: 'face'}"."""
    try:
        given = ast.literal_eval(text[:100_000])
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    pairs = given.items() if isinstance(given, dict) else ()
    return {key: name for key, name in pairs if isinstance(key, int) and isinstance(name, str)}


def _placed(path: Path, _profile: Profile) -> OnnxYolo:
    return opened(path)


ONNX_YOLO = ResidentKind("detector", open=_placed, size=lambda yolo: yolo.nbytes)

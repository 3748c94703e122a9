"""DWPose: whole people, by a detector and a network of 133 points, run by OpenCV.

Yang et al. 2023, arXiv:2307.15880, over RTMPose's coordinates as classes (Jiang et al. 2023, arXiv:2303.07399) and the
detector YOLOX (Ge et al. 2021, arXiv:2107.08430). The points are those of COCO-WholeBody: 17 of the body, 6 of the
feet, 68 of the face, 21 of each hand. The files are yolox_l.onnx and dw-ll_ucoco_384.onnx.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.engine.detectors.detectors import MOST
from webui.engine.families.weights import broken, reading
from webui.engine.memory import Profile
from webui.engine.preprocessors.picture import Bytes, Options
from webui.engine.residents import ResidentKind
from webui.request.model_ref import ModelRef
from webui.request.poses import Figure, Point, Points

Floats = NDArray[np.float32]
SIDE, GREY = 640, 114
"""Pixels of a side of what the detector sees; the level of what lies beside the picture in it."""
STRIDES = (8, 16, 32)
"""Pixels for one of its answers, in each of its three maps."""
PERSON, THERE, OVERLAP = 0, 0.3, 0.45
"""The detector's class; how sure it must be; how much of two boxes is one person."""
FRAME = (288, 384)
"""Width and height of what the network of points sees."""
AROUND = 1.25
"""How much larger than a person's box that is."""
FINER = 2
"""Classes for a pixel."""
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SEEN = 0.3
"""A point can be seen from this on."""
BODY = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""OpenPose's points of a body in COCO's; the neck is none of them."""
SHOULDERS = (5, 6)
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
EYES = (slice(36, 42), slice(42, 48))
"""Of a face's points; OpenPose has a pupil in the middle of each."""
POINTS = 133


@dataclass(frozen=True, eq=False)
class OnnxNet:
    """An opened file of a user's."""

    net: cv2.dnn.Net
    path: Path
    nbytes: int

    def __call__(self, planes: Floats) -> list[Floats]:
        """
        Raises:
            ModelError: OpenCV cannot carry it out.
        """
        try:
            self.net.setInput(np.ascontiguousarray(planes, np.float32))
            found = self.net.forward(self.net.getUnconnectedOutLayersNames())
        except cv2.error as error:
            raise broken(self.path, f"OpenCV cannot carry it out ({_first_line(error)})") from error
        return [np.asarray(each, np.float32) for each in found]


def opened(path: Path) -> OnnxNet:
    """
    Raises:
        ModelError: it is damaged, or no ONNX file.
    """
    with reading(path):
        content = path.read_bytes()
        try:
            net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        except cv2.error as error:
            raise broken(path, f"OpenCV cannot read it ({_first_line(error)})", "Download it again.") from error
        return OnnxNet(net, path, len(content))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:150]


def _placed(path: Path, _profile: Profile) -> OnnxNet:
    return opened(path)


ONNX_NETWORK = ResidentKind("pose network", open=_placed, size=lambda network: network.nbytes)


def whole_people(picture: Bytes, options: Options) -> list[Figure]:
    """The people in a picture, the surest first.

    Raises:
        ModelError: a file cannot be opened, or is another network's.
        OutOfMemory: there is no room for one.
    """
    detector, pose = options.annotators
    with _lent(options, detector) as network:
        boxes = persons_in(network, picture)
    figures: list[Figure] = []
    for box in boxes:
        with _lent(options, pose) as network:
            figures.append(_figure(*points_in(network, picture, box), picture))
    return [figure for figure in figures if figure != Figure()]


@contextmanager
def _lent(options: Options, ref: ModelRef) -> Iterator[OnnxNet]:
    with options.lending.lend(ONNX_NETWORK, ref) as network:
        yield network


def persons_in(network: OnnxNet, picture: Bytes) -> Floats:
    """(n, 4): left, top, right and bottom in pixels, the surest first, at most `MOST`.

    Raises:
        ModelError: these are no answers of YOLOX.
    """
    high, wide = picture.shape[:2]
    factor = min(SIDE / high, SIDE / wide)
    size = (max(int(wide * factor), 1), max(int(high * factor), 1))
    seen = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    seen[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    answers = network(np.asarray(seen[..., ::-1].transpose(2, 0, 1)[None], np.float32))[0].reshape(-1)
    places = np.concatenate([_places(SIDE // stride, stride) for stride in STRIDES])
    if answers.size % len(places) or answers.size // len(places) < 6 or not np.isfinite(answers).all():
        raise broken(network.path, "its answers are not those of a YOLOX detector")
    told = answers.reshape(len(places), -1)
    stride = places[:, 2:]
    middles = (told[:, :2] + places[:, :2]) * stride
    sizes = np.exp(told[:, 2:4].clip(-20, 20)) * stride
    scores = told[:, 4] * told[:, 5 + PERSON]
    sure = scores > THERE
    boxes = np.concatenate([middles - sizes / 2, sizes], axis=1)[sure] / factor
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores[sure].tolist(), THERE, OVERLAP), np.int64).reshape(-1)
    found = boxes[kept[:MOST]].reshape(-1, 4)
    return np.asarray(np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1), np.float32)


def _places(count: int, stride: int) -> Floats:
    """(count * count, 3): column, row and stride of each of a map's answers."""
    down, across = np.mgrid[:count, :count]
    return np.stack([across.ravel(), down.ravel(), np.full(count * count, stride)], axis=1).astype(np.float32)


def points_in(network: OnnxNet, picture: Bytes, box: Floats) -> tuple[Floats, Floats]:
    """-> (133, 2) in pixels of the picture, (133,) how sure each is.

    Raises:
        ModelError: these are no answers of DWPose.
    """
    middle, size = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).clip(1) * AROUND
    wide, high = FRAME
    scale = max(size[0] / wide, size[1] / high)
    turned = np.array([[1 / scale, 0, wide / 2 - middle[0] / scale], [0, 1 / scale, high / 2 - middle[1] / scale]])
    seen = np.asarray(cv2.warpAffine(picture, turned, FRAME, flags=cv2.INTER_LINEAR), np.float32)
    given = (seen - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    answers = network(np.asarray(given.transpose(2, 0, 1)[None], np.float32))
    found = {each.shape[-1]: each.reshape(-1, each.shape[-1]) for each in answers}
    across, down = (found.get(FINER * side) for side in FRAME)
    if across is None or down is None or len(across) != POINTS or len(down) != POINTS:
        raise broken(network.path, "its answers are not those of DWPose")
    places = np.stack([across.argmax(1), down.argmax(1)], axis=1) / FINER
    sure = np.minimum(across.max(1), down.max(1))
    points = (places - np.array(FRAME) / 2) * scale + middle
    return np.asarray(points, np.float32), np.asarray(sure, np.float32)


def _figure(points: Floats, sure: Floats, picture: Bytes) -> Figure:
    size = np.array(picture.shape[1::-1], np.float32)
    parts: list[Point] = [
        _part(point / size) if score > SEEN else None for point, score in zip(points, sure, strict=True)
    ]
    body = [None if at is None else parts[at] for at in BODY]
    body[1] = _between([parts[at] for at in SHOULDERS])
    face = parts[FACE]
    pupils = [_between(face[eye]) for eye in EYES]
    return Figure(*(_any(each) for each in (body, [*face, *pupils], parts[LEFT_HAND], parts[RIGHT_HAND])))


def _part(point: Floats) -> Point:
    x, y = (float(each) for each in point)
    return (x, y) if 0 <= x < 1 and 0 <= y < 1 else None


def _between(points: list[Point]) -> Point:
    """The middle of points, where all can be seen."""
    seen = [point for point in points if point is not None]
    if len(seen) < len(points):
        return None
    return sum(x for x, _ in seen) / len(seen), sum(y for _, y in seen) / len(seen)


def _any(points: list[Point]) -> Points:
    return tuple(points) if any(point is not None for point in points) else ()

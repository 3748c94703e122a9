"""People as OpenPose's own networks see them, for those who have their files.

A body's wrists and elbows say where its hands are, its nose, eyes and ears where its face is (Simon et al. 2017,
arXiv:1704.07809, and OpenPose's own numbers); the other two networks look there, each at a square of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from webui.engine.preprocessors.grouping import FIELDS, PARTS, along, grouped, pairs, peaks_in
from webui.engine.preprocessors.network import MapNetwork, planes_of
from webui.engine.preprocessors.picture import Bytes, Options, levels, scaled
from webui.engine.preprocessors.pose_machines import BODIES, FACES, HANDS, LIMBS, STRIDE
from webui.engine.residents import ResidentKind
from webui.request.poses import FACE, HAND, Figure, Points

Floats = NDArray[np.float32]
BODY_FILE, HAND_FILE, FACE_FILE = "body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"
HIGH, WIDEST, GREY = 184, 2944, 128
"""Pixels of the picture's height as the network of bodies sees it, and of its width at most; the level of what is added
to its sides."""
HAND_SIDES, HAND_MAP, SOFT = (184, 368, 552, 736), 128, 0.8
"""Pixels of a hand's sides as its network sees it; of its maps' sides; the deviation of the bell that softens it."""
ON_PROCESSORS = 2
"""So many of the sides, the smallest, where a processor has to do it: all of them take three times as long."""
FACE_SIDE = 384
THERE, SMOOTH = 0.05, 3.0
"""From how much on a point of a hand or a face is there; what a hand's maps are smoothed with, in pixels."""
SMALLEST = 20
"""Pixels of a side of a hand or a face in the picture."""
ARMS = ((5, 6, 7), (2, 3, 4))
"""Shoulder, elbow, wrist: of the left, the right."""
BEYOND, FOREARM, UPPER_ARM = 0.33, 1.5, 0.9
"""Of the forearm, how far a hand's middle lies beyond the wrist; how large it is, by either part of the arm."""
HEAD = ((14, 3.0), (15, 3.0), (16, 1.5), (17, 1.5))
"""Eyes and ears; how often their distance from the nose goes into a face's half."""
Square = tuple[int, int, int]
"""Left, top and side in pixels."""


Look = Callable[[MapNetwork, Bytes], Floats]


def wanted(*, hands: bool, faces: bool) -> tuple[str, ...]:
    """The names of the files."""
    return (BODY_FILE, *([HAND_FILE] if hands else []), *([FACE_FILE] if faces else []))


def people(picture: Bytes, options: Options, *, hands: bool, faces: bool) -> list[Figure]:
    """The people of a picture, the surest first; hands and faces are looked for where bodies have them.

    Raises:
        ModelError: a file cannot be opened, or is another network's.
        OutOfMemory: there is no room for one.
        UserError: the picture is too long.
    """
    size = np.array(picture.shape[1::-1], np.float32)
    with _lent(options, BODIES, BODY_FILE) as network:
        bodies = [places * size for places in bodies_in(network, scaled(picture, options.resolution))]
    left, right, looks = ([np.empty((0, 2), np.float32)] * len(bodies) for _ in range(3))
    if hands and bodies:
        with _lent(options, HANDS, HAND_FILE) as network:
            left, right = (
                [_in_square(picture, hand_square(body, arm, size), network, hand_in) for body in bodies] for arm in ARMS
            )
    if faces and bodies:
        with _lent(options, FACES, FACE_FILE) as network:
            looks = [_in_square(picture, face_square(body, size), network, face_in) for body in bodies]
    parts = zip(bodies, looks, left, right, strict=True)
    return [Figure(*(_points(places / size) for places in each)) for each in parts]


@contextmanager
def _lent(options: Options, kind: ResidentKind[MapNetwork], name: str) -> Iterator[MapNetwork]:
    ref = options.file(name)
    if ref is None:
        raise RuntimeError(f"{name} was not given.")
    with options.lending.lend(kind, ref) as network:
        yield network


def bodies_in(network: MapNetwork, picture: Bytes) -> list[Floats]:
    """-> of each person (18, 2): its parts as parts of the picture's sides; NaN: it cannot be seen."""
    high, wide = picture.shape[:2]
    factor = min(HIGH / high, WIDEST / wide)
    sides = (max(round(wide * factor), 1), max(round(high * factor), 1))
    seen = levels(cv2.resize(picture, sides, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA))
    padded = np.pad(seen, [*((0, -side % STRIDE) for side in seen.shape[:2]), (0, 0)], constant_values=GREY)
    maps = np.asarray(network(_given(padded))[0], np.float32)

    def spread(plane: Floats) -> Floats:
        large = cv2.resize(plane, (plane.shape[1] * STRIDE, plane.shape[0] * STRIDE), interpolation=cv2.INTER_CUBIC)
        own = large[: sides[1], : sides[0]]
        return np.asarray(cv2.resize(own, (wide, high), interpolation=cv2.INTER_CUBIC), np.float32)

    return placed(maps[:LIMBS], maps[LIMBS:], spread, (wide, high))


def placed(fields: Floats, heat: Floats, spread: Callable[[Floats], Floats], size: tuple[int, int]) -> list[Floats]:
    """fields: (38, h, w), heat: (19, h, w); spread: makes a plane as large as `size`, width and height -> as
    `bodies_in`."""
    peaks, heights = zip(*(peaks_in(spread(plane)) for plane in heat[:PARTS]), strict=True)
    limbs: list[Sequence[tuple[int, int, float]]] = []
    for first, second, plane in FIELDS:
        if len(peaks[first]) and len(peaks[second]):
            field_x, field_y = spread(fields[plane]), spread(fields[plane + 1])
            limbs.append(pairs(along(field_x, field_y, peaks[first], peaks[second])))
        else:
            limbs.append(())
    found: list[Floats] = []
    for person in grouped(limbs, heights):
        places = np.full((PARTS, 2), np.nan, np.float32)
        for part, at in person.parts.items():
            places[part] = peaks[part][at] / np.array(size)
        found.append(places)
    return found


def hand_square(body: Floats, arm: tuple[int, int, int], size: Floats) -> Square | None:
    """Where the hand at the end of an arm is; None: nowhere in the picture, or too small. body: in pixels."""
    shoulder, elbow, wrist = (body[part] for part in arm)
    forearm, upper = np.linalg.norm(wrist - elbow), np.linalg.norm(elbow - shoulder)
    half = FOREARM * max(forearm, UPPER_ARM * upper) / 2
    return _square(wrist + BEYOND * (wrist - elbow), float(half), size)


def face_square(body: Floats, size: Floats) -> Square | None:
    """Where the face of a body is. body: in pixels."""
    from_nose = [times * float(np.abs(body[part] - body[0]).max()) for part, times in HEAD]
    return _square(body[0], max((each for each in from_nose if each > 0), default=0.0), size)


def _square(middle: Floats, half: float, size: Floats) -> Square | None:
    if not np.isfinite([*middle, half]).all():
        return None
    corner = np.maximum(middle - half, 0)
    side = min(2 * half, *(size - corner))
    return (int(corner[0]), int(corner[1]), int(side)) if side >= SMALLEST else None


def _in_square(picture: Bytes, square: Square | None, network: MapNetwork, look: Look) -> Floats:
    """(points, 2) in pixels of the picture; none: there is no square."""
    if square is None:
        return np.empty((0, 2), np.float32)
    left, top, side = square
    found: Floats = look(network, picture[top : top + side, left : left + side])
    return found * side + np.array([left, top], np.float32)


def hand_in(network: MapNetwork, picture: Bytes) -> Floats:
    """A square with one hand -> (21, 2): its points as parts of the square's sides; NaN: not seen."""
    soft = levels(cv2.GaussianBlur(picture, (0, 0), SOFT))
    maps = np.zeros((HAND, HAND_MAP, HAND_MAP), np.float32)
    sides = HAND_SIDES[:ON_PROCESSORS] if network.device.type == "cpu" else HAND_SIDES
    for side in sides:
        seen = levels(cv2.resize(soft, (side, side), interpolation=cv2.INTER_CUBIC))
        for plane, found in zip(maps, np.asarray(network(_given(seen))[0], np.float32)[:HAND], strict=True):
            plane += cv2.resize(found, (HAND_MAP, HAND_MAP), interpolation=cv2.INTER_CUBIC) / len(sides)
    return np.stack([_middle_of_largest(plane) for plane in maps])


def _middle_of_largest(plane: Floats) -> Floats:
    """The highest place of the patch in which there is most of a map."""
    there = (cv2.GaussianBlur(plane, (0, 0), SMOOTH) > THERE).astype(np.uint8)
    count, patches = cv2.connectedComponents(there)
    if count < 2:
        return np.full(2, np.nan, np.float32)
    sums = np.bincount(patches.ravel(), weights=plane.ravel().astype(np.float64))
    largest = 1 + int(sums[1:].argmax())
    return _highest(np.where(patches == largest, plane, -np.inf))


def face_in(network: MapNetwork, picture: Bytes) -> Floats:
    """A square with one face -> (70, 2): its points as parts of the square's sides; NaN: not seen."""
    seen = levels(cv2.resize(picture, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_AREA))
    maps = np.asarray(network(_given(seen))[0], np.float32)[:FACE]
    large = [np.asarray(cv2.resize(plane, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_LINEAR)) for plane in maps]
    return np.stack([_highest(plane) if plane.max() > THERE else np.full(2, np.nan, np.float32) for plane in large])


def _highest(plane: Floats) -> Floats:
    down, across = np.unravel_index(int(plane.argmax()), plane.shape)
    return np.array([(across + 0.5) / plane.shape[1], (down + 0.5) / plane.shape[0]], np.float32)


def _given(picture: Bytes) -> Tensor:
    return planes_of(np.ascontiguousarray(picture[..., ::-1]), 1 / 256) - 0.5


def _points(places: Floats) -> Points:
    """As parts of the picture's sides; none, where none can be seen."""
    found = tuple((float(x), float(y)) if 0 <= x < 1 and 0 <= y < 1 else None for x, y in places)
    return found if any(found) else ()

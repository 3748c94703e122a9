"""Poses of people as OpenPose writes them: 18 points of a body, 21 of each hand, 70 of a face.

The format: github.com/CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md, with the size of the canvas beside it as
sd-webui-controlnet and its editors have it. Numbers are pixels of the canvas or, none of them above 1, parts of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from webui.base.errors import UserError

Point: TypeAlias = "tuple[float, float] | None"
"""x and y as parts of the canvas, from 0 to 1; None: it cannot be seen."""
Points: TypeAlias = tuple[Point, ...]
"""As many as the part has, or none at all."""

BODY, HAND, FACE = 18, 21, 70
LARGEST = 8192
"""Pixels along a side of a canvas."""
MOST = 1000
"""People on one."""
_PARTS = {
    "body": ("pose_keypoints_2d", BODY),
    "face": ("face_keypoints_2d", FACE),
    "left_hand": ("hand_left_keypoints_2d", HAND),
    "right_hand": ("hand_right_keypoints_2d", HAND),
}


@dataclass(frozen=True)
class Figure:
    """A person."""

    body: Points = ()
    face: Points = ()
    left_hand: Points = ()
    right_hand: Points = ()


@dataclass(frozen=True)
class Poses:
    """All on one canvas."""

    people: tuple[Figure, ...]
    width: int
    """Of the canvas in pixels, and so is `height`."""
    height: int

    @property
    def json(self) -> dict[str, object]:
        """As programs get it."""
        people = [{key: _written(getattr(figure, part)) for part, (key, _) in _PARTS.items()} for figure in self.people]
        return {"people": people, "canvas_height": self.height, "canvas_width": self.width}


def poses_of(given: object) -> Poses:
    """What a program says.

    Raises:
        UserError: it is not of this form, or too large.
    """
    if not isinstance(given, Mapping) or not isinstance(given.get("people", ()), Sequence):
        raise UserError("A pose must have people, canvas_width and canvas_height.", field="people")
    width, height = (_side(given.get(name), name) for name in ("canvas_width", "canvas_height"))
    people = given.get("people", ())
    if len(people) > MOST:
        raise UserError(f"{len(people)} people are too many.", hint=f"At most {MOST}.", field="people")
    figures = []
    for figure in people:
        if not isinstance(figure, Mapping):
            raise UserError("Each of the people must be an object with pose_keypoints_2d.", field="people")
        parts = {part: _read(figure.get(key), key, count, (width, height)) for part, (key, count) in _PARTS.items()}
        figures.append(Figure(**parts))
    return Poses(tuple(figures), width, height)


def _side(given: object, name: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 1 <= given <= LARGEST:
        raise UserError(f"{name} must be a number from 1 to {LARGEST}.", field=name)
    return int(given)


def _read(given: object, name: str, count: int, size: tuple[int, int]) -> Points:
    if not given:
        return ()
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 3 * count:
        raise UserError(f"{name} must have {count} points of three numbers each.", field=name)
    numbers = [float(each) for each in given if isinstance(each, int | float) and math.isfinite(each)]
    if len(numbers) != len(given):
        raise UserError(f"{name} contains something that is not a number.", field=name)
    triples = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
    are_parts = all(abs(x) <= 1 and abs(y) <= 1 for x, y, sure in triples if sure > 0)
    width, height = (1, 1) if are_parts else size
    return tuple((x / width, y / height) if sure > 0 else None for x, y, sure in triples)


def _written(points: Points) -> list[float] | None:
    """(x, y, 1) of each, or three zeros."""
    if not points:
        return None
    return [number for point in points for number in ((*point, 1.0) if point is not None else (0.0, 0.0, 0.0))]

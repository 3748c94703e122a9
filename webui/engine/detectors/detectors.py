"""What there is in a picture: faces, hands and persons.

Networks and the rules between them: MediaPipe (Apache-2.0) of persons, hands and the points of a face, Bazarevsky et
al. 2020, arXiv:2006.10204, Zhang et al. 2020, arXiv:2006.10214, Kartynnik et al. 2019, arXiv:1907.06724; CenterFace
(MIT), Xu et al. 2019, arXiv:1911.03599.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.base.paths import PACKAGES
from webui.engine.detectors.anchors import decoded, probability, suppressed
from webui.engine.detectors.network import lent
from webui.engine.detectors.regions import Bytes, Points, Region, around, planes, turned, whole
from webui.engine.residents import Residents

MOST = 20
"""Things of a kind that are looked for in a picture."""
PERSONS, POINTS, PALMS = "pose_detection.onnx", "pose_landmark_full.tflite", "palm_detection_full.tflite"
FINGERS, FACES, MESH = "hand_landmark_full.tflite", "centerface.onnx", "face_landmark.tflite"
PERSON = "selfie_segmentation.tflite"
SEEN, THERE = 0.5, 0.5
"""A point is visible, and a thing is there, from this on."""
FACE_SCORE, FACE_SIDE = 0.4, 640
UP = math.pi / 2
BODY = 33
"""Points of a person."""
LEFT_EYE, RIGHT_EYE = 263, 33
"""Outer corners in the mesh of a face; left and right as the person has them."""
WRISTS = ((15, 19, 17), (16, 20, 18))
"""Of a person's points, for the left hand and the right: the wrist, the first and the last finger."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Something in a picture."""

    box: tuple[float, float, float, float]
    """Left, top, right and bottom in pixels, within the picture."""
    score: float
    """From 0 to 1."""
    points: Points
    """A face: both eyes (that of the picture's left first), the nose, both corners of the mouth. A hand: the wrist,
    then four points of each finger from the thumb on. A person: MediaPipe's 33."""
    visible: NDArray[np.bool_]
    """(n,): which of the points can be seen."""

    @property
    def side(self) -> float:
        """Pixels of the longer one of the box."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


@dataclass(frozen=True)
class Detectors:
    """The packaged networks. All pictures are (h, w, 3), RGB.

    All of its functions raise ModelError where their network was not fetched (the hint says how to) or cannot be
    opened, and OutOfMemory where there is no room for it. What is not there is not found: that is never an error.
    """

    residents: Residents
    folder: Path = PACKAGES

    def faces(self, picture: Bytes, score: float = FACE_SCORE) -> list[Landmarks]:
        """The surest first, all that there are."""
        region = whole(picture)
        with lent(self.residents, FACES, self.folder) as run:
            heat, scale, offset, marks = run(planes(region.seen(picture, FACE_SIDE), 0, 255)).values()
        down, across = np.nonzero(heat[0, 0] > score)
        high, wide = (np.exp(scale[0, axis, down, across]) * 4 for axis in (0, 1))
        top = (down + offset[0, 0, down, across] + 0.5) * 4 - high / 2
        left = (across + offset[0, 1, down, across] + 0.5) * 4 - wide / 2
        parts = [heat[0, 0, down, across], left, top, left + wide, top + high]
        for point in range(5):
            parts += [marks[0, 2 * point + 1, down, across] * wide + left]
            parts += [marks[0, 2 * point, down, across] * high + top]
        found = suppressed(np.stack(parts, 1).astype(np.float32), mixed=False)
        return list(_placed(found, region, picture, FACE_SIDE))

    def hands(self, picture: Bytes) -> list[Landmarks]:
        """The surest first, at most `MOST`."""
        region = whole(picture)
        hands = (self._fingers(picture, palm) for palm in self._palms(picture, region)[:MOST])
        return sorted(filter(None, hands), key=lambda hand: -hand.score)

    def persons(self, picture: Bytes, faces: Sequence[Landmarks] = ()) -> list[Landmarks]:
        """The surest first, at most `MOST`. faces: where else to look, for those who are small in the picture."""
        found = self._persons(picture, whole(picture))
        for face in sorted(faces, key=lambda face: -face.side):
            if len(found) >= MOST:
                break
            if not any(_has_face(person, face) for person in found):
                left, top, right, _ = face.box
                near = Region((left + right) / 2, top + 3.5 * face.side, 8 * face.side)
                for person in self._persons(picture, near):
                    if _has_face(person, face):
                        found = _with(found, person)
        return sorted(found, key=lambda person: -person.score)[:MOST]

    def hands_of(self, picture: Bytes, person: Landmarks) -> tuple[Landmarks | None, Landmarks | None]:
        """The person's left and right one, looked for where the arms end."""
        found: list[Landmarks | None] = []
        for wrist, first, last in WRISTS:
            hand = None
            if person.visible[wrist]:
                middle = (2 * person.points[first] + person.points[last]) / 3
                reach = 2 * float(np.linalg.norm(middle - person.points[wrist]))
                near = Region(float(middle[0]), float(middle[1]), max(2.7 * reach, person.side / 8))
                palms = sorted(
                    self._palms(picture, near),
                    key=lambda palm: float(np.linalg.norm(palm[5:7] - person.points[wrist])),
                )
                hand = next(filter(None, (self._fingers(picture, palm) for palm in palms[:2])), None)
            found.append(hand)
        return found[0], found[1]

    def mesh_of(self, picture: Bytes, face: Landmarks) -> Points | None:
        """(468, 2): the points of MediaPipe's mesh; None: it does not look like a face."""
        region = around(np.array(face.box, np.float32).reshape(2, 2), turned(face.points[0], face.points[1], 0.0))
        region, mesh = region.grown(1.25), None
        for _ in range(2):  # the second time around what was found, as MediaPipe tracks a face
            with lent(self.residents, MESH, self.folder) as run:
                score, points = sorted(run(planes(region.seen(picture, 192))).values(), key=np.size)
            if probability(score).max() < THERE:
                return None
            mesh = region.back(points.reshape(-1, 3)[:, :2] / 192)
            region = around(mesh, turned(mesh[RIGHT_EYE], mesh[LEFT_EYE], 0.0)).grown(1.5)
        return mesh

    def person_mask(self, picture: Bytes) -> Bytes:
        """(h, w): how much each pixel belongs to a person near by."""
        seen = np.asarray(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
        with lent(self.residents, PERSON, self.folder) as run:
            return _mask(next(iter(run(planes(seen)).values()))[0, 0], picture)

    # ------------------------------------------------------------ one after the other

    def _persons(self, picture: Bytes, where: Region) -> list[Landmarks]:
        with lent(self.residents, PERSONS, self.folder) as run:
            found = decoded(run(planes(where.seen(picture, 224), -1, 1)).values(), 224, (8, 16, 32, 32, 32))
        persons: list[Landmarks] = []
        for each in found[:MOST]:
            hips, above = where.back(each[5:9].reshape(2, 2))
            reach = 2 * float(np.linalg.norm(above - hips))
            region = Region(float(hips[0]), float(hips[1]), 1.25 * reach, turned(hips, above, UP))
            person = self._points(picture, region)
            if person is not None:
                persons = _with(persons, person)
        return persons

    def _points(self, picture: Bytes, region: Region) -> Landmarks | None:
        """The 33 points of a person in a square; None: nobody is there."""
        with lent(self.residents, POINTS, self.folder) as run:
            outputs = run(planes(region.seen(picture, 256)))
        score, marks = float(outputs["Identity_1"].reshape(-1)[0]), outputs["Identity"].reshape(-1, 5)
        if score < THERE:
            return None
        points, sure = region.back(marks[:BODY, :2] / 256), probability(marks[:BODY, 3])
        visible = (sure > SEEN) & _inside(points, picture)
        return Landmarks(_box(points[visible], picture), score, points, visible) if visible.any() else None

    def _palms(self, picture: Bytes, where: Region) -> list[NDArray[np.float32]]:
        """(score, left, top, right, bottom, seven points) in pixels."""
        with lent(self.residents, PALMS, self.folder) as run:
            found = decoded(run(planes(where.seen(picture, 192))).values(), 192, (8, 16, 16, 16))
        return [np.concatenate([each[:1], where.back(each[1:].reshape(-1, 2)).ravel()]) for each in found]

    def _fingers(self, picture: Bytes, palm: NDArray[np.float32]) -> Landmarks | None:
        """The 21 points of a hand."""
        points = palm[5:].reshape(-1, 2)
        left, top, right, bottom = palm[1:5]
        angle = turned(points[0], points[2], UP)
        side = float(max(right - left, bottom - top))
        region = Region(float(left + right) / 2, float(top + bottom) / 2, side, angle).grown(2.6, down=-0.5)
        with lent(self.residents, FINGERS, self.folder) as run:
            outputs = run(planes(region.seen(picture, 224)))
        score = float(outputs["Identity_1"].reshape(-1)[0])
        if score < THERE:
            return None
        marks = region.back(outputs["Identity"].reshape(21, 3)[:, :2] / 224)
        inside = _inside(marks, picture)
        return Landmarks(_box(marks[inside], picture), score, marks, inside) if inside.any() else None


def _placed(found: Sequence[NDArray[np.float32]], where: Region, picture: Bytes, size: int) -> Iterator[Landmarks]:
    """In the picture: what was found in a square that was seen in so many pixels."""
    for each in found:
        points = where.back(each[1:].reshape(-1, 2) / size)
        box = _box(points[:2], picture)
        if box[2] > box[0] and box[3] > box[1]:
            yield Landmarks(box, float(each[0]), points[2:], _inside(points[2:], picture))


def _box(points: Points, picture: Bytes) -> tuple[float, float, float, float]:
    high, wide = picture.shape[:2]
    left, right = (float(each) for each in (points[:, 0].min(), points[:, 0].max()))
    top, bottom = (float(each) for each in (points[:, 1].min(), points[:, 1].max()))
    return max(left, 0.0), max(top, 0.0), min(right, float(wide)), min(bottom, float(high))


def _inside(points: Points, picture: Bytes) -> NDArray[np.bool_]:
    high, wide = picture.shape[:2]
    return np.asarray((points >= 0).all(1) & (points < (wide, high)).all(1), np.bool_)


def _has_face(person: Landmarks, face: Landmarks) -> bool:
    """Whether the person's nose lies in the face."""
    left, top, right, bottom = face.box
    x, y = person.points[0]
    return bool(left <= x <= right and top <= y <= bottom)


def _with(persons: list[Landmarks], more: Landmarks) -> list[Landmarks]:
    """Of two that are one person, the surer."""
    same = [each for each in persons if _are_one(each, more)]
    if any(each.score >= more.score for each in same):
        return persons
    return [each for each in persons if each not in same] + [more]


def _are_one(a: Landmarks, b: Landmarks) -> bool:
    both = a.visible & b.visible
    if not both.any():
        return False
    apart = np.linalg.norm(a.points[both] - b.points[both], axis=1)
    return bool(np.median(apart) < 0.1 * max(a.side, b.side))


def _mask(found: NDArray[np.float32], picture: Bytes) -> Bytes:
    high, wide = picture.shape[:2]
    large = np.asarray(cv2.resize(found, (wide, high), interpolation=cv2.INTER_LINEAR), np.float32)
    return (large * 255).round().clip(0, 255).astype(np.uint8)

"""Poses of people, drawn as the control networks for poses have learnt them.

OpenPose, Cao et al. 2018, arXiv:1812.08008: its points, limbs and colours, with hands and faces as ControlNet 1.1 draws
them. Who is in the picture, OpenPose's own networks say where their files are, else MediaPipe's: their 33 points of a
body are more than OpenPose's 18, but a neck, which is halfway between the shoulders; of their 468 points of a face 68
are those of the iBUG scheme.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.engine.detectors.detectors import MOST, Detectors, Landmarks
from webui.engine.preprocessors import own_openpose
from webui.engine.preprocessors.dwpose import whole_people
from webui.engine.preprocessors.picture import Bytes, Map, Options, levels, scaled
from webui.request.poses import BODY, HAND, Figure, Point, Points, Poses

OF_BODY = (0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""OpenPose's points of a body in MediaPipe's; the neck is none of them."""
NECK, SHOULDERS = 1, (11, 12)
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
FINGERS = tuple(
    (0 if joint == 0 else finger + joint, finger + joint + 1) for finger in range(0, 20, 4) for joint in range(4)
)
JAW = (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)
OF_FACE = (*JAW, *BROWS, *NOSE, *EYES[0], *EYES[1], *LIPS)
"""The points of a face in MediaPipe's mesh; after them, OpenPose has both pupils."""
STICK, JOINT, LINE, DOT = 4, 4, 2, 3
"""Pixels: half a limb's thickness, the radius of a joint, a finger's thickness, the radius of a point of a face."""
FAINT = 0.6
"""Of a limb's colour, so that joints stand out."""
ANSWERED = "The pose was found by MediaPipe's networks, which come with the setup."
LACKING = (
    "OpenPose's own networks were not used, since these files are not in models/ControlNetPreprocessor/openpose: {}."
)
INSTEAD = (
    "The pose was found by MediaPipe's networks instead of DWPose's, whose files yolox_l.onnx and dw-ll_ucoco_384.onnx "
    "are not in models/ControlNetPreprocessor/openpose."
)


def openpose(picture: Bytes, options: Options) -> Map:
    """Bodies."""
    return posed(picture, options)


def openpose_face(picture: Bytes, options: Options) -> Map:
    """Bodies and faces."""
    return posed(picture, options, faces=True)


def openpose_faceonly(picture: Bytes, options: Options) -> Map:
    """Faces."""
    return posed(picture, options, bodies=False, faces=True)


def openpose_hand(picture: Bytes, options: Options) -> Map:
    """Bodies and hands."""
    return posed(picture, options, hands=True)


def openpose_full(picture: Bytes, options: Options) -> Map:
    """Bodies, hands and faces."""
    return posed(picture, options, hands=True, faces=True)


def dw_openpose_full(picture: Bytes, options: Options) -> Map:
    """Bodies, hands and faces, as DWPose sees them where its files are there."""
    if len(options.annotators) == 2:
        return _shown(whole_people(picture, options), picture, options)
    made = openpose_full(picture, options)
    return replace(made, remarks=tuple(INSTEAD if remark == ANSWERED else remark for remark in made.remarks))


def posed(picture: Bytes, options: Options, *, bodies: bool = True, hands: bool = False, faces: bool = False) -> Map:
    """The people of a picture, by OpenPose's own networks where all the files that this needs are there.

    Raises:
        ModelError: a network was not fetched, or cannot be opened.
        UserError: the picture is too long.
    """
    scaled(picture, options.resolution)  # before the networks look: it may be too long
    wanted = own_openpose.wanted(hands=hands, faces=faces)
    lacking = [name for name in wanted if options.file(name) is None]
    if lacking:
        people = figures(picture, options.detectors, hands=hands, faces=faces)
    else:
        people = own_openpose.people(picture, options, hands=hands, faces=faces)
    shown = [figure if bodies else Figure(face=figure.face) for figure in people]
    made = _shown([figure for figure in shown if figure != Figure()], picture, options, ANSWERED if lacking else "")
    if 0 < len(lacking) < len(wanted):
        made = replace(made, remarks=(*made.remarks, LACKING.format(", ".join(lacking))))
    return made


def _shown(people: Sequence[Figure], picture: Bytes, options: Options, answered: str = "") -> Map:
    """answered: what is said where somebody was found."""
    high, wide = scaled(picture, options.resolution).shape[:2]
    poses = Poses(tuple(people), wide, high)
    remarks = [answered if people else "Nobody was found in the picture."]
    if len(people) >= MOST:
        remarks.append(f"At most {MOST} people are drawn.")
    return Map(drawn(poses), tuple(filter(None, remarks)), poses)


def figures(picture: Bytes, detectors: Detectors, *, hands: bool, faces: bool) -> list[Figure]:
    """The people of a picture; a face whose body is not found is one, too."""
    high, wide = picture.shape[:2]
    size = np.array([wide, high], np.float32)
    seen = detectors.faces(picture)
    left, found = list(seen), list[Figure]()
    for person in detectors.persons(picture, seen):
        face = next((each for each in left if _is_of(each, person)), None)
        if face is not None:
            left.remove(face)
        both = detectors.hands_of(picture, person) if hands else (None, None)
        found.append(
            Figure(
                _body(person, size),
                _face(picture, detectors, face, size) if faces and face is not None else (),
                *(_hand(hand, size) for hand in both),
            )
        )
    if faces:
        rest = (_face(picture, detectors, face, size) for face in left[: MOST - len(found)])
        found += [Figure(face=face) for face in rest if face]
    return found


def _is_of(face: Landmarks, person: Landmarks) -> bool:
    left, top, right, bottom = face.box
    x, y = person.points[0]
    return bool(left <= x <= right and top <= y <= bottom)


def _part(point: NDArray[np.float32], size: NDArray[np.float32]) -> Point:
    x, y = (float(each) for each in point / size)
    return (x, y) if 0 <= x < 1 and 0 <= y < 1 else None


def _body(person: Landmarks, size: NDArray[np.float32]) -> Points:
    found: list[Point] = [
        _part(person.points[place], size) if place is not None and person.visible[place] else None for place in OF_BODY
    ]
    if person.visible[list(SHOULDERS)].all():
        found[NECK] = _part(person.points[list(SHOULDERS)].mean(0), size)
    return tuple(found) if len(found) == BODY else ()


def _hand(hand: Landmarks | None, size: NDArray[np.float32]) -> Points:
    return () if hand is None else tuple(_part(point, size) for point in hand.points[:HAND])


def _face(picture: Bytes, detectors: Detectors, face: Landmarks, size: NDArray[np.float32]) -> Points:
    mesh = detectors.mesh_of(picture, face)
    if mesh is None:
        return ()
    pupils = [mesh[list(eye)].mean(0) for eye in EYES]
    return tuple(_part(point, size) for point in (*mesh[list(OF_FACE)], *pupils))


# ---------------------------------------------------------------- drawing


def drawn(poses: Poses) -> Bytes:
    """(height, width, 3): on black."""
    canvas = np.zeros((poses.height, poses.width, 3), np.uint8)
    for figure in poses.people:
        _draw_body(canvas, _pixels(figure.body, poses))
        for hand in (figure.left_hand, figure.right_hand):
            _draw_hand(canvas, _pixels(hand, poses))
        for point in _pixels(figure.face, poses):
            if point is not None:
                cv2.circle(canvas, point, DOT, (255, 255, 255), -1)
    return canvas


def _pixels(points: Points, poses: Poses) -> list[tuple[int, int] | None]:
    far = 4 * max(poses.width, poses.height)
    return [
        None
        if point is None
        else (
            int(min(max(point[0] * poses.width, -far), far)),
            int(min(max(point[1] * poses.height, -far), far)),
        )
        for point in points
    ]


def _draw_body(canvas: Bytes, points: Sequence[tuple[int, int] | None]) -> None:
    if not points:
        return
    for number, (start, end) in enumerate(LIMBS):
        a, b = points[start], points[end]
        if a is None or b is None:
            continue
        middle = ((a[0] + b[0]) // 2, (a[1] + b[1]) // 2)
        along = int(math.dist(a, b) / 2)
        angle = int(math.degrees(math.atan2(a[1] - b[1], a[0] - b[0])))
        limb = np.array(cv2.ellipse2Poly(middle, (along, STICK), angle, 0, 360, 1), np.int32)
        cv2.fillConvexPoly(canvas, limb, [int(FAINT * level) for level in _colour(number / BODY)])
    for number, point in enumerate(points):
        if point is not None:
            cv2.circle(canvas, point, JOINT, _colour(number / BODY), -1)


def _draw_hand(canvas: Bytes, points: Sequence[tuple[int, int] | None]) -> None:
    if not points:
        return
    for number, (start, end) in enumerate(FINGERS):
        a, b = points[start], points[end]
        if a is not None and b is not None:
            cv2.line(canvas, a, b, _colour(number / len(FINGERS)), LINE)
    for point in points:
        if point is not None:
            cv2.circle(canvas, point, JOINT, (0, 0, 255), -1)


def _colour(hue: float) -> tuple[int, int, int]:
    red, green, blue = (int(level * 255 + 1e-6) for level in colorsys.hsv_to_rgb(hue, 1.0, 1.0))
    return red, green, blue


# ---------------------------------------------------------------- MediaPipe's own drawing

_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
)
_MOUTH = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
)
_RIGHT_EYE = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (33, 246, 161, 160, 159, 158, 157, 173, 133))
_LEFT_EYE = ((263, 249, 390, 373, 374, 380, 381, 382, 362), (263, 466, 388, 387, 386, 385, 384, 398, 362))
_RIGHT_BROW = ((46, 53, 52, 65, 55), (70, 63, 105, 66, 107))
_LEFT_BROW = ((276, 283, 282, 295, 285), (300, 293, 334, 296, 336))
LINES = (
    ((_OVAL,), (10, 200, 10)),
    (_MOUTH, (10, 180, 10)),
    (_RIGHT_EYE, (180, 200, 10)),
    (_RIGHT_BROW, (180, 220, 10)),
    (_LEFT_EYE, (10, 200, 180)),
    (_LEFT_BROW, (10, 220, 180)),
)
"""Lines through the mesh, and their colour."""
PUPILS = ((EYES[0], (250, 200, 10)), (EYES[1], (10, 200, 250)))
SMALLEST = 64
"""Pixels of a face's side in the map; smaller ones are not drawn, as in the pictures that the network has learnt."""


def mediapipe_face(picture: Bytes, options: Options) -> Map:
    """Faces as CrucibleAI's control network for faces knows them; a: how many at most, b: how sure to be of each.

    Raises:
        ModelError: a network was not fetched, or cannot be opened.
        UserError: the picture is too long.
    """
    high, wide = scaled(picture, options.resolution).shape[:2]
    canvas, drawn_faces = np.zeros((high, wide, 3), np.uint8), 0
    scale = np.array([wide / picture.shape[1], high / picture.shape[0]], np.float32)
    detectors = options.detectors
    faces = sorted(detectors.faces(picture, max(options.b, 0.05)), key=lambda face: -face.side)
    for face in faces:
        mesh = detectors.mesh_of(picture, face) if drawn_faces < max(int(options.a), 1) else None
        if mesh is None or float(np.ptp(mesh * scale, axis=0).max()) < SMALLEST:
            continue
        drawn_faces += 1
        _draw_face(canvas, mesh * scale)
    return Map(levels(canvas), () if drawn_faces else ("No face was found in the picture.",))


def _draw_face(canvas: Bytes, mesh: NDArray[np.float32]) -> None:
    for lines, colour in LINES:
        for line in lines:
            cv2.polylines(canvas, [mesh[list(line)].astype(np.int32)], False, colour, LINE)
    for eye, colour in PUPILS:
        x, y = (int(each) for each in mesh[list(eye)].mean(0))
        cv2.rectangle(canvas, (x - 2, y - 2), (x + 1, y + 1), colour, -1)

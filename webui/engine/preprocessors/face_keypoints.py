"""Five points of the largest face, as InstantID's ControlNet has learnt them.

Wang et al. 2024, arXiv:2401.07519 (Apache-2.0): both eyes, the nose and the corners of the mouth, each in its colour;
limbs from the nose to the others, in the fainter colour of where they begin.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from webui.engine.detectors.identity import largest
from webui.engine.detectors.regions import Points
from webui.engine.preprocessors.picture import Bytes, Map, Options, scaled

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
NOSE, OTHERS = 2, (0, 1, 3, 4)
STICK, DOT = 4, 10
"""Pixels: half a limb's thickness, the radius of a point."""
FAINT = 0.6
"""Of a limb's colour."""


def instant_id_face_keypoints(picture: Bytes, options: Options) -> Map:
    """
    Raises:
        ModelError: the network that finds faces was not fetched, or cannot be opened.
        UserError: the picture is too long.
    """
    high, wide = scaled(picture, options.resolution).shape[:2]
    face = largest(options.detectors.faces(picture))
    if face is None:
        return Map(np.zeros((high, wide, 3), np.uint8), ("There is no face in the picture.",))
    size = np.array([wide / picture.shape[1], high / picture.shape[0]], np.float32)
    return Map(drawn(face.points * size, (wide, high)))


def drawn(points: Points, size: tuple[int, int]) -> Bytes:
    """points: (5, 2) in pixels; size: (width, height)."""
    found = np.zeros((size[1], size[0], 3), np.uint8)
    for number in OTHERS:
        (x, y), (to_x, to_y) = points[number], points[NOSE]
        length, angle = math.hypot(x - to_x, y - to_y), math.degrees(math.atan2(y - to_y, x - to_x))
        middle = (int((x + to_x) / 2), int((y + to_y) / 2))
        limb = np.asarray(cv2.ellipse2Poly(middle, (int(length / 2), STICK), int(angle), 0, 360, 1), np.int32)
        cv2.fillConvexPoly(found, limb, COLOURS[number])
    found = (found * FAINT).astype(np.uint8)
    for (x, y), colour in zip(points, COLOURS, strict=True):
        cv2.circle(found, (int(x), int(y)), DOT, colour, -1)
    return found

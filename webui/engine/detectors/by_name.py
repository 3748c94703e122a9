"""Detectors as requests name them: files of one's own, and the packaged ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.base.errors import NotFound
from webui.engine.detectors.detectors import Detectors
from webui.engine.detectors.found import Detection, within
from webui.engine.detectors.regions import Bytes
from webui.engine.detectors.yolo import YOLO
from webui.engine.detectors.yolo_onnx import ONNX_YOLO
from webui.engine.inpaint import Box
from webui.engine.residents import Residents
from webui.request.model_ref import ModelRef

EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398),
)
"""The points around each eye in MediaPipe's mesh of a face."""
HALF = 128
"""From this level on, a pixel belongs to a person."""


def look(ref: ModelRef, residents: Residents, picture: Bytes, confidence: float) -> list[Detection]:
    """What the detector finds in a picture, (h, w, 3), RGB: the surest first.

    Raises:
        ModelError: its file cannot be opened.
        NotFound: it is none that is known here, or it was not fetched.
        OutOfMemory: there is no room for it.
    """
    if not ref.path:
        packaged = Detectors(residents)
        found = [each for each in _packaged(ref.title, packaged, picture, confidence) if each.score >= confidence]
        return sorted(found, key=lambda each: -each.score)
    if Path(ref.path).suffix.lower() == ".onnx":
        with residents.lend(ONNX_YOLO, ref) as network:
            return network(picture, confidence)
    with residents.lend(YOLO, ref) as own:
        return own(picture, confidence)


def _packaged(name: str, detectors: Detectors, picture: Bytes, confidence: float) -> Iterator[Detection]:
    size = (picture.shape[1], picture.shape[0])
    if name == "eyes":
        yield from _eyes(detectors, picture, confidence)
        return
    if name == "face":
        found = detectors.faces(picture, confidence)
    elif name == "hand":
        found = detectors.hands(picture)
    elif name == "person":
        found = detectors.persons(picture)
    else:
        raise NotFound(f"There is no detector named {name!r}.", field="features")
    shapes = detectors.person_mask(picture) if name == "person" and found else None
    for each in found:
        box = within(each.box, size)
        if box is not None:
            yield Detection(box, each.score, name, _shape_in(shapes, box))


def _shape_in(levels: Bytes | None, box: Box) -> Bytes | None:
    """What of a mask lies in a box; None: nothing, so that the box alone says where it is."""
    if levels is None:
        return None
    left, top, right, bottom = box
    inside = np.where(levels[top:bottom, left:right] >= HALF, 255, 0).astype(np.uint8)
    return inside if inside.any() else None


def _eyes(detectors: Detectors, picture: Bytes, confidence: float) -> Iterator[Detection]:
    """Of each face whose mesh is found."""
    size = (picture.shape[1], picture.shape[0])
    for face in detectors.faces(picture, confidence):
        mesh = detectors.mesh_of(picture, face)
        if mesh is None:
            continue
        for points in EYES:
            outline: NDArray[np.float32] = mesh[list(points)]
            (left, top), (right, bottom) = outline.min(0), outline.max(0)
            box = within((float(left), float(top), float(right), float(bottom)), size)
            if box is not None:
                shape = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
                cv2.fillPoly(shape, [np.rint(outline - np.asarray(box[:2], np.float32)).astype(np.int32)], 255)
                yield Detection(box, face.score, "eye", shape if shape.any() else None)

"""The faces of a picture: each is turned upright, made whole by a network, and laid back with a soft edge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from webui import registry
from webui.base.errors import ModelError
from webui.engine.detectors.detectors import Detectors
from webui.engine.detectors.regions import Bytes, Points, Region, aligned
from webui.engine.residents import Residents
from webui.engine.restorers.opened import LIKES_PICTURE, RESTORER, FaceRestorer
from webui.engine.upscalers.transparency import apart
from webui.entry_points import expected
from webui.request.model_ref import ModelRef

PLACES = np.array(
    [
        (0.37691, 0.46864),
        (0.62286, 0.46912),
        (0.50124, 0.61331),
        (0.39309, 0.72541),
        (0.61150, 0.72494),
    ],
    np.float32,
)
"""Where the eyes, the nose and the corners of the mouth lie in the square that such networks learn from: those of FFHQ,
Karras et al. 2019, arXiv:1812.04948, as their faces are aligned at 512 pixels."""
FEWEST_PIXELS = 5.0
"""Between the eyes: smaller faces are left as they are, as in A1111."""
EDGE = 0.125
"""Of the square's side: over so much the new face fades into the picture."""

OnFace = Callable[[int, int], None]
"""(faces done, of how many); may raise to stop."""


class RestoredFaces(NamedTuple):
    """What has become of a picture."""

    picture: Image.Image
    faces: int
    """How many are new; of what an installed package makes, 1."""
    weighed: bool = False
    """Whether the network can be told how much to keep to the picture."""


@dataclass(frozen=True)
class Faces:
    """Restores the faces of pictures by one network."""

    residents: Residents
    model: ModelRef
    weight: float = LIKES_PICTURE
    """How much CodeFormer keeps to the picture; others have no such choice."""
    unloads: bool = False
    """The network does not stay in memory."""

    def restored(self, picture: Image.Image, on_face: OnFace) -> RestoredFaces:
        """The picture with new faces; that of an installed package is given as it makes it.

        Raises:
            ModelError: the network, or that which finds faces, cannot be opened, or is missing.
            OutOfMemory: there is no room for it.
        """
        if not self.model.path:
            return RestoredFaces(_by_package(self.model.title, picture), 1)
        rgb, alpha = apart(picture)
        levels = np.array(rgb.convert("RGB"))
        found = [face.points for face in Detectors(self.residents).faces(levels)]
        squares = [square_of(points) for points in found if np.linalg.norm(points[1] - points[0]) >= FEWEST_PIXELS]
        if not squares:
            return RestoredFaces(picture, 0)
        try:
            with self.residents.lend(RESTORER, self.model) as restorer:
                for number, square in enumerate(squares):
                    on_face(number, len(squares))
                    _restore(levels, square, restorer, self.weight, self.residents.profile.device)
                weighed = restorer.weighed
        finally:
            if self.unloads:
                self.residents.put_away(RESTORER, self.model)
        on_face(len(squares), len(squares))
        made = Image.fromarray(levels)
        if alpha is not None:
            made.putalpha(alpha)
        return RestoredFaces(made, len(squares), weighed)


def _by_package(name: str, picture: Image.Image) -> Image.Image:
    entry = next(entry for entry in registry.restorers() if entry.name == name)
    made: Image.Image = expected(registry.resolved(entry.code)(picture), Image.Image, entry, entry.name)
    return made


def square_of(points: Points) -> Region:
    """The square in which five points of a face lie as nearly as can be (by least squares) where networks want them.

    points: (5, 2), both eyes, the nose, both corners of the mouth; those of the picture's left first.
    """
    return aligned(points, PLACES)


def _restore(levels: Bytes, square: Region, restorer: FaceRestorer, weight: float, device: torch.device) -> None:
    """Lay a new face over the picture, in place."""
    face = _seen(levels, square, restorer.side)
    with torch.inference_mode():
        pixels = torch.from_numpy(face).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        made: Tensor = restorer.network(pixels, weight)
        if not torch.isfinite(made).all():
            raise ModelError("The face restorer has made nothing of a face: its weights are damaged.")
        whole = ((made[0].clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    laid_over(levels, np.ascontiguousarray(whole.permute(1, 2, 0).numpy()), square)


def _seen(levels: Bytes, square: Region, side: int) -> Bytes:
    """The square upright; beyond the picture its edge goes on."""
    left, top, right, bottom = _around(square)
    high, wide = levels.shape[:2]
    above, below, before, behind = (max(each, 0) for each in (-top, bottom - high, -left, right - wide))
    if not (above or below or before or behind):
        return square.seen(levels, side)
    larger = np.asarray(cv2.copyMakeBorder(levels, above, below, before, behind, cv2.BORDER_REPLICATE), np.uint8)
    moved = Region(square.x + before, square.y + above, square.side, square.angle)
    return moved.seen(larger, side)


def _around(square: Region) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the upright rectangle that holds it, and of a pixel more."""
    reach = square.side / 2 * (abs(math.cos(square.angle)) + abs(math.sin(square.angle))) + 1
    left, top = math.floor(square.x - reach), math.floor(square.y - reach)
    return left, top, math.ceil(square.x + reach), math.ceil(square.y + reach)


def laid_over(levels: Bytes, made: Bytes, square: Region) -> None:
    """Put what was made of a square back into the picture, in place; its edge is soft, and beyond nothing changes."""
    left, top, right, bottom = _around(square)
    left, top = max(left, 0), max(top, 0)
    part = levels[top:bottom, left:right]
    if not part.size:
        return
    side = min(len(made), max(round(square.side), 1))
    if side < len(made):
        made = np.asarray(cv2.resize(made, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    high, wide = part.shape[:2]
    cos, sin = (of(square.angle) * square.side / side for of in (math.cos, math.sin))
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([square.x - left, square.y - top])
    way = np.column_stack([turn, middle - turn @ np.full(2, side / 2 - 0.5) - 0.5])
    face = cv2.warpAffine(made, way, (wide, high), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.warpAffine(_mask(side), way, (wide, high), flags=cv2.INTER_LINEAR)[..., None]
    part[:] = np.rint(part * (1 - soft) + np.asarray(face, np.float32) * soft).astype(np.uint8)


def _mask(side: int) -> NDArray[np.float32]:
    """(side, side): 1, and towards the edges softly down to 0."""
    along = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) / max(EDGE * side, 1.0)
    rise = np.clip(along, 0, 1)
    soft = rise * rise * (3 - 2 * rise)
    return np.outer(soft, soft).astype(np.float32)

"""What tells one face from another: 512 numbers, by a network for recognising faces in a user's .onnx file.

ArcFace: Deng et al. 2019, arXiv:1801.07698. No package carries such weights under a free licence; insightface's packs
buffalo_l (w600k_r50.onnx) and antelopev2 (glintr100.onnx) are what people have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from webui.base.errors import ModelError
from webui.engine.detectors.detectors import Landmarks
from webui.engine.detectors.onnx_graph import described
from webui.engine.detectors.onnx_runner import Floats, Run, runner
from webui.engine.detectors.regions import Bytes, Points, Region, aligned, planes
from webui.engine.families.weights import broken, reading
from webui.engine.memory import Profile
from webui.engine.residents import ResidentKind

SIDE = 112
"""Pixels of the aligned face."""
PLACES: Points = np.array(
    [
        ((x + 0.5) / SIDE, (y + 0.5) / SIDE)
        for x, y in ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
    ],
    np.float32,
)
"""Where the eyes, the nose and the corners of the mouth lie in it: as the paper's code aligns them, counted from the
middle of the first pixel."""
MOST = 65_536
"""Numbers that are told of a face, at most: more are another network's."""


@dataclass(frozen=True, eq=False)
class FaceNet:
    """An opened network."""

    run: Run
    path: Path
    nbytes: int

    def __call__(self, picture: Bytes, face: Landmarks) -> Floats:
        """(h, w, 3), RGB, and one of its faces -> (1, 512), whose direction says whose it is.

        Raises:
            ModelError: the answer says nothing.
        """
        answer = self.run(planes(square_of_face(face.points).seen(picture, SIDE), -1, 1)).reshape(1, -1)
        if not np.isfinite(answer).all() or not answer.any():
            raise broken(self.path, "its answer to a face is not a number, or nothing at all", "Download it again.")
        return answer


def square_of_face(points: Points) -> Region:
    """The square of an aligned face. points: (5, 2), as `Landmarks` has them."""
    return aligned(points, PLACES)


def largest(faces: Sequence[Landmarks]) -> Landmarks | None:
    """The one that takes up most of the picture; None: there is none."""
    return max(faces, key=_area, default=None)


def _area(face: Landmarks) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)


def opened(path: Path) -> FaceNet:
    """
    Raises:
        ModelError: it is damaged, or another kind of network.
    """
    with reading(path):
        told = described(path)
        if told.side not in ((0, 0), (SIDE, SIDE)):
            raise _foreign(path, f"it takes pictures of {told.side[0]}x{told.side[1]} pixels")
        run = runner(path, told, (SIDE, SIDE))
        answer = run(np.zeros((1, 3, SIDE, SIDE), np.float32))
        if answer.ndim > 2 or len(answer) != 1 or answer.size > MOST:
            raise _foreign(path, f"its answer has the shape {list(answer.shape)}")
        return FaceNet(run, path, path.stat().st_size)


def _foreign(path: Path, cause: str) -> ModelError:
    return broken(
        path,
        f"it is not a network for recognising faces ({cause})",
        "Get w600k_r50.onnx of insightface's buffalo_l, or glintr100.onnx of its antelopev2.",
    )


def _placed(path: Path, _profile: Profile) -> FaceNet:
    return opened(path)


FACE_NET = ResidentKind("face network", open=_placed, size=lambda network: network.nbytes)

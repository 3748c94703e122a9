"""Masks of what stands out of a picture, by networks of the program rembg's: the packaged one, or files of one's own.

U2-Net (Apache-2.0): Qin et al. 2020, arXiv:2005.09007; IS-Net (Apache-2.0): Qin et al. 2022, arXiv:2203.03041; BiRefNet
(MIT): Zheng et al. 2024, arXiv:2401.03407. How each wants a picture is known by its published name, else by its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from webui.base.errors import ModelError
from webui.base.paths import PACKAGES
from webui.catalog.packaged import COMMAND, title_of
from webui.engine.detectors.onnx_graph import described
from webui.engine.detectors.onnx_runner import Run, runner
from webui.engine.detectors.regions import Bytes
from webui.engine.families.weights import broken, reading
from webui.engine.memory import Profile
from webui.engine.residents import ResidentKind, Residents
from webui.request.model_ref import ModelRef

FILE = "u2netp.onnx"
EPSILON = 1e-6
BEYOND = 0.05
"""Answers that lie so far outside of 0..1 are those before a sigmoid."""


@dataclass(frozen=True)
class Normalization:
    """How a network wants a picture."""

    side: int
    """Pixels, where its file leaves that open."""
    mean: tuple[float, float, float]
    spread: tuple[float, float, float]


IMAGENET = (0.485, 0.456, 0.406)
SMALL = Normalization(320, IMAGENET, (0.229, 0.224, 0.225))
LARGE = Normalization(1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
PUBLISHED = {
    "u2net": SMALL,
    "silueta": SMALL,
    "isnet-anime": Normalization(1024, IMAGENET, (1.0, 1.0, 1.0)),
    "isnet": LARGE,
    "bria": LARGE,
    "birefnet": Normalization(1024, IMAGENET, (0.229, 0.224, 0.225)),
}
"""How a file's name begins -> what its network wants."""


@dataclass(frozen=True, eq=False)
class SubjectNet:
    """An opened network."""

    run: Run
    wanted: Normalization
    size: tuple[int, int]
    """(width, height) of the pictures that it takes."""
    path: Path
    nbytes: int

    def __call__(self, picture: Bytes) -> Bytes:
        """(h, w, 3), RGB -> (h, w): how much each pixel belongs to the subject.

        Raises:
            ModelError: its answer is no mask.
        """
        seen = np.asarray(cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA), np.float32)
        mean, spread = np.array(self.wanted.mean, np.float32), np.array(self.wanted.spread, np.float32)
        normal = (seen / max(float(seen.max()), EPSILON) - mean) / spread
        answer = self.run(np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32))
        if answer.ndim < 2 or answer.size != answer.shape[-2] * answer.shape[-1] or not np.isfinite(answer).all():
            raise broken(self.path, f"its answer {answer.shape} is no mask")
        found = answer.reshape(answer.shape[-2:])
        if found.min() < -BEYOND or found.max() > 1 + BEYOND:
            found = 1 / (1 + np.exp(-found.clip(-50, 50)))
        found = (found - found.min()) / max(float(np.ptp(found)), EPSILON)
        high, wide = picture.shape[:2]
        large = np.asarray(cv2.resize(found, (wide, high), interpolation=cv2.INTER_LINEAR), np.float32)
        return (large * 255).round().clip(0, 255).astype(np.uint8)


def packaged(folder: Path = PACKAGES) -> ModelRef:
    """The packaged network. Raises ModelError: it was not fetched."""
    path = folder / FILE
    if not path.is_file():
        raise ModelError(f"{title_of(FILE)} is missing.", hint=f"Fetch it with: {COMMAND}")
    return ModelRef(str(path), FILE)


def subject_mask(ref: ModelRef, residents: Residents, picture: Bytes) -> Bytes:
    """(h, w): how much each pixel of a picture, (h, w, 3), RGB, belongs to what stands out, of whatever kind.

    ref: the network; without a path it is the packaged one.

    Raises:
        ModelError: it was not fetched (the hint says how to), or cannot be opened.
        OutOfMemory: there is no room for it.
    """
    with residents.lend(SUBJECT, ref if ref.path else packaged()) as network:
        return network(picture)


def opened(path: Path) -> SubjectNet:
    """The network in a file, run by OpenCV, or by onnxruntime where OpenCV cannot and that is installed.

    Raises:
        ModelError: it is damaged, or of another kind, or neither can carry it out.
    """
    with reading(path):
        told = described(path)
        name = path.stem.casefold()
        known = next((PUBLISHED[start] for start in PUBLISHED if name.startswith(start)), None)
        wanted = known or (LARGE if max(told.side) >= LARGE.side else SMALL)
        size = told.side if all(told.side) else (wanted.side, wanted.side)
        return SubjectNet(runner(path, told, size), wanted, size, path, path.stat().st_size)


def _placed(path: Path, _profile: Profile) -> SubjectNet:
    return opened(path)


SUBJECT = ResidentKind("cut-out", open=_placed, size=lambda network: network.nbytes)

"""What preprocessors work on: arrays of bytes, brought to a resolution and padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.base.errors import UserError
from webui.base.paths import PACKAGES
from webui.engine.detectors import regions
from webui.engine.detectors.detectors import Detectors
from webui.engine.residents import ResidentKind, Residents
from webui.registry import resolved
from webui.request.model_ref import ModelRef
from webui.request.poses import Poses

T = TypeVar("T")

Bytes: TypeAlias = regions.Bytes
"""(h, w, 3), RGB; maps may be (h, w)."""
LONGEST = 8192
"""Pixels of a side of a map."""
MULTIPLE = 64
"""Of which the sides are while a preprocessor looks: what is missing is repeated from the edge."""


@dataclass(frozen=True)
class Options:
    """What a unit says to its preprocessor."""

    resolution: int = 512
    """Of the shorter side, in pixels."""
    a: float = 0.0
    b: float = 0.0
    """The two values that each preprocessor calls something else."""
    seed: int | None = None
    """For those that draw; None: they draw anew each time."""
    residents: Residents | None = None
    """Lends networks to those that need some."""
    annotators: tuple[ModelRef, ...] = ()
    """The files of the preprocessor, in the order of its line in the table."""

    @property
    def lending(self) -> Residents:
        if self.residents is None:
            raise RuntimeError("A preprocessor with networks was asked for where none are lent.")
        return self.residents

    @property
    def detectors(self) -> Detectors:
        return Detectors(self.lending, PACKAGES)

    def file(self, name: str) -> ModelRef | None:
        """The one of the preprocessor's files that is called so, if it is there."""
        return next((ref for ref in self.annotators if Path(ref.path).name.casefold() == name.casefold()), None)

    @contextmanager
    def network(self, kind: ResidentKind[T]) -> Iterator[T]:
        """The network of the preprocessor's first file, for the length of the block.

        Raises:
            ModelError: the file cannot be opened.
            OutOfMemory: there is no room for it.
        """
        with self.lending.lend(kind, self.annotators[0]) as network:
            yield network


@dataclass(frozen=True, eq=False)
class Map:
    """What a preprocessor has made."""

    pixels: Bytes
    remarks: tuple[str, ...] = ()
    """For the person."""
    poses: Poses | None = None
    """What was drawn, of those that draw people."""


Preprocess: TypeAlias = Callable[[Bytes, Options], "Bytes | Map"]


def mapped(code: str, picture: Bytes, options: Options) -> Map:
    """What the preprocessor behind this line of the table makes of a picture.

    Raises:
        UserError: it cannot; the text is for the person.
    """
    made = resolved(code)(picture, options)
    return made if isinstance(made, Map) else Map(made)


def scaled(picture: Bytes, resolution: int, enlarging: int = cv2.INTER_CUBIC) -> Bytes:
    """The picture whose shorter side is `resolution`. enlarging: OpenCV's way to make it larger.

    Raises:
        UserError: the longer side would be beyond all use, as of a picture of 1x10000 pixels.
    """
    height, width = picture.shape[:2]
    if resolution * max(width, height) > LONGEST * min(width, height):
        raise UserError(
            f"At the resolution {resolution}, the map of a picture of {width}x{height} pixels would be too long.",
            hint=f"Crop the picture: a side of a map has at most {LONGEST} pixels.",
            field="processor_res",
        )
    factor = resolution / min(height, width)
    high, wide = (max(round(side * factor), 1) for side in (height, width))
    return levels(cv2.resize(picture, (wide, high), interpolation=enlarging if factor > 1 else cv2.INTER_AREA))


def at_resolution(picture: Bytes, resolution: int, look: Callable[[Bytes], Bytes]) -> Bytes:
    """`look` at the picture whose shorter side is `resolution`, padded; without what the padding gave."""
    seen = scaled(picture, resolution)
    high, wide = seen.shape[:2]
    padding = [(0, -side % MULTIPLE) for side in (high, wide)]
    padded = np.pad(seen, [*padding, *[(0, 0)] * (picture.ndim - 2)], mode="edge")
    return np.ascontiguousarray(look(padded)[:high, :wide])


def levels(found: NDArray[np.integer[Any] | np.floating[Any]]) -> Bytes:
    """What OpenCV answers to bytes, as what it is."""
    return np.asarray(found, dtype=np.uint8)


def whole(picture: Bytes) -> Bytes:
    """(h, w) or (h, w, 3) -> (h, w, 3)."""
    return np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture

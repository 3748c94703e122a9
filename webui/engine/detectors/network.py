"""Small networks that find things in pictures, run by OpenCV on the processor and lent like every other model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.base.errors import ModelError
from webui.base.paths import PACKAGES
from webui.catalog.packaged import COMMAND, title_of
from webui.engine.memory import Profile
from webui.engine.residents import ResidentKind, Residents
from webui.request.model_ref import ModelRef

Array: TypeAlias = NDArray[np.float32]
Run: TypeAlias = Callable[[Array], Mapping[str, Array]]
"""A network: (1, channels, height, width) -> its outputs by their names, in the file's order."""


class Net:
    """An opened network."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError: the file cannot be opened."""
        try:
            self.nbytes = path.stat().st_size
            if path.suffix == ".onnx":
                self._net = cv2.dnn.readNetFromONNX(str(path), cv2.dnn.ENGINE_NEW)
            else:  # the newer engine forgets all outputs but one
                self._net = cv2.dnn.readNetFromTFLite(str(path), cv2.dnn.ENGINE_CLASSIC)
        except (OSError, cv2.error) as error:
            raise ModelError(f"{path.name} cannot be opened.", hint=f"Delete it and run: {COMMAND}") from error
        self._outputs = list(self._net.getUnconnectedOutLayersNames())

    def __call__(self, planes: Array) -> Mapping[str, Array]:
        self._net.setInput(planes)
        found = self._net.forward(self._outputs)
        return {name: np.array(each, np.float32) for name, each in zip(self._outputs, found, strict=True)}


def _opened(path: Path, _profile: Profile) -> Net:
    return Net(path)


DETECTOR = ResidentKind("detector", open=_opened, size=lambda net: net.nbytes)


@contextmanager
def lent(residents: Residents, name: str, folder: Path = PACKAGES) -> Iterator[Run]:
    """The packaged network of this file name, for the length of the block.

    Raises:
        ModelError: it was not fetched, or cannot be opened.
        OutOfMemory: there is no room for it.
    """
    path = folder / name
    if not path.is_file():
        raise ModelError(f"{title_of(name)} is missing.", hint=f"Fetch it with: {COMMAND}")
    with residents.lend(DETECTOR, ModelRef(str(path), name)) as net:
        yield net

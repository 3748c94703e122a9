"""Runs a user's .onnx file of a network that takes one picture: by OpenCV, or by onnxruntime where OpenCV cannot."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.engine.detectors.onnx_graph import PictureGraph
from webui.engine.families.weights import broken

Floats: TypeAlias = NDArray[np.float32]
Run: TypeAlias = Callable[[Floats], Floats]
"""(1, 3, height, width) -> what the network answers first."""
EXTRA = "Install onnxruntime in the program's environment: pip install '.[taggers]'."


def runner(path: Path, told: PictureGraph, size: tuple[int, int]) -> Run:
    """Tried with an empty picture: what cannot be carried out is known when it is opened. size: (width, height).

    Raises:
        ModelError: neither can carry it out.
    """
    empty = np.zeros((1, 3, size[1], size[0]), np.float32)
    try:
        run = _by_opencv(path, told)
        run(empty)
        return run
    except (cv2.error, MemoryError) as error:
        cause = str(error).strip().splitlines()[0][:150]
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        raise broken(path, f"OpenCV cannot carry it out ({cause})", EXTRA) from None
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

        def by_runtime(planes: Floats) -> Floats:
            return np.asarray(session.run([told.outputs[0]], {told.input: planes})[0], np.float32)

        by_runtime(empty)
    except Exception as error:
        # The package's own errors have no common class but this one.
        raise broken(path, f"neither OpenCV nor onnxruntime can carry it out ({cause}; {str(error)[:150]})") from error
    return by_runtime


def _by_opencv(path: Path, told: PictureGraph) -> Run:
    network = cv2.dnn.readNetFromONNX(str(path), cv2.dnn.ENGINE_AUTO)
    names = list(network.getUnconnectedOutLayersNames())
    place = names.index(told.outputs[0]) if told.outputs[0] in names else 0

    def by_opencv(planes: Floats) -> Floats:
        network.setInput(planes)
        return np.array(network.forward(names)[place], np.float32)

    return by_opencv

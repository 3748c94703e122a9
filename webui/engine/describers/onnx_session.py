"""Networks in .onnx files of taggers and of CLIP, carried out by onnxruntime where it is installed, else by OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from webui.engine.families.weights import broken, reading

RUNTIME = "onnxruntime"
INSTALL = (
    "Install onnxruntime, which carries out more networks, in the program's environment: pip install '.[taggers]'."
)
Given: TypeAlias = NDArray[np.generic]
Run: TypeAlias = Callable[[Mapping[str, Given], str], NDArray[np.float32]]
"""(input name -> value, name of an output) -> that output."""


class _Session(Protocol):
    """What is used of onnxruntime's sessions."""

    def run(self, outputs: list[str], given: Mapping[str, Given]) -> list[Given]: ...


def runner(path: Path, device: torch.device) -> Run:
    """What carries out the file's network.

    Raises:
        ModelError: nothing here can open it; `Run` raises it where it cannot be carried out.
    """
    return _by_runtime(path, device) or _by_opencv(path)


def _by_runtime(path: Path, device: torch.device) -> Run | None:
    """None: onnxruntime is not installed."""
    try:
        runtime = import_module(RUNTIME)
    except (ImportError, OSError):
        return None
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    providers = [name for name in (*wanted, "CPUExecutionProvider") if name in runtime.get_available_providers()]
    with reading(path):  # what that raises is a kind of RuntimeError, and names no file
        session: _Session = runtime.InferenceSession(str(path), providers=providers)

    def run(given: Mapping[str, Given], output: str) -> NDArray[np.float32]:
        with reading(path):
            return np.asarray(session.run([output], given)[0], np.float32)

    return run


def _by_opencv(path: Path) -> Run:
    try:
        network = cv2.dnn.readNetFromONNX(str(path), cv2.dnn.ENGINE_NEW)
    except cv2.error as error:
        raise broken(path, f"OpenCV cannot open it ({_first_line(error)})", INSTALL) from error

    def run(given: Mapping[str, Given], output: str) -> NDArray[np.float32]:
        try:
            for name, value in given.items():
                network.setInput(cast("NDArray[np.float32]", value), name)
            names = list(network.getUnconnectedOutLayersNames())
            return np.array(network.forward(names)[names.index(output)], np.float32)
        except (cv2.error, ValueError) as error:
            raise broken(path, f"OpenCV cannot carry it out ({_first_line(error)})", INSTALL) from error

    return run


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]

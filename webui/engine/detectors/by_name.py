"""Detectors as requests name them: files of one's own, and the packaged ones."""

from __future__ import annotations

from pathlib import Path

from webui.base.errors import NotFound
from webui.engine.detectors.found import Detection
from webui.engine.detectors.yolo import YOLO
from webui.engine.detectors.yolo_onnx import ONNX_YOLO
from webui.engine.preprocessors.picture import Bytes
from webui.engine.residents import Residents
from webui.request.model_ref import ModelRef


def look(ref: ModelRef, residents: Residents, picture: Bytes, confidence: float) -> list[Detection]:
    """What the detector finds in a picture, (h, w, 3), RGB: the surest first.

    Raises:
        ModelError: its file cannot be opened.
        NotFound: it is none that is known here.
        OutOfMemory: there is no room for it.
    """
    if not ref.path:
        raise NotFound(f"There is no detector named {ref.title!r}.", field="features")
    if Path(ref.path).suffix.lower() == ".onnx":
        with residents.lend(ONNX_YOLO, ref) as network:
            return network(picture, confidence)
    with residents.lend(YOLO, ref) as own:
        return own(picture, confidence)

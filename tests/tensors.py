"""Files of tensors, written without torch: what tests of the server side make networks with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """A .safetensors file of 32-bit floats; its folder is made."""
    header: dict[str, object] = {}
    content = b""
    for name, values in tensors.items():
        end = len(content) + values.nbytes
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(content), end]}
        content += values.astype("<f4").tobytes()
    told = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(told).to_bytes(8, "little") + told + content)


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int = 1, spread: float = 0.3) -> dict[str, np.ndarray[Any, Any]]:
    """Random weights of these shapes."""
    draw = np.random.default_rng(seed)
    return {name: draw.normal(0, spread, size=shape).astype("<f4") for name, shape in shapes.items()}

"""What A1111 v1.10.1 itself answered: `tests/golden/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

NOT_IN_A1111 = ("Euler CFG++", "DPM++ 2M CFG++", "Res Multistep", "ER SDE")
"""Samplers of ours that nothing was recorded for."""

FOLDER = Path(__file__).resolve().parents[2] / "golden"


def function(name: str) -> Any:
    return json.loads((FOLDER / "functions" / f"{name}.json").read_text())


def latents(name: str) -> dict[str, Tensor]:
    with np.load(FOLDER / "latents" / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}

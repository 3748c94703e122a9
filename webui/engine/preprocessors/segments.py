"""Maps of segments: the surest class of each pixel, in its colour."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from webui.engine.preprocessors.palettes import coloured
from webui.engine.preprocessors.picture import Bytes

AT_ONCE = 8
"""Classes that are made as large as the picture at a time: all of them would need gigabytes."""


def segmented(told: Tensor, size: tuple[int, int], palette: Bytes) -> Bytes:
    """told: (1, classes, h, w), how sure a network is of each; size: height and width -> (height, width, 3)."""
    best, labels = torch.full(size, -torch.inf), torch.zeros(size, dtype=torch.int64)
    for first in range(0, told.shape[1], AT_ONCE):
        large = interpolate(told[:, first : first + AT_ONCE].float(), size=size, mode="bilinear")[0]
        sure, which = large.max(0)
        better = sure > best
        best[better], labels[better] = sure[better], which[better] + first
    return coloured(np.asarray(labels), palette)

"""Adaptive projected guidance: across the picture and not along it."""

from __future__ import annotations

import torch
from torch import Tensor

from webui.engine.denoisers import Change, Prediction
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.adaptive_projected_guidance.parameters import Params

WHOLE = (1, 2, 3)
"""All of a picture's dimensions."""


def projected(scale: float, eta: float, threshold: float, momentum: float) -> Change:
    """Adaptive projected guidance: c + (scale - 1) (the part of c - u across c + eta times the part along c).

    Sadat et al. 2024, arXiv:2410.02416, algorithm 1. threshold: the most that the length of c - u may be, 0 for any.
    momentum: of c - u over the calls, negative to push away from where it went before. eta = 1, threshold = 0 and
    momentum = 0 are plain guidance. Keeps a running sum: one a pass.
    """
    so_far: list[Tensor] = []

    def change(prediction: Prediction) -> Tensor:
        c = prediction.conditional
        difference = c - prediction.unconditional
        if momentum:
            difference = difference + momentum * so_far.pop() if so_far else difference
            so_far.append(difference)
        if threshold > 0:
            length = torch.linalg.vector_norm(difference, dim=WHOLE, keepdim=True)
            difference = difference * (threshold / length.clamp(min=1e-12)).clamp(max=1.0)
        along = c * ((difference * c).sum(WHOLE, keepdim=True) / (c * c).sum(WHOLE, keepdim=True).clamp(min=1e-12))
        return c + (scale - 1) * (difference - along + eta * along)

    return change


class Projecting(PassFeature):
    def __init__(self, change: Change) -> None:
        self._change = change

    def guide(self, prediction: Prediction) -> Tensor:
        return self._change(prediction)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        wish = self.params
        return Projecting(projected(context.guidance.scale, wish.eta, wish.threshold, wish.momentum))

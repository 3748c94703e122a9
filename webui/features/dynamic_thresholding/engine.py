"""Dynamic thresholding: values stay in the range that they have at a lower CFG scale."""

from __future__ import annotations

import torch
from torch import Tensor

from webui.engine.denoisers import Change, Prediction
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.dynamic_thresholding.parameters import Params


def thresholded(mimic: float, percentile: float) -> Change:
    """Dynamic thresholding: values beyond a percentile are cut, and the rest is brought to the range of a lower scale.

    Saharia et al. 2022 (Imagen), arXiv:2205.11487, section 2.3: clip to [-s, s], divide by s. Latents have no natural
    range: each channel's is taken around its mean, as far as guidance of the scale `mimic` would reach.
    """

    def change(prediction: Prediction) -> Tensor:
        x0 = prediction.x0
        wanted = prediction.unconditional + mimic * (prediction.conditional - prediction.unconditional)
        limit = _around_mean(wanted)[1].abs().amax(dim=(2, 3), keepdim=True)
        mean, apart = _around_mean(x0)
        reach = torch.quantile(apart.abs().flatten(2).float(), percentile, dim=2)[..., None, None].to(x0.dtype)
        s = torch.maximum(reach, limit)
        return mean + apart.clamp(-s, s) * (limit / s.clamp(min=1e-12))

    return change


def _around_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each channel's mean, and how far it is from it everywhere."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return mean, x - mean


class Thresholding(PassFeature):
    def __init__(self, change: Change) -> None:
        self._change = change

    def guide(self, prediction: Prediction) -> Tensor:
        return self._change(prediction)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        mimic = self.params.mimic_scale * context.this.sampler.cfg_factor
        return Thresholding(thresholded(mimic, self.params.percentile))

"""CFG rescale: the contrast of the prediction without guidance."""

from __future__ import annotations

from torch import Tensor

from webui.engine.denoisers import Change, Prediction
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.cfg_rescale.parameters import Params

WHOLE = (1, 2, 3)
"""All of a picture's dimensions."""


def rescaled(share: float) -> Change:
    """CFG rescale: the guided prediction with the contrast of the conditional one, mixed in by `share`.

    Lin et al. 2023, arXiv:2305.08891, section 3.4, eq. 15 and 16.
    """

    def change(prediction: Prediction) -> Tensor:
        x0 = prediction.x0
        contrast = prediction.conditional.std(dim=WHOLE, keepdim=True) / x0.std(dim=WHOLE, keepdim=True).clamp(
            min=1e-12
        )
        return x0 * (share * contrast + (1 - share))

    return change


class Rescaling(PassFeature):
    def __init__(self, change: Change) -> None:
        self._change = change

    def guide(self, prediction: Prediction) -> Tensor:
        return self._change(prediction)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        return Rescaling(rescaled(self.params.share))

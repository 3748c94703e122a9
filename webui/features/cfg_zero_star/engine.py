"""CFG-Zero*: x0 of a velocity that is guided away from the best multiple of the unconditional one."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from webui.engine.denoisers import Prediction
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.sampling.process import RectifiedFlow
from webui.features.cfg_zero_star.parameters import Params

WHOLE = (1, 2, 3)
"""All of a picture's dimensions."""


def optimized(prediction: Prediction, scale: float) -> Tensor:
    """x0 of v = s u + scale (c - s u), where s = <c, u> / |u|^2 brings u as near to c as may be: algorithm 1.

    u and c are the velocities of flows, which are x - x0 but for a factor that cancels out; in eps and v models, whose
    x is x0 with noise added, the same differences are the predicted noise.
    """
    c, u = prediction.x - prediction.conditional, prediction.x - prediction.unconditional
    s = (c * u).sum(WHOLE, keepdim=True) / (u * u).sum(WHOLE, keepdim=True).clamp(min=1e-12)
    return prediction.x - (s * u + scale * (c - s * u))


class Optimizing(PassFeature):
    def __init__(self, scale: float, is_still: Callable[[], bool]) -> None:
        self.scale, self.is_still = scale, is_still

    def guide(self, prediction: Prediction) -> Tensor:
        if self.is_still():
            return prediction.x
        return optimized(prediction, self.scale)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        clock, calls = context.clock, context.this.sampler.calls_per_step
        still = self.params.zero_init_steps * calls if isinstance(context.process, RectifiedFlow) else 0
        return Optimizing(context.guidance.scale, lambda: clock.calls <= still)

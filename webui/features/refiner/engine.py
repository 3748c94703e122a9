"""The refiner answers from the first call at which it is due; only then it is lent."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from webui.engine.denoisers import Prompted, Source
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.refiner.parameters import ROLE, Params


class Refining(PassFeature):
    """A pass in which another network takes over."""

    def __init__(self, is_due: Callable[[Tensor], bool], enters: Callable[[], Prompted]) -> None:
        self.is_due, self.enters = is_due, enters

    def network(self, source: Source) -> Source:
        taken: list[Prompted] = []

        def switched(sigma: Tensor) -> Prompted:
            if not taken and self.is_due(sigma):
                taken.append(self.enters())
            return taken[0] if taken else source(sigma)

        return switched


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        services, wish = context.services, self.params
        here = "second pass" if context.this.phase == "hires" else "first pass"
        if services.plan is None or wish.passes not in (here, "both passes"):
            return None
        refiner = services.plan.partners[wish.partner]
        process, clock = context.process, context.clock

        def is_due(sigma: Tensor) -> bool:
            if wish.by_steps:
                done = clock.calls / clock.total
            else:
                timestep = (process.sigmas - float(sigma.max())).abs().argmin()
                done = (999 - int(timestep)) / 1000  # A1111: by the timestep, not by the step
            return done >= wish.switch_at

        return Refining(is_due, lambda: context.enter(services.lend(refiner, ROLE)))

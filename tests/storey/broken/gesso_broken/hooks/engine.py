"""Fails in the hook that is chosen, or gives there what it should not; within a call of the network in `predict`, and
within the walk in `walk`."""

from __future__ import annotations

from typing import Any

from gesso_broken.hooks.parameters import ENGINE, PASS, Params
from gesso_broken.raising import raises
from webui.engine.feature import FeatureEngine, PassFeature


def _failing(name: str, fails: Any) -> type[PassFeature]:
    late = name in ("predict", "walk")
    return type("Failing", (PassFeature,), {name: (lambda _self, _inner: fails) if late else fails})


class Engine(FeatureEngine[Params]):
    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        if params.where == "init":
            raises()
        if params.where in ENGINE:
            setattr(self, params.where, params.fails)

    def begin(self, _context: Any) -> PassFeature | None:
        return _failing(self.params.where, self.params.fails)() if self.params.where in PASS else None

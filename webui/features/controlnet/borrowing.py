"""A unit that borrows a network for a pass, whatever it does with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from webui.engine.batch import Loaded
from webui.engine.control.networks import CONTROL, Control
from webui.engine.denoisers import Ask
from webui.engine.feature import PassContext, PassFeature
from webui.features.controlnet.parameters import Params


class Borrowing(PassFeature):
    """A1111's extension: it acts on the checkpoint that the pass begins with, not on a refiner."""

    def __init__(self, params: Params, context: PassContext) -> None:
        self.params, self.context = params, context
        self.entered: Loaded | None = None

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        self.entered = loaded
        return self._lent_to(loaded)

    @contextmanager
    def _lent_to(self, loaded: Loaded) -> Iterator[None]:
        if loaded is not self.context.loaded:
            yield
            return
        residents, network = self.context.services.residents, self.params.network
        assert residents is not None and network is not None
        with residents.lend(CONTROL, network) as lent, self.beside(lent, loaded):
            yield

    def predict(self, ask: Ask) -> Ask:
        return self.asking(ask) if self.entered is self.context.loaded else ask

    def beside(self, lent: Control, loaded: Loaded) -> AbstractContextManager[None]:
        """Within the block the network acts beside the model."""
        raise NotImplementedError

    def asking(self, ask: Ask) -> Ask:
        """Around each call of that model."""
        raise NotImplementedError

"""Pictures whose edges meet: convolutions that see the other side where the picture ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn

from webui.engine.batch import Loaded
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.tiling.parameters import Params


@contextmanager
def tiled(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within the block every convolution of the modules wraps around; afterwards all is as before."""
    convolutions = [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    before = [layer.padding_mode for layer in convolutions]
    for layer in convolutions:
        layer.padding_mode = "circular"
    try:
        yield
    finally:
        for layer, mode in zip(convolutions, before, strict=True):
            layer.padding_mode = mode


class Seamless(PassFeature):
    """The networks of a pass wrap around."""

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        return tiled([] if unet is None else [unet])


class Engine(FeatureEngine[Params]):
    def patch_vae(self, vae: nn.Module) -> AbstractContextManager[None]:
        return tiled([vae])

    def begin(self, context: PassContext) -> PassFeature | None:
        return Seamless()

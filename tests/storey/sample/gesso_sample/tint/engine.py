"""Meets every hook and notes it; changes nothing but the finished picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from PIL import Image
from torch import Tensor, nn

from gesso_sample.tint.parameters import Params
from webui.engine.batch import Batch, Denoised, Loaded, Pass, Services
from webui.engine.denoisers import Ask, Call, Prediction, Source
from webui.engine.feature import FeatureEngine, FinishedPicture, Further, PassContext, PassFeature
from webui.engine.sampling.types import Denoiser


class Met:
    """The hooks that were met, each once, in order."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def __call__(self, name: str) -> None:
        self.names[name] = None

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        self(name)
        yield


class Tinting(PassFeature):
    def __init__(self, met: Met) -> None:
        self.met = met

    def enter(self, loaded: Loaded) -> None:
        self.met("enter")

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        return self.met.around("patch")

    def network(self, source: Source) -> Source:
        self.met("network")
        return source

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            self.met("predict")
            return ask(call)

        return asked

    def guide(self, prediction: Prediction) -> Tensor:
        self.met("guide")
        return prediction.x0

    def denoise(self, denoise: Denoiser) -> Denoiser:
        self.met("denoise")
        return denoise

    def first(self, x: Tensor) -> Tensor:
        self.met("first")
        return x

    def walk(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def walked() -> Tensor:
            self.met("walk")
            return run()

        return walked


class Engine(FeatureEngine[Params]):
    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self.met = Met()
        for name in params.met:
            self.met(name)

    def patch_vae(self, vae: nn.Module) -> AbstractContextManager[None]:
        return self.met.around("patch_vae")

    def shape(self, this: Pass, loaded: Loaded) -> Pass:
        self.met("shape")
        return this

    def begin(self, context: PassContext) -> PassFeature:
        self.met("begin")
        return Tinting(self.met)

    def then(self, last: Denoised, this: Pass, loaded: Loaded, batch: Batch, services: Services) -> Further | None:
        self.met("then")
        return None

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        self.met("finish")
        finished.batch.facts.note("Sample hooks", " ".join(self.met.names))
        grey = Image.new("RGB", finished.picture.size, (128, 128, 128))
        return replace(finished, picture=Image.blend(finished.picture, grey, self.params.strength))

"""Laws over all features: their order, their hooks, and that a pass names none of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import pytest
from PIL import Image
from torch import Tensor, nn

from tests.engine.conftest import Engine
from tests.engine.test_generate import request
from webui import registry
from webui.engine import batch, denoisers, feature, generate, passes
from webui.engine.batch import Batch, Denoised, Loaded, Pass, Services
from webui.engine.denoisers import Ask, Call, Prediction, Source
from webui.engine.feature import FeatureEngine, FinishedPicture, Further, PassContext, PassFeature
from webui.engine.sampling.types import Denoiser
from webui.features.feature import FeatureParams
from webui.registry import FEATURES, FeatureEntry
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings


def test_each_stands_behind_those_that_it_must_come_after() -> None:
    names = [entry.name for entry in FEATURES]
    assert len(names) == len(set(names))
    for place, entry in enumerate(FEATURES):
        assert set(entry.params.after) <= set(names[:place]), entry.name


def test_every_hook_is_explained_in_the_one_list() -> None:
    for cls in (FeatureEngine, PassFeature):
        hooks = {name: value for name, value in vars(cls).items() if inspect.isfunction(value) and name[0] != "_"}
        assert hooks
        assert all((hook.__doc__ or "").strip() for hook in hooks.values()), cls


def test_no_feature_invents_a_hook() -> None:
    """A method that looks like a hook and is none would never be called."""
    known = {name for cls in (FeatureEngine, PassFeature) for name in dir(cls)}
    for entry in FEATURES:
        public = {name for name in vars(entry.engine) if not name.startswith("_")}
        assert public <= known, (entry.name, public - known)


@pytest.mark.parametrize("module", [batch, denoisers, feature, generate, passes], ids=lambda module: module.__name__)
def test_the_way_of_a_batch_imports_no_feature(module: object) -> None:
    text = Path(inspect.getfile(module)).read_text("utf-8")  # type: ignore[arg-type]
    found = [line for line in text.splitlines() if "import" in line and "webui.features." in line]
    assert all("webui.features.feature " in line for line in found), found


# ---------------------------------------------------------------- a feature that uses every hook


class Params(FeatureParams):
    heard: ClassVar[list[str]] = []

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        return cls() if "probe" in request.prompt else None


class Probing(PassFeature):
    def enter(self, loaded: Loaded) -> None:
        Params.heard.append("enter")

    @contextmanager
    def _heard(self, name: str) -> Iterator[None]:
        Params.heard.append(name)
        yield
        Params.heard.append(f"{name} undone")

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        return self._heard("patch")

    def network(self, source: Source) -> Source:
        Params.heard.append("network")
        return source

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            Params.heard.append(f"call {call.number}/{call.total} {[(row.picture, row.side) for row in call.rows]}")
            return ask(call)

        return asked

    def guide(self, prediction: Prediction) -> Tensor:
        Params.heard.append("guide")
        return prediction.x0

    def denoise(self, denoise: Denoiser) -> Denoiser:
        Params.heard.append("denoise")
        return denoise

    def first(self, x: Tensor) -> Tensor:
        Params.heard.append("first")
        return x

    def walk(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def twice() -> Tensor:
            Params.heard.append("walk")
            return run()

        return twice


class Probe(FeatureEngine[Params]):
    @contextmanager
    def _heard(self, name: str) -> Iterator[None]:
        Params.heard.append(name)
        yield
        Params.heard.append(f"{name} undone")

    def patch_vae(self, vae: nn.Module) -> AbstractContextManager[None]:
        return self._heard("patch_vae")

    def shape(self, this: Pass, loaded: Loaded) -> Pass:
        Params.heard.append("shape")
        return this

    def begin(self, context: PassContext) -> PassFeature:
        Params.heard.append("begin")
        return Probing()

    def then(self, last: Denoised, this: Pass, loaded: Loaded, batch: Batch, services: Services) -> Further | None:
        Params.heard.append("then")
        return None

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        Params.heard.append(f"finish {finished.index}")
        return replace(finished, picture=finished.picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


class Entry(FeatureEntry):
    params = Params
    engine = Probe


def with_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    Params.heard.clear()
    monkeypatch.setattr(registry, "features", lambda: (*FEATURES, Entry("Probe", "")))


def test_a_batch_meets_every_hook_in_order(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with_probe(monkeypatch)
    made = engine.run(request(prompt="probe", steps=1, batch_size=2, sampler_name="Euler"))
    rows = "[(0, 'positive'), (1, 'positive'), (0, 'negative'), (1, 'negative')]"
    assert Params.heard == [
        *("patch_vae", "shape", "begin", "enter", "patch", "network", "denoise", "first", "walk"),
        *(f"call 0/1 {rows}", "guide", "patch undone", "then", "finish 0", "finish 1", "patch_vae undone"),
    ]
    assert len(made) == 2


def test_what_a_feature_does_in_the_end_is_seen_and_nothing_else(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = engine.run(request(prompt="probe"))[0]
    with_probe(monkeypatch)
    mirrored = engine.run(request(prompt="probe"))[0]
    picture = Image.frombytes("RGB", (mirrored.width, mirrored.height), mirrored.rgb)
    assert picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes() == plain.rgb != mirrored.rgb

"""The example in the map is one: it is read out of the README and makes pictures."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import webui.features
from tests.engine.conftest import Engine, most_apart
from tests.engine.test_generate import CLOSE, request
from webui import registry
from webui.registry import FeatureEntry
from webui.request.fields import Txt2Img
from webui.request.infotext import labels_of, write
from webui.request.messages import Pictured
from webui.request.settings import RenderSettings
from webui.scripts import xyz
from webui.server.api.alwayson import features_in

MAP = (Path(webui.features.__file__).parents[1] / "README.md").read_text("utf-8")
PACKAGE = "webui.features.guidance_interval"


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureEntry]:
    """The feature of the example, in the registry."""
    files = dict(re.findall(r"```python\n# webui/features/(\S+)\n(.*?)```", MAP, re.DOTALL))
    assert set(files) == {"guidance_interval/parameters.py", "guidance_interval/engine.py"}
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
        (file.parent / "__init__.py").touch()
    monkeypatch.setattr(webui.features, "__path__", [*webui.features.__path__, str(tmp_path)])
    told = re.search(rf'FeatureEntry\("([^"]+)", "{PACKAGE}"\)', MAP)
    assert told is not None
    made = FeatureEntry(told[1], PACKAGE)
    monkeypatch.setattr(registry, "FEATURES", (*registry.FEATURES, made))
    yield made
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]
    vars(webui.features).pop("guidance_interval", None)


def test_the_example_of_the_map_does_what_it_says(engine: Engine, entry: FeatureEntry) -> None:
    def made(**values: float) -> Pictured:
        return engine.run(request(steps=4, features={entry.name: values}))[0]

    plain = engine.run(request(steps=4))[0]
    assert made(start=0, end=1).rgb == plain.rgb
    assert most_apart(made(start=0.4, end=0.6), plain) > CLOSE
    assert most_apart(made(start=1, end=1), engine.run(request(steps=4, cfg_scale=1))[0]) <= CLOSE


def test_all_else_follows_from_its_declaration(entry: FeatureEntry) -> None:
    asked = Txt2Img.made(prompt="a", features={entry.name: {"start": 0.3}})
    assert "Guidance start: 0.3, Guidance end: 0.8" in write("a", "", labels_of(asked, RenderSettings(), {}))
    assert f"[{entry.name}] Start" in {axis.title for axis in xyz.axes(Txt2Img)}
    assert features_in({entry.name: {"args": [True, 0.3, 0.7]}}) == {entry.name: {"start": 0.3, "end": 0.7}}

"""An always-on unit whose values hold pictures, as programs send them: its pictures are uploads, never in the row."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from PIL import Image as PilImage

from tests.api.conftest import Api
from webui import registry
from webui.features.feature import FeatureParams
from webui.registry import FEATURES, FeatureEntry
from webui.request.messages import Run
from webui.request.params import Declared, Image, Param, Slider
from webui.request.plan import Plan

SMALL = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 2, "seed": 5}


class Area(Declared):
    mask: Annotated[str, Image(ui="Mask")] = ""
    """White where it acts."""


class HintParams(FeatureParams):
    """What a picture shall follow."""

    title: ClassVar[str] = "Hint"
    aliases: ClassVar[tuple[str, ...]] = ("ControlHint",)
    units: ClassVar[int] = 3

    image: Annotated[str, Image(ui="Hint")] = ""
    """The hint."""
    weight: Annotated[float, Slider(label="Weight", min=0, max=2, step=0.05)] = 1.0
    """How much of it."""
    area: Annotated[Area, Param(axis=False)] = Area()
    """Where."""


ENTRY: FeatureEntry = type("Entry", (FeatureEntry,), {"params": HintParams, "engine": None})("Hint", "x.hint")


@pytest.fixture(autouse=True)
def _hints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "features", lambda: (*FEATURES, ENTRY))


def noise(seed: int, side: int = 512) -> bytes:
    """A file of nearly a megabyte."""
    buffer = io.BytesIO()
    levels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    PilImage.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def sent(api: Api, *units: Any, title: str = "ControlHint") -> Any:
    return api.client.post("/sdapi/v1/txt2img", json={**SMALL, "alwayson_scripts": {title: {"args": list(units)}}})


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_large_picture_in_a_unit_goes_to_an_upload_and_never_into_the_row(api: Api) -> None:
    hint, mask = noise(1), noise(2)
    unit = {"image": f"data:image/png;base64,{encoded(hint)}", "weight": 0.5, "area": {"mask": encoded(mask)}}
    answer = sent(api, {**unit, "enabled": False}, unit, {"image": encoded(hint), "enabled": True})
    assert answer.status_code == 200, answer.text
    names = [hashlib.sha256(content).hexdigest() for content in (hint, mask)]
    assert [api.app.catalog.uploads.get(name) for name in names] == [hint, mask]
    (row,) = api.app.catalog.jobs.list()
    assert len(row.request) < 2000 and encoded(hint)[:100] not in row.request
    run = next(command for command in api.engine.sent if isinstance(command, Run))
    assert isinstance(run.plan, Plan)
    wishes = [wish for wish in run.plan.batches[0][0].wishes if wish.feature == "Hint"]
    assert [(wish.unit, wish.params.image, wish.params.weight, wish.params.area.mask) for wish in wishes] == [
        (1, names[0], 0.5, names[1]),
        (2, names[0], 1.0, ""),
    ]
    assert {name: run.plan.images[name] for name in names} == dict(zip(names, (hint, mask), strict=True))


@pytest.mark.parametrize(
    "value",
    ["not base64!", encoded(b"no picture"), encoded(noise(1, 64)[:500]), "http://example.org/a.png", "/etc/passwd"],
)
def test_what_is_no_picture_is_refused_with_the_name_of_its_field(standing: Api, value: str) -> None:
    for unit, field in (({"image": value}, "image"), ({"area": {"mask": value}}, "mask")):
        answer = sent(standing, unit)
        assert answer.status_code == 422, answer.text
        assert field in answer.text and len(answer.text) < 2000

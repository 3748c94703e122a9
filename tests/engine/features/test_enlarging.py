"""The upscaler for img2img: where it acts, and how large a picture becomes by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from webui.engine.upscalers.resize import Enlarge
from webui.features.enlarging.engine import Engine
from webui.features.enlarging.parameters import Params
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings

RENDER = RenderSettings().changed(upscaler_for_img2img="Twice")


@dataclass
class Watching:
    said: list[str] = field(default_factory=list)

    def remark(self, text: str) -> None:
        self.said.append(text)


@dataclass
class Told:
    enlargers: dict[str, Enlarge]
    watch: Watching = field(default_factory=Watching)


def asked(**values: Any) -> Params | None:
    return Params.of(Img2Img(init_images=("x",), width=64, height=32, **values), RENDER)


@pytest.mark.parametrize(
    ("mode", "size", "made"),
    [
        (0, (32, 32), (64, 64)),
        (1, (32, 32), (64, 64)),
        (2, (32, 8), (64, 16)),
        (2, (32, 32), None),
        (0, (64, 40), None),
        (0, (16, 16), (64, 64)),
    ],
)
def test_it_is_enlarged_as_far_as_it_is_too_small(
    mode: int, size: tuple[int, int], made: tuple[int, int] | None
) -> None:
    calls: list[float] = []

    def twice(picture: Image.Image, factor: float) -> Image.Image:
        calls.append(factor)
        return picture.resize((2 * picture.width, 2 * picture.height))

    params = asked(resize_mode=mode)
    assert params is not None
    services: Any = Told({"Twice": twice})
    picture = Image.new("RGB", size)
    found = Engine(params).given(picture, services)
    assert (found is picture and not calls) if made is None else found.size == made


def test_where_it_acts() -> None:
    assert asked() is not None
    assert asked(resize_mode=3) is None
    assert asked(mask="m", inpaint_full_res=True) is None and asked(mask="m", inpaint_full_res=False) is not None
    assert Params.of(Txt2Img(), RENDER) is None
    assert Params.of(Img2Img(init_images=("x",)), RenderSettings()) is None


def test_an_upscaler_that_is_gone_is_named() -> None:
    services: Any = Told({})
    params = Params(upscaler="Twice", width=64, height=64, lacking="There is no upscaler.")
    picture = Image.new("RGB", (8, 8))
    assert Engine(params).given(picture, services) is picture
    assert services.watch.said == ["The picture was enlarged by Lanczos: There is no upscaler."]

"""The Extras tab's job in the engine: sizes, mixtures, parts, copies, and what the infotext says of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests import taggers
from tests.engine.conftest import OPTIONS
from tests.engine.features.test_detailer import Detailing, detailing  # noqa: F401 - a fixture
from tests.engine.test_generate import png
from tests.packaged import have_detectors
from webui.base.errors import NotFound, UserError
from webui.base.resume_points import ResumePoints
from webui.catalog.image_files import picture_of
from webui.engine.house import House
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.engine.small_vae import SmallVaes
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.jobs.extras.request import MOST_PARTS, RESIZE_TO, Extras, resolve_extras
from webui.jobs.extras.work import retouched, work
from webui.request.cutting import INCLUDED, Cutting, Edge
from webui.request.interrogators import Tagging
from webui.request.messages import Pictured
from webui.request.model_ref import ModelRef
from webui.request.plan import UpscalerRef
from webui.request.postprocessing import AUTOSIZED, FLIPS
from webui.request.settings import RenderSettings, Settings


class Names:
    """Two upscalers and one picture, 40 by 20, red and blue."""

    def picture(self, name: str) -> bytes:
        image = Image.new("RGB", (40, 20), "red")
        image.paste("blue", (20, 0, 40, 20))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def cutting(self, name: str, edge: Edge | None = None, field: str = "") -> Cutting:
        return Cutting(INCLUDED, edge)

    def restorer(self, name: str, field: str = "") -> ModelRef:
        raise NotFound(f"There is no face restorer named {name!r}.", field=field)

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        if name not in ("Lanczos", "Nearest"):
            raise NotFound(f"There is no upscaler named {name!r}.", field=field)
        return UpscalerRef(name)


def made(names: Names | None = None, order: tuple[str, ...] = (), **asked: Any) -> list[Pictured]:
    request = Extras(**{"images": ("x",), "upscaler_1": "Nearest", "upscaling_resize": 2, **asked})
    device = torch.device("cpu")
    watch = Watch("job", lambda event: None, Cancel(), Viewing(), Stopwatch(device))
    shelf = UpscalerShelf(Residents(profile_of(OPTIONS)))
    settings = Settings(render=RenderSettings(postprocessing_operation_order=order))
    return list(retouched(resolve_extras(request, settings, names or Names()), shelf, watch))


def sizes(pictures: list[Pictured]) -> list[tuple[int, int]]:
    return [(picture.width, picture.height) for picture in pictures]


@pytest.mark.parametrize(
    ("asked", "size", "facts"),
    [
        ({}, (80, 40), {"Postprocess upscale by": "2.0", "Postprocess upscaler": "Nearest"}),
        ({"upscaler_1": "None"}, (40, 20), {}),
        ({"upscaling_resize": 4, "max_side_length": 120}, (120, 56), {"Max side length": "120"}),
        (
            {"resize_mode": RESIZE_TO, "upscaling_resize_w": 64, "upscaling_resize_h": 64},
            (64, 64),
            {"Postprocess upscale to": "64x64", "Postprocess crop to": "64x64"},
        ),
        (
            {"resize_mode": RESIZE_TO, "upscaling_resize_w": 64, "upscaling_resize_h": 64, "upscaling_crop": False},
            (128, 64),
            {"Postprocess upscale to": "64x64"},
        ),
    ],
)
def test_by_a_factor_or_to_a_size(asked: dict[str, Any], size: tuple[int, int], facts: Mapping[str, str]) -> None:
    pictures = made(**asked)
    assert sizes(pictures) == [size]
    assert facts.items() <= dict(pictures[0].facts).items()


def test_a_second_upscaler_is_mixed_in() -> None:
    one, other = made()[0], made(upscaler_1="Lanczos")[0]
    mixed = made(upscaler_2="Lanczos", extras_upscaler_2_visibility=1)[0]
    assert mixed.rgb == other.rgb != one.rgb
    assert dict(mixed.facts)["Postprocess upscaler 2"] == "Lanczos"
    assert made(upscaler_2="Lanczos")[0].rgb == one.rgb, "it is not visible"


def test_parts_and_flipped_copies_are_pictures_of_their_own() -> None:
    pictures = made(flip_horizontal=True, flip_vertical=True, flip_both=True, upscaler_1="None")
    assert [picture.position for picture in pictures] == [0, 1, 2, 3]
    red, blue = bytes((255, 0, 0)), bytes((0, 0, 255))
    assert [picture.rgb[:3] for picture in pictures] == [red, blue, red, blue]
    asked = {"resize_mode": RESIZE_TO, "upscaling_resize_w": 24, "upscaling_resize_h": 24, "upscaling_crop": False}
    parts = made(images=("x", "y"), split_oversized=True, split_threshold=1, split_overlap=0.2, **asked)
    assert sizes(parts) == [(24, 24)] * 6
    assert parts[3].position == MOST_PARTS
    bounds = {"crop_min_side": 64, "crop_max_side": 256, "crop_max_area": 128 * 256}
    assert sizes(made(autosized_crop=True, **bounds)) == [(256, 128)]
    assert sizes(made(autosized_crop=True, crop_objective="Minimize error", crop_min_side=64, crop_max_side=200)) == [
        (128, 64)
    ]


def test_operations_act_in_the_order_of_the_settings() -> None:
    """Enlarged and cut, or cut and enlarged; copies before parts, or parts of copies."""
    asked = {
        "autosized_crop": True,
        "crop_min_side": 64,
        "crop_max_side": 64,
        "crop_threshold": 1,
        "flip_horizontal": True,
    }
    assert sizes(made(**asked)) == [(64, 64)] * 2
    assert sizes(made(order=(AUTOSIZED,), **asked)) == [(128, 128)] * 2
    to = {"resize_mode": RESIZE_TO, "upscaling_resize_w": 24, "upscaling_resize_h": 24, "upscaling_crop": False}
    split = {"split_oversized": True, "split_threshold": 1, "flip_horizontal": True, **to}
    left, right = bytes((255, 0, 0)), bytes((0, 0, 255))
    assert [picture.rgb[:3] for picture in made(**split)][:2] == [left, left], "a part, and its copy"
    mirrored = made(order=(FLIPS,), **split)
    assert [picture.rgb[:3] for picture in mirrored] == [left, left, right, right, right, left]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="would become 2560x1280"):
        device = torch.device("cpu")
        small = Settings().with_options({"most_megapixels": 1})
        plan = resolve_extras(Extras(images=("x",), upscaler_1="Nearest", upscaling_resize=64), small, Names())
        watch = Watch("job", lambda event: None, Cancel(), Viewing(), Stopwatch(device))
        list(retouched(plan, UpscalerShelf(Residents(profile_of(OPTIONS))), watch))
    with pytest.raises(NotFound, match="Lanzos") as caught:
        made(upscaler_2="Lanzos")
    assert caught.value.field == "upscaler_2"
    with pytest.raises(UserError, match="no picture"):
        made(images=())


def test_what_is_transparent_stays_so_and_no_hidden_colour_comes_in_at_the_edge() -> None:
    """A green disc on nothing, whose file has red where nothing is seen."""
    for upscaler, asked in (("Lanczos", {}), ("Nearest", {}), ("None", {"flip_horizontal": True})):
        image = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
        image.paste((0, 255, 0, 255), (0, 0, 20, 20))
        image.putpixel((20, 10), (0, 255, 0, 128))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")

        class Transparent(Names):
            content = buffer.getvalue()

            def picture(self, name: str) -> bytes:
                return self.content

        picture = made(names=Transparent(), upscaler_1=upscaler, **asked)[-1]
        result = picture_of(picture.width, picture.height, picture.rgb, picture.alpha)
        if upscaler == "None":
            assert result.getpixel((39, 0)) == (0, 255, 0, 255) and result.getpixel((0, 0))[3] == 0  # type: ignore[index]
            continue
        assert result.mode == "RGBA" and result.size == (80, 40)
        assert result.getpixel((0, 0)) == (0, 255, 0, 255) and result.getpixel((79, 0))[3] == 0  # type: ignore[index]
        levels = np.asarray(result)
        assert levels[levels[..., 3] > 0][:, 0].max() < 8, "the red that nobody sees stays hidden"


def seen(picture: Pictured) -> Image.Image:
    return picture_of(picture.width, picture.height, picture.rgb, picture.alpha)


class WithAstronaut(Names):
    def picture(self, name: str) -> bytes:
        return (Path(__file__).parents[1] / "pictures" / "astronaut.jpg").read_bytes()


def test_a_background_is_removed_before_the_picture_is_enlarged() -> None:
    have_detectors()
    (cut,) = made(WithAstronaut(), remove_background=True, upscaling_resize=2)
    assert sizes([cut]) == [(512, 512)]
    assert dict(cut.facts)["Postprocess background"] == "removed"
    alpha = np.array(seen(cut).getchannel("A"))
    assert alpha[200:480, 140:280].mean() > 240, "the astronaut stays"
    assert alpha[:200, 340:].mean() < 15, "the wall and the model of a shuttle go"
    (whole,) = made(WithAstronaut(), upscaling_resize=2)
    colours = [np.array(seen(each).convert("RGB"))[200:480, 140:280] for each in (cut, whole)]
    assert np.array_equal(*colours)


@pytest.mark.parametrize(("size", "mode"), [((1, 1), "RGBA"), ((9, 700), "I;16"), ((5, 5), "P")])
def test_a_background_of_anything_is_removed_and_what_was_transparent_stays_so(size: Any, mode: str) -> None:
    have_detectors()

    class WithIt(Names):
        def picture(self, name: str) -> bytes:
            buffer = io.BytesIO()
            Image.new(mode, size).save(buffer, "PNG")
            return buffer.getvalue()

    (cut,) = made(WithIt(), remove_background=True, upscaler_1="None")
    assert sizes([cut]) == [size]
    if mode == "RGBA":
        assert np.array(seen(cut))[..., 3].max() == 0


def test_an_opaque_picture_has_no_opacity_to_carry() -> None:
    assert made()[0].alpha == b""


def test_a_face_in_an_old_picture_is_painted_anew(detailing: Detailing, tmp_path: Path) -> None:  # noqa: F811
    have_detectors()
    photo = Path(__file__).parents[1] / "pictures" / "astronaut.jpg"
    given = Image.open(photo).convert("RGB")
    request = Extras(images=("face", "none"), upscaler_1="None", detail_model="face", detail_prompt="a [PROMPT]")
    inner = detailing.plan(request.detailing({"prompt": "fox", "steps": 2}, 64))
    assert inner.inner[0].batches[0][0].request.prompt == "a fox"
    pictures = {"face": photo.read_bytes(), "none": png(Image.new("RGBA", (40, 20), (9, 9, 9, 99)))}
    plan = replace(
        resolve_extras(request, Settings(), Names()), images=pictures, details=dict.fromkeys(pictures, inner)
    )
    engine, said = detailing.engine, list[tuple[str, ...]]()
    watch = Watch("job", lambda _event: None, Cancel(), Viewing(), Stopwatch(torch.device("cpu")))
    house = House(
        engine.models.profile,
        engine.models,
        engine.cache,
        engine.shelf,
        SmallVaes(),
        UpscalerShelf(engine.models.residents),
        watch,
        ResumePoints(tmp_path / "points"),
        others_wait=lambda: False,
    )
    with torch.inference_mode():
        face, none = [(each, said.append(each.comments))[0] for each in work(plan, house)]
    painted = np.asarray(picture_of(face.width, face.height, face.rgb)) != np.asarray(given)
    rows, columns = np.nonzero(painted.any(-1))
    assert 0 < len(rows) < given.width * given.height / 4
    assert rows.max() - rows.min() < given.height / 2 and columns.max() - columns.min() < given.width / 2
    assert "1 face found" in said[0][0] and "nothing was found" in said[1][0]
    told = {"": "face", " prompt": "a [PROMPT]", " strength": "0.4"}
    assert dict(face.facts) == {f"Postprocess detailer{name}": text for name, text in told.items()}
    assert none.rgb == bytes((9,)) * 2400 and set(none.alpha) == {99}
    assert dict(none.facts) == {}, "the infotext says what has acted"


def test_each_result_is_cut_around_what_it_is_about_and_described(tmp_path: Path) -> None:
    way = Tagging(ModelRef(str(taggers.put_onnx(tmp_path)), "tiny"), "wd14", threshold=0.4)
    asked: dict[str, Any] = {
        "images": ("x", "y"), "captions": ("", "mine"), "resize_mode": RESIZE_TO, "upscaling_resize_w": 16,
        "upscaling_resize_h": 16, "focal_crop": True, "flip_horizontal": True, "caption_model": "wd14",
    }  # fmt: skip
    device = torch.device("cpu")
    watch = Watch("job", lambda event: None, Cancel(), Viewing(), Stopwatch(device))
    shelf = UpscalerShelf(Residents(profile_of(OPTIONS)))
    told = {}
    for action in ("Keep", "Ignore"):
        plan = resolve_extras(Extras(**asked, existing_caption=action), Settings(), Names(), captioning=way)
        pictures = list(retouched(plan, shelf, watch))
        assert sizes(pictures) == [(16, 16)] * 4, "half red and half blue"
        told[action] = [picture.caption for picture in pictures]
    assert told["Ignore"][0] and len(set(told["Ignore"])) == 1, "a mirrored picture has the same tags"
    assert told["Keep"] == [*told["Ignore"][:2], "", ""], "what has a caption is not looked at"

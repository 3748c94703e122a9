"""What the Extras tab does, done to a form's pictures as soon as they are finished."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.engine.conftest import Engine, Names
from tests.engine.test_generate import request
from webui.request import infotext
from webui.request.facts import facts_of
from webui.request.fields import Txt2Img
from webui.request.plan import UpscalerRef
from webui.request.postprocessing import AUTOSIZED, FOCAL, OPERATIONS, UPSCALE, in_order
from webui.request.settings import SaveSettings

LARGE = {"upscaler_1": "Nearest", "upscaling_resize": 2.0}


@pytest.fixture(autouse=True)
def pixels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Names, "upscaler", lambda _self, name, field="": UpscalerRef(name))


def asked(**values: object) -> Txt2Img:
    return request(features={"Postprocessing": values})


def test_a_picture_is_enlarged_as_in_extras_and_says_so(engine: Engine) -> None:
    (plain,) = engine.run(request())
    (made,) = engine.run(asked(**LARGE))
    assert (made.width, made.height) == (2 * plain.width, 2 * plain.height)
    small = Image.frombytes("RGB", (plain.width, plain.height), plain.rgb)
    assert made.rgb == small.resize((made.width, made.height), Image.Resampling.NEAREST).tobytes()
    assert dict(made.facts)["Postprocess upscaler"] == "Nearest"


def test_the_order_of_the_settings_holds(engine: Engine) -> None:
    """Cut to 64 pixels and enlarged, or enlarged and cut to 64 pixels."""
    wanted = asked(**LARGE, autosized_crop=True, crop_min_side=64, crop_max_side=64)
    (usual,) = engine.run(wanted)
    assert (usual.width, usual.height) == (64, 64)
    (other,) = engine.run(wanted.changed(override_settings={"postprocessing_operation_order": [AUTOSIZED]}))
    assert (other.width, other.height) == (128, 128)
    assert in_order((AUTOSIZED, "Gone", UPSCALE))[:2] == [AUTOSIZED, UPSCALE]
    assert sorted(in_order((FOCAL,))) == sorted(OPERATIONS)


def test_what_cannot_be_done_costs_the_operations_and_not_the_picture(engine: Engine) -> None:
    (plain,) = engine.run(request())
    (made,) = engine.run(asked(**LARGE, resize_mode=1, upscaling_resize_w=9000, upscaling_resize_h=9000))
    assert made.rgb == plain.rgb
    assert any("Postprocessing was left out: The picture of" in comment for comment in made.comments)


def test_a_cut_goes_to_the_size_without_any_upscaler(engine: Engine) -> None:
    (made,) = engine.run(asked(focal_crop=True, resize_mode=1, upscaling_resize_w=48, upscaling_resize_h=24))
    assert (made.width, made.height) == (48, 24)
    assert request(features={"Postprocessing": {"upscaling_resize": 3.0}}).features == {}


def test_its_infotext_is_read_back_and_that_of_extras_is_not(engine: Engine) -> None:
    wanted = asked(
        upscaler_1="Nearest",
        resize_mode=1,
        upscaling_resize_w=96,
        upscaling_resize_h=64,
        upscaling_crop=False,
        focal_crop=True,
        focal_face_weight=0.0,
    )
    (made,) = engine.run(wanted)
    plan = engine.plan(wanted)
    picture = plan.batches[0][0]
    facts = {**facts_of(picture, plan, SaveSettings(), "v1"), **dict(made.facts)}
    text = infotext.write("x", "", infotext.labels_of(picture.request, picture.render, facts))
    assert 'Postprocessing: "Upscale, Auto focal point crop"' in text
    found = infotext.fields_of(infotext.read(text), Txt2Img)
    assert Txt2Img.made(**found).features == wanted.features
    extras = text.replace("Postprocessing:", "Something:")
    assert "Postprocessing" not in str(infotext.fields_of(infotext.read(extras), Txt2Img).get("features"))

"""The form of a feature follows from its declaration: switched off it asks for nothing, switched on for its values."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import gradio as gr
import pytest

from webui import registry
from webui.features.feature import FeatureParams
from webui.request.fields import Txt2Img
from webui.request.params import Image, Slider
from webui.request.settings import Settings, UiSettings
from webui.server.ui.controls import PARTS, Controls
from webui.server.ui.parts import features

APP: Any = SimpleNamespace(settings=SimpleNamespace(current=Settings()))
"""As much of the App as is asked while a form is laid out."""


@pytest.fixture
def controls() -> Controls:
    made = Controls(Txt2Img, "txt2img", lambda _source: ["u2netp"])

    async def build() -> None:
        with gr.Blocks():
            features(APP, made)

    asyncio.run(build())  # Gradio asks for an event loop, and would leave one of its own open.
    return made


def switched() -> list[registry.FeatureEntry]:
    """Those that do not stand among the request's own parameters, and that forms show as the settings begin."""
    shown = (entry for entry in registry.carried() if entry.params.is_shown(Settings().ui))
    return [entry for entry in shown if not entry.params.flat]


def single() -> list[registry.FeatureEntry]:
    """Those of them that act once at most; what has units is asked for by a list."""
    return [entry for entry in switched() if not entry.params.units]


def begun(controls: Controls, **switched: bool) -> dict[Any, Any]:
    """What a handler gets of a form as it begins, with these switches."""
    data = {component: component.value for component in controls.components}
    return data | {
        each: switched.get(each.label.replace("Enable", _unit_of(each.elem_id)), False)
        for each in data
        if each.elem_id.endswith("_enabled")
    }


def _unit_of(elem_id: str) -> str:
    """ "txt2img_hinted_1_enabled" -> "hinted 1"."""
    return " ".join(elem_id.split("_")[1:-1])


def test_a_form_as_it_begins_asks_for_no_feature(controls: Controls) -> None:
    assert controls.values(begun(controls)) == {PARTS: {}}
    assert PARTS in list(controls)


def test_what_is_switched_on_is_asked_for_with_what_stands_there(controls: Controls) -> None:
    for entry in single():
        asked = Txt2Img.made(**controls.values(begun(controls, **{entry.name: True})))
        values = entry.params.made().model_dump(mode="json", include=set(entry.params.params()))
        assert asked.features == {entry.name: values}


def test_what_a_picture_was_made_with_comes_back_and_all_else_is_switched_off(controls: Controls) -> None:
    updates, remarks = controls.show({PARTS: {"FreeU": {"b1": 1.5}, "Gone": {}}})
    shown = {component.elem_id: update["value"] for component, update in updates.items()}
    assert shown.pop("txt2img_freeu_b1") == 1.5
    assert shown.pop("txt2img_freeu_enabled") is True
    assert not any(shown.values())
    badges = sum(entry.params.units > 0 for entry in switched())
    assert len(shown) == sum(max(entry.params.units, 1) for entry in switched()) - 1 + badges
    assert remarks == ["The feature 'Gone' is not installed; it was ignored."]
    remarks = controls.show({PARTS: {"Postprocessing": {"upscaler_1": "Lanczos"}}})[1]
    assert remarks == ["The feature 'Postprocessing' is not shown here; it was ignored."]
    assert controls.show({"steps": 3}) == ({}, [])


def test_operations_of_extras_stand_in_the_form_where_the_settings_name_them() -> None:
    chosen = Settings(ui=UiSettings(postprocessing_enable_in_main_ui=("CodeFormer", "Auto focal point crop", "Gone")))
    app: Any = SimpleNamespace(settings=SimpleNamespace(current=chosen))
    made = Controls(Txt2Img, "txt2img", lambda _source: ["None"])

    async def build() -> None:
        with gr.Blocks() as page:
            features(app, made)
            own.extend(block.elem_id for block in page.blocks.values() if "_postprocessing_" in str(block.elem_id))

    own: list[str] = []
    asyncio.run(build())
    assert "txt2img_postprocessing_codeformer_weight" in own and "txt2img_postprocessing_focal_crop" in own
    assert "txt2img_postprocessing_upscaling_resize" in own, "what a cut goes for"
    assert not any("gfpgan" in each or "upscaler_1" in each or "autosized" in each for each in own)
    data = begun(made, Postprocessing=True)
    visibility = next(each for each in data if each.elem_id.endswith("codeformer_visibility"))
    asked = Txt2Img.made(**made.values({**data, visibility: 0.5}))
    assert asked.features["Postprocessing"]["codeformer_visibility"] == 0.5


def test_a_panel_of_its_own_lays_out_what_it_will_and_its_components_stand_for_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own: list[Any] = []

    def panel(_app: object, form: Controls) -> None:
        own.append(form.put("weight", gr.Number(1.5, label="How strongly", elem_id=f"{form.prefix}_own")))
        with pytest.raises(KeyError):
            form.put("nothing", own[0])

    entries = registry.features()
    alone = type("Alone", (Hinted,), {"units": 0})
    entry = type("Entry", (registry.FeatureEntry,), {"params": alone})("Hinted", "x.hinted", panel=True)
    resolved = registry.resolved
    monkeypatch.setattr(registry, "features", lambda: (*entries, entry))
    monkeypatch.setattr(registry, "resolved", lambda code: panel if code == "x.hinted.panel:panel" else resolved(code))
    made = Controls(Txt2Img, "txt2img", lambda _source: [], keep=lambda path: f"kept {path}")

    async def build() -> None:
        with gr.Blocks():
            features(APP, made)

    asyncio.run(build())
    assert [each.elem_id for each in made.components if "_hinted_" in each.elem_id] == [
        "txt2img_hinted_enabled",
        "txt2img_hinted_own",
        "txt2img_hinted_image",  # which the panel has left out
    ]
    told = made.values({**begun(made, Hinted=True), own[0]: 0.75})
    assert told == {PARTS: {"Hinted": {"image": "", "weight": 0.75}}}
    updates, _ = made.show({PARTS: {"Hinted": {"weight": 0.25}}})
    assert updates[own[0]]["value"] == 0.25


@pytest.fixture
def with_units(monkeypatch: pytest.MonkeyPatch) -> Controls:
    entries = registry.features()
    unit = type("Entry", (registry.FeatureEntry,), {"params": Hinted})("Hinted", "x.hinted")
    monkeypatch.setattr(registry, "features", lambda: (*entries, unit))
    made = Controls(Txt2Img, "txt2img", lambda _source: [], keep=lambda path: f"kept {path}")

    async def build() -> None:
        with gr.Blocks():
            features(APP, made)

    asyncio.run(build())
    return made


class Hinted(FeatureParams):
    title: ClassVar[str] = "Hinted"
    units: ClassVar[int] = 3

    image: Annotated[str, Image(ui="Hint")] = ""
    """What is followed."""
    weight: Annotated[float, Slider(ui="Weight", min=0, max=2)] = 1.0
    """How strongly."""


def test_units_stand_side_by_side_and_pictures_are_kept(with_units: Controls) -> None:
    data = begun(with_units, **{"hinted 1": True})
    picture = next(each for each in data if each.elem_id == "txt2img_hinted_1_image")
    told = with_units.values({**data, picture: "/tmp/a.png"})
    assert told == {PARTS: {"Hinted": [None, {"image": "kept /tmp/a.png", "weight": 1.0}, None]}}
    assert Txt2Img.made(**told).features == {"Hinted": told[PARTS]["Hinted"][:2]}


def test_what_units_were_made_with_comes_back(with_units: Controls) -> None:
    units = [{"weight": 0.5}, None, {"weight": 0.25, "image": "a" * 64}, {"weight": 2.0}]
    updates, remarks = with_units.show({PARTS: {"Hinted": units}})
    shown = {each.elem_id: update["value"] for each, update in updates.items() if update is not None}
    assert [shown[f"txt2img_hinted_{unit}_enabled"] for unit in range(3)] == [True, False, True]
    assert (shown["txt2img_hinted_0_weight"], shown["txt2img_hinted_2_weight"]) == (0.5, 0.25)
    assert remarks == ["Hinted has 4 units, of which 3 are shown.", "Hint: drop the picture into it again."]


def test_pictures_of_units_come_back_where_they_are_still_there(with_units: Controls) -> None:
    units = [{"image": "there"}, {"image": "gone"}, {"image": ""}]
    updates, remarks = with_units.show({PARTS: {"Hinted": units}}, {"there": "/tmp/copy.png", "gone": ""}.__getitem__)
    shown = {each.elem_id: update["value"] for each, update in updates.items()}
    assert [shown[f"txt2img_hinted_{unit}_image"] for unit in range(3)] == ["/tmp/copy.png", None, None]
    assert remarks == ["Hint: drop the picture into it again."]

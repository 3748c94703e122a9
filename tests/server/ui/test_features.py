"""The form of a feature follows from its declaration: switched off it asks for nothing, switched on for its values."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr
import pytest

from webui import registry
from webui.request.fields import Txt2Img
from webui.server.ui.controls import PARTS, Controls
from webui.server.ui.parts import features


@pytest.fixture
def controls() -> Controls:
    made = Controls(Txt2Img, "txt2img", lambda _source: [])

    async def build() -> None:
        with gr.Blocks():
            features(made)

    asyncio.run(build())  # Gradio asks for an event loop, and would leave one of its own open.
    return made


def begun(controls: Controls, **switched: bool) -> dict[Any, Any]:
    """What a handler gets of a form as it begins, with these switches."""
    data = {component: component.value for component in controls.components}
    return data | {each: switched.get(each.label, False) for each in data if each.elem_id.endswith("_enabled")}


def test_a_form_as_it_begins_asks_for_no_feature(controls: Controls) -> None:
    assert controls.values(begun(controls)) == {PARTS: {}}
    assert PARTS in list(controls)


def test_what_is_switched_on_is_asked_for_with_what_stands_there(controls: Controls) -> None:
    for entry in registry.carried():
        asked = Txt2Img.made(**controls.values(begun(controls, **{entry.name: True})))
        assert asked.features == {entry.name: entry.params.made().model_dump()}


def test_what_a_picture_was_made_with_comes_back_and_all_else_is_switched_off(controls: Controls) -> None:
    updates, remarks = controls.show({PARTS: {"FreeU": {"b1": 1.5}, "Gone": {}}})
    shown = {component.elem_id: update["value"] for component, update in updates.items()}
    assert shown.pop("txt2img_freeu_b1") == 1.5
    assert shown.pop("txt2img_freeu_enabled") is True
    assert not any(shown.values())
    assert len(shown) == len(registry.carried()) - 1
    assert remarks == ["There is no feature 'Gone' here; it is left out."]
    assert controls.show({"steps": 3}) == ({}, [])

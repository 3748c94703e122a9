"""What has no effect with a family of checkpoints is greyed out with the reason; pipelines remark upon it."""

from __future__ import annotations

import gradio as gr
import pytest

from webui.request import capabilities
from webui.request.capabilities import Capability
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings
from webui.request.whole import FIELDS, SETTINGS, unhonoured
from webui.server.ui.greyed import looks

STEPS, UNET = frozenset({Capability.STEPS}), frozenset({Capability.UNET})


def test_controls_are_greyed_out_with_the_reason_and_come_back() -> None:
    needs = {gr.Dropdown(["Euler"]): STEPS, gr.Slider(0, 5): UNET, gr.Checkbox(): STEPS}
    sampler, guidance, _ = needs
    whole, flow, back = (
        looks(needs, family, {}) for family in (capabilities.DIFFUSERS, capabilities.FLUX, capabilities.SD1)
    )
    assert [whole[control]["interactive"] for control in needs] == [False, False, False]
    assert "is run as a whole by diffusers" in whole[sampler]["info"]
    assert whole[guidance]["info"] == whole[sampler]["info"]
    assert [flow[control]["interactive"] for control in needs] == [True, False, True]
    assert flow[guidance]["info"] == "FLUX.1 has no UNet, so this is not used."
    assert all(update["interactive"] for update in back.values())
    assert (back[sampler]["info"], back[guidance]["info"]) == ("", "")
    assert all(update["interactive"] for update in looks(needs, None, {}).values())  # nobody knows the family


@pytest.mark.parametrize("value", [3.0, 0])
def test_what_would_be_refused_can_still_be_switched_off(value: float) -> None:
    scale = gr.Slider(0, 5)
    update = looks({scale: UNET}, capabilities.FLUX, {scale: value})[scale]
    assert update["interactive"] == bool(value)
    assert "has no UNet" in update["info"]


def test_the_tables_name_what_there_is() -> None:
    fields, settings = set(Txt2Img.offered()) | set(Img2Img.offered()), set(RenderSettings.params())
    assert set(FIELDS) <= set(capabilities.FIELDS) <= fields
    assert set(SETTINGS) <= set(capabilities.SETTINGS) <= settings


def test_only_wishes_are_remarked_upon() -> None:
    assert unhonoured(Txt2Img(sampler_name="Euler"), RenderSettings()) == []
    wished = unhonoured(Img2Img(soft_inpainting=True, subseed_strength=0.5), RenderSettings(clip_skip=2))
    assert [remark.partition(" was ")[0] for remark in wished] == ["The variation seed", "Soft inpainting", "Clip skip"]

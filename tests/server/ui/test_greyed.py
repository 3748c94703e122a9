"""What a pipeline of diffusers passes over is greyed out with the reason, and remarked upon."""

from __future__ import annotations

import gradio as gr

from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings
from webui.request.whole import FIELDS, REASON, SETTINGS, unhonoured
from webui.server.ui.greyed import looks


def test_controls_are_greyed_out_with_the_reason_and_come_back() -> None:
    sampler, hires = gr.Dropdown(["Euler"]), gr.Checkbox()
    greyed, back = looks([sampler, hires], whole=True), looks([sampler, hires], whole=False)
    assert (greyed[sampler]["interactive"], greyed[sampler]["info"], greyed[hires]["interactive"]) == (
        False,
        REASON,
        False,
    )
    assert (back[sampler]["interactive"], back[sampler]["info"], back[hires]["interactive"]) == (True, "", True)


def test_only_wishes_are_remarked_upon() -> None:
    assert set(FIELDS) <= set(Txt2Img.params()) | set(Img2Img.params())
    assert set(SETTINGS) <= set(RenderSettings.params())
    assert unhonoured(Txt2Img(sampler_name="Euler"), RenderSettings()) == []
    wished = unhonoured(Img2Img(soft_inpainting=True, subseed_strength=0.5), RenderSettings(clip_skip=2))
    assert [remark.partition(" was ")[0] for remark in wished] == ["The variation seed", "Soft inpainting", "Clip skip"]

"""The txt2img tab: where its controls stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.cards import cards
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.parts import (
    batch_and_size,
    features,
    film,
    guidance,
    more_guidance,
    override_chips,
    refiner,
    sampling,
    seed,
    switched_block,
    switched_header,
)
from webui.server.ui.results import results
from webui.server.ui.script import calls
from webui.server.ui.scripts import Scripts
from webui.server.ui.sending import Sending, sends_shown_picture
from webui.server.ui.toprow import toprow
from webui.server.ui.wiring import Pane, form, form_receiver, generates

if TYPE_CHECKING:
    from webui.app import App

HIRES_SWITCH = "enable_hr"
HIRES_METHOD = ("hr_upscaler", "hr_second_pass_steps", "denoising_strength")
HIRES_SIZE = ("hr_scale", "hr_resize_x", "hr_resize_y")
HIRES_MODEL = ("hr_checkpoint_name", "hr_sampler_name", "hr_scheduler")
HIRES_PROMPTS = ("hr_prompt", "hr_negative_prompt")
FIRST_SIZE = ("width", "height")


def txt2img(app: App) -> Pane:
    """Build the tab, inside a `gr.Tab`."""
    controls = form(app, "txt2img")
    top = toprow(controls)
    cards("txt2img")
    with gr.Row(elem_classes="panes", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_id="txt2img_settings", elem_classes="settings"):
            sampling(controls)
            with switched_block("txt2img_hires"):
                with switched_header():
                    controls.add(HIRES_SWITCH, container=False)
                    text = gr.HTML(elem_id="txt2img_hires_text", elem_classes="bare from-to")
                with gr.Column(elem_classes="switched-body"):
                    with gr.Row():
                        controls.add_all(HIRES_METHOD, min_width=150)
                    with gr.Row():
                        controls.add_all(HIRES_SIZE, min_width=150)
                    ui = app.settings.current.ui
                    _tucked(controls, "txt2img_hires_model", HIRES_MODEL, ui.hires_fix_show_sampler, min_width=150)
                    _tucked(
                        controls,
                        "txt2img_hires_prompts",
                        HIRES_PROMPTS,
                        ui.hires_fix_show_prompts,
                        min_width=240,
                        lines=2,
                    )
            refiner(controls)
            batch_and_size(controls)
            guidance(controls)
            more_guidance(app, controls)
            taking = features(app, controls, "txt2img")
            seed(controls)
            film(controls)
            override_chips(controls)
            scripts = Scripts(app, "txt2img")
        shown = results("txt2img")
    sized = [controls[name] for name in (HIRES_SWITCH, *FIRST_SIZE, *HIRES_SIZE)]
    for control in sized:
        control.change(None, sized, text, js=calls("hiresText"), **QUIET)
    generates(app, top.generate, "txt2img", controls, shown.notice, scripts)
    receives = (form_receiver(app, "txt2img", controls, shown.notice), *taking)
    sends = (sends_shown_picture(app, "txt2img", shown.row, shown.picked, shown.notice),)
    return Pane("txt2img", controls, top, shown, Sending(receives, sends), scripts=scripts)


def _tucked(controls: Controls, elem_id: str, names: tuple[str, ...], shown: bool, **look: object) -> None:
    """A row of controls that is put away, unless the settings show it, until a value in it matters."""
    with gr.Row(elem_id=elem_id, elem_classes=[] if shown else ["tucked"]):
        controls.add_all(names, **look)
    if not shown:
        row = [controls[name] for name in names]
        for control in row:
            control.change(None, row, None, js=calls("untuck", elem_id), **QUIET)

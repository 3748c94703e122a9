"""The txt2img tab: where its controls stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.server.ui.components import Component
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.extra_options import extra_options
from webui.server.ui.order import Parts, form_frame, lay_out
from webui.server.ui.parts import (
    batch_alone,
    dimensions,
    features,
    film,
    guidance,
    more_guidance,
    override_chips,
    refiner,
    sampling,
    seed,
    size,
    switched_block,
    switched_body,
    switched_header,
)
from webui.server.ui.results import results
from webui.server.ui.script import calls
from webui.server.ui.scripts import Scripts
from webui.server.ui.sending import Receiver, Sending, sends_shown_picture
from webui.server.ui.toprow import Top, tool_button
from webui.server.ui.wiring import Pane, form, form_receiver, generates, upscales

if TYPE_CHECKING:
    from webui.app import App

HIRES_SWITCH = "enable_hr"
UPSCALE = "Create an upscaled version of the selected picture with the settings of Hires. fix"
HIRES_METHOD = ("hr_upscaler", "hr_second_pass_steps", "denoising_strength")
HIRES_SIZE = ("hr_scale", "hr_resize_x", "hr_resize_y")
HIRES_MODEL = ("hr_checkpoint_name", "hr_sampler_name", "hr_scheduler")
HIRES_PROMPTS = ("hr_prompt", "hr_negative_prompt")
FIRST_SIZE = ("width", "height")


def txt2img(app: App) -> Pane:
    """Build the tab, inside a `gr.Tab`."""
    controls, ui = form(app, "txt2img"), app.settings.current.ui
    top = Top(controls, compact=ui.compact_prompt_box)
    top.across()
    receivers: list[Receiver] = []
    hires_text: list[Component] = []
    scripts: list[Scripts] = []

    def accordions() -> None:
        hires_text.append(_hires(app, controls))
        refiner(controls)

    def how_strictly() -> None:
        guidance(controls)
        more_guidance(app, controls)

    parts: Parts = {
        "prompt": top.in_form,
        "sampler": lambda: sampling(controls),
        "accordions": accordions,
        "dimensions": lambda: dimensions(controls, ui, lambda: size(controls)),
        "cfg": how_strictly,
        "features": lambda: receivers.extend(features(app, controls, "txt2img")),
        "seed": lambda: seed(controls),
        "checkboxes": lambda: film(controls),
        "batch": lambda: batch_alone(controls, ui),
        "override_settings": lambda: override_chips(controls),
        "extra_options": lambda: extra_options(app, controls),
        "scripts": lambda: scripts.append(Scripts(app, "txt2img")),
    }
    with gr.Row(elem_classes="panes", equal_height=False):
        with (
            gr.Column(scale=1, min_width=320, elem_id="txt2img_settings", elem_classes="settings"),
            form_frame("txt2img", ui.txt2img_settings_accordion),
        ):
            lay_out(parts, ui.ui_reorder_list)
        shown = results("txt2img", top.over_results)
    row = top.made()
    sized = [controls[name] for name in (HIRES_SWITCH, *FIRST_SIZE, *HIRES_SIZE)]
    for control in sized:
        control.change(None, sized, hires_text, js=calls("hiresText"), **QUIET)
    generates(app, row.generate, "txt2img", controls, shown.notice, scripts[0])
    with shown.row:
        upscale = tool_button("sparkles", UPSCALE, "txt2img_upscale")
    upscales(app, upscale, controls, shown)
    receives = (form_receiver(app, "txt2img", controls, shown.notice), *receivers)
    sends = (sends_shown_picture(app, "txt2img", shown.row, shown.picked, shown.notice),)
    return Pane("txt2img", controls, row, shown, Sending(receives, sends), scripts=scripts[0])


def _hires(app: App, controls: Controls) -> Component:
    """Lay it out -> where it says what it makes of what."""
    with switched_block("txt2img_hires"):
        with switched_header():
            controls.add(HIRES_SWITCH, container=False)
            text: Component = gr.HTML(elem_id="txt2img_hires_text", elem_classes="bare from-to")
        with switched_body("txt2img_hires"):
            with gr.Row():
                controls.add_all(HIRES_METHOD, min_width=150)
            with gr.Row():
                controls.add_all(HIRES_SIZE, min_width=150)
            ui = app.settings.current.ui
            _tucked(controls, "txt2img_hires_model", HIRES_MODEL, ui.hires_fix_show_sampler, min_width=150)
            _tucked(controls, "txt2img_hires_prompts", HIRES_PROMPTS, ui.hires_fix_show_prompts, min_width=240, lines=2)
    return text


def _tucked(controls: Controls, elem_id: str, names: tuple[str, ...], shown: bool, **look: object) -> None:
    """A row of controls that is put away, unless the settings show it, until a value in it matters."""
    with gr.Row(elem_id=elem_id, elem_classes=[] if shown else ["tucked"]):
        controls.add_all(names, **look)
    if not shown:
        row = [controls[name] for name in names]
        for control in row:
            control.change(None, row, None, js=calls("untuck", elem_id), **QUIET)

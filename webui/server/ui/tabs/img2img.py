"""The img2img tab: where its controls stand, and the pictures that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import gradio as gr

from webui.request.interrogators import CLIP, DEEPBOORU, WD14
from webui.server.ui.batch import BatchTab, batch_tab, captions_batch, submits_batch
from webui.server.ui.components import Component, Shown
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
)
from webui.server.ui.results import ResultsPanel, results
from webui.server.ui.script import calls
from webui.server.ui.scripts import Scripts
from webui.server.ui.sending import MASK, Receiver, Sending, Sent, sends_shown_picture
from webui.server.ui.sources import MASK_EDGE, Mode, Scaling, completed, copies, modes
from webui.server.ui.toprow import Top
from webui.server.ui.visitors import copy_for
from webui.server.ui.wiring import ImageSubTab, Pane, describes, form, form_receiver, generates

if TYPE_CHECKING:
    from webui.app import App

RESIZE = ("resize_mode",)
DENOISING = ("denoising_strength",)
IMAGE_GUIDANCE = ("image_cfg_scale",)
INPAINT = ("inpainting_mask_invert", "inpainting_fill", "inpaint_full_res")
SOFT_INPAINTING = (
    "soft_inpainting",
    "soft_schedule_bias",
    "soft_preservation",
    "soft_contrast_boost",
    "soft_mask_influence",
    "soft_difference_threshold",
    "soft_difference_contrast",
)
INPAINT_MORE = ("inpaint_full_res_padding", "mask_round")

TAKES = (("img2img", "img2img", "image"), ("inpaint", "Inpaint", "brush"))
"""The sub-tabs that pictures are sent to: name, title, icon."""

UPLOADED_MASK = "inpaint_upload"
"""The sub-tab that takes a mask as a file."""

DESCRIBERS = (
    ("search", "Interrogate CLIP: describe the picture in a sentence", f"interrogate_{CLIP}"),
    ("tag", "Interrogate DeepBooru: find tags for the picture", f"interrogate_{DEEPBOORU}"),
    ("tags", "Interrogate WD14: find tags for the picture with a tagger of your own", f"interrogate_{WD14}"),
)
"""The last one is seen where there is such a tagger."""


def img2img(app: App) -> Pane:
    """Build the tab, inside a `gr.Tab`."""
    controls, ui = form(app, "img2img"), app.settings.current.ui
    top = Top(controls, compact=ui.compact_prompt_box, before_styles=DESCRIBERS)
    top.across()
    places = _Places()

    def image() -> None:
        with gr.Tabs(elem_id="mode_img2img", elem_classes="small"):
            places.modes = modes(controls)
            with gr.Tab("Batch", id="batch", elem_id="mode_img2img_batch"):
                places.many.append(batch_tab())
        copies(app, places.modes)
        controls.add_all(RESIZE)

    def how_strictly() -> None:
        guidance(controls)
        controls.add_all(IMAGE_GUIDANCE, elem_classes="edits-only")
        more_guidance(app, controls)

    parts: Parts = {
        "prompt": top.in_form,
        "image": image,
        "inpaint": lambda: _inpaint(controls),
        "sampler": lambda: sampling(controls),
        "accordions": lambda: refiner(controls),
        "dimensions": lambda: dimensions(controls, ui, lambda: places.scaling.append(_sizes(controls))),
        "cfg": how_strictly,
        "denoising": lambda: controls.add_all(DENOISING),
        "features": lambda: features(app, controls, "img2img"),
        "seed": lambda: seed(controls),
        "checkboxes": lambda: film(controls),
        "batch": lambda: batch_alone(controls, ui),
        "override_settings": lambda: override_chips(controls),
        "extra_options": lambda: extra_options(app, controls),
        "scripts": lambda: places.scripts.append(Scripts(app, "img2img")),
    }
    with gr.Row(elem_classes="panes", equal_height=False):
        with (
            gr.Column(scale=1, min_width=320, elem_id="img2img_settings", elem_classes="settings"),
            form_frame("img2img", ui.img2img_settings_accordion),
        ):
            lay_out(parts, ui.ui_reorder_list)
        shown = results("img2img", top.over_results)
    row = top.made()
    found, (many,), (scaling,), (scripts,) = places.modes, places.many, places.scaling, places.scripts
    _wire_modes(app, controls, places, shown.notice)
    run = gr.Button("Generate: Batch", visible="hidden", elem_id="img2img_run_batch")
    submits_batch(app, run, many, controls, scaling, shown.notice, scripts)
    for model in (CLIP, DEEPBOORU, WD14):
        ask = gr.Button(f"{model}: Batch", visible="hidden", elem_id=f"img2img_ask_{model}_batch")
        captions_batch(app, ask, model, many, shown.notice)
    masked = next(
        (mode.picture, mode.second) for mode in found if mode.second is not None and mode.name == UPLOADED_MASK
    )
    images = {mode.name: mode.picture for mode in found}
    sending = _sending(app, controls, shown, images, masked[1])
    tabs = ("mode_img2img_img2img", f"mode_img2img_{UPLOADED_MASK}")
    files = (*images.values(), masked[1])
    return Pane("img2img", controls, row, shown, sending, images["img2img"], masked, scripts, tabs, files, places.plain)


def _wire_modes(app: App, controls: Controls, places: _Places, notice: Component) -> None:
    """Generate, and ask for words, with the picture of each sub-tab."""
    (scaling,), (scripts,) = places.scaling, places.scripts
    for mode in places.modes:
        run = gr.Button(f"Generate: {mode.title}", visible="hidden", elem_id=f"img2img_run_{mode.name}")
        inputs = (*mode.inputs, scaling.tab, scaling.factor)
        complete = completed(app, mode, scaling)
        generates(app, run, "img2img", controls, notice, scripts, pictures=inputs, complete=complete)
        for model in (CLIP, DEEPBOORU, WD14):
            ask = gr.Button(f"{model}: {mode.title}", visible="hidden", elem_id=f"img2img_ask_{model}_{mode.name}")
            describes(app, ask, model, mode.picture, notice)


def _sending(
    app: App, controls: Controls, shown: ResultsPanel, images: Mapping[str, Component], mask: Component
) -> Sending:
    receives = tuple(
        form_receiver(app, "img2img", controls, shown.notice, ImageSubTab(name, title, icon, images[name]))
        for name, title, icon in TAKES
    )
    sends = (sends_shown_picture(app, "img2img", shown.row, shown.picked, shown.notice),)
    return Sending((*receives, _receives_mask(app, mask)), sends)


@dataclass
class _Places:
    """What the parts of the form leave for those who wire them."""

    modes: list[Mode] = field(default_factory=list)
    many: list[BatchTab] = field(default_factory=list)
    scaling: list[Scaling] = field(default_factory=list)
    scripts: list[Scripts] = field(default_factory=list)

    @property
    def plain(self) -> tuple[Component, ...]:
        """Sliders that are no controls."""
        return (*(each.factor for each in self.scaling), *(each for mode in self.modes for each in mode.more))


def _inpaint(controls: Controls) -> None:
    with gr.Column(elem_classes="inpaint-only", elem_id="inpaint_controls"):
        with gr.Row():
            controls.add_all(MASK_EDGE, min_width=140)
        with gr.Row():
            controls.add_all(INPAINT, min_width=180)
        with gr.Row():
            controls.add_all(INPAINT_MORE, min_width=180)
        with gr.Accordion("Soft inpainting", open=False, elem_id="img2img_soft", elem_classes="fold"):
            controls.add_all(SOFT_INPAINTING)


def _sizes(controls: Controls) -> Scaling:
    """Sides, or a factor, each on a tab of its own."""
    with gr.Tabs(elem_id="img2img_tabs_resize", elem_classes="small"):
        with gr.Tab("Resize to", elem_id="img2img_tab_resize_to") as by_sides:
            size(
                controls,
                ("measure", "Use the size of the picture", "detect_image_size_btn", calls("naturalSize")),
            )
        with gr.Tab("Resize by", elem_id="img2img_tab_resize_by") as by_factor:
            scale = gr.Slider(
                0.05, 4, 1, step=0.05, label="Scale", elem_id="img2img_scale", interactive=True, buttons=[]
            )
            gr.HTML("<span id='img2img_scale_text'></span>", elem_classes="bare from-to")
    scaling = Scaling(gr.Textbox("to", visible="hidden", label="Resize"), scale)
    by_sides.select(None, None, scaling.tab, js="() => 'to'", **QUIET)
    by_factor.select(None, None, scaling.tab, js=calls("scaleBy"), **QUIET)
    scale.change(None, scale, None, js=calls("scaleText"), **QUIET)
    return scaling


def _receives_mask(app: App, mask: Component) -> Receiver:
    def take(sent: Sent, request: gr.Request) -> Shown:
        return {mask: copy_for(app, request, sent.picture, sent.name)} if sent.picture else {}

    title, place = "Send picture to Inpaint upload, as the mask", f"mode_img2img_{UPLOADED_MASK}"
    takes = frozenset((MASK,))
    return Receiver("mask", title, "mask", takes, "img2img", (mask,), take, place, mask, "Send as mask")

"""The img2img tab: where its controls stand, and the pictures that it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.request.interrogators import CLIP, DEEPBOORU, WD14
from webui.server.ui.batch import batch_tab, submits_batch
from webui.server.ui.cards import cards
from webui.server.ui.components import Component, Shown
from webui.server.ui.controls import QUIET
from webui.server.ui.parts import (
    batch,
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
from webui.server.ui.results import results
from webui.server.ui.script import calls
from webui.server.ui.scripts import Scripts
from webui.server.ui.sending import MASK, Receiver, Sending, Sent, sends_shown_picture
from webui.server.ui.sources import MASK_EDGE, Scaling, completed, copies, modes
from webui.server.ui.toprow import toprow
from webui.server.ui.wiring import ImageSubTab, Pane, copy_for, describes, form, form_receiver, generates

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
    controls = form(app, "img2img")
    top = toprow(controls, before_styles=DESCRIBERS)
    cards("img2img")
    with gr.Row(elem_classes="panes", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_id="img2img_settings", elem_classes="settings"):
            with gr.Tabs(elem_id="mode_img2img", elem_classes="small"):
                found = modes(controls)
                with gr.Tab("Batch", id="batch", elem_id="mode_img2img_batch"):
                    many = batch_tab()
            copies(app, found)
            with gr.Column(elem_classes="inpaint-only", elem_id="inpaint_controls"):
                with gr.Row():
                    controls.add_all(MASK_EDGE, min_width=140)
                with gr.Row():
                    controls.add_all(INPAINT, min_width=180)
                with gr.Row():
                    controls.add_all(INPAINT_MORE, min_width=180)
                with gr.Accordion("Soft inpainting", open=False, elem_id="img2img_soft", elem_classes="fold"):
                    controls.add_all(SOFT_INPAINTING)
            controls.add_all(RESIZE)
            sampling(controls)
            refiner(controls)
            with gr.Row(elem_classes="dimensions", equal_height=True):
                with gr.Column(scale=4, min_width=240), gr.Tabs(elem_id="img2img_tabs_resize", elem_classes="small"):
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
                batch(controls)
            scaling = Scaling(gr.Textbox("to", visible="hidden", label="Resize"), scale)
            controls.add_all(DENOISING)
            guidance(controls)
            controls.add_all(IMAGE_GUIDANCE, elem_classes="edits-only")
            more_guidance(app, controls)
            features(app, controls, "img2img")
            seed(controls)
            film(controls)
            override_chips(controls)
            scripts = Scripts(app, "img2img")
        shown = results("img2img")
    by_sides.select(None, None, scaling.tab, js="() => 'to'", **QUIET)
    by_factor.select(None, None, scaling.tab, js=calls("scaleBy"), **QUIET)
    scale.change(None, scale, None, js=calls("scaleText"), **QUIET)
    for mode in found:
        run = gr.Button(f"Generate: {mode.title}", visible="hidden", elem_id=f"img2img_run_{mode.name}")
        inputs = (*mode.inputs, scaling.tab, scaling.factor)
        complete = completed(app, mode, scaling)
        generates(app, run, "img2img", controls, shown.notice, scripts, pictures=inputs, complete=complete)
        for model in (CLIP, DEEPBOORU, WD14):
            ask = gr.Button(f"{model}: {mode.title}", visible="hidden", elem_id=f"img2img_ask_{model}_{mode.name}")
            describes(app, ask, model, mode.picture, shown.notice)
    run = gr.Button("Generate: Batch", visible="hidden", elem_id="img2img_run_batch")
    submits_batch(app, run, many, controls, scaling, shown.notice, scripts)
    images = {mode.name: mode.picture for mode in found}
    receives = tuple(
        form_receiver(app, "img2img", controls, shown.notice, ImageSubTab(name, title, icon, images[name]))
        for name, title, icon in TAKES
    )
    sends = (sends_shown_picture(app, "img2img", shown.row, shown.picked, shown.notice),)
    masked = next(
        (mode.picture, mode.second) for mode in found if mode.second is not None and mode.name == UPLOADED_MASK
    )
    sending = Sending((*receives, _receives_mask(app, masked[1])), sends)
    places = ("mode_img2img_img2img", f"mode_img2img_{UPLOADED_MASK}")
    return Pane("img2img", controls, top, shown, sending, images["img2img"], masked, scripts, places)


def _receives_mask(app: App, mask: Component) -> Receiver:
    def take(sent: Sent, request: gr.Request) -> Shown:
        return {mask: copy_for(app, request, sent.picture, sent.name)} if sent.picture else {}

    title, place = "Send picture to Inpaint upload, as the mask", f"mode_img2img_{UPLOADED_MASK}"
    takes = frozenset((MASK,))
    return Receiver("mask", title, "mask", takes, "img2img", (mask,), take, place, mask, "Send as mask")

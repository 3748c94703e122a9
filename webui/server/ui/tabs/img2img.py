"""The img2img tab: where its controls stand, and the pictures that it starts from."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from webui.base.errors import UserError
from webui.server.ui.cards import cards
from webui.server.ui.controls import QUIET, Component, Data
from webui.server.ui.parts import SIZE, batch, guidance, override_chips, refiner, sampling, seed, size
from webui.server.ui.results import results
from webui.server.ui.toprow import toprow
from webui.server.ui.wiring import Complete, Pane, form, generates, upload

if TYPE_CHECKING:
    from webui.app import App

INIT, MASK = "init_images", "mask"
RESIZE = ("resize_mode",)
DENOISING = ("denoising_strength",)
IMAGE_GUIDANCE = ("image_cfg_scale",)
MASK_EDGE = ("mask_blur_x", "mask_blur_y")
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

PAINTED = "data:image/png;base64,"


@dataclass(frozen=True)
class Mode:
    """A way to give the picture: its sub-tab, and what it adds to the request."""

    name: str
    title: str
    picture: Component
    """Where the picture is dropped."""
    mask: Component | None = None
    painted: bool = False
    """The mask is painted on the page (a data URL), not a file."""


def img2img(app: App) -> Pane:
    """Build the tab, inside a `gr.Tab`."""
    controls = form(app, "img2img")
    top = toprow(controls)
    cards("img2img")
    with gr.Row(elem_classes="panes", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_id="img2img_settings", elem_classes="settings"):
            modes = _modes()
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
                    with gr.Tab("Resize to", elem_id="img2img_tab_resize_to"):
                        size(
                            controls,
                            ("measure", "The size of the picture", "detect_image_size_btn", _natural_size()),
                        )
                    with gr.Tab("Resize by", elem_id="img2img_tab_resize_by"):
                        scale = gr.Slider(
                            0.05, 4, 1, step=0.05, label="Scale", elem_id="img2img_scale", interactive=True, buttons=[]
                        )
                        gr.HTML(elem_id="img2img_scale_text", elem_classes="bare from-to")
                batch(controls)
            controls.add_all(DENOISING)
            guidance(controls)
            controls.add_all(IMAGE_GUIDANCE, visible="hidden")
            seed(controls)
            override_chips(controls)
        shown = results("img2img")
    sides = [controls[name] for name in SIZE]
    scale.input(None, [scale, *sides], sides, js="(by, w, h) => gesso.scaledSize(by, w, h)", **QUIET)
    for mode in modes:
        run = gr.Button(f"Generate: {mode.title}", visible="hidden", elem_id=f"img2img_run_{mode.name}")
        inputs = (mode.picture,) if mode.mask is None else (mode.picture, mode.mask)
        generates(app, run, "img2img", controls, shown.notice, pictures=inputs, complete=_completed(app, mode))
    takes = {mode.name: mode.picture for mode in modes if mode.name in ("img2img", "inpaint")}
    return Pane("img2img", controls, top, shown, takes)


def _modes() -> list[Mode]:
    """The sub-tabs in which a picture is given."""
    with gr.Tabs(elem_id="mode_img2img", elem_classes="small"):
        with gr.Tab("img2img", id="img2img", elem_id="mode_img2img_img2img"):
            plain = Mode("img2img", "img2img", _picture("Picture", "img2img_image"))
        with gr.Tab("Inpaint", id="inpaint", elem_id="mode_img2img_inpaint"):
            picture = _picture("Picture to paint on", "img2img_inpaint_image")
            strokes = gr.Textbox(visible="hidden", elem_id="img2img_inpaint_mask", label="Painted mask")
            inpaint = Mode("inpaint", "Inpaint", picture, strokes, painted=True)
        with gr.Tab("Inpaint upload", id="inpaint_upload", elem_id="mode_img2img_inpaint_upload"), gr.Row():
            picture = _picture("Picture", "img2img_upload_image", height=300)
            mask = _picture("Mask: white may change", "img2img_upload_mask", height=300)
            uploaded = Mode("inpaint_upload", "Inpaint upload", picture, mask)
    return [plain, inpaint, uploaded]


def _picture(label: str, elem_id: str, height: int = 420) -> Component:
    return gr.Image(
        label=label,
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        elem_id=elem_id,
        elem_classes="source",
        height=height,
        min_width=200,
        interactive=True,
        buttons=[],
    )


def _completed(app: App, mode: Mode) -> Complete:
    """What this mode adds to the request: the names of its pictures."""

    def complete(data: Data) -> dict[str, Any]:
        name = upload(app, data[mode.picture])
        if not name:
            raise UserError(
                "There is no picture to start from.", hint=f"Drop one into the tab {mode.title}.", field=INIT
            )
        if mode.mask is None:
            return {INIT: (name,)}
        given = data[mode.mask]
        mask = app.catalog.uploads.put(painted(given)) if mode.painted and given else upload(app, given or None)
        if not mask:
            raise UserError(
                "There is no mask: nothing may change.",
                hint="Paint over what shall change." if mode.painted else "Drop a mask beside the picture.",
                field=MASK,
            )
        return {INIT: (name,), MASK: mask}

    return complete


def painted(data_url: str) -> bytes:
    """The PNG in a data URL.

    Raises:
        UserError: it is none.
    """
    if not data_url.startswith(PAINTED):
        raise UserError("The mask cannot be read.", hint="Paint it again.", field=MASK)
    try:
        return base64.b64decode(data_url.removeprefix(PAINTED), validate=True)
    except binascii.Error as error:
        raise UserError("The mask cannot be read.", hint="Paint it again.", field=MASK) from error


def _natural_size() -> str:
    return "(w, h) => gesso.naturalSize(w, h)"

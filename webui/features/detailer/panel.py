"""A unit, in the order in which users of ADetailer know it: what looks, what is painted, and in folds below what is
looked for, the mask, and what is painted otherwise than the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from webui.features.detailer.parameters import OWN
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.toprow import tool_button

if TYPE_CHECKING:
    from webui.app import App

PROMPTS = ("ad_prompt", "ad_negative_prompt")
DETECTION = (
    ("ad_confidence", "ad_mask_k", "ad_mask_filter_method"),
    ("ad_mask_min_ratio", "ad_mask_max_ratio", "ad_model_classes"),
)
MASK = (("ad_x_offset", "ad_y_offset", "ad_dilate_erode"), ("ad_mask_merge_invert",))
PAINTING = ("ad_denoising_strength", "ad_mask_blur", "ad_inpaint_only_masked_padding")
CONTROL = (
    ("ad_controlnet_model", "ad_controlnet_module"),
    ("ad_controlnet_weight", "ad_controlnet_guidance_start", "ad_controlnet_guidance_end"),
)


def panel(_app: App, form: Controls) -> None:
    """Lay out the controls."""
    whole = form.whole
    if whole is not None and getattr(whole.declared, "kind", "") == "img2img":
        with form.header or gr.Row():
            form.add("ad_skip_img2img", container=False)
    with gr.Row(elem_classes="with-tool"):
        detector = form.add("ad_model", min_width=200)
        refresh = tool_button("refresh", "Refresh the list of detectors", f"{form.prefix}_refresh")
    form.add_all(PROMPTS)
    with gr.Row():
        form.add_all(PAINTING, min_width=140)
    _fold(form, "Detection", "detection", DETECTION)
    _fold(form, "Mask", "mask", MASK)
    with gr.Accordion("Own settings", open=False, elem_id=f"{form.prefix}_own", elem_classes="fold"):
        form.add("ad_inpaint_only_masked", container=False)
        for switch, values in OWN.items():
            form.add(switch, container=False)
            with gr.Row():
                form.add_all(values, min_width=140)
        form.add("ad_restore_face", container=False)
    _fold(form, "ControlNet", "controlnet", CONTROL)
    refresh.click(lambda: gr.update(choices=form.choices("detectors")), None, detector, **QUIET)


def _fold(form: Controls, title: str, name: str, rows: tuple[tuple[str, ...], ...]) -> None:
    with gr.Accordion(title, open=False, elem_id=f"{form.prefix}_{name}", elem_classes="fold"):
        for names in rows:
            with gr.Row():
                form.add_all(names, min_width=140)

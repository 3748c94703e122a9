"""A unit, in the order in which users of sd-webui-controlnet know it: its picture with the map beside, what makes the
map and of what kind, and how strongly and when it acts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import NotFound, UserError
from webui.catalog.image_files import size_of
from webui.request.control_types import (
    ALL,
    KINDS,
    models_of,
    preprocessors_of,
    usual_model,
    usual_preprocessor,
)
from webui.request.params import same_choice
from webui.request.preprocessing import KEEPS, Preprocessing
from webui.request.preprocessors import NONE, RESOLUTION, TABLE, Preprocessor, preprocessor
from webui.server.ui.components import Component, Data, Updates, number_in, text_in
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.previews import Asked, Uploaded, draws
from webui.server.ui.toprow import tool_button

if TYPE_CHECKING:
    from webui.app import App

PICTURE, MODULE, MODEL = "image", "module", "model"
SLIDERS = ("processor_res", "threshold_a", "threshold_b")
TIMES = ("weight", "guidance_start", "guidance_end")
PERFECT, RESIZE = "pixel_perfect", "resize_mode"
SIZE = ("width", "height")
SEEN = 512
"""Pixels of the longer side of a map on the page, at most."""


def panel(app: App, form: Controls) -> None:
    """Lay out the controls."""
    with form.header or gr.Row():
        form.add_all(("low_vram", PERFECT), container=False)
        allowed = gr.Checkbox(
            True, label="Allow Preview", container=False, elem_id=f"{form.prefix}_preview", interactive=True
        )
    with gr.Row(elem_classes="control-pictures", equal_height=False):
        form.add(PICTURE, min_width=200)
        seen = gr.HTML(elem_id=f"{form.prefix}_map", elem_classes="bare preview-place control-map", min_width=200)
    kind = gr.Radio(
        KINDS, value=ALL, label="Control Type", elem_id=f"{form.prefix}_type", elem_classes="kinds", interactive=True
    )
    with gr.Row(elem_classes="with-tool"):
        form.add_all((MODULE, MODEL), min_width=150, scale=1)
        with gr.Row(elem_classes="tools"):
            refresh = tool_button("refresh", "Refresh the list of models", f"{form.prefix}_refresh")
            measure = tool_button("measure", "Use the size of this picture", f"{form.prefix}_measure")
    with gr.Row():
        form.add_all(TIMES, min_width=140)
    with gr.Row():
        form.add_all(SLIDERS, min_width=140, visible=False)
    with gr.Row():
        form.add_all(("control_mode", RESIZE, "hr_option"), min_width=160)
    with gr.Accordion("Mask, region and weights", open=False, elem_id=f"{form.prefix}_more", elem_classes="fold"):
        with gr.Row():
            form.add_all(("mask", "effective_region_mask"), min_width=160, height=180)
        with gr.Row(elem_classes="script-toggles"):
            form.add_all(("save_detected_map", "inpaint_crop_input_image"), container=False, min_width=150)
        form.add("advanced_weighting")
        with gr.Row():
            form.add_all(("weight_type", "union_control_type"), min_width=160)
        form.add("more_images")
    _filters(form, kind, refresh)
    _shows_map(app, form, allowed, seen)
    _measures(form, measure)


def _sides(form: Controls) -> list[Component]:
    """Width and height of the result, in the form that this is a part of."""
    whole = form.whole
    return [whole[name] for name in SIZE if whole is not None and name in whole]


def _measures(form: Controls, measure: Component) -> None:
    sides = _sides(form)
    if len(sides) < len(SIZE):
        return

    def size(path: str | None) -> object:
        if not path:
            return gr.skip()
        try:
            return [max(round(side / 8) * 8, 8) for side in size_of(Path(path).read_bytes())]
        except UserError:
            return gr.skip()

    measure.click(size, form[PICTURE], sides, **QUIET)


def _filters(form: Controls, kind: Component, refresh: Component) -> None:
    """The kind says what the lists offer; the preprocessor, which sliders there are."""
    module, model = form[MODULE], form[MODEL]
    sliders = [form[name] for name in SLIDERS]

    def offered(chosen: str) -> Updates:
        networks = form.choices("control_networks")
        which = usual_preprocessor(_known(chosen), TABLE)
        return {
            module: gr.update(choices=_titles(chosen), value=which.title),
            model: gr.update(choices=models_of(_known(chosen), networks), value=usual_model(_known(chosen), networks)),
            **_sliders(form, which, {}),
        }

    def shown(values: Mapping[str, object]) -> Updates:
        which, titles = _named(values.get(MODULE)), _titles(ALL)
        if MODULE not in values or which.title not in titles:
            return {}
        networks = form.choices("control_networks")
        network = same_choice(text_in(values.get(MODEL)), networks) if MODEL in values else ""
        found = {kind: gr.update(value=ALL), module: gr.update(choices=titles, value=which.title)}
        if network:
            found[model] = gr.update(choices=networks, value=network)
        return {**found, **_sliders(form, which, values)}

    kind.input(offered, kind, [module, model, *sliders], **QUIET)
    # Not `input`, which a list also tells when it is left as it was.
    module.select(lambda title: _sliders(form, _named(title), {}), module, sliders, **QUIET)
    refresh.click(
        lambda chosen: gr.update(choices=models_of(_known(chosen), form.choices("control_networks"))),
        kind,
        model,
        **QUIET,
    )
    form.follow([kind], shown)


def _shows_map(app: App, form: Controls, allowed: Component, seen: Component) -> None:
    sides = _sides(form)
    watched = [form[name] for name in (PICTURE, MODULE, *SLIDERS, PERFECT, RESIZE)]

    def ask(data: Data, uploaded: Uploaded, key: str) -> Asked | str:
        path, which = text_in(data[form[PICTURE]]), _named(data[form[MODULE]])
        if not path or which is NONE or which.name in KEEPS or not data[allowed]:
            return ""  # The map is the picture itself.
        width, height = (int(number_in(data[side])) for side in sides) if len(sides) == len(SIZE) else (0, 0)
        resolution, a, b = (number_in(data[form[name]]) for name in SLIDERS)
        is_perfect = bool(data[form[PERFECT]]) and width > 0 and height > 0
        plan = Preprocessing(
            app.catalog.uploads.get(uploaded.name_of(path)),
            which.name,
            int(resolution),
            a,
            b,
            (width, height) if is_perfect else None,
            text_in(data[form[RESIZE]]),
            side=SEEN,
            annotators=app.catalog.annotators(which.name),
        )
        return app.queue.asides.ask_for(key, plan)

    # The sides are read and not watched: each picture that is sent here changes them, and every event costs time.
    draws(app, seen, (*watched, allowed), ask, form.prefix, sides)


def _known(kind: object) -> str:
    return kind if isinstance(kind, str) and kind in KINDS else ALL


def _titles(kind: object) -> list[str]:
    return [each.title for each in preprocessors_of(_known(kind), TABLE)]


def _named(title: object) -> Preprocessor:
    try:
        return preprocessor(text_in(title))
    except NotFound:
        return NONE


def _sliders(form: Controls, which: Preprocessor, given: Mapping[str, object]) -> Updates:
    """The preprocessor's own, by its names and ranges, at the values that are `given`, or else at its defaults."""
    resolution = RESOLUTION if which.has_resolution and which is not NONE else None
    updates: Updates = {}
    for name, known in zip(SLIDERS, (resolution, which.a, which.b), strict=True):
        if known is None:
            updates[form[name]] = gr.update(visible=False)
            continue
        told = given.get(name)
        value = known.held(told) if isinstance(told, int | float) else known.value
        updates[form[name]] = gr.update(
            visible=True, label=known.name, minimum=known.low, maximum=known.high, step=known.step, value=value
        )
    return updates

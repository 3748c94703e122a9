"""The Extras tab: finished pictures made larger, cut, mirrored; one, several, or a folder of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import gradio as gr

from webui.base.errors import StorageError, UserError, WebuiError
from webui.catalog.batch_pictures import BatchPicture, content_of, files_in, may_hold_results
from webui.jobs.caption.request import Caption
from webui.jobs.extras.request import Extras
from webui.request.postprocessing import (
    AUTOSIZED,
    BACKGROUND,
    CAPTION,
    CODEFORMER,
    DETAIL,
    FLIPS,
    FOCAL,
    GFPGAN,
    RESIZE_BY,
    RESIZE_TO,
    SPLIT,
    UPSCALE,
    in_order,
)
from webui.request.settings import Settings
from webui.server.ui import notices
from webui.server.ui.batch import uploaded_files
from webui.server.ui.components import Component, Data, Shown, all_in, text_in
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.previews import shows_preview
from webui.server.ui.results import results
from webui.server.ui.script import calls
from webui.server.ui.sending import PICTURE, Receiver, Sending, Sent, sends_shown_picture
from webui.server.ui.sources import source
from webui.server.ui.toprow import tool_button
from webui.server.ui.visitors import copy_for, file_content, owner_of
from webui.server.ui.wiring import ExtrasPane, extras_form

if TYPE_CHECKING:
    from webui.app import App

SINGLE, SEVERAL, FOLDER = "single", "batch", "folder"
AT_ONCE = 32
"""Pictures of one job; more become several jobs."""

UPSCALERS = ("upscaler_1", "upscaler_2", "extras_upscaler_2_visibility")
BY = ("upscaling_resize", "max_side_length")
TO = ("upscaling_resize_w", "upscaling_resize_h")
CROP = "upscaling_crop"
MODE = "resize_mode"
DETAILER = ("detail_model", "detail_prompt", "detail_strength")
SPLITTING = ("split_oversized", "split_threshold", "split_overlap")
POINT = ("focal_face_weight", "focal_entropy_weight", "focal_edges_weight")
AUTOSIZED_CROP = ("autosized_crop", "crop_objective", "crop_threshold")
BOUNDS = ("crop_min_side", "crop_max_side", "crop_min_area", "crop_max_area")
SUBJECT = ("background_model", "alpha_matting")
EDGES = ("alpha_matting_foreground_threshold", "alpha_matting_background_threshold", "alpha_matting_erode_size")
CAPTIONS = ("caption_model", "existing_caption")
COPIES = ("flip_horizontal", "flip_vertical", "flip_both")

FOLDS: Mapping[str, tuple[str, Sequence[tuple[Sequence[str], int]]]] = {
    GFPGAN: ("gfpgan", ((("gfpgan_visibility",), 150),)),
    CODEFORMER: ("codeformer", ((("codeformer_visibility", "codeformer_weight"), 150),)),
    DETAIL: ("detail", ((DETAILER, 320),)),
    SPLIT: ("split", ((SPLITTING, 150),)),
    FOCAL: ("focal", ((("focal_crop",), 150), (POINT, 200))),
    AUTOSIZED: ("crop", ((AUTOSIZED_CROP, 150), (BOUNDS, 220))),
    FLIPS: ("flips", ((COPIES, 120),)),
    CAPTION: ("caption", ((CAPTIONS, 320),)),
}
"""Operation -> (id, rows of its controls with their width)."""


def extras(app: App) -> ExtrasPane:
    """Build the tab, inside a `gr.Tab`."""
    controls = extras_form(app)
    with gr.Row(elem_classes="panes", equal_height=False):
        with gr.Column(scale=1, min_width=320, elem_id="extras_settings", elem_classes="settings"):
            place = gr.Textbox(SINGLE, visible="hidden", elem_id="extras_place", label="Source")
            with gr.Tabs(elem_id="mode_extras", elem_classes="small"):
                with gr.Tab("Single Image", elem_id="mode_extras_single") as single:
                    image = source("Picture", "extras_image")
                with gr.Tab("Batch Process", elem_id="mode_extras_batch") as several:
                    files = gr.File(
                        label="Pictures",
                        file_count="multiple",
                        file_types=["image"],
                        elem_id="extras_batch_files",
                        height=220,
                        interactive=True,
                        buttons=[],
                    )
                with gr.Tab("Batch from Directory", elem_id="mode_extras_batch_dir") as folder:
                    given = _folder(
                        "Input directory",
                        "input_dir",
                        "A folder on the computer that Gesso runs on; subfolders are included.",
                    )
                    output = _folder(
                        "Output directory", "output_dir", "Subfolders are kept. Empty: the usual output folder."
                    )
            _operations(controls, app.settings.current)
        with gr.Column(scale=1, min_width=320):
            with gr.Row(elem_id="extras_generate_box", elem_classes="generate-box"):
                gr.Button("Interrupt", elem_id="extras_interrupt", elem_classes="while-running")
                gr.Button("Skip", elem_id="extras_skip", elem_classes="while-running")
                generate = gr.Button("Generate", elem_id="extras_generate", elem_classes="generate", variant="primary")
            preview = gr.HTML(elem_id="extras_preview", elem_classes="bare preview-place")
            shown = results("extras")
    for tab, name in ((single, SINGLE), (several, SEVERAL), (folder, FOLDER)):
        tab.select(None, None, place, js=f"() => '{name}'", **QUIET)
    _submits(app, generate, controls, (place, image, files, given, output), shown.notice)
    shows_preview(app, controls, preview, (place, image, files), partial(_previewed, place, image, files))
    receives = (_receives(app, image),)
    sends = (sends_shown_picture(app, "extras", shown.row, shown.picked, shown.notice),)
    return ExtrasPane("extras", controls, image, shown, Sending(receives, sends))


def _previewed(place: Component, image: Component, files: Component, data: Data) -> str | None:
    """The file of the picture that is looked at: of several the first one."""
    if data[place] == SINGLE:
        return text_in(data[image]) or None
    return next(iter(all_in(data[files])), None) if data[place] == SEVERAL else None


def _receives(app: App, image: Component) -> Receiver:
    def take(sent: Sent, request: gr.Request) -> Shown:
        return {image: copy_for(app, request, sent.picture, sent.name)} if sent.picture else {}

    picture, place = frozenset((PICTURE,)), f"mode_extras_{SINGLE}"
    return Receiver("extras", "Send picture to Extras", "enlarge", picture, "extras", (image,), take, place, image)


def _upscale(controls: Controls) -> None:
    """By a factor or to a size, and what does it."""
    with gr.Column(elem_id="extras_upscale", elem_classes="stacked"):
        with gr.Tabs(elem_id="extras_resize_mode_tabs", elem_classes="small"):
            with gr.Tab("Scale by", elem_id="extras_scale_by_tab") as by:
                controls.add_all(BY)
            with gr.Tab("Scale to", elem_id="extras_scale_to_tab") as to:
                with gr.Row(elem_classes="size", equal_height=True):
                    with gr.Column(scale=4, min_width=160, elem_classes="stacked"):
                        controls.add_all(TO)
                    sides = [controls[name] for name in TO]
                    with gr.Column(scale=0, min_width=36, elem_classes="beside"):
                        tool_button("swap", "Swap width and height", "extras_res_switch_btn").click(
                            None, sides, sides, js="(w, h) => [h, w]", **QUIET
                        )
                controls.add(CROP)
        controls.add(MODE, visible="hidden")
        by.select(None, None, controls[MODE], js=f"() => {RESIZE_BY}", **QUIET)
        to.select(None, None, controls[MODE], js=f"() => {RESIZE_TO}", **QUIET)
        with gr.Row():
            controls.add_all(UPSCALERS, min_width=150)
        chosen = [controls[UPSCALERS[0]], controls[BY[0]]]
        chosen[0].input(None, chosen, chosen[1], js=calls("scaleOfUpscaler"), **QUIET)


def _background(controls: Controls) -> None:
    controls.add("remove_background")
    with gr.Accordion("Background", open=False, elem_id="extras_background", elem_classes="fold"):
        with gr.Row():
            controls.add_all(SUBJECT, min_width=150)
        with gr.Row():
            controls.add_all(EDGES, min_width=120)


def _operations(controls: Controls, settings: Settings) -> None:
    """In the order in which they act, but for what people do not want here; most are closed until somebody wants them.
    Upscaling, which A1111 has open as well, comes first unless somebody wants another order."""
    wanted, disabled = settings.render.postprocessing_operation_order, settings.ui.postprocessing_disable_in_extras
    for name in in_order(wanted or (UPSCALE,)):
        if name == UPSCALE:
            _upscale(controls)
        elif name == BACKGROUND:
            _background(controls)
        elif name not in disabled:
            own, rows = FOLDS[name]
            with _fold(name, own):
                for names, width in rows:
                    with gr.Row():
                        controls.add_all(names, min_width=width)


def _fold(title: str, name: str) -> Component:
    made: Component = gr.Accordion(title, open=False, elem_id=f"extras_{name}", elem_classes="fold")
    return made


def _submits(app: App, trigger: Component, controls: Controls, given: tuple[Component, ...], notice: Component) -> None:
    place, image, files, folder, output = given

    def submit(data: Data, request: gr.Request) -> str:
        owner = owner_of(request)
        refused: list[str] = []
        try:
            request_without = Extras.made(**controls.values(data))
            if data[place] == SINGLE:
                content = file_content(text_in(data[image]))
                name = (app.catalog.uploads.put(content),) if content else ()
                app.queue.submit(request_without.changed(images=name), owner=owner)
                return ""
            chosen = ""
            if data[place] == FOLDER:
                app.access.require_admin(owner)
                chosen = may_hold_results(str(data[output] or "").strip(), app.paths)
                if request_without.describes and not request_without.changes_pictures:
                    return _captions(app, request_without, text_in(data[folder]), chosen, owner)
                given = files_in(text_in(data[folder]), "Input", app.paths, but=[chosen])
            else:
                given = uploaded_files(data[files])
            kept = _kept(app, given, refused)
            for below, group in groupby(kept, lambda one: one.below if chosen else PurePath()):
                together = list(group)
                for begin in range(0, len(together), AT_ONCE):
                    names, stems, captions = zip(
                        *((one.name, one.stem, one.caption) for one in together[begin : begin + AT_ONCE]), strict=True
                    )
                    wanted = request_without.changed(images=names, names=stems, captions=captions)
                    app.queue.submit(wanted, owner=owner, settings=_into(chosen, below) if chosen else None)
        except WebuiError as error:
            return notices.failure(error)
        said = notices.done(f"{len(kept)} picture{'s' if len(kept) != 1 else ''} submitted.") if kept else ""
        return said + notices.remarks(refused)

    trigger.click(submit, {*controls.components, *given}, notice, **QUIET)


def _captions(app: App, asked: Extras, folder: str, output: str, owner: str) -> str:
    """A job that writes captions alone, for pictures that stay as they are -> what is said of it."""
    wanted = Caption.made(
        input_dir=folder, output_dir=output, model=asked.caption_model, existing_caption=asked.existing_caption
    )
    app.queue.submit(wanted, owner=owner)
    return notices.done("1 job submitted: captions alone, since nothing else is set.")


class _Kept(NamedTuple):
    below: PurePath
    """The folder below the named one."""
    name: str
    """In the store."""
    stem: str
    caption: str


def _kept(app: App, given: list[BatchPicture], refused: list[str]) -> list[_Kept]:
    """Those that are pictures, by folder; `refused` says which are not, and why."""
    found = []
    for one in sorted(given, key=lambda one: str(one.below)):
        try:
            found.append(_Kept(one.below, app.catalog.uploads.put(content_of(one.path)), one.stem, one.caption))
        except (UserError, StorageError) as error:
            refused.append(f"{one}: {error.message}")
    return found


def _into(folder: str, below: PurePath) -> dict[str, object]:
    """Settings for a job whose pictures go into this folder, or one below it."""
    return {"samples_save": True, "outdir_samples": str(Path(folder).expanduser() / below)}


def _folder(label: str, name: str, info: str) -> Component:
    box: Component = gr.Textbox(label=label, info=info, elem_id=f"extras_batch_{name}", max_lines=1, interactive=True)
    return box

"""The Batch sub-tab of img2img: many pictures, each a job of its own, from uploads or from a folder of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import NotFound, StorageError, UserError, WebuiError
from webui.base.paths import Paths
from webui.catalog.batch_pictures import BatchPicture, content_of, few, files_in, may_hold_results
from webui.catalog.image_files import size_of
from webui.catalog.pictures import read_infotext
from webui.jobs.caption.request import Caption
from webui.request import infotext
from webui.request.captions import PREPEND
from webui.request.fields import REQUESTS
from webui.request.params import by_name
from webui.server.ui import notices
from webui.server.ui.batch_units import UnitPictures
from webui.server.ui.components import Component, Data, all_in, text_in
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.scripts import Scripts
from webui.server.ui.sources import INIT, MASK, Added, Scaling
from webui.server.ui.visitors import owner_of

if TYPE_CHECKING:
    from webui.app import App

RESULT_PATTERN = "[basename]-[generation_number]"
"""A1111: a result in a folder of its own is called like the picture that it was made of; of several each has a
number."""

MODEL = "Model hash"
"""Which checkpoint made a picture: a setting, which the request overrides."""
# A1111: these fields of a picture's infotext can be taken over.
TAKEN = {
    "Prompt": "prompt",
    "Negative prompt": "negative_prompt",
    "Seed": "seed",
    "CFG scale": "cfg_scale",
    "Sampler": "sampler_name",
    "Schedule type": "scheduler",
    "Steps": "steps",
    MODEL: "",
}
PROMPTS = ("prompt", "negative_prompt")


@dataclass(frozen=True)
class BatchTab:
    """The sub-tab's components."""

    place: Component
    """Which of both is open: "upload" or "folder"."""
    files: Component
    folder: Component
    output: Component
    masks: Component
    controls: Component
    reads_info: Component
    info_folder: Component
    taken: Component

    @property
    def components(self) -> tuple[Component, ...]:
        return (
            self.place,
            self.files,
            self.folder,
            self.output,
            self.masks,
            self.controls,
            self.reads_info,
            self.info_folder,
            self.taken,
        )


def batch_tab() -> BatchTab:
    """Lay it out, inside its `gr.Tab`."""
    place = gr.Textbox("upload", visible="hidden", elem_id="img2img_batch_place", label="Source")
    with gr.Tabs(elem_id="img2img_batch_source", elem_classes="small"):
        with gr.Tab("Upload", elem_id="img2img_batch_upload") as uploading:
            files = gr.File(
                label="Pictures",
                file_count="multiple",
                file_types=["image"],
                elem_id="img2img_batch_files",
                height=220,
                interactive=True,
                buttons=[],
            )
        with gr.Tab("From directory", elem_id="img2img_batch_from_dir") as reading:
            folder = _folder(
                "Input directory", "input_dir", "A folder on the computer that Gesso runs on; subfolders are included."
            )
            output = _folder(
                "Output directory",
                "output_dir",
                "Results keep the names and subfolders of the originals. Empty: the usual output folder.",
            )
            masks = _folder(
                "Inpaint batch mask directory",
                "inpaint_mask_dir",
                "Masks with the names of the pictures; a single one serves all. Pictures without a mask are skipped. "
                "Empty: no inpainting.",
            )
            control_pictures = _folder(
                "ControlNet directory",
                "control_dir",
                "Pictures for the first unit that is on, or for units 0, 1, 2 in subfolders of these names: each for "
                "the picture of its name, or else the n-th for the n-th; a single one serves all.",
            )
    with gr.Accordion("PNG info", open=False, elem_id="img2img_batch_png_info", elem_classes="fold"):
        reads = gr.Checkbox(
            label="Append png info to prompts", container=False, elem_id="img2img_batch_use_png_info", interactive=True
        )
        info_folder = _folder("PNG info directory", "png_info_dir", "Empty: use the infotext of each picture itself.")
        taken = gr.CheckboxGroup(
            list(TAKEN),
            value=[],
            label="Parameters to take from png info",
            elem_id="img2img_batch_png_info_props",
            interactive=True,
        )
    uploading.select(None, None, place, js="() => 'upload'", **QUIET)
    reading.select(None, None, place, js="() => 'folder'", **QUIET)
    return BatchTab(place, files, folder, output, masks, control_pictures, reads, info_folder, taken)


def submits_batch(
    app: App,
    trigger: Component,
    batch: BatchTab,
    controls: Controls,
    scaling: Scaling,
    notice: Component,
    scripts: Scripts,
) -> None:
    """Wire the button that submits a job for each picture."""

    def kept(picture: BatchPicture) -> str:
        return app.catalog.uploads.put(content_of(picture.path))

    def submit(data: Data, request: gr.Request) -> str:
        owner = owner_of(request)
        try:
            base = {**controls.values(data), **scripts.values(data)}
            from_folder = data[batch.place] == "folder"
            if from_folder:
                app.access.require_admin(owner)
            beside = (batch.output, batch.masks, batch.controls, batch.info_folder)
            others = [str(data[part] or "") for part in beside]
            given = (
                files_in(text_in(data[batch.folder]), "Input", app.paths, but=others)
                if from_folder
                else uploaded_files(data[batch.files])
            )
            masks = _Masks(text_in(data[batch.masks]) if from_folder else "", app.paths)
            wanted_units = text_in(data[batch.controls]).strip() if from_folder else ""
            units = UnitPictures(files_in(wanted_units, "ControlNet", app.paths) if wanted_units else (), given)
            output = may_hold_results(str(data[batch.output] or "").strip(), app.paths) if from_folder else ""
            info = _InfoFrom(data, batch, app) if data[batch.reads_info] else None
            if info is not None and data[batch.info_folder]:
                app.access.require_admin(owner)
            done = 0
            refused: list[str] = []
            remarks: list[str] = []
            for number, one in enumerate(given):
                try:
                    mask = masks.of(one)
                    content = content_of(one.path)
                    name = app.catalog.uploads.put(content)
                    added: Added = {INIT: (name,), **scaling.size(data, size_of(content))}
                    added |= {MASK: app.catalog.uploads.put(mask)} if mask else {}
                    added |= info.of(one, content, base, remarks) if info is not None else {}
                    added |= units.values(number, one, base, kept)
                    wanted = REQUESTS["img2img"].made(**{**base, **added, "basename": one.stem})
                    where = into(output, one.below) if output else None
                    app.queue.submit(wanted, owner=owner, settings=where)
                    done += 1
                except (UserError, StorageError) as error:
                    refused.append(f"{one}: {error.message}")
        except WebuiError as error:
            return notices.failure(error)
        if not done and len(refused) == 1:
            return notices.failure(UserError(refused[0]))
        said = notices.done(f"{done} job{'s' if done != 1 else ''} submitted.") if done else ""
        return said + notices.remarks([*refused, *dict.fromkeys(remarks)])

    given = {*controls.components, *batch.components, *scripts.components, scaling.tab, scaling.factor}
    trigger.click(submit, given, notice, **QUIET)


def captions_batch(app: App, trigger: Component, model: str, batch: BatchTab, notice: Component) -> None:
    """Wire the button that has all pictures of the input directory described, in text files. A1111: in the output
    directory, or beside the pictures, behind what is there."""

    def submit(place: str, folder: str, output: str, request: gr.Request) -> str:
        owner = owner_of(request)
        try:
            if place != "folder":
                raise UserError(
                    "Captions are text files beside pictures, so the pictures must be in a folder.",
                    hint="Open From directory.",
                )
            app.access.require_admin(owner)
            wanted = Caption.made(
                input_dir=folder or "", output_dir=output or "", model=model, existing_caption=PREPEND
            )
            app.queue.submit(wanted, owner=owner)
        except WebuiError as error:
            return notices.failure(error)
        return notices.done("1 job submitted.")

    trigger.click(submit, [batch.place, batch.folder, batch.output], notice, **QUIET)


def into(folder: str, below: PurePath) -> dict[str, object]:
    """Settings for a job whose pictures go into this folder, or one below it, named like the picture that they were
    made of. A1111: no subfolder by date, no sheet; what is there already stays."""
    target = str(Path(folder).expanduser() / below)
    return {
        "samples_save": True,
        "outdir_samples": target,
        "save_to_dirs": False,
        "save_images_add_number": False,
        "samples_filename_pattern": RESULT_PATTERN,
        "grid_save": False,
    }


class _Masks:
    """A folder of masks."""

    def __init__(self, folder: str, paths: Paths) -> None:
        found = files_in(folder, "Mask", paths) if folder and folder.strip() else []
        self._any = bool(found)
        self._by_place = {mask.place: mask for mask in reversed(found)}
        self._by_stem = {mask.stem: mask for mask in reversed(found)}
        self._only = found[0] if len(found) == 1 else None

    def of(self, picture: BatchPicture) -> bytes:
        """The mask for a picture; b"" where none are used. A single mask serves every picture.

        Raises:
            UserError: masks are used, and this picture has none.
        """
        mask = self._only or self._by_place.get(picture.place) or self._by_stem.get(picture.stem)
        if mask is None and self._any:
            # A1111: what has no mask is skipped; redone as a whole it would be lost.
            raise UserError(
                "skipped: it has no mask.", hint="A mask must have the same name as its picture.", field=MASK
            )
        return content_of(mask.path) if mask is not None else b""


class _InfoFrom:
    """What is taken from infotexts, as the sub-tab says."""

    def __init__(self, data: Data, batch: BatchTab, app: App) -> None:
        chosen = all_in(data[batch.taken])
        self._fields = {TAKEN[label] for label in chosen if label in TAKEN}
        self._checkpoints = app.catalog.checkpoints if MODEL in chosen else None
        folder = str(data[batch.info_folder] or "")
        found = list(reversed(files_in(folder, "PNG info", app.paths))) if folder.strip() else []
        self._by_place = {other.below / other.path.name: other.path for other in found}
        self._by_name = {other.path.name: other.path for other in found}

    def of(self, picture: BatchPicture, content: bytes, base: Mapping[str, object], remarks: list[str]) -> Added:
        """Fields of the request that this picture's infotext changes. Prompts are appended to what the form has.

        remarks: gets a sentence about a checkpoint that is not here.
        """
        other = self._by_place.get(picture.below / picture.path.name) or self._by_name.get(picture.path.name)
        text, _ = read_infotext(content_of(other) if other else content)
        if not text:
            return {}
        told = infotext.read(text)
        values = infotext.fields_of(told, REQUESTS["img2img"])
        found = {name: value for name, value in values.items() if name in self._fields}
        for name in PROMPTS:
            if found.get(name) and base.get(name):
                found[name] = f"{base[name]} {found[name]}"
        if self._checkpoints is not None and (short := told.labels.get(MODEL, "")):
            try:
                title = self._checkpoints.find(short).title
                found["override_settings"] = {**by_name(base.get("override_settings")), "sd_model_checkpoint": title}
            except NotFound:
                remarks.append(f"There is no checkpoint with the hash {short}; the current one is used.")
        return found


def _folder(label: str, name: str, info: str) -> Component:
    box: Component = gr.Textbox(label=label, info=info, elem_id=f"img2img_batch_{name}", max_lines=1, interactive=True)
    return box


def uploaded_files(given: object) -> list[BatchPicture]:
    """The files that were dropped. Raises UserError: none, or too many."""
    found = [BatchPicture(Path(path)) for path in all_in(given)]
    if not found:
        raise UserError("There are no pictures.", hint="Drop some here first.", field=INIT)
    return few(found)

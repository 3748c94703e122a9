"""The Batch sub-tab of img2img: many pictures, each a job of its own, from uploads or from a folder of the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from webui.base.errors import StorageError, UserError, WebuiError
from webui.catalog.pictures import read_infotext
from webui.request import infotext
from webui.request.fields import REQUESTS
from webui.server.ui import notices
from webui.server.ui.controls import QUIET, Component, Controls, Data
from webui.server.ui.scripts import Scripts
from webui.server.ui.sketch import size_of
from webui.server.ui.sources import INIT, MASK, Added, Scaling
from webui.server.ui.wiring import owner_of

if TYPE_CHECKING:
    from webui.app import App

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp")
MOST = 2000
"""Pictures at one press."""

# A1111: these fields of a picture's infotext can be taken over.
TAKEN = {
    "Prompt": "prompt",
    "Negative prompt": "negative_prompt",
    "Seed": "seed",
    "CFG scale": "cfg_scale",
    "Sampler": "sampler_name",
    "Schedule type": "scheduler",
    "Steps": "steps",
}
PROMPTS = ("prompt", "negative_prompt")


@dataclass(frozen=True)
class Batch:
    """The sub-tab's components."""

    place: Component
    """Which of both is open: "upload" or "folder"."""
    files: Component
    folder: Component
    output: Component
    masks: Component
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
            self.reads_info,
            self.info_folder,
            self.taken,
        )


def batch_tab() -> Batch:
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
            folder = _folder("Input directory", "input_dir", "A folder on the computer that Gesso runs on.")
            output = _folder("Output directory", "output_dir", "Empty: where all pictures go.")
            masks = _folder(
                "Inpaint batch mask directory",
                "inpaint_mask_dir",
                "Masks with the names of the pictures; a single one serves all. Empty: no inpainting.",
            )
    with gr.Accordion("PNG info", open=False, elem_id="img2img_batch_png_info", elem_classes="fold"):
        reads = gr.Checkbox(
            label="Append png info to prompts", container=False, elem_id="img2img_batch_use_png_info", interactive=True
        )
        info_folder = _folder("PNG info directory", "png_info_dir", "Empty: the infotexts of the pictures themselves.")
        taken = gr.CheckboxGroup(
            list(TAKEN),
            value=[],
            label="Parameters to take from png info",
            elem_id="img2img_batch_png_info_props",
            interactive=True,
        )
    uploading.select(None, None, place, js="() => 'upload'", **QUIET)
    reading.select(None, None, place, js="() => 'folder'", **QUIET)
    return Batch(place, files, folder, output, masks, reads, info_folder, taken)


def submits_batch(
    app: App,
    trigger: Component,
    batch: Batch,
    controls: Controls,
    scaling: Scaling,
    notice: Component,
    scripts: Scripts,
) -> None:
    """Wire the button that submits a job for each picture."""

    def submit(data: Data, request: gr.Request) -> str:
        owner = owner_of(request)
        try:
            base = {**controls.values(data), **scripts.values(data)}
            from_folder = data[batch.place] == "folder"
            if from_folder:
                app.access.require_admin(owner)
            paths = files_in(data[batch.folder], "Input") if from_folder else uploaded_files(data[batch.files])
            masks = _Masks(data[batch.masks] if from_folder else "")
            output = str(data[batch.output] or "").strip() if from_folder else ""
            where: dict[str, Any] | None = None
            if output:
                where = {"outdir_img2img_samples": str(Path(output).expanduser()), "save_to_dirs": False}
            info = _InfoFrom(data, batch) if data[batch.reads_info] else None
            if info is not None and data[batch.info_folder]:
                app.access.require_admin(owner)
            done = 0
            refused: list[str] = []
            for path in paths:
                try:
                    content = content_of(path)
                    name = app.catalog.uploads.put(content)
                    mask = masks.of(path)
                    added: Added = {INIT: (name,), **scaling.size(data, size_of(content))}
                    added |= {MASK: app.catalog.uploads.put(mask)} if mask else {}
                    added |= info.of(path, content, base) if info is not None else {}
                    app.queue.submit(REQUESTS["img2img"].made(**{**base, **added}), owner=owner, settings=where)
                    done += 1
                except UserError as error:
                    refused.append(f"{path.name}: {error.message}")
        except WebuiError as error:
            return notices.failure(error)
        if not done and len(refused) == 1:
            return notices.failure(UserError(refused[0]))
        said = notices.done(f"{done} job{'s' if done != 1 else ''} submitted.") if done else ""
        return said + notices.remarks(refused)

    given = {*controls.components, *batch.components, *scripts.components, scaling.tab, scaling.factor}
    trigger.click(submit, given, notice, **QUIET)


class _Masks:
    """A folder of masks."""

    def __init__(self, folder: str) -> None:
        found = files_in(folder, "Mask") if folder and folder.strip() else []
        self._by_stem = {path.stem: path for path in found}
        self._only = found[0] if len(found) == 1 else None

    def of(self, picture: Path) -> bytes:
        """The mask for a picture; b"" for none. A single mask serves every picture."""
        path = self._only or self._by_stem.get(picture.stem)
        return content_of(path) if path else b""


class _InfoFrom:
    """What is taken from infotexts, as the sub-tab says."""

    def __init__(self, data: Data, batch: Batch) -> None:
        self._fields = {TAKEN[label] for label in data[batch.taken] or () if label in TAKEN}
        folder = str(data[batch.info_folder] or "")
        self._by_name = {path.name: path for path in files_in(folder, "PNG info")} if folder.strip() else {}

    def of(self, picture: Path, content: bytes, base: Mapping[str, Any]) -> Added:
        """Fields of the request that this picture's infotext changes. Prompts are appended to what the form has."""
        other = self._by_name.get(picture.name)
        text, _ = read_infotext(content_of(other) if other else content)
        if not text:
            return {}
        values = infotext.fields_of(infotext.read(text), REQUESTS["img2img"])
        found = {name: value for name, value in values.items() if name in self._fields}
        for name in PROMPTS:
            if found.get(name) and base.get(name):
                found[name] = f"{base[name]} {found[name]}"
        return found


def _folder(label: str, name: str, info: str) -> Component:
    return gr.Textbox(label=label, info=info, elem_id=f"img2img_batch_{name}", max_lines=1, interactive=True)


def uploaded_files(given: Any) -> list[Path]:
    """The files that were dropped. Raises UserError: none, or too many."""
    paths = [Path(path) for path in given or ()]
    if not paths:
        raise UserError("There are no pictures.", hint="Drop some here first.", field=INIT)
    return _few(paths)


def files_in(folder: str, which: str) -> list[Path]:
    """The pictures in a folder, by name.

    Raises:
        UserError: the folder was not named, is none, or has no picture.
    """
    given = (folder or "").strip()
    if not given:
        raise UserError(f"{which} directory: none was given.", hint="Write the folder's path.", field=INIT)
    try:
        found = sorted(_pictures_in(Path(given).expanduser()))
    except OSError as error:
        raise UserError(f"{which} directory: {given} cannot be read.", hint=error.strerror or "", field=INIT) from error
    if not found:
        raise UserError(f"{which} directory: there is no picture in {given}.", field=INIT)
    return _few(found)


def _pictures_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())


def _few(paths: list[Path]) -> list[Path]:
    if len(paths) > MOST:
        raise UserError(f"{len(paths)} pictures at once are too many.", hint=f"Take at most {MOST}.", field=INIT)
    return paths


def content_of(path: Path) -> bytes:
    """Its bytes. Raises StorageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from error

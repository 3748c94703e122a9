"""X/Y/Z plot over HTTP: a table of jobs, and the sheet of their pictures."""

from __future__ import annotations

import base64
import io
import json
import random
from typing import TYPE_CHECKING, Any

from PIL import Image

from webui.base.errors import StorageError, WebuiError
from webui.base.files import write_new
from webui.catalog import grid
from webui.catalog.image_files import Encoded, as_format, encode
from webui.request import infotext
from webui.request.fields import Generation
from webui.request.plan import LARGEST_RANDOM_SEED
from webui.request.settings import SaveSettings
from webui.scripts import legend, xyz
from webui.server.api.bodies import Body, Img2ImgBody, forgiven, request_of, settings_for
from webui.server.jobs.job import Job

if TYPE_CHECKING:
    from webui.app import App

_NO_SHEETS = {"grid_save": False, "return_grid": False}
"""The cells have none of their own."""


def is_plot(body: Body) -> bool:
    """Whether the body asks for a table."""
    return (body.script_name or "").lower() == xyz.TITLE.lower()


def submitted(app: App, body: Body, given: frozenset[str], owner: str) -> tuple[xyz.Table, list[str], tuple[str, ...]]:
    """Put all cells into the queue -> the table, its cells' jobs in their order, and remarks. All of them, or none.

    Raises:
        UserError: a value is wrong, or a name in a cell is nothing's.
    """
    settings = app.settings.current
    in_use = "" if settings.render.sd_model_checkpoint else app.queue.checkpoint_in_use
    known, remarks = forgiven(body.model_copy(update={"script_name": None}), app.catalog, in_use)
    wanted = request_of(known, given, app.catalog, settings)
    table = xyz.table(
        wanted, body.script_args, lambda: random.randrange(LARGEST_RANDOM_SEED), settings.limits.most_pictures
    )
    own = {**settings_for(body), **_NO_SHEETS}
    jobs: list[str] = []
    try:
        for cell in table.cells:
            jobs.append(app.queue.submit(cell.request, owner, settings=own))
    except WebuiError:
        for job in jobs:
            app.queue.cancel(job)
        raise
    return table, jobs, remarks


def answer(
    app: App, body: Body, table: xyz.Table, jobs: list[Job], remarks: tuple[str, ...], summary: dict[str, Any]
) -> dict[str, Any]:
    """A1111's answer: the sheet, those of each Z where there are several and it is asked for, then the pictures.

    `jobs`: of the table's cells, in their order. `summary`: of one that has pictures.
    """
    pictures = app.catalog.pictures
    save = app.settings.current.save
    # In reading order: X fastest, then Y, then Z.
    placed = sorted(zip(table.cells, jobs, strict=True), key=lambda pair: pair[0].place[::-1])
    ordered = [job for _, job in placed]
    contents = [[pictures.content(picture.id)[0] for picture in job.pictures] for job in ordered]
    made = [picture for job in ordered for picture in job.pictures]
    text = _sheet_text(made[0].infotext, table)
    sheets = [_encoded(image, text, save) for image in _sheets(table, contents, save)]
    if body.save_images and save.grid_save:
        _save(app, sheets[0], ordered[0].request, save)
    lone = table.options.include_lone_images
    images = [sheet.content for sheet in sheets] + ([each for cell in contents for each in cell] if lone else [])
    if not body.save_images:
        for picture in made:
            pictures.discard(picture.id)
    shown = made if lone else []
    parameters = body.model_dump(mode="json")
    if isinstance(body, Img2ImgBody) and not body.include_init_images:
        parameters |= {"init_images": None, "mask": None}
    failures = [job.error.message for job in ordered if job.error is not None]
    comments = [*remarks, *(comment for job in ordered for comment in job.comments), *failures]
    info = {
        **summary,
        "all_prompts": [infotext.read(picture.infotext).prompt for picture in made],
        "all_negative_prompts": [infotext.read(picture.infotext).negative for picture in made],
        "seed": made[0].seed,
        "all_seeds": [picture.seed for picture in made],
        "subseed": made[0].subseed,
        "all_subseeds": [picture.subseed for picture in made],
        "index_of_first_image": len(sheets),
        "infotexts": [text] * len(sheets) + [picture.infotext for picture in shown],
        "comments": list(dict.fromkeys(comments)),
    }
    encoded = [base64.b64encode(content).decode() for content in images] if body.send_images else []
    return {"images": encoded, "parameters": parameters, "info": json.dumps(info)}


def _sheets(table: xyz.Table, contents: list[list[bytes]], save: SaveSettings) -> list[Image.Image]:
    """The whole table first, then each Z of it where there are several and they are asked for."""
    columns, rows, layers = (table.titles(index) for index in range(3))
    cells = [_cell(cell, save) for cell in contents]
    size = len(columns) * len(rows)
    written = table.options.draw_legend
    parts: list[Image.Image | None] = []
    for layer in range(len(layers)):
        part = cells[layer * size : (layer + 1) * size]
        parts.append(
            legend.sheet(
                part,
                columns if written else [""] * len(columns),
                rows if written else [""] * len(rows),
                margin=table.options.margin_size,
                background=save.grid_background_color,
            )
            if any(part)
            else None
        )
    if len(parts) == 1:
        return [part for part in parts if part is not None]
    whole = legend.sheet(
        parts,
        layers if written else [""] * len(layers),
        [""],
        margin=table.options.margin_size,
        background=save.grid_background_color,
    )
    return [whole, *(part for part in parts if part is not None and table.options.include_sub_grids)]


def _cell(contents: list[bytes], save: SaveSettings) -> Image.Image | None:
    """The pictures of a cell as one; None: there are none."""
    found = []
    for content in contents:
        with Image.open(io.BytesIO(content)) as image:
            found.append(image.convert("RGB"))
    if len(found) < 2:
        return found[0] if found else None
    return grid.image_grid(found, grid.rows_of(len(found), len(found), -1), save.grid_background_color)


def _encoded(image: Image.Image, text: str, save: SaveSettings) -> Encoded:
    return encode(
        image,
        as_format(save.grid_format),
        text if save.enable_pnginfo else "",
        quality=save.jpeg_quality,
        lossless=save.webp_lossless,
    )


def _sheet_text(text: str, table: xyz.Table) -> str:
    """The first picture's infotext, and what the table is."""
    return infotext.joined(text, ", ".join(f"{label}: {infotext.quoted(value)}" for label, value in table.labels))


def _save(app: App, made: Encoded, request: Any, save: SaveSettings) -> None:
    """A1111: `xyz_grid-0000-SEED`, counted on."""
    is_img2img = isinstance(request, Generation) and request.is_img2img
    own = save.outdir_img2img_grids if is_img2img else save.outdir_txt2img_grids
    folder = app.paths.data / (save.outdir_grids or own)
    for number in range(len(list(folder.glob("xyz_grid-*"))), 10_000):
        if write_new(folder / f"xyz_grid-{number:04}-{request.seed}.{made.kind}", made.content):
            return
    raise StorageError(f"No name is free in {folder}.")


def arguments(cls: type[Generation]) -> list[dict[str, Any]]:
    """A1111's description of the values by position."""
    empty = {"value": None, "minimum": None, "maximum": None, "step": None, "choices": None}
    titles = [axis.title for axis in xyz.axes(cls)]
    found: list[dict[str, Any]] = []
    for name in "XYZ":
        found += [
            {**empty, "label": f"{name} type", "value": "Seed" if name == "X" else "Nothing", "choices": titles},
            {**empty, "label": f"{name} values", "value": ""},
            {**empty, "label": f"{name} values", "choices": []},
        ]
    for label, value in (
        ("Draw legend", True),
        ("Include Sub Images", False),
        ("Include Sub Grids", False),
        ("Keep -1 for seeds", False),
        ("Vary seeds for X", False),
        ("Vary seeds for Y", False),
        ("Vary seeds for Z", False),
    ):
        found.append({**empty, "label": label, "value": value})
    margin = {"label": "Grid margins (px)", "value": 0, "minimum": 0, "maximum": 500, "step": 2, "choices": None}
    return [*found, margin, {**empty, "label": "Use text inputs instead of dropdowns", "value": False}]

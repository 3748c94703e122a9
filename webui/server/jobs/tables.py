"""Jobs with a script: from a request to the plans of a table, and from its pictures to its sheets."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from PIL import Image

from webui.base.errors import NotFound, UserError
from webui.catalog import grid
from webui.catalog.image_files import over_white, readable
from webui.request.fields import Generation
from webui.request.plan import LARGEST_RANDOM_SEED, Names, Plan, Plans
from webui.request.settings import SaveSettings
from webui.scripts import legend
from webui.scripts.script import Cell, Seeds, Table, Title, chosen

Resolve = Callable[[Generation], Plan]


def expanded(request: Generation, seed: int, subseed: int, most: int, names: Names) -> Table:
    """The table that a request with a script stands for: the same one each time for these seeds.

    Raises:
        NotFound: there is no such script.
        UserError: a value is wrong, or there are more than `most` pictures.
    """
    script, remarks = chosen(request)
    stream = random.Random(f"{seed}/{subseed}")
    seeds = Seeds(seed, subseed, lambda: stream.randrange(LARGEST_RANDOM_SEED))
    request = request.changed(script="", script_values={})
    table = script.expand_with(request, seeds, most, names)
    return replace(table, remarks=(*remarks, *table.remarks))


def settled(table: Table, plan: Callable[[Generation], object]) -> Table:
    """The table with what its script has for the cells that cannot be planned, each with the reason as a remark."""
    cells, remarks = [], list(table.remarks)
    for cell in table.cells:
        if cell.otherwise is not None:
            try:
                plan(cell.request)
            except (NotFound, UserError) as error:
                remarks.append(f"{cell.said}: {error.message}")
                cell = Cell(cell.place, cell.otherwise)
        cells.append(cell)
    return replace(table, cells=tuple(cells), remarks=tuple(remarks))


def planned(table: Table, resolve: Resolve) -> Plans:
    """The plans of all cells, in the order in which they are made; positions are in reading order: columns, rows,
    layers.

    Raises:
        NotFound, UserError: as `resolve`.
    """
    starts: dict[tuple[int, int, int], int] = {}
    start = 0
    for cell in sorted(table.cells, key=lambda cell: cell.place[::-1]):
        starts[cell.place] = start
        start += cell.request.picture_count
    parts, requests = [], []
    images: dict[str, bytes] = {}
    for cell in table.cells:
        plan = resolve(cell.request).moved(starts[cell.place])
        # The same picture is the same bytes, however many cells begin with it.
        shared = {name: images.setdefault(name, content) for name, content in plan.images.items()}
        parts.append(replace(plan, images=shared))
        requests.append(cell.request)
    return Plans(tuple(parts), tuple(requests))


def sheets_of(table: Table, plans: Plans, contents: Mapping[int, bytes], save: SaveSettings) -> list[Image.Image]:
    """The sheet of the whole table, and those of its layers where there are several and they are wanted.

    `contents`: the pictures' files by position; the places of those that are not there stay empty.

    Raises:
        UserError: a picture's file is broken.
    """
    if table.sheets is None or not contents:
        return []
    sheets = table.sheets
    columns, rows, layers = sheets.titles
    cells: dict[tuple[int, int, int], Image.Image | None] = {}
    for cell, part in zip(table.cells, plans.parts, strict=True):
        positions = sorted(picture.position for batch in part.batches for picture in batch)
        cells[cell.place] = _cell([contents[each] for each in positions if each in contents], save)

    def laid_out(pictures: list[Image.Image | None], across: tuple[Title, ...], down: tuple[Title, ...]) -> Image.Image:
        ink = legend.Ink(save.grid_text_active_color, save.grid_text_inactive_color, save.font)
        return legend.sheet(
            pictures, across, down, margin=sheets.margin, background=save.grid_background_color, ink=ink
        )

    parts: list[Image.Image | None] = []
    for z in range(len(layers)):
        own = [cells.get((x, y, z)) for y in range(len(rows)) for x in range(len(columns))]
        parts.append(laid_out(own, columns, rows) if any(own) else None)
    there = [part for part in parts if part is not None]
    if len(layers) == 1:
        return there
    return [laid_out(parts, layers, ("",)), *(there if sheets.layers else [])]


def _cell(contents: list[bytes], save: SaveSettings) -> Image.Image | None:
    """The pictures of a cell as one; None: there are none."""
    found = readable(lambda: [_opened(content) for content in contents])
    if len(found) < 2:
        return found[0] if found else None
    return grid.image_grid(found, grid.rows_of(len(found), len(found), -1), save.grid_background_color)


def _opened(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        return over_white(picture)

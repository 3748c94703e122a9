"""The sheet of all pictures of a run."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from webui.base.errors import StorageError
from webui.base.files import write_new
from webui.catalog.image_files import EncodedPicture, as_format, encode, over_white, readable
from webui.request.filenames import Naming, apply_pattern, file_name, folder_parts
from webui.request.settings import SaveSettings

NAME = "grid"
"""What the sheet is called, as a file and among the pictures that come with the first one."""
LARGEST_SIDE = 32768
"""Pixels; a sheet that would be larger is made of smaller pictures."""


def is_sheet(name: str) -> bool:
    """Whether the picture of this name, among those that come with a result, is a sheet."""
    return name.partition("-")[2].partition(".")[0] == NAME


def rows_of(count: int, batch_size: int, n_rows: int, *, prevent_empty_spots: bool = False) -> int:
    """Rows of the sheet of `count` pictures.

    A1111: as close to a square as rounding gives, which may leave spots empty.

    `n_rows`: the setting; above 0 that many, 0 as many as the batch has pictures, below it is chosen here.
    """
    if n_rows > 0:
        rows = n_rows
    elif n_rows == 0:
        rows = batch_size
    elif prevent_empty_spots:
        rows = next(rows for rows in range(math.isqrt(count), 0, -1) if count % rows == 0)
    else:
        rows = round(math.sqrt(count))
    return min(rows, count)


def image_grid(pictures: Sequence[Image.Image], rows: int, background: str = "#ffffff") -> Image.Image:
    """The pictures in reading order, each in the middle of a cell as large as the largest; RGB."""
    columns = math.ceil(len(pictures) / rows)
    width, height = (max(picture.size[side] for picture in pictures) for side in (0, 1))
    scale = min(1.0, LARGEST_SIDE / (columns * width), LARGEST_SIDE / (rows * height))
    if scale < 1:
        width, height = max(int(width * scale), 1), max(int(height * scale), 1)
        pictures = [
            picture.resize((max(int(picture.width * scale), 1), max(int(picture.height * scale), 1)))
            for picture in pictures
        ]
    sheet = Image.new("RGB", (columns * width, rows * height), background)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        left, top = (width - picture.width) // 2, (height - picture.height) // 2
        sheet.paste(picture, (column * width + left, row * height + top))
    return sheet


def sheet(contents: Sequence[bytes], infotext: str, save: SaveSettings, batch_size: int) -> EncodedPicture:
    """The file of a sheet, from the files of its pictures.

    Raises:
        UserError: one of them is broken.
    """
    pictures = readable(lambda: [_opened(content) for content in contents])
    rows = rows_of(len(pictures), batch_size, save.n_rows, prevent_empty_spots=save.grid_prevent_empty_spots)
    return encoded(image_grid(pictures, rows, save.grid_background_color), infotext, save)


def in_a_row(contents: Sequence[bytes], save: SaveSettings) -> Image.Image:
    """The pictures of these files beside one another.

    Raises:
        UserError: one of them is broken.
    """
    return image_grid(readable(lambda: [_opened(content) for content in contents]), 1, save.grid_background_color)


def in_rows(contents: Sequence[bytes], save: SaveSettings) -> Image.Image:
    """The pictures of these files in as many rows as the settings say for single pictures.

    Raises:
        UserError: one of them is broken.
    """
    pictures = readable(lambda: [_opened(content) for content in contents])
    rows = rows_of(len(pictures), 1, save.n_rows, prevent_empty_spots=save.grid_prevent_empty_spots)
    return image_grid(pictures, rows, save.grid_background_color)


def encoded(image: Image.Image, infotext: str, save: SaveSettings) -> EncodedPicture:
    """The file of a sheet."""
    return encode(
        image,
        as_format(save.grid_format),
        infotext if save.enable_pnginfo else "",
        quality=save.jpeg_quality,
        lossless=save.webp_lossless,
    )


def save_sheet(made: EncodedPicture, folder: Path, naming: Naming, save: SaveSettings) -> Path:
    """Write a sheet below `folder`. A1111: `grid-0000.png`, with seed and prompt behind it where the settings say so.

    Raises:
        StorageError: the disk is full or not writable.
    """
    if save.grid_save_to_dirs:
        folder = folder.joinpath(*folder_parts(save.directories_filename_pattern or "[prompt_words]", naming))
    pattern = save.samples_filename_pattern or "[seed]-[prompt_spaces]"
    behind = "-" + apply_pattern(pattern, naming).replace("/", "_").replace("\\", "_")
    taken = [re.match(rf"{NAME}-(\d+)", path.name) for path in folder.glob(f"{NAME}-*")]
    number = max((int(match[1]) for match in taken if match), default=-1) + 1
    for free in range(number, number + 1000):
        stem = f"{NAME}-{free:04}{behind if save.grid_extended_filename else ''}"
        path = folder / file_name(stem, made.kind)
        if write_new(path, made.content):
            return path
    raise StorageError(f"No free file name was found in {folder}.")


def save_table(made: EncodedPicture, folder: Path, stem: str, seed: int) -> Path:
    """Write the sheet of a script below `folder`. A1111: `xyz_grid-0000-SEED.png`.

    Raises:
        StorageError: the disk is full or not writable.
    """
    taken = [re.match(rf"{stem}-(\d+)", path.name) for path in folder.glob(f"{stem}-*")]
    number = max((int(match[1]) for match in taken if match), default=-1) + 1
    for free in range(number, number + 1000):
        path = folder / file_name(f"{stem}-{free:04}-{seed}", made.kind)
        if write_new(path, made.content):
            return path
    raise StorageError(f"No free file name was found in {folder}.")


def _opened(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        return over_white(picture)

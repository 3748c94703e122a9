"""The sheet of all pictures of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

LARGEST_SIDE = 32768
"""Pixels; a sheet that would be larger is made of smaller pictures."""


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

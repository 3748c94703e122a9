"""A sheet of pictures in rows and columns, with a legend above and beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

BLACK = (0, 0, 0)
LARGEST_SIDE = 32768
MOST_PIXELS = 200_000_000
"""Of a sheet; one that would be larger is made of smaller pictures."""


def sheet(
    pictures: Sequence[Image.Image | None],
    columns: Sequence[str],
    rows: Sequence[str],
    *,
    margin: int = 0,
    background: str = "#ffffff",
) -> Image.Image:
    """The pictures in reading order, `len(columns)` in a row; None leaves its place empty. RGB.

    `margin`: pixels between pictures. Empty titles take no room.
    """
    there = [picture for picture in pictures if picture is not None]
    if not there:
        raise ValueError("A sheet needs a picture.")
    width, height = (max(picture.size[side] for picture in there) for side in (0, 1))
    wide, high = len(columns) * (width + margin), len(rows) * (height + margin)
    scale = min(1.0, LARGEST_SIDE / wide, LARGEST_SIDE / high, math.sqrt(MOST_PIXELS / (wide * high)))
    if scale < 1:
        pictures = [picture and _scaled(picture, scale) for picture in pictures]
        width, height = max(int(width * scale), 1), max(int(height * scale), 1)
    size = max((width + height) // 25, 1)
    spacing = size // 2
    left = width * 3 // 4 if any(rows) else 0
    heads = [_fitting(title, width, size) for title in columns]
    sides = [_fitting(title, left, size) for title in rows]
    top = max((_height(*head) for head in heads), default=0) + 2 * spacing if any(columns) else 0
    full = (left + len(columns) * (width + margin) - margin, top + len(rows) * (height + margin) - margin)
    made = Image.new("RGB", full, background)
    pen = ImageDraw.Draw(made)
    for index, picture in enumerate(pictures):
        if picture is not None:
            row, column = divmod(index, len(columns))
            corner = (left + column * (width + margin), top + row * (height + margin))
            made.paste(picture, (corner[0] + (width - picture.width) // 2, corner[1] + (height - picture.height) // 2))
    for column, (text, font) in enumerate(heads):
        middle = (left + column * (width + margin) + width / 2, top / 2)
        pen.multiline_text(middle, text, BLACK, font, anchor="mm", align="center")
    for row, (text, font) in enumerate(sides):
        middle = (left / 2, top + row * (height + margin) + height / 2)
        pen.multiline_text(middle, text, BLACK, font, anchor="mm", align="center")
    return made


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    return picture.resize((max(int(picture.width * scale), 1), max(int(picture.height * scale), 1)))


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _fitting(text: str, width: int, size: int) -> tuple[str, Font]:
    """The text in lines of at most this width, words kept whole, and a font small enough for its longest word."""
    font = ImageFont.load_default(size)
    while size > 1 and any(font.getlength(word) > width for word in text.split()):
        size -= 1
        font = ImageFont.load_default(size)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines), font


def _height(text: str, font: Font) -> int:
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    _, top, _, bottom = pen.multiline_textbbox((0, 0), text, font)
    return round(bottom - top)

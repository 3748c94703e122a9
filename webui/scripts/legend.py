"""A sheet of pictures in rows and columns, with a legend above and beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from webui.scripts.script import Title

BLACK, GREY = (0, 0, 0), (153, 153, 153)
LARGEST_SIDE = 32768
MOST_PIXELS = 200_000_000
"""Of a sheet; one that would be larger is made of smaller pictures."""


def sheet(
    pictures: Sequence[Image.Image | None],
    columns: Sequence[Title],
    rows: Sequence[Title],
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
    top = max((_height(head) for head in heads), default=0) + 2 * spacing if any(columns) else 0
    full = (left + len(columns) * (width + margin) - margin, top + len(rows) * (height + margin) - margin)
    made = Image.new("RGB", full, background)
    pen = ImageDraw.Draw(made)
    for index, picture in enumerate(pictures):
        if picture is not None:
            row, column = divmod(index, len(columns))
            corner = (left + column * (width + margin), top + row * (height + margin))
            made.paste(picture, (corner[0] + (width - picture.width) // 2, corner[1] + (height - picture.height) // 2))
    for column, head in enumerate(heads):
        _write(pen, head, left + column * (width + margin) + width / 2, top / 2)
    for row, side in enumerate(sides):
        _write(pen, side, left / 2, top + row * (height + margin) + height / 2)
    return made


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    return picture.resize((max(int(picture.width * scale), 1), max(int(picture.height * scale), 1)))


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Block = tuple[tuple[str, bool, Font], ...]
"""Pieces of text under one another, each with whether it is in force, and its font."""


def _fitting(title: Title, width: int, size: int) -> Block:
    """The title in lines of at most this width, words kept whole, in fonts small enough for the longest word."""
    pieces = ((title, True),) if isinstance(title, str) else title
    wrapped = ((_wrapped(text, width, size), there) for text, there in pieces)
    return tuple((text, there, font) for (text, font), there in wrapped)


def _wrapped(text: str, width: int, size: int) -> tuple[str, Font]:
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


def _box(text: str, font: Font) -> tuple[int, int]:
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font)
    return round(right - left), round(bottom - top)


def _gap(font: Font) -> int:
    return round(_box("A", font)[1] * 0.6)


def _height(block: Block) -> int:
    if not block:
        return 0
    return sum(_box(text, font)[1] for text, _, font in block) + sum(_gap(font) for _, _, font in block[1:])


def _write(pen: ImageDraw.ImageDraw, block: Block, x: float, y: float) -> None:
    """The block with its middle there; what is not in force is grey and struck out."""
    at = y - _height(block) / 2
    for text, there, font in block:
        wide, high = _box(text, font)
        middle = at + high / 2
        pen.multiline_text((x, middle), text, BLACK if there else GREY, font, anchor="mm", align="center")
        if not there:
            pen.line((x - wide / 2, middle, x + wide / 2, middle), GREY, max(high // 10, 1))
        at += high + _gap(font)

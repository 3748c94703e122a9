"""A sheet of pictures in rows and columns, with a legend above and beside it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from webui.scripts.script import Title

log = logging.getLogger(__name__)

FONT = Path(__file__).parent / "fonts" / "Roboto-Regular.ttf"
"""A1111's, so that a legend takes the same room (Apache 2.0, by Google)."""
LARGEST_SIDE = 32768
MOST_PIXELS = 200_000_000
"""Of a sheet; one that would be larger is made of smaller pictures."""


@dataclass(frozen=True)
class Ink:
    """How a legend is written."""

    active: str = "#000000"
    inactive: str = "#999999"
    """Of what is not in force."""
    font: str = ""
    """A TrueType file; "": Roboto, and also where that file is none."""


PLAIN = Ink()


def sheet(
    pictures: Sequence[Image.Image | None],
    columns: Sequence[Title],
    rows: Sequence[Title],
    *,
    margin: int = 0,
    background: str = "#ffffff",
    ink: Ink = PLAIN,
) -> Image.Image:
    """The pictures in reading order, `len(columns)` in a row; None leaves its place empty. RGB.

    `margin`: pixels between pictures. Empty titles take no room.
    """
    there = [picture for picture in pictures if picture is not None]
    if not there:
        raise ValueError("A grid needs at least one picture.")
    width, height = (max(picture.size[side] for picture in there) for side in (0, 1))
    wide, high = len(columns) * (width + margin), len(rows) * (height + margin)
    scale = min(1.0, LARGEST_SIDE / wide, LARGEST_SIDE / high, math.sqrt(MOST_PIXELS / (wide * high)))
    if scale < 1:
        pictures = [picture and _scaled(picture, scale) for picture in pictures]
        width, height = max(int(width * scale), 1), max(int(height * scale), 1)
    size = max((width + height) // 25, 1)
    spacing = size // 2
    left = width * 3 // 4 if any(rows) else 0
    heads = [_lines(title, width, size, ink.font) for title in columns]
    sides = [_lines(title, left, size, ink.font) for title in rows]
    top = max((_height(head, spacing) for head in heads), default=0) + 2 * spacing if any(columns) else 0
    full = (left + len(columns) * (width + margin) - margin, top + len(rows) * (height + margin) - margin)
    made = Image.new("RGB", full, background)
    pen = ImageDraw.Draw(made)
    for index, picture in enumerate(pictures):
        if picture is not None:
            row, column = divmod(index, len(columns))
            corner = (left + column * (width + margin), top + row * (height + margin))
            made.paste(picture, (corner[0] + (width - picture.width) // 2, corner[1] + (height - picture.height) // 2))
    for column, head in enumerate(heads):
        _write(pen, head, left + column * (width + margin) + width / 2, top / 2, spacing, ink)
    for row, side in enumerate(sides):
        _write(pen, side, left / 2, top + row * (height + margin) + height / 2, spacing, ink)
    return made


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    return picture.resize((max(int(picture.width * scale), 1), max(int(picture.height * scale), 1)))


@lru_cache(maxsize=256)
def _font(size: int, path: str) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(path or FONT, size)
    except (OSError, ValueError) as error:
        if not path:
            raise
        log.warning("The font %s cannot be used: %s. Roboto is used instead.", path, error)
        return _font(size, "")


@dataclass(frozen=True)
class TextLine:
    """A line of a legend, measured in the size that all have."""

    text: str
    there: bool
    high: int
    font: ImageFont.FreeTypeFont
    """Smaller than the others' where the line would stand out."""


def _lines(title: Title, width: int, size: int, path: str) -> tuple[TextLine, ...]:
    """The title in lines that are at most so wide, words kept whole."""
    pieces = ((title, True),) if isinstance(title, str) else title
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    font = _font(size, path)
    found = []
    for text, there in pieces:
        for line in _wrapped(text, width, font):
            _, top, _, bottom = pen.textbbox((0, 0), line, font)
            fitting = next((at for at in range(size, 1, -1) if _wide(pen, line, _font(at, path)) <= width), 1)
            found.append(TextLine(line, there, round(bottom - top), _font(fitting, path)))
    return tuple(found)


def _wide(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont) -> float:
    left, _, right, _ = pen.textbbox((0, 0), text, font)
    return right - left


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    # A1111: a first word that is too wide leaves the first line empty.
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _height(lines: tuple[TextLine, ...], spacing: int) -> int:
    return sum(line.high for line in lines) + spacing * max(len(lines) - 1, 0)


def _write(pen: ImageDraw.ImageDraw, lines: tuple[TextLine, ...], x: float, y: float, spacing: int, ink: Ink) -> None:
    """The lines with their middle there; what is not in force is struck out."""
    at = y - _height(lines, spacing) / 2
    for line in lines:
        middle = at + line.high / 2
        pen.text((x, middle), line.text, ink.active if line.there else ink.inactive, line.font, anchor="mm")
        if not line.there:
            half = _wide(pen, line.text, line.font) // 2
            pen.line((x - half, middle, x + half, middle), ink.inactive, 4)
        at += line.high + spacing

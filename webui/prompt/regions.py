"""From a prompt and some ratios to regions: which text holds in which part of the picture. Without tensors.

Names and rules are those of the extension sd-webui-regional-prompter, as its answers show them.
"""

from __future__ import annotations

import colorsys
import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from webui.base.errors import UserError

BREAK, AND, COLUMN, ROW, BASE, COMMON = "BREAK", "AND", "ADDCOL", "ADDROW", "ADDBASE", "ADDCOMM"
MOST_REGIONS = 64
NOTHING = "_"
"""The text of a region without one."""
MOST_TOKENS = 75
"""Of the words that say where a region lies."""
_WORDS = re.compile(rf"\b(?:{BREAK}|{AND}|{COLUMN}|{ROW}|{BASE}|{COMMON})\b")
_KEYS = re.compile(rf"\b(?:{COLUMN}|{ROW}|{BASE}|{COMMON})\b")
_PARTING = re.compile(rf"\b(?:{BREAK}|{COLUMN}|{ROW}|{BASE}|{COMMON})\b")
_AND, _BREAK, _BORDERS = re.compile(rf"\b{AND}\b"), re.compile(rf"\b{BREAK}\b"), re.compile(rf"\b({COLUMN}|{ROW})\b")

Ratios = tuple[tuple[float, ...], ...]


class Rectangle(NamedTuple):
    """A rectangle of the picture, as shares of its height and width from 0 to 1."""

    top: float
    bottom: float
    left: float
    right: float

    def on(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of a map that it covers; cells that meet leave none out."""
        rows = slice(int(height * self.top), int(height * self.bottom))
        return rows, slice(int(width * self.left), int(width * self.right))


class Layout(NamedTuple):
    """The regions of one picture."""

    regions: tuple[str, ...]
    """The text of each, with the common prompt before it."""
    cells: tuple[Rectangle, ...]
    """One a region; (): a mask says where they are."""
    base: str | None = None
    """The prompt of the whole picture, of which each region keeps its share."""
    targets: tuple[str, ...] = ()
    """One a region that lies where words of the base are looked at: these words; (): regions lie elsewhere."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The parts of the prompt: the base first, where there is one."""
        return self.regions if self.base is None else (self.base, *self.regions)


class Keys(NamedTuple):
    """How the words of a prompt are read."""

    has_common: bool = False
    """Its first part is put before all others."""
    has_base: bool = False
    """Its first part, or the one behind the common prompt, holds for the whole picture."""
    keeps_and: bool = False
    """AND adds prompts up, as ever; else it is BREAK."""
    keeps_break: bool = False
    """BREAK begins a new chunk, as ever; else it parts regions."""
    is_reversed: bool = False
    """The last region's text stands first."""


def is_regional(prompt: str) -> bool:
    """Whether the prompt has a word that parts it."""
    return _WORDS.search(prompt) is not None


def without_and(text: str) -> str:
    """The text in which AND is BREAK."""
    return _AND.sub(BREAK, text)


def breaks_in(text: str) -> int:
    return len(_BREAK.findall(text))


def numbers_of(text: str, what: str, field: str, *, least: float, most: float, hint: str) -> list[float]:
    """The numbers between commas.

    Raises:
        UserError: one is none, or not between the limits.
    """
    found = []
    for each in text.split(","):
        try:
            number = float(each)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            said = repr(each.strip()) if each.strip() else "an empty place"
            raise UserError(
                f"{what} cannot be {text!r}: {said} is no number from {least:g} to {most:g}.", hint=hint, field=field
            )
        found.append(number)
    return found


def ratios_of(text: str, *, flip: bool = False) -> Ratios:
    """`"1,1;2,1"` -> ((1, 1), (2, 1)). flip: "," stands for ";" and the other way around.

    Raises:
        UserError: something in it is no size.
    """
    hint = "Write 1,1 for two equal columns, for example, or 1,2,1;2,1 for two rows, the first one of two columns."
    said = text.translate(str.maketrans(",;", ";,")) if flip else text
    found = tuple(
        tuple(numbers_of(group, "Divide Ratio", "ratios", least=0.001, most=1000, hint=hint))
        for group in said.split(";")
    )
    if sum(map(len, found)) > 2 * MOST_REGIONS:
        raise UserError(f"Divide Ratio has more than {MOST_REGIONS} regions.", hint=hint, field="ratios")
    return found


def shares_of(text: str, count: int) -> tuple[float, ...]:
    """How much of each of `count` regions is the base prompt's; where it is not said, as much as where it was said
    last.

    Raises:
        UserError: one of them is no number from 0 to 1.
    """
    hint = "Write 0.2 for all regions, or one number for each: 0.2,0.5."
    found = numbers_of(text.replace(";", ","), "Base Ratio", "base_ratios", least=0, most=1, hint=hint)
    return (*found, *[found[-1]] * count)[:count]


def layout(prompt: str, keys: Keys, ratios: Ratios | None, *, by_rows: bool = False) -> Layout:
    """What a prompt says under these ratios; None: a mask says where its regions are. by_rows: ratios without a
    semicolon are rows.

    Raises:
        UserError: there are too many regions.
    """
    common, base, regions, words = _parted(_keyed(prompt, keys, ratios, by_rows=by_rows))
    if len(regions) > MOST_REGIONS:
        raise UserError(f"The prompt has {len(regions)} regions.", hint=f"At most {MOST_REGIONS}.", field="prompt")
    if keys.is_reversed:
        regions.reverse()
    texts = (each if each.strip() else NOTHING for each in regions)
    cells = () if ratios is None else _cells(words, ratios, by_rows=by_rows)
    return Layout(
        tuple(_behind(common, each) for each in texts), cells, None if base is None else _behind(common, base)
    )


def oddities(prompt: str, found: Layout, keys: Keys, ratios: Ratios | None) -> list[str]:
    """What people may not have meant: regions without a text, and more or fewer sizes than parts of the prompt."""
    said = [f"region {number} has no text." for number, text in enumerate(found.regions, 1) if text == NOTHING]
    text = prompt if keys.keeps_and else without_and(prompt)
    if ratios is None or keys.keeps_break or _KEYS.search(text):
        return said
    parts = breaks_in(text) + 1 - keys.has_common - keys.has_base
    sizes = len(ratios[0]) if len(ratios) == 1 else sum(max(len(group) - 1, 1) for group in ratios)
    counted = f"the prompt has {parts} regions, but Divide Ratio has {sizes}"
    if parts > sizes:
        said.append(f"{counted}: what stands behind the last of these was ignored.")
    if 0 < parts < sizes:
        said.append(f"{counted}: the others were ignored.")
    return said


def layout_by_words(prompt: str, keys: Keys) -> Layout:
    """What a prompt says whose regions lie where words of its first part are looked at: behind the last comma of each
    further part stand those words.

    Raises:
        UserError: there are too many regions.
    """
    text = prompt if keys.keeps_and else without_and(prompt)
    first, *rest = (_KEYS if keys.keeps_break else _PARTING).split(text)
    if len(rest) > MOST_REGIONS:
        raise UserError(f"The prompt has {len(rest)} regions.", hint=f"At most {MOST_REGIONS}.", field="prompt")
    if rest and (keys.has_common or COMMON in text):
        first, *rest = (_behind(first, each) for each in rest)
    if keys.is_reversed:
        rest.reverse()
    regions = tuple(each if each.strip() else NOTHING for each in rest)
    return Layout(regions, (), first, tuple(each.rpartition(",")[2].strip() for each in regions))


def places_of(words: Sequence[int], text: Sequence[int]) -> tuple[int, ...]:
    """Where the tokens of some words stand in a text: all of them where they follow one another, else the first place
    of each; (): nowhere."""
    sought = list(words[:MOST_TOKENS])
    for start, token in enumerate(text):
        if sought and token == sought[0] and list(text[start : start + len(sought)]) == sought:
            return tuple(range(start, start + len(sought)))
    first = {token: place for place, token in reversed(list(enumerate(text)))}
    return tuple(sorted({first[token] for token in sought if token in first}))


def negative_parts(prompt: str, *, has_common: bool) -> tuple[str, ...]:
    """The parts of a negative prompt: one for the whole picture, or one for each region."""
    common, _, regions, _ = _parted(_keyed(prompt, Keys(has_common), None))
    return tuple(_behind(common, each if each.strip() else NOTHING) for each in regions)


def _keyed(prompt: str, keys: Keys, ratios: Ratios | None, *, by_rows: bool = False) -> str:
    """The prompt with a word for each border in the place of BREAK: the first ones part the common prompt and the base
    off, the next are borders as far as the ratios go. What stands behind a BREAK that is too many is lost."""
    text = prompt if keys.keeps_and else without_and(prompt)
    if keys.keeps_break:
        return text
    borders = [COLUMN] * MOST_REGIONS if ratios is None else _borders(ratios, by_rows=by_rows)
    first, *pieces = _BREAK.split(text)
    words = (*([COMMON] * keys.has_common), *([BASE] * keys.has_base), *borders)
    return first + "".join(word + piece for word, piece in zip(words, pieces, strict=False))


def _borders(ratios: Ratios, *, by_rows: bool) -> Iterator[str]:
    """The words between the regions that the ratios name."""
    inner, outer = (ROW, COLUMN) if by_rows else (COLUMN, ROW)
    for number, group in enumerate(ratios):
        if number:
            yield outer
        yield from [inner] * (len(group) - 1 if len(ratios) == 1 else max(len(group) - 2, 0))


def _parted(text: str) -> tuple[str, str | None, list[str], list[str]]:
    """(common prompt, base prompt, the regions' texts, the words between them)."""
    common, _, rest = text.partition(COMMON) if COMMON in text else ("", "", text)
    base, _, rest = rest.partition(BASE) if BASE in rest else (None, "", rest)
    pieces = _BORDERS.split(rest)
    return common, base, pieces[::2], pieces[1::2]


def _behind(common: str, text: str) -> str:
    return f"{common}, {text}" if common else text


def _cells(words: Sequence[str], ratios: Ratios, *, by_rows: bool) -> tuple[Rectangle, ...]:
    """The rectangles between these words. Sizes that the ratios do not give are 1; those too many do not count."""
    counts = [1]
    for word in words:
        if word == (COLUMN if by_rows else ROW):
            counts.append(1)
        else:
            counts[-1] += 1
    strips = [(1.0, ratios[0])] if len(ratios) == 1 else [(group[0], group[1:]) for group in ratios]
    strips = [*strips, *[(1.0, ())] * len(counts)][: len(counts)]
    found = []
    for (first, last), count, (_, sizes) in zip(_edges([size for size, _ in strips]), counts, strips, strict=True):
        for begin, end in _edges((*sizes, *[1.0] * count)[:count]):
            found.append(Rectangle(begin, end, first, last) if by_rows else Rectangle(first, last, begin, end))
    return tuple(found)


def _edges(sizes: Sequence[float]) -> list[tuple[float, float]]:
    """Where parts of these sizes begin and end, from 0 to 1."""
    total = sum(sizes)
    ends = [*(each / total for each in list(accumulate(sizes))[:-1]), 1.0]
    return list(zip([0.0, *ends], ends, strict=False))


def colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Those of the regions of a mask: each hue is as far as may be from those before; half saturation and value."""
    hues, step = [0.0], 0.5
    while len(hues) < count:
        hues += [step * (2 * place + 1) for place in range(round(0.5 / step))]
        step /= 2
    found = (colorsys.hsv_to_rgb(hue, 0.5, 0.5) for hue in hues[:count])
    return tuple((_level(red), _level(green), _level(blue)) for red, green, blue in found)


def _level(share: float) -> int:
    return math.floor(share * 255 + 0.5)

"""Prompt editing and alternation: which text holds at which step.

The grammar, with `?` for "perhaps" and `*` for "any number of":

    text      := (items | one of "[ ] ( ) :")*
    items     := (emphasised | scheduled | alternate | plain)*
    emphasised:= "(" items ")" | "(" items ":" items ")" | "[" items "]"       kept as it stands
    scheduled := "[" (items ":")? items ":" NUMBER "]"
    alternate := "[" items ("|" items)+ "]"
    plain     := (a character other than \\ [ ] ( ) : | , or a backslash and any character but a line's end)*

A bracket that fits no rule is text. A text that does not fit the grammar, which only a stray `|` or a backslash at the
end of a line can bring about, is taken literally as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Edit(NamedTuple):
    """`text` holds while the step, counted from 1, is at most `until_step`."""

    until_step: int
    text: str


def prompt_schedule(text: str, steps: int, hires_steps: int | None = None, use_old: bool = False) -> tuple[Edit, ...]:
    """The texts that `[from:to:when]` and `[a|b]` stand for, in the order of the steps. Never raises.

    With `hires_steps` it is the schedule of the hires pass, that follows on a first pass of `steps`.
    A `when` with a point is a fraction of the steps: 0 to 1 in the first pass, 1 to 2 in the hires pass. Without a
    point it is a step; the hires pass counts on from the first. `use_old` (A1111's `use_old_scheduling`): `when` is a
    fraction below 1, else a step, always of `steps`, and the last entry's `until_step` is `steps` in both passes.
    """
    if hires_steps is None or use_old:
        count, first_step, first_fraction = steps, 0, 0.0
    else:
        count, first_step, first_fraction = hires_steps, steps, 1.0

    def step_of(number: str) -> int:
        value = float(number)
        if use_old:
            value = value * count if value < 1 else value
        elif "." in number:  # A1111: "1e-1" has no point, so it is a step
            value = (value - first_fraction) * count
        else:
            value = value - first_step
        return int(max(0.0, min(count, value)))

    parsed = _parse(text, step_of)
    if parsed is None:
        return (Edit(count, text),)
    # A1111: a step at which nothing changes still makes an entry.
    ends = {count, *parsed.switches} | (set(range(1, count + 1)) if parsed.alternates else set())
    return tuple(Edit(end, _render(parsed.items, end)) for end in sorted(ends))


@dataclass(frozen=True, slots=True)
class _Scheduled:
    before: Sequence[_Item]
    after: Sequence[_Item]
    until: int

    def at(self, step: int) -> Sequence[_Item]:
        return self.before if step <= self.until else self.after


@dataclass(frozen=True, slots=True)
class _Alternate:
    options: Sequence[Sequence[_Item]]

    def at(self, step: int) -> Sequence[_Item]:
        return self.options[(step - 1) % len(self.options)]


_Item = str | _Scheduled | _Alternate


@dataclass(slots=True)
class _Bracket:
    """A bracket that is still open: where it and its separators stand in the list of items."""

    opening: str
    start: int
    colons: list[int] = field(default_factory=list)
    bars: list[int] = field(default_factory=list)


class _Parsed(NamedTuple):
    items: list[_Item]
    switches: set[int]
    alternates: bool


_TOKEN = re.compile(r"(?:[^\\\[\]():|]|\\.)++|[\[\]():|\\]")
_NUMBER = re.compile(r"\s*+([+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)\s*+")


def _parse(text: str, step_of: Callable[[str], int]) -> _Parsed | None:
    """One pass, no recursion; None where the text does not fit the grammar.

    Everything read is appended to `items` as it stands. Only when a bracket closes as `scheduled` or `alternate`, what
    stands there since its opening is replaced by one item. A character that fits nowhere ends all open brackets at
    once, since none of them may hold it: what they hold stays where it is, as text.

    A1111's own parser, given text with brackets that fit nowhere, chooses among several readings by chance (the seed of
    Python's hashes); this follows the commonest of them.
    """
    items: list[_Item] = []
    brackets: list[_Bracket] = []
    switches: set[int] = set()
    alternates = False

    for match in _TOKEN.finditer(text):
        token = match[0]
        innermost = brackets[-1] if brackets else None
        if token == "\\":
            return None
        if token in ("(", "["):
            brackets.append(_Bracket(token, len(items)))
        elif token == "|":
            if innermost is None or innermost.opening == "(" or innermost.colons:
                return None
            innermost.bars.append(len(items))
        elif innermost is None:
            pass
        elif token == ":" and not innermost.bars and len(innermost.colons) < (1 if innermost.opening == "(" else 2):
            innermost.colons.append(len(items))
        elif token == ")" and innermost.opening == "(":
            brackets.pop()
        elif token == "]" and innermost.opening == "[" and not innermost.colons:
            brackets.pop()
            if innermost.bars:
                items[innermost.start :] = [_Alternate(_split(items, [innermost.start, *innermost.bars]))]
                alternates = True
                continue
        elif token == "]" and innermost.opening == "[" and (number := _number_at(items, innermost.colons[-1] + 1)):
            brackets.pop()
            *before, after, _ = _split(items, [innermost.start, *innermost.colons])
            until = step_of(number)
            items[innermost.start :] = [_Scheduled(before[0] if before else (), after, until)]
            if until >= 1:
                switches.add(until)
            continue
        elif token in (":", ")", "]"):
            if any(bracket.bars for bracket in brackets):
                return None
            brackets.clear()
        items.append(token)

    if any(bracket.bars for bracket in brackets):
        return None
    return _Parsed(items, switches, alternates)


def _split(items: list[_Item], separators: list[int]) -> list[list[_Item]]:
    """The items behind each of the separators up to the next, or to the end."""
    ends = [*separators[1:], len(items)]
    return [items[start + 1 : end] for start, end in zip(separators, ends, strict=True)]


def _number_at(items: list[_Item], position: int) -> str | None:
    """The number that is all that stands from `position` on."""
    if position != len(items) - 1:
        return None
    item = items[position]
    match = _NUMBER.fullmatch(item) if isinstance(item, str) else None
    return match[1] if match else None


def _render(items: Sequence[_Item], step: int) -> str:
    """The text at `step`, counted from 1. Walks with an own stack: nesting may be as deep as the text is long."""
    texts: list[str] = []
    walks: list[Iterator[_Item]] = [iter(items)]
    while walks:
        for item in walks[-1]:
            if isinstance(item, str):
                texts.append(item)
            else:
                walks.append(iter(item.at(step)))
                break
        else:
            walks.pop()
    return "".join(texts)

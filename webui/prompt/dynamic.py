"""Dynamic prompts: text with choices in it, read into a tree.

    {red|green|blue}                one of them                         {3::red|green}     red three times as often
    {2$$red|green|blue}             two of them, with ", " between      {1-2$$ and $$red|green}
    __animals/cat__  __*/cat__      a line of a wildcard's file, of any that fits the pattern
    ${x={red|green}}  ${x=!{a|b}}   a variable: chosen at each use, or now; ${x} uses it, ${x:red} with a default
    __animal(size=small)__          a wildcard in whose lines ${size} is "small"
    {@red|green}  __@animal__       in turn, as the seed counts up

Braces that hold neither `|` nor `$$`, names of variables that nobody has set, and whatever stands behind a backslash
are text as it stands, so that a prompt without choices is left as it is.

The grammar is that of the library dynamicprompts and of the extension sd-dynamic-prompts, by their documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

DEEPEST = 30
"""Braces within braces; what is deeper is text."""
MOST_CHOSEN = 1000
"""Of one choice: more are never taken."""
JOINT = ", "

_NAME = r"[\w\-./*?+&' ]"
_TOKEN = re.compile(
    rf"""
      \\.                                                              # what is behind a backslash is text
    | (?P<wildcard> __ (?P<turn> [@~]?) (?P<name> (?!\ ) {_NAME}{{1,200}}?) (?: \( (?P<given> [^()]{{0,500}}) \) )? __ )
    | (?P<set> \$\{{ \s? (?P<variable> \w{{1,100}}+) \s? (?P<how> =!? | : | (?=\}}) ) )
    | (?P<mark> \{{ | \}} | \| | \$\$ )
    | [^\\_${{}}|]++
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_WEIGHT = re.compile(r"\s*+(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})::")
_QUANTITY = re.compile(r"\s*+([@~]?)\s*+(?:(\d{1,6})|(\d{0,6})-(\d{0,6}))\s*+")
_TURN = re.compile(r"\s*+([@~])")


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A line of the wildcards of this name, which may be a pattern."""

    name: str
    text: str
    """As it stands in the prompt."""
    given: tuple[tuple[str, Parts], ...] = ()
    """Variables that hold in its lines."""
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class Choosing:
    """Some of the options, `low` to `high` of them; none of them twice."""

    options: tuple[tuple[float, Parts], ...]
    """With their weights."""
    low: int = 1
    high: int = 1
    joint: str = JOINT
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """From here on a variable means this; it gives no text itself."""

    variable: str
    value: Parts
    at_once: bool
    """What it means is chosen here, not at each use."""


@dataclass(frozen=True, slots=True)
class Using:
    """What a variable means; where nobody has set it, the default, or else the text as it stands."""

    variable: str
    text: str
    default: Parts | None


Part: TypeAlias = "str | Wildcard | Choosing | Setting | Using"
Parts: TypeAlias = "tuple[Part, ...]"


def parsed(text: str) -> Parts:
    """What the text is made of; a text without choices is one piece. Never raises; takes time like its length."""
    if "{" not in text and "__" not in text:
        return (text,)
    return _Reader(text).whole()


def is_dynamic(text: str) -> bool:
    """Whether there is a choice in the text."""
    return any(not isinstance(part, str) for part in parsed(text))


def weighted(line: str) -> tuple[float, str]:
    """The weight of an option, 1 where it has none, and the option."""
    found = _WEIGHT.match(line)
    return (float(found[1]), line[found.end() :]) if found else (1.0, line)


class _Reader:
    """A text in pieces, with the braces that belong together."""

    def __init__(self, text: str) -> None:
        self.tokens = [(found[0], found) for found in _TOKEN.finditer(text)]
        self.ends: dict[int, int] = {}
        """Opening brace -> its closing one."""
        self.bars: dict[int, list[int]] = {}
        """Opening brace -> the bars between its options."""
        self.dollars: dict[int, list[int]] = {}
        open_ones: list[int] = []
        for place, (token, found) in enumerate(self.tokens):
            if token == "{" or found["set"]:
                open_ones.append(place)
            elif token == "}" and open_ones:
                self.ends[open_ones.pop()] = place
            elif token in ("|", "$$") and open_ones:
                (self.bars if token == "|" else self.dollars).setdefault(open_ones[-1], []).append(place)

    def whole(self) -> Parts:
        return self.between(0, len(self.tokens), 0)

    def between(self, start: int, end: int, depth: int) -> Parts:
        """The parts of some tokens."""
        found: list[Part] = []
        place = start
        while place < end:
            part, place = self._part(place, depth)
            for each in part:
                if isinstance(each, str) and found and isinstance(found[-1], str):
                    found[-1] += each
                else:
                    found.append(each)
        return tuple(found)

    def _part(self, place: int, depth: int) -> tuple[Parts, int]:
        """What begins at a token, and where the next one begins."""
        token, found = self.tokens[place]
        close = self.ends.get(place)
        if found["wildcard"]:
            return (self._wildcard(found, depth),), place + 1
        if close is None or depth >= DEEPEST:
            return (token,), place + 1
        if found["set"]:
            return (self._variable(place, close, found, depth),), close + 1
        choice = self._choice(place, close, depth)
        if choice is None:  # braces that mean nothing
            return (token, *self.between(place + 1, close, depth + 1), "}"), close + 1
        return (choice,), close + 1

    def _wildcard(self, found: re.Match[str], depth: int) -> Wildcard:
        given = []
        if depth < DEEPEST:
            for each in (found["given"] or "").split(","):
                variable, equals, value = each.partition("=")
                if equals:
                    given.append((variable.strip(), _Reader(value.strip()).whole()))
        return Wildcard(found["name"].strip(), found[0], tuple(given), found["turn"] == "@")

    def _variable(self, place: int, close: int, found: re.Match[str], depth: int) -> Setting | Using:
        inner = self.between(place + 1, close, depth + 1)
        if found["how"].startswith("="):
            return Setting(found["variable"], inner, found["how"] == "=!")
        return Using(found["variable"], self._text(place, close + 1), inner if found["how"] else None)

    def _text(self, start: int, end: int) -> str:
        return "".join(token for token, _ in self.tokens[start:end])

    def _choice(self, place: int, close: int, depth: int) -> Choosing | None:
        bars, dollars = self.bars.get(place, []), self.dollars.get(place, [])
        begin, low, high, joint, in_turn = place + 1, 1, 1, JOINT, False
        quantity = _QUANTITY.fullmatch(self._text(begin, dollars[0])) if dollars and dollars[0] - begin < 5 else None
        if quantity is not None and (not bars or dollars[0] < bars[0]):
            in_turn = quantity[1] == "@"
            low = int(quantity[2] or quantity[3] or 1)
            high = int(quantity[2] or quantity[4] or MOST_CHOSEN)
            begin = dollars[0] + 1
            if len(dollars) > 1 and (not bars or dollars[1] < bars[0] or self._is_joint(begin, dollars[1])):
                joint = self._text(begin, dollars[1])
                begin = dollars[1] + 1
        elif not bars:
            return None
        edges = [begin - 1, *(bar for bar in bars if bar >= begin), close]
        options = list(self._options(edges, depth))
        first = options[0][1][:1]
        if begin == place + 1 and first and isinstance(first[0], str) and (turn := _TURN.match(first[0])):
            in_turn = turn[1] == "@"
            options[0] = (options[0][0], (first[0][turn.end() :], *options[0][1][1:]))
        low, high = sorted((min(low, MOST_CHOSEN), min(high, MOST_CHOSEN)))
        return Choosing(tuple(options), low, high, joint, in_turn)

    def _is_joint(self, start: int, end: int) -> bool:
        """Whether what stands between two `$$` is a bar and blanks."""
        return self._text(start, end).strip() == "|"

    def _options(self, edges: Sequence[int], depth: int) -> Iterator[tuple[float, Parts]]:
        for begin, end in pairwise(edges):
            parts = self.between(begin + 1, end, depth + 1)
            weight = 1.0
            if parts and isinstance(parts[0], str):
                weight, first = weighted(parts[0])
                parts = (first, *parts[1:])
            yield weight, parts

"""Dynamic prompts made into texts: one by a seed, or all that there are.

The numbers come from Python's Mersenne Twister, begun with the text "prompt/SEED", or "negative/SEED" for negative
prompts, of which only `random()` is used: the same seed gives the same text on every machine, whatever else the picture
is made with. Texts of one picture that begin alike, such as the prompts of its two passes, make the same choices.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, combinations
from types import MappingProxyType
from typing import NamedTuple

from webui.base.errors import UserError
from webui.prompt.dynamic import Choosing, Part, Parts, Setting, Using, Wildcard, parsed, weighted

LONGEST = 200_000
"""Letters of a text that is made."""
MOST_CHOICES = 5_000
"""In one text, those of the wildcards' lines among them."""
DEEPEST = 20
"""Wildcards within the lines of wildcards."""
Variables = Mapping[str, Parts]
NONE: Variables = MappingProxyType({})


@dataclass(frozen=True)
class Lines:
    """The options that a wildcard stands for."""

    texts: tuple[str, ...]
    weights: tuple[float, ...] = ()
    """Empty: all weigh the same."""
    fault: str = ""
    """Why there is no line: a sentence."""

    @classmethod
    def of(cls, lines: Iterable[str]) -> Lines:
        """Of a file's lines, which may begin with weights: "3::red"."""
        pairs = [weighted(line) for line in lines]
        even = all(weight == 1 for weight, _ in pairs)
        return cls(tuple(text for _, text in pairs), () if even else tuple(weight for weight, _ in pairs))

    @cached_property
    def sums(self) -> list[float]:
        return list(accumulate(self.weights))


Look = Callable[[str], Lines]
"""A wildcard's name, or a pattern -> its lines; without any: there is no such wildcard."""


class Filled(NamedTuple):
    """A text that is made."""

    text: str
    remarks: tuple[str, ...]
    """What could not be filled in: sentences. It stays in the text as it is written."""


def filled(template: str, look: Look, seed: int, part: str = "prompt") -> Filled:
    """The text that this seed makes of a template.

    Raises:
        UserError: it becomes too long, or wildcards bring forth too many others.
    """
    parts = parsed(template)
    if all(isinstance(part, str) for part in parts):
        return Filled(template, ())
    filling = _Filling(look, random.Random(f"{part}/{seed}"), seed)
    return Filled(filling.text(parts, dict(NONE), ()), tuple(dict.fromkeys(filling.remarks)))


def all_texts(template: str, look: Look, most: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first `most` of the texts that a template can become, each once, and remarks: the last choice changes first.
    Weights do not count; what is chosen of several stands in the order of the template.

    Raises:
        UserError: as `filled`.
    """
    every = _Every(look, most)
    texts = tuple(dict.fromkeys(text for text, _ in every.texts(parsed(template), dict(NONE), ())))
    return texts, tuple(dict.fromkeys(every.remarks))


@dataclass
class _Looking:
    """What both ways of filling share: wildcards, and what is wrong with them."""

    look: Look
    remarks: list[str] = field(default_factory=list)
    choices: int = 0

    def lines(self, wildcard: Wildcard, above: Sequence[str]) -> Lines:
        """None where it cannot be filled in, which is remarked upon."""
        self.count()
        if wildcard.name in above:
            way = " → ".join([*above[above.index(wildcard.name) :], wildcard.name])
            self.remarks.append(f"The wildcard {wildcard.name!r} contains itself ({way}). It was left as text.")
            return Lines(())
        if len(above) >= DEEPEST:
            self.remarks.append(f"The wildcard {wildcard.name!r} is nested too deeply. It was left as text.")
            return Lines(())
        found = self.look(wildcard.name)
        if not found.texts:
            why = found.fault or f"There is no wildcard {wildcard.name!r} in models/wildcards."
            self.remarks.append(f"{why} It was left as text.")
        return found

    def count(self) -> None:
        self.choices += 1
        if self.choices > MOST_CHOICES:
            raise UserError(
                f"The prompt makes more than {MOST_CHOICES:,} choices.",
                hint="Look for wildcards whose lines name many others.",
                field="prompt",
            )


def _refuse_beyond(letters: int) -> None:
    if letters > LONGEST:
        raise UserError(
            f"The prompt becomes longer than {LONGEST:,} characters.",
            hint="Look for wildcards whose lines name many others.",
            field="prompt",
        )


class _Filling(_Looking):
    """One text, by chance."""

    def __init__(self, look: Look, stream: random.Random, seed: int) -> None:
        super().__init__(look)
        self.stream, self.seed, self.letters = stream, seed, 0

    def text(self, parts: Parts, variables: dict[str, Parts], above: tuple[str, ...]) -> str:
        return "".join([self._of(part, variables, above) for part in parts])

    def _of(self, part: Part, variables: dict[str, Parts], above: tuple[str, ...]) -> str:
        match part:
            case str():
                self.letters += len(part)
                _refuse_beyond(self.letters)
                return part
            case Wildcard():
                lines = self.lines(part, above)
                if not lines.texts:
                    return part.text
                line = lines.texts[self.place(lines, in_turn=part.in_turn)]
                return self.text(parsed(line), {**variables, **dict(part.given)}, (*above, part.name))
            case Choosing():
                self.count()
                return self._chosen(part, variables, above)
            case Setting():
                value = (self.text(part.value, variables, above),) if part.at_once else part.value
                variables[part.variable] = value
                return ""
            case Using():
                return self._used(part, variables, above)

    def _used(self, part: Using, variables: dict[str, Parts], above: tuple[str, ...]) -> str:
        value = variables.get(part.variable, part.default)
        if value is None:
            return part.text
        self.count()
        # Within itself a variable is what it was: nothing.
        others = {name: each for name, each in variables.items() if name != part.variable}
        return self.text(value, others, above)

    def _chosen(self, part: Choosing, variables: dict[str, Parts], above: tuple[str, ...]) -> str:
        options, left, inside = part.options, Lines(()), above
        if len(options) == 1 and part.high > 1 and (only := lone_wildcard(options[0][1])) is not None:
            left = self.lines(only, above)
            inside = (*above, only.name)
            if not left.texts:
                return only.text
            options = tuple((1.0, parsed(text)) for text in left.texts[:LONGEST])
        left = Lines(tuple(map(str, range(len(options)))), left.weights or tuple(weight for weight, _ in options))
        count = min(part.low + int(self.stream.random() * (part.high - part.low + 1)), len(options))
        if part.low == part.high == 1:
            return self.text(options[self.place(left, in_turn=part.in_turn)][1], variables, inside)
        made = []
        for taken in range(count):
            place = self.place(left, in_turn=part.in_turn, more=taken)
            text = self.text(options[int(left.texts[place])][1], variables, inside)
            made.append(text.strip())
            left = Lines(left.texts[:place] + left.texts[place + 1 :], left.weights[:place] + left.weights[place + 1 :])
        return part.joint.join(made)

    def place(self, lines: Lines, *, in_turn: bool, more: int = 0) -> int:
        """Which of the lines is taken."""
        count = len(lines.texts)
        if in_turn:
            return (self.seed + more) % count
        if lines.weights and (total := lines.sums[-1]) > 0:
            return min(bisect_right(lines.sums, self.stream.random() * total), count - 1)
        return int(self.stream.random() * count)


def lone_wildcard(parts: Parts) -> Wildcard | None:
    """The wildcard that some parts are, but for blanks; None: they are something else."""
    real = [part for part in parts if not isinstance(part, str) or part.strip()]
    return real[0] if len(real) == 1 and isinstance(real[0], Wildcard) else None


State = tuple[str, dict[str, Parts]]
"""A text so far, and what the variables mean behind it."""


class _Every(_Looking):
    """All texts, up to a number: however the rest goes on, what comes first is first."""

    def __init__(self, look: Look, most: int) -> None:
        super().__init__(look)
        self.most = max(most, 1)

    def texts(self, parts: Parts, variables: dict[str, Parts], above: tuple[str, ...]) -> list[State]:
        states: list[State] = [("", variables)]
        for part in parts:
            made: list[State] = []
            for text, known in states:
                for more, then in self._of(part, known, above):
                    made.append((text + more, then))
                    _refuse_beyond(len(made[-1][0]))
                    if len(made) >= self.most:
                        break
                if len(made) >= self.most:
                    break
            states = made
        return states

    def _of(self, part: Part, variables: dict[str, Parts], above: tuple[str, ...]) -> list[State]:
        match part:
            case str():
                return [(part, variables)]
            case Wildcard():
                lines = self.lines(part, above)
                if not lines.texts:
                    return [(part.text, variables)]
                inside = {**variables, **dict(part.given)}
                options = [parsed(text) for text in lines.texts[: self.most]]
                made = self._of_options(options, inside, (*above, part.name))
                return [(text, variables) for text in made]
            case Choosing():
                self.count()
                return [(text, variables) for text in self._chosen(part, variables, above)]
            case Setting():
                if not part.at_once:
                    return [("", {**variables, part.variable: part.value})]
                values = self.texts(part.value, variables, above)
                return [("", {**variables, part.variable: (text,)}) for text, _ in values]
            case Using():
                value = variables.get(part.variable, part.default)
                if value is None:
                    return [(part.text, variables)]
                self.count()
                others = {name: each for name, each in variables.items() if name != part.variable}
                return [(text, variables) for text, _ in self.texts(value, others, above)]

    def _of_options(self, options: Sequence[Parts], variables: dict[str, Parts], above: tuple[str, ...]) -> list[str]:
        found: list[str] = []
        for option in options:
            found += (text for text, _ in self.texts(option, variables, above))
            if len(found) >= self.most:
                break
        return found[: self.most]

    def _chosen(self, part: Choosing, variables: dict[str, Parts], above: tuple[str, ...]) -> list[str]:
        options, inside = [parts for _, parts in part.options], above
        if len(options) == 1 and part.high > 1 and (only := lone_wildcard(options[0])) is not None:
            lines = self.lines(only, above)
            inside = (*above, only.name)
            options = [parsed(text) for text in lines.texts[: self.most]] or [(only.text,)]
        if part.low == part.high == 1:
            return self._of_options(options, variables, inside)
        found: list[str] = []
        for count in range(min(part.low, len(options)), min(part.high, len(options)) + 1):
            for chosen in combinations(options, count):
                joined: list[Part] = []
                for number, option in enumerate(chosen):
                    joined += (*((part.joint,) if number else ()), Choosing(((1.0, option),)))
                found += (text for text, _ in self.texts(tuple(joined), variables, inside))
                if len(found) >= self.most:
                    return found[: self.most]
        return found

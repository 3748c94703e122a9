"""Prompts from file or textbox: every line is a request, with options of its own where it has some.

A line is a prompt, or options: `--prompt "a fox" --steps 30 --sampler_name "Euler a"`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from webui.base.errors import UserError
from webui.request.fields import Generation
from webui.request.fitting import fitted
from webui.request.params import Choice, Text, Toggle, parsed
from webui.scripts.script import Cell, Script, Seeds, Table, refuse_beyond

_PIECE = re.compile(r"""([^ \t\r\n"'\\]++)|\\(.)|"((?:[^"\\]++|\\.)*+)"|'([^']*+)'""", re.DOTALL)
"""Of a word: plain letters, one behind a backslash, what stands in quotation marks of both kinds."""
_BLANKS = re.compile(r"[ \t\r\n]++")
_ESCAPED = re.compile(r"\\([\"\\])")
NAMES = {"sampler_index": "sampler_name"}
"""Old names of fields."""
SETTINGS = {
    "sd_model": "sd_model_checkpoint",
    "outpath_samples": "",
    "outpath_grids": "",
    "restore_faces": "face_restoration",
    "tiling": "tiling",
    "do_not_save_samples": "",
    "do_not_save_grid": "",
    "prompt_for_display": "",
}
"""Options that are no field -> the setting that they are here; "": taken, without effect."""
OPTIONS = (
    "prompt", "negative_prompt", "styles", "seed", "subseed", "subseed_strength", "seed_resize_from_w",
    "seed_resize_from_h", "sampler_name", "scheduler", "steps", "batch_size", "n_iter", "cfg_scale", "width", "height",
)  # fmt: skip
JOIN: Mapping[str, Callable[[str, str], str]] = {
    "start": lambda line, main: f"{line} {main}",
    "end": lambda line, main: f"{main} {line}",
}


LONGEST = 1_000_000
"""Letters in all lines."""
LONGEST_FILE = 4 * LONGEST
"""Bytes."""


@dataclass(frozen=True)
class LineOptions:
    """What a line says."""

    values: Mapping[str, object]
    """By field."""
    settings: Mapping[str, object] = field(default_factory=dict)


class PromptsFromFile(Script):
    """Many prompts, one after the other."""

    title: ClassVar[str] = "Prompts from file or textbox"

    iterate: Annotated[bool, Toggle(ui="Iterate seed every line")] = False
    """The seed increases by 1 from line to line."""
    iterate_batch: Annotated[bool, Toggle(ui="Use same random seed for all lines")] = False
    """If the seed is -1, the same random seed is used for all lines."""
    position: Annotated[str, Choice(ui="Insert prompts at the", choices=("start", "end"), radio=True)] = "start"
    """Where each line is inserted if the prompt above is not empty."""
    lines: Annotated[
        str, Text(ui="List of prompt inputs", lines=5, placeholder="One prompt per line", longest=LONGEST)
    ] = ""
    """The prompts."""

    def expand(self, request: Generation, seeds: Seeds, most: int) -> Table:
        if self.iterate or self.iterate_batch:
            request = seeds.fixed(request)
        cells: list[Cell] = []
        remarks: list[str] = []
        moved = pictures = 0
        # Editors put a byte order mark before the first line.
        for number, line in enumerate(self.lines.removeprefix("\ufeff").splitlines(), 1):
            if not line.strip():
                continue
            told, changed = _told(type(request), line.strip(), number)
            remarks += changed
            one = seeds.anew(self._with(request, told))
            if self.iterate:
                one = one.changed(seed=one.seed + moved)
                moved += one.picture_count
            pictures += one.picture_count
            refuse_beyond(pictures, most)
            plain = None
            if told.values.keys() - {"prompt"} or told.settings:
                seed = {"seed": one.seed, "subseed": one.subseed}
                plain = self._with(request, LineOptions({"prompt": line.strip()})).changed(**seed)
            cells.append(Cell((len(cells), 0, 0), one, plain, f"Line {number} is taken as a prompt"))
        if not cells:
            raise UserError(
                "There are no prompts.", hint="Enter at least one prompt, one per line.", field="script_args"
            )
        return Table(tuple(cells), remarks=tuple(remarks))

    def _with(self, request: Generation, told: LineOptions) -> Generation:
        """The request with what a line says."""
        values = dict(told.values)
        # A1111: both prompts of a line are joined with those of the form.
        for name in ("prompt", "negative_prompt"):
            main = getattr(request, name)
            if name in values and main:
                values[name] = JOIN[self.position](str(values[name]), main)
        return request.changed(**values, override_settings={**request.override_settings, **told.settings})


def lines_of(content: bytes) -> str:
    """The text of a file with prompts: UTF-8, or UTF-16 where it begins with its mark.

    Raises:
        UserError: it is no text, or too long.
    """
    if len(content) > LONGEST_FILE:
        raise UserError(
            f"The file with prompts has more than {LONGEST:,} characters.", hint="Divide it.", field="lines"
        )
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            "The file with prompts is not a text in UTF-8.",
            hint="Save it as UTF-8 in your editor, one prompt per line.",
            field="lines",
        ) from error
    if "\0" in text or len(text) > LONGEST:
        what = "is not a text" if "\0" in text else f"has more than {LONGEST:,} characters"
        raise UserError(f"The file with prompts {what}.", hint="It must have one prompt per line.", field="lines")
    return text


def _told(cls: type[Generation], line: str, number: int) -> tuple[LineOptions, list[str]]:
    """What a line says, and remarks on it. A1111: only a line with two hyphens has options, and one whose options
    cannot be read is a prompt as it stands."""
    plain = LineOptions({"prompt": line})
    if "--" not in line:
        return plain, []
    try:
        return _of_options(cls, _options(line), number)
    except UserError as error:
        return plain, [f"Line {number} is taken as a prompt: {error.message}"]


def _of_options(cls: type[Generation], options: list[tuple[str, str]], number: int) -> tuple[LineOptions, list[str]]:
    values: dict[str, object] = {}
    settings: dict[str, object] = {}
    for name, text in options:
        told = NAMES.get(name, name)
        if told in OPTIONS:
            values[told] = [word.strip() for word in text.split(",")] if told == "styles" else text
        elif SETTINGS.get(name):
            settings[SETTINGS[name]] = text
    values, changed = fitted(cls, values)
    remarks = [f"Line {number}: {remark}" for remark in changed]
    return LineOptions({told: parsed(cls, told, value) for told, value in values.items()}, settings), remarks


def _options(line: str) -> list[tuple[str, str]]:
    """The options of a line as (name, text).

    Raises:
        UserError: it has others, or they are not written as such.
    """
    words = list(split_words(line))
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        name = words[at].removeprefix("--")
        if not words[at].startswith("--") or not (name in OPTIONS or name in NAMES or name in SETTINGS):
            raise UserError(f"there is no option {words[at]!r}.")
        at += 1
        value = words[at : at + 1]
        if name in ("prompt", "negative_prompt"):
            # A1111: such a text goes on to the next option, without quotes too.
            end = next((place for place in range(at, len(words)) if words[place].startswith("--")), len(words))
            value = [" ".join(words[at:end])]
            at = end
        else:
            at += 1
        if not value:
            raise UserError(f"{'--' + name!r} has no value.")
        found.append((name, value[0]))
    return found


def split_words(line: str) -> Iterator[str]:
    """The words of a line as a shell has them. The standard library's `shlex` takes minutes for a long one.

    Raises:
        UserError: a quotation mark is not closed.
    """
    at = 0
    pieces: list[str] | None = None
    while at < len(line):
        if blanks := _BLANKS.match(line, at):
            if pieces is not None:
                yield "".join(pieces)
            at, pieces = blanks.end(), None
            continue
        piece = _PIECE.match(line, at)
        if piece is None:
            raise UserError("a quotation mark is not closed.")
        plain, escaped, quoted, literal = piece.groups()
        pieces = pieces or []
        pieces.append(plain or escaped or literal or _ESCAPED.sub(r"\1", quoted or ""))
        at = piece.end()
    if pieces is not None:
        yield "".join(pieces)

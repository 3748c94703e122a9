"""Styles: named pieces of prompts, kept in `styles.csv`, applied to a prompt and recognised in it again."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from webui.base.errors import StorageError, UserError
from webui.base.files import write_atomically

PLACEHOLDER = "{prompt}"
COLUMNS = ("name", "prompt", "negative_prompt")
CALLED: Mapping[str, str] = {
    **{column: column for column in COLUMNS},
    "style": "name",
    "text": "prompt",  # A1111: in its first format
    "positive": "prompt",
    "positive_prompt": "prompt",
    "negative": "negative_prompt",
}
"""What the first line may call a column."""
DELIMITERS = ",;\t"
MOST_REMARKS = 100


@dataclass(frozen=True, slots=True)
class Style:
    """`prompt` and `negative_prompt` may hold `{prompt}`, in whose place the user's text goes; else they follow it."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


class StylesTable(NamedTuple):
    """What a CSV file holds."""

    styles: tuple[Style, ...] = ()
    remarks: tuple[str, ...] = ()
    """What was not read as it stands, and in which line."""
    lossy: bool = False
    """Whether there is more in it than these styles."""


class StyledPrompts(NamedTuple):
    """A prompt and its negative."""

    positive: str
    negative: str


class Recognised(NamedTuple):
    """What is left of the prompts, and the names of the styles that were in them, in their order of application."""

    prompts: StyledPrompts
    names: tuple[str, ...]


def apply_styles(prompts: StyledPrompts, names: Iterable[str], styles: Mapping[str, Style]) -> StyledPrompts:
    """The prompts with the named styles applied one after the other; names that no style has are passed over."""
    positive, negative = prompts
    for name in names:
        style = styles.get(name)
        if style:
            positive = _merged(style.prompt, positive)
            negative = _merged(style.negative_prompt, negative)
    return StyledPrompts(positive, negative)


def recognise_styles(prompts: StyledPrompts, styles: Iterable[Style]) -> Recognised:
    """The styles that the prompts end with or are wrapped in, and the prompts without them.

    Each style is found at most once, and only where both its prompt and its negative prompt are there.
    """
    candidates = [style for style in styles if style.prompt or style.negative_prompt]
    names: list[str] = []
    while True:
        for style in candidates:
            positive = _without(style.prompt, prompts.positive)
            negative = _without(style.negative_prompt, prompts.negative)
            if positive is not None and negative is not None:
                break
        else:
            return Recognised(prompts, tuple(reversed(names)))
        prompts = StyledPrompts(positive, negative)
        names.append(style.name)
        candidates.remove(style)


def read_styles(path: Path) -> tuple[Style, ...]:
    """The styles in a CSV file, in its order; none where the file does not exist. Raises as `read_table`."""
    return read_table(path).styles


def read_table(path: Path) -> StylesTable:
    """The styles in a CSV file, and what in it is not read as it stands. Of equal names the last style counts.

    Reads A1111's files of every age, and what spreadsheet programs make of them: columns name, prompt, negative_prompt
    or name, text, in any letter case and order, or without a line that names them; commas, semicolons or tabs; UTF-8,
    UTF-16, or the letters of Windows. Rows whose name is empty or begins with `#` are comments.

    Raises:
        StorageError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return StylesTable()
    except OSError as error:
        raise StorageError(f"The styles in {path} cannot be read: {error.strerror or error}.") from error
    remarks: list[str] = []
    rows = _rows(_decoded(content, remarks), remarks)
    columns = _columns(rows[0][1]) if rows else {}
    if columns:
        rows = rows[1:]
    elif rows:
        remarks.append("line 1: there is no header line; the columns are read as name, prompt, negative prompt")
        columns = {name: place for place, name in enumerate(COLUMNS)}
    styles: dict[str, Style] = {}
    comments = False
    for line, row in rows:
        if any(cell for place, cell in enumerate(row) if place not in columns.values()):
            remarks.append(f"line {line}: there are more columns than name, prompt and negative prompt")
        cells = {name: row[place] for name, place in columns.items() if place < len(row)}
        name = cells.get("name", "")
        if name and not name.startswith("#"):
            styles[name] = Style(name, cells.get("prompt", ""), cells.get("negative_prompt", ""))
        else:
            comments = True
    return StylesTable(tuple(styles.values()), tuple(remarks[:MOST_REMARKS]), comments or bool(remarks))


def write_styles(path: Path, styles: Sequence[Style]) -> None:
    """Write the styles as CSV, atomically; what was there before is kept beside it with `.bak` at its end, or, where
    it held more than styles, with the time.

    Raises:
        UserError: a name is empty or begins with `#`: it would not be read again.
        StorageError: the file cannot be written.
    """
    for style in styles:
        if not style.name or style.name.startswith("#"):
            raise UserError(f"A style cannot be called {style.name!r}.", hint="Begin its name with a letter.")
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)  # unquoted, a leading space would be lost on reading
    writer.writerow(COLUMNS)
    writer.writerows((style.name, style.prompt, style.negative_prompt) for style in styles)
    try:
        previous = path.read_bytes()
    except FileNotFoundError:
        previous = None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if previous is not None:
        # A copy that no later change takes the place of, where not everything is written again.
        kept = f".before-{time.strftime('%Y%m%d-%H%M%S')}" if read_table(path).lossy else ".bak"
        write_atomically(path.with_name(path.name + kept), previous)
    write_atomically(path, text.getvalue().encode("utf-8-sig"))


def _decoded(content: bytes, remarks: list[str]) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    for order, every_second in (("be", content[0:200:2]), ("le", content[1:200:2])):
        if every_second.count(0) > len(every_second) / 2:  # UTF-16 without its mark: plain letters are half empty
            return content.decode(f"utf-16-{order}", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        lines: list[str] = []
        for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            try:
                lines.append(line.decode())
            except UnicodeDecodeError:
                lines.append(line.decode("cp1252", "replace"))
                remarks.append(f"line {number}: it is not UTF-8, so it was read as Windows-1252")
        return "\n".join(lines)


def _rows(text: str, remarks: list[str]) -> list[tuple[int, list[str]]]:
    """(number of the last line, cells) of each row that has any."""
    lines = list(io.StringIO(text, newline=""))
    delimiter = _delimiter(lines)
    rows: list[tuple[int, list[str]]] = []
    begin = 0
    for _ in range(MOST_REMARKS):
        reader = csv.reader(lines[begin:], delimiter=delimiter, skipinitialspace=True, strict=True)
        done = 0
        try:
            for row in reader:
                done = reader.line_num
                if any(row):
                    rows.append((begin + done, row))
        except csv.Error as error:
            # This line is read by itself, so that an open quotation mark takes none of the others in.
            begin += done + 1
            remarks.append(f"line {begin}: {error}")
            with suppress(csv.Error):
                rows += ((begin, row) for row in csv.reader([lines[begin - 1]], delimiter=delimiter) if any(row))
        else:
            return rows
    remarks.append(f"line {begin + 1}: everything from here on is ignored")
    return rows


def _delimiter(lines: Sequence[str]) -> str:
    """What stands between the columns, by the first line that is no comment."""
    first = next((line for line in lines if line.strip() and not line.lstrip('"').startswith("#")), "")
    plain = re.sub(r'"[^"]*"', "", first)
    return max(DELIMITERS, key=plain.count)


def _columns(row: Sequence[str]) -> dict[str, int]:
    """Column -> its place, of the line that names them; {} where this one does not."""
    found: dict[str, int] = {}
    for place, cell in enumerate(row):
        called = CALLED.get(re.sub(r"[\s_-]+", "_", cell.strip().casefold()), "")
        if called:
            found.setdefault(called, place)
    return found if "name" in found and len(found) > 1 else {}


def _merged(style: str, prompt: str) -> str:
    if PLACEHOLDER in style:
        return style.replace(PLACEHOLDER, prompt)
    return ", ".join(part for part in (prompt.strip(), style.strip()) if part)


def _without(style: str, prompt: str) -> str | None:
    """The text to which the style was applied, or None where it is not in the prompt."""
    prompt, style = prompt.strip(), style.strip()
    before, placeholder, after = style.partition(PLACEHOLDER)
    if not placeholder:
        return prompt.removesuffix(style).removesuffix(", ") if prompt.endswith(style) else None
    if len(prompt) >= len(before) + len(after) and prompt.startswith(before) and prompt.endswith(after):
        return prompt[len(before) : len(prompt) - len(after)]
    return None

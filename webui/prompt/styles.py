"""Styles: named pieces of prompts, kept in `styles.csv`, applied to a prompt and recognised in it again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from webui.base.errors import StorageError, UserError
from webui.base.files import write_atomically

PLACEHOLDER = "{prompt}"
COLUMNS = ("name", "prompt", "negative_prompt")


@dataclass(frozen=True, slots=True)
class Style:
    """`prompt` and `negative_prompt` may hold `{prompt}`, in whose place the user's text goes; else they follow it."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


class Prompts(NamedTuple):
    """A prompt and its negative."""

    positive: str
    negative: str


class Recognised(NamedTuple):
    """What is left of the prompts, and the names of the styles that were in them, in their order of application."""

    prompts: Prompts
    names: tuple[str, ...]


def apply_styles(prompts: Prompts, names: Iterable[str], styles: Mapping[str, Style]) -> Prompts:
    """The prompts with the named styles applied one after the other; names that no style has are passed over."""
    positive, negative = prompts
    for name in names:
        style = styles.get(name)
        if style:
            positive = _merged(style.prompt, positive)
            negative = _merged(style.negative_prompt, negative)
    return Prompts(positive, negative)


def recognise_styles(prompts: Prompts, styles: Iterable[Style]) -> Recognised:
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
        prompts = Prompts(positive, negative)
        names.append(style.name)
        candidates.remove(style)


def read_styles(path: Path) -> tuple[Style, ...]:
    """The styles in a CSV file, in its order; none where the file does not exist. Of equal names the last counts.

    Reads A1111's files of every age: columns name, prompt, negative_prompt or name, text; rows whose name is empty or
    begins with `#` are comments.

    Raises:
        StorageError: the file cannot be read.
        UserError: it is no CSV file in UTF-8 with a column "name".
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise UserError(f"The styles in {path} cannot be read: {error}.", hint="Save the file as UTF-8.") from error
    except OSError as error:
        raise StorageError(f"The styles in {path} cannot be read: {error.strerror or error}.") from error
    if not content.strip():
        return ()
    try:
        return _parsed(content)
    except (csv.Error, KeyError) as error:
        raise UserError(
            f"The styles in {path} cannot be read: {error}.",
            hint=f"Its first line should be {','.join(COLUMNS)}; a copy from before the last change is in {path}.bak.",
        ) from error


def write_styles(path: Path, styles: Sequence[Style]) -> None:
    """Write the styles as CSV, atomically; what was there before is kept beside it with `.bak` at its end.

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
        write_atomically(path.with_name(path.name + ".bak"), previous)
    write_atomically(path, text.getvalue().encode("utf-8-sig"))


def _parsed(content: str) -> tuple[Style, ...]:
    styles: dict[str, Style] = {}
    for row in csv.DictReader(io.StringIO(content, newline=""), skipinitialspace=True):
        name = row["name"] or ""
        if not name or name.startswith("#"):
            continue
        prompt = row["prompt"] if "prompt" in row else row.get("text")  # A1111: "text" in its first format
        styles[name] = Style(name, prompt or "", row.get("negative_prompt") or "")
    return tuple(styles.values())


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

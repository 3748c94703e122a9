"""The styles of an installation: one or more CSV files, the first of which takes new ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from webui.base.errors import NotFound, UserError, did_you_mean
from webui.base.fence import Problem, read_each
from webui.base.paths import Paths
from webui.catalog.problems import Problems
from webui.prompt.styles import (
    Recognised,
    Style,
    StyledPrompts,
    apply_styles,
    read_styles,
    read_table,
    recognise_styles,
    write_styles,
)

TODO = "Its first line should be name,prompt,negative_prompt; save it as UTF-8, with commas between the columns."


class Styles:
    """Styles by name. Looks at the files when made and on `refresh`."""

    def __init__(self, paths: Paths, problems: Problems | None = None) -> None:
        self._files = paths.styles
        self._problems = problems or Problems()
        self._lock = threading.RLock()
        self._known: dict[str, Style] | None = None

    def all(self) -> dict[str, Style]:
        """Name -> style, in the order of the files; files and lines that cannot be read are told as problems."""
        with self._lock:
            known = self._known
        return known if known is not None else self.refresh()

    def refresh(self) -> dict[str, Style]:
        """Read the files again."""
        found: dict[str, Style] = {}
        tables, problems = read_each("styles", self._files, lambda path: path.name, read_table)
        for path, table in tables:
            for style in table.styles:
                found.setdefault(style.name, style)
            problems += (Problem("styles", path.name, f"{remark}.", TODO) for remark in table.remarks)
        self._problems.found("styles", problems)
        with self._lock:
            self._known = found
        return found

    def names(self) -> list[str]:
        """What the dropdown offers."""
        return list(self.all())

    def apply(self, prompt: str, negative: str, names: Sequence[str]) -> tuple[str, str]:
        """Both prompts with these styles.

        Raises:
            NotFound: a name is no style's.
        """
        wanted = [name for name in names if name != "None"]
        if not wanted:
            return prompt, negative
        known = self.all()
        for name in wanted:
            if name not in known:
                raise NotFound(f"There is no style {name!r}.", hint=did_you_mean(name, known), field="styles")
        return apply_styles(StyledPrompts(prompt, negative), wanted, known)

    def recognise(self, prompt: str, negative: str) -> Recognised:
        """The styles that are in two prompts, and what is left of them."""
        return recognise_styles(StyledPrompts(prompt, negative), self.all().values())

    def save(self, style: Style) -> None:
        """Add a style, or change the one of its name, in the file where that is.

        Raises:
            UserError: it has no name.
            StorageError: the file cannot be written.
        """
        if not style.name.strip() or style.name.startswith("#"):
            raise UserError("A style needs a name that does not begin with #.", field="styles")
        with self._lock:
            path = next((path for path in self._files if _has(path, style.name)), self._files[0])
            changed = {known.name: known for known in read_styles(path)}
            changed[style.name] = style
            write_styles(path, tuple(changed.values()))
            self.refresh()

    def delete(self, name: str) -> None:
        """
        Raises:
            NotFound: there is no such style.
            StorageError: the file cannot be written.
        """
        with self._lock:
            holding = [path for path in self._files if _has(path, name)]
            if not holding:
                raise NotFound(f"There is no style {name!r}.", field="styles")
            for path in holding:
                write_styles(path, [style for style in read_styles(path) if style.name != name])
            self.refresh()


def _has(path: Path, name: str) -> bool:
    return any(style.name == name for style in read_styles(path))

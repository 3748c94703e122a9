"""What another program's folder says of settings, of what the forms begin with, and of styles, taken over into ours.

A1111's three files: `config.json`, `ui-config.json`, `styles.csv`. What was taken and what was not is told, one by one.
Left out is what belongs to that installation or to this server: folders, and the settings of the system and its limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from webui.base.errors import UserError, WebuiError
from webui.base.fence import Problem, read_each
from webui.catalog.catalog import Catalog
from webui.catalog.problems import Problems
from webui.catalog.products import json_table
from webui.catalog.settings_store import SettingsStore
from webui.catalog.ui_defaults import UiDefaults
from webui.prompt.styles import read_table
from webui.request.params import Text
from webui.request.settings import Settings

FILES = ("config.json", "ui-config.json", "styles.csv")
FORMS = ("txt2img", "img2img", "extras")
SECTIONS = ("render", "save", "ui", "cards")
"""Of the settings that are taken over."""
CHECKPOINT = "sd_model_checkpoint"
ELSEWHERE = frozenset({"quicksettings_list", "sd_checkpoint_hash"})
"""Settings that say how that program's page is arranged, or are none of a person's."""


@dataclass(frozen=True)
class Taken:
    """What came of one file."""

    file: str
    taken: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """A sentence about each thing that was not taken."""


def take_settings(root: Path, catalog: Catalog, settings: SettingsStore) -> list[Taken]:
    """Take over what the files in `root` say -> what came of each that is there; a broken one says so."""
    readers = {
        "config.json": lambda path: _settings(path, catalog, settings),
        "ui-config.json": lambda path: _defaults(path, catalog),
        "styles.csv": lambda path: _styles(path, catalog),
    }
    there = [root / name for name in FILES if (root / name).is_file()]
    read, problems = read_each("imported", there, lambda path: path.name, lambda path: readers[path.name](path))
    return [*(found for _, found in read), *(Taken(problem.name, left=(_said(problem),)) for problem in problems)]


def _said(problem: Problem) -> str:
    return f"{problem.reason} {problem.todo}".strip()


def _settings(path: Path, catalog: Catalog, store: SettingsStore) -> Taken:
    keys, known = Settings.keys(), Settings()
    wanted: dict[str, object] = {}
    left: list[str] = []
    unknown = 0
    for key, value in json_table(path).items():
        if value is None or key in ELSEWHERE:
            continue
        if key not in keys:
            unknown += 1
            continue
        section, name = keys[key]
        param = Settings.sections()[section].params()[name]
        try:
            if section not in SECTIONS or (isinstance(param, Text) and param.folder):
                raise UserError("it belongs to that installation.")
            if key == CHECKPOINT:
                catalog.checkpoints.find(str(value))
            store.freeze.check(store.current, {key: value})
            changed = known.with_options({key: value})
        except WebuiError as error:
            left.append(f"{key}: {error.message}")
            continue
        if changed != known:
            wanted[key] = value
    if wanted:
        store.change(wanted)
    if unknown:
        left.append(f"{unknown} settings that mean nothing here, such as those of extensions.")
    return Taken(path.name, tuple(wanted), tuple(left))


def _defaults(path: Path, catalog: Catalog) -> Taken:
    json_table(path)  # One that is no table is refused here, before anything could move it aside.
    problems = Problems()
    other = UiDefaults(replace(catalog.paths, ui_config_path=path), problems, catalog.choices)
    taken: list[str] = []
    for form in FORMS:
        own = catalog.ui_defaults.values(form)
        changed = {name: value for name, value in other.saved(form).items() if value != own.get(name)}
        if changed:
            catalog.ui_defaults.save(form, changed)
            taken += (f"{form}: {name}" for name in changed)
    return Taken(path.name, tuple(taken), tuple(f"{one.name}: {_said(one)}" for one in problems.all()))


def _styles(path: Path, catalog: Catalog) -> Taken:
    table = read_table(path)
    known: Mapping[str, object] = catalog.styles.all()
    new = [style for style in table.styles if style.name not in known]
    saved, problems = read_each("styles", new, lambda style: style.name, catalog.styles.save)
    same: Iterable[str] = (f"{one.name}: there is a style of this name." for one in table.styles if one.name in known)
    left = (*same, *(f"{one.name}: {_said(one)}" for one in problems), *table.remarks)
    return Taken(path.name, tuple(style.name for style, _ in saved), left)


def has_settings(root: Path) -> bool:
    """Whether there is something to take over."""
    try:
        return any((root / name).is_file() for name in FILES)
    except OSError:
        return False

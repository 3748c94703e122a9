"""Folders of models that lie in other programs' folders, and are used where they lie: which, in a JSON file.

The file is `config/folders.json`: for each thing that was taken over its program, its folder, and its folders of models
by kind. It is read item by item; the engine reads it as well, for the parts of models that it looks for itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from webui.base.errors import NotFound, UserError
from webui.base.fence import Problem, read_each
from webui.base.paths import Paths
from webui.base.text import named, path_named
from webui.catalog.installations import id_of
from webui.catalog.json_file import read_table, write_table
from webui.catalog.problems import Problems
from webui.catalog.products import KINDS, Installation, is_remote

MOST = 100
"""Things that can be taken over."""


@dataclass(frozen=True)
class Brought:
    """A thing that was taken over."""

    id: str
    product: str
    root: Path
    folders: tuple[tuple[str, Path], ...]
    """(kind, folder)"""


class BroughtFolders:
    """What was taken over. Any thread may call any method.

    Raises:
        StorageError: the file cannot be read. (A broken one is moved aside.)
    """

    def __init__(self, paths: Paths, problems: Problems | None = None) -> None:
        self.path = paths.brought
        self._paths = paths
        self._problems = problems or Problems()
        self._lock = threading.Lock()
        table = read_table(self.path, self._problems)
        self._all, broken = _read(table)
        self._problems.found(self.path.name, broken)

    def all(self) -> tuple[Brought, ...]:
        """Everything, in the order in which it was taken over."""
        return self._all

    def folders(self, kind: str) -> tuple[Path, ...]:
        """The folders of a kind."""
        return _of(kind, self._all)

    def take(self, installation: Installation) -> Brought:
        """Use an installation's models from now on, where they lie; again: its folders as they are now.

        Raises:
            UserError: it has no folder that may be used.
            StorageError: the file cannot be written; all stays as it was.
        """
        folders = tuple((kind, folder) for kind, folder in installation.folders if self._may_use(folder))
        if not folders:
            raise UserError(
                f"{installation.root} has no folder of models that is not used already.", hint="Choose another folder."
            )
        new = Brought(id_of(installation), installation.product, installation.root, folders)
        with self._lock:
            kept = [one for one in self._all if one.id != new.id]
            if len(kept) >= MOST:
                raise UserError(f"There are {MOST} already.", hint="Remove some of them first.")
            self._write((*kept, new))
        return new

    def forget(self, brought_id: str) -> Brought:
        """Use it no more; its files stay where and as they are.

        Raises:
            NotFound: there is none of this number.
            StorageError: as `take`.
        """
        with self._lock:
            gone = next((one for one in self._all if one.id == brought_id), None)
            if gone is None:
                raise NotFound("It is not in use (any more).", hint="Reload the page.")
            self._write(tuple(one for one in self._all if one.id != brought_id))
        return gone

    def _may_use(self, folder: Path) -> bool:
        """Not the program's memory, not what is looked through anyway, and nothing that holds half of the disk."""
        try:
            real, models = folder.resolve(), self._paths.models.resolve()
        except (OSError, RuntimeError, ValueError):
            return False
        return not (
            self._paths.is_private(real)
            or real.is_relative_to(models)
            or models.is_relative_to(real)
            or Path.home().resolve().is_relative_to(real)
        )

    def _write(self, all_of_it: tuple[Brought, ...]) -> None:
        write_table(self.path, {"installations": [_told(one) for one in all_of_it]})
        self._all = all_of_it


def folders_in(path: Path, kind: str) -> tuple[Path, ...]:
    """The folders of a kind as the file says now, if any. For the engine, which never writes it."""
    try:
        return _of(kind, _read(json.loads(path.read_bytes()))[0])
    except (OSError, ValueError, RecursionError):
        return ()


def _of(kind: str, brought: Iterable[Brought]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(folder for one in brought for its, folder in one.folders if its == kind))


def _told(one: Brought) -> dict[str, object]:
    by_kind: dict[str, list[str]] = {}
    for kind, folder in one.folders:
        by_kind.setdefault(kind, []).append(named(folder))
    return {"program": one.product, "folder": named(one.root), "models": by_kind}


def _read(table: object) -> tuple[tuple[Brought, ...], list[Problem]]:
    items = table.get("installations") if isinstance(table, Mapping) else None
    listed = list(enumerate(items if isinstance(items, list) else []))
    found, broken = read_each("folders.json", listed, lambda item: f"entry {item[0] + 1}", lambda item: _one(item[1]))
    return tuple({one.id: one for _, one in found}.values()), broken


def _one(item: object) -> Brought:
    """
    Raises:
        UserError: it says no program, no folder, or no folders of models.
    """
    said = item if isinstance(item, Mapping) else {}
    product, root, models = said.get("program"), said.get("folder"), said.get("models")
    if not isinstance(product, str) or not isinstance(root, str) or not isinstance(models, Mapping):
        raise UserError("It does not name a program, its folder, and its folders of models.", hint="Remove the entry.")
    folders = []
    for kind, paths in models.items():
        for path in paths if isinstance(paths, list) else []:
            if kind not in KINDS or not isinstance(path, str) or is_remote(path) or not Path(path).is_absolute():
                raise UserError(f"{path!r:.200} is no folder of a kind that is known.", hint="Correct or remove it.")
            folders.append((str(kind), path_named(path)))
    brought = Installation(product[:80], path_named(root), tuple(folders))
    return Brought(id_of(brought), brought.product, brought.root, brought.folders)

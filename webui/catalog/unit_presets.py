"""Presets of a feature's units, each user's own, in a JSON file. Where nobody logs in they are everybody's."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from webui.base.errors import NotFound, UserError, did_you_mean
from webui.base.fence import read_each
from webui.base.json_values import JsonObject
from webui.base.owners import is_anonymous
from webui.catalog.json_file import read_table, write_table
from webui.catalog.problems import Problems
from webui.request.params import Declared
from webui.request.presets import UnitPreset, unit_preset

NAME = "unit-presets.json"
MOST = 200
"""Of one user, of one feature."""


class UnitPresets:
    """By user, feature and name. Any thread may call any method.

    Raises:
        StorageError: the file cannot be read. (A broken one is moved aside.)
    """

    def __init__(self, folder: Path, problems: Problems | None = None) -> None:
        self._path = folder / NAME
        self._problems = problems or Problems()
        self._lock = threading.Lock()
        self._table: JsonObject = read_table(self._path, self._problems)

    def names(self, owner: str, feature: str) -> list[str]:
        """What a user has saved of a feature, by the alphabet."""
        return sorted(self._own(owner, feature), key=str.casefold)

    def get(self, owner: str, feature: str, name: str, declared: type[Declared]) -> UnitPreset:
        """One of them, as far as it is known today.

        Raises:
            NotFound: there is none of this name.
            UserError: what the file says of it does not fit.
        """
        own = self._own(owner, feature)
        if name not in own:
            hint = did_you_mean(name, list(own)) or "Choose one from the list."
            raise NotFound(f"There is no preset named {name!r}.", hint=hint, field="name")
        return unit_preset(name, own[name], declared)

    def look(self, classes: Mapping[str, type[Declared]]) -> None:
        """Tell which of all presets do not fit. classes: of the units, by the names of the features."""
        saved = [
            (owner, feature, name)
            for owner, features in self._table.items()
            for feature in (features if isinstance(features, Mapping) else ())
            if feature in classes
            for name in self._own(owner, feature)
        ]
        _, problems = read_each(
            NAME, saved, lambda at: f"{at[1]}, {at[2]}", lambda at: self.get(at[0], at[1], at[2], classes[at[1]])
        )
        self._problems.found(NAME, problems)

    def save(self, owner: str, feature: str, preset: UnitPreset) -> None:
        """Keep it, in the place of one of its name.

        Raises:
            UserError: there are too many.
            StorageError: the file cannot be written; all stays as it was.
        """
        with self._lock:
            own = {**self._own(owner, feature), preset.name: [None if u is None else dict(u) for u in preset.units]}
            if len(own) > MOST:
                raise UserError(f"You have {MOST} presets.", hint="Delete some of them first.", field="name")
            self._write(owner, feature, own)

    def delete(self, owner: str, feature: str, name: str) -> None:
        """Forget it.

        Raises:
            NotFound: there is none of this name.
            StorageError: as `save`.
        """
        with self._lock:
            own = dict(self._own(owner, feature))
            if own.pop(name, None) is None:
                raise NotFound(f"There is no preset named {name!r}.", hint="Choose one from the list.", field="name")
            self._write(owner, feature, own)

    def _own(self, owner: str, feature: str) -> Mapping[str, object]:
        features = self._table.get(_key(owner))
        own = features.get(feature) if isinstance(features, Mapping) else None
        return own if isinstance(own, Mapping) else {}

    def _write(self, owner: str, feature: str, own: Mapping[str, object]) -> None:
        owner = _key(owner)
        features = self._table.get(owner)
        table = cast(
            "JsonObject", {**self._table, owner: {**(features if isinstance(features, dict) else {}), feature: own}}
        )
        write_table(self._path, table)
        self._table = table


def _key(owner: str) -> str:
    """A program and a browser without logins are one person, whatever cookie either has."""
    return "" if is_anonymous(owner) else owner

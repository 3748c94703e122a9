"""What the form's controls begin with: A1111's `ui-config.json`, read and written in its keys."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from typing import Any

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.catalog.json_file import read_table, write_table
from webui.request.jobs import JOBS
from webui.request.params import Choice, Declared, Image, Param, default_of, parsed

log = logging.getLogger(__name__)

_KEY = re.compile(r"(?:.*/)?(\w+)/([^/]+)/(value|minimum|maximum|step)")


class UiDefaults:
    """Saved defaults by field name; "txt2img/cfg_scale" is kept as `txt2img/CFG Scale/value`.

    Raises:
        StorageError: the file cannot be read. (A broken one is moved aside and the declared defaults hold.)
    """

    def __init__(self, paths: Paths) -> None:
        self.path = paths.ui_config
        self._lock = threading.Lock()
        self._table = read_table(self.path)

    def values(self, kind: str) -> dict[str, Any]:
        """Field -> value of every field of "txt2img" or "img2img": the saved one, else the declared."""
        cls = _class(kind)
        return {**{name: default_of(cls, name) for name in _params(cls)}, **self.saved(kind)}

    def saved(self, kind: str) -> dict[str, Any]:
        """Field -> value of what is in the file and fits; the rest gets a line in the log."""
        cls = _class(kind)
        found: dict[str, Any] = {}
        for name, param, part, value in self._entries(kind):
            if part == "value" and value is not None:
                try:
                    found[name] = parsed(cls, name, _from_file(param, value))
                except UserError as error:
                    log.info("A default in ui-config.json is passed over: %s", error)
        return found

    def ranges(self, kind: str) -> dict[str, dict[str, float]]:
        """Field -> what the file says of its slider: "minimum", "maximum", "step"."""
        found: dict[str, dict[str, float]] = {}
        for name, _, part, value in self._entries(kind):
            if part != "value" and isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(name, {})[part] = value
        return found

    def save(self, kind: str, values: Mapping[str, Any]) -> None:
        """Make these values the defaults of the form; whatever else is in the file stays.

        Raises:
            NotFound: a name is no field of this kind.
            UserError: a value does not fit.
            StorageError: the file cannot be written; the defaults stay as they were.
        """
        cls = _class(kind)
        params = _params(cls)
        changed: dict[str, Any] = {}
        for name, value in values.items():
            if name not in params:
                raise NotFound(f"{kind} has no control {name!r}.", field=name)
            fitting = parsed(cls, name, value)
            changed[f"{kind}/{params[name].title}/value"] = _to_file(params[name], fitting)
        with self._lock:
            table = read_table(self.path)
            # A1111: parts of its form are kept under "customscript/<file>/txt2img/..."; ours must not be outvoted.
            names = {params[name].title for name in values}
            for key in [key for key in table if (match := _KEY.fullmatch(key)) and match[1] == kind]:
                if key not in changed and key.endswith("/value") and key.split("/")[-2] in names:
                    del table[key]
            table.update(changed)
            write_table(self.path, table)
            self._table = table

    def _entries(self, kind: str) -> list[tuple[str, Param, str, Any]]:
        """(field, Param, part, value) of the lines of the file that speak of a field of this kind."""
        by_title = {param.title: (name, param) for name, param in _params(_class(kind)).items()}
        found = []
        for key, value in self._table.items():
            match = _KEY.fullmatch(key)
            if match and match[1] == kind and match[2] in by_title:
                found.append((*by_title[match[2]], match[3], value))
        return found


def _class(kind: str) -> type[Declared]:
    if kind not in JOBS:
        raise NotFound(f"There is no form {kind!r}.")
    return JOBS[kind]


def _params(cls: type[Declared]) -> dict[str, Param]:
    return {name: param for name, param in cls.params().items() if param.title and not isinstance(param, Image)}


def _from_file(param: Param, value: Any) -> Any:
    if isinstance(param, Choice) and param.by_index and isinstance(value, str) and value in param.choices:
        return param.choices.index(value)
    return value


def _to_file(param: Param, value: Any) -> Any:
    if isinstance(param, Choice) and param.by_index:
        return param.choices[int(value)]
    return list(value) if isinstance(value, tuple) else value

"""What the form's controls begin with: A1111's `ui-config.json`, read and written in its keys."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from webui.base.errors import NotFound, UserError, did_you_mean
from webui.base.fence import Problem, read_each
from webui.base.paths import Paths
from webui.catalog.json_file import read_table, write_table
from webui.catalog.problems import Problems
from webui.registry import sampler_and_schedule
from webui.request.jobs import request_classes
from webui.request.params import Choice, Declared, Image, Param, Several, Slider, default_of, parsed, same_choice

NAME = "ui-config.json"
OVERRIDES = "override_settings"
RANGE = ("minimum", "maximum", "step")
PARTS = ("value", *RANGE, "visible", "choices")
FORM_SCRIPTS = ("sampler.py", "seed.py", "refiner.py")
"""A1111: parts of its own form that are scripts since its version 1.6."""
SCHEDULED = {"sampler_name": "scheduler", "hr_sampler_name": "hr_scheduler"}
"""Field of a sampler -> that of its schedule."""
LARGEST = 1e12
"""No slider reaches so far."""
COMES_BY_ITSELF = frozenset({"image_cfg_scale", OVERRIDES})
"""A1111's own file says of these that they are not visible: they come up where they matter."""


@dataclass(frozen=True)
class ControlLook:
    """What the file says of a control beside its value."""

    range: Mapping[str, float] = field(default_factory=dict)
    """Of a slider: "minimum", "maximum", "step"."""
    hidden: bool = False
    choices: tuple[str, ...] = ()
    """The only ones that a list offers; (): all."""
    radio: bool = False
    """All of them are shown at once."""


class UiDefaults:
    """Saved defaults by field name; "txt2img/cfg_scale" is kept as `txt2img/CFG Scale/value`.

    Raises:
        StorageError: the file cannot be read. (A broken one is moved aside and the declared defaults hold.)
    """

    def __init__(
        self, paths: Paths, problems: Problems | None = None, choices: Callable[[str], list[str]] | None = None
    ) -> None:
        """`choices` lists what a source of a `Param` offers now; None: whatever is saved is offered."""
        self.path = paths.ui_config
        self._problems = problems or Problems()
        self._choices = choices
        self._lock = threading.Lock()
        self._table: Mapping[str, object] = read_table(self.path, self._problems)

    def values(self, kind: str) -> dict[str, object]:
        """Field -> value of every field of "txt2img" or "img2img": the saved one, else the declared."""
        cls = _class(kind)
        return {**{name: default_of(cls, name) for name in _params(cls)}, **self.saved(kind)}

    def saved(self, kind: str) -> dict[str, object]:
        """Field -> value of what is in the file and fits; the rest is told as problems."""
        cls = _class(kind)
        entries = [entry for entry in self._entries(kind) if entry.part == "value" and entry.value is not None]
        found, problems = read_each(NAME, entries, lambda entry: entry.key, lambda entry: self._read(cls, entry))
        self._problems.found(f"{NAME} {kind}", problems)
        values: dict[str, object] = {}
        for _, read in found:
            values |= {name: value for name, value in read.items() if name not in values}
        return values

    def ranges(self, kind: str) -> dict[str, dict[str, float]]:
        """Field -> what the file says of its slider, where that makes sense: "minimum", "maximum", "step"."""
        params = _params(_class(kind))
        said: dict[str, dict[str, float]] = {}
        problems: list[Problem] = []
        for entry in self._entries(kind):
            param = params[entry.name]
            if entry.part not in RANGE or not isinstance(param, Slider) or entry.value is None:
                continue
            ends = {"minimum": param.min, "maximum": param.max, "step": param.step, **said.get(entry.name, {})}
            limit = _number(entry.value)
            if limit is not None and _is_range({**ends, entry.part: limit}):
                said.setdefault(entry.name, {}).setdefault(entry.part, limit)
            else:
                problems.append(
                    Problem(
                        NAME,
                        entry.key,
                        f"{entry.value!r:.60} is not a valid limit of a slider.",
                        "Correct this line in the file.",
                    )
                )
        self._problems.found(f"{NAME} {kind} ranges", problems)
        return said

    def looks(self, kind: str) -> dict[str, ControlLook]:
        """Field -> how its control looks, where the file says something of it; what makes no sense is told."""
        entries = [entry for entry in self._entries(kind) if entry.part in ("visible", "choices")]
        params = _params(_class(kind))
        found, problems = read_each(
            NAME, entries, lambda entry: entry.key, lambda entry: self._look(params[entry.name], entry)
        )
        self._problems.found(f"{NAME} {kind} looks", problems)
        looks = {name: ControlLook(limits) for name, limits in self.ranges(kind).items()}
        for entry, change in found:
            if entry.name not in COMES_BY_ITSELF:
                looks[entry.name] = replace(looks.get(entry.name, ControlLook()), **change)
        return looks

    def _look(self, param: Param, entry: _Entry) -> dict[str, Any]:
        """The changes of a `ControlLook`.

        Raises:
            UserError: the line makes no sense.
        """
        if entry.part == "visible":
            if not isinstance(entry.value, bool):
                raise UserError(f"{entry.value!r:.60} is neither true nor false.")
            return {"hidden": not entry.value}
        if not isinstance(param, Choice | Several) or (isinstance(param, Choice) and param.by_index):
            raise UserError("Its choices cannot be chosen among.")
        known = self._choices(param.source) if param.source and self._choices is not None else param.choices
        given = entry.value if isinstance(entry.value, list) else [entry.value]
        wrong = [item for item in given if item not in known]
        if wrong or not given:
            raise UserError(f"There is no {wrong[0]!r:.60}." if wrong else "There is nothing in it.")
        return {"choices": tuple(given)}

    def look(self) -> None:
        """Tell what in the file does not fit."""
        for kind in request_classes():
            self.saved(kind)
            self.looks(kind)

    def write_whole(self, kinds: Iterable[str]) -> int:
        """Write a line for everything that the file can say of these forms, as it is now; what is in it stays. It is
        there to be edited by hand -> how many lines came.

        Raises:
            StorageError: the file cannot be written.
        """
        with self._lock:
            table: dict[str, object] = {**read_table(self.path)}
            size = len(table)
            for kind in kinds:
                said = {(entry.name, entry.part) for entry in self._entries(kind, table)}
                for name, param in _params(_class(kind)).items():
                    for part, value in _whole(_class(kind), name, param).items():
                        if (name, part) not in said:
                            table.setdefault(f"{kind}/{param.title}/{part}", value)
            write_table(self.path, table)
            self._table = table
            return len(table) - size

    def reset(self, kinds: Iterable[str]) -> int:
        """Make the forms begin as they are declared, and look so -> how many lines went.

        Raises:
            StorageError: the file cannot be written.
        """
        with self._lock:
            table: dict[str, object] = {**read_table(self.path)}
            lines = [entry.key for kind in kinds for entry in self._entries(kind, table)]
            for key in lines:
                table.pop(key, None)
            if lines:
                write_table(self.path, table)
            self._table = table
            return len(lines)

    def save(self, kind: str, values: Mapping[str, object]) -> None:
        """Make these values the defaults of the form; whatever else is in the file stays.

        Raises:
            NotFound: a name is no field of this kind.
            UserError: a value does not fit.
            StorageError: the file cannot be written; the defaults stay as they were.
        """
        cls = _class(kind)
        params = _params(cls)
        changed: dict[str, object] = {}
        for name, value in values.items():
            if name not in params:
                raise NotFound(f"{kind} has no control named {name!r}.", field=name)
            fitting = parsed(cls, name, value)
            changed[f"{kind}/{params[name].title}/value"] = _to_file(params[name], fitting)
        with self._lock:
            table: dict[str, object] = {**read_table(self.path)}
            for entry in self._entries(kind, table):
                if entry.key not in changed and entry.part == "value" and entry.name in values:
                    del table[entry.key]
            table.update(changed)
            write_table(self.path, table)
            self._table = table

    def _entries(self, kind: str, table: Mapping[str, object] | None = None) -> list[_Entry]:
        """The lines of the file that speak of a field of this kind, and of no other script's: those under the form's
        own key, then those under the scripts that are parts of A1111's form."""
        table = self._table if table is None else table
        begins = (f"{kind}/", *(f"customscript/{script}/{kind}/" for script in FORM_SCRIPTS))
        return [
            _Entry(key, name, part, table[key])
            for begin in begins
            for name, param in _params(_class(kind)).items()
            for part in PARTS
            if (key := f"{begin}{param.title}/{part}") in table
        ]

    def _read(self, cls: type[Declared], entry: _Entry) -> dict[str, object]:
        """Field -> value; an old sampler's name says two.

        Raises:
            UserError: the value does not fit.
            NotFound: it is nothing that is there now.
        """
        param = _params(cls)[entry.name]
        if entry.name in SCHEDULED and isinstance(entry.value, str):
            with suppress(NotFound):
                sampler, schedule = sampler_and_schedule(entry.value, "")
                alone = entry.value.casefold() in map(str.casefold, (sampler.name, *sampler.aliases))
                return {entry.name: sampler.name, **({} if alone else {SCHEDULED[entry.name]: schedule.name})}
        value = parsed(cls, entry.name, _from_file(param, entry.value))
        if (
            isinstance(param, Choice)
            and param.source
            and isinstance(value, str)
            and value
            and self._choices is not None
        ):
            known = self._choices(param.source)
            if not same_choice(value, known):
                raise NotFound(f"{param.title}: there is no {value!r}.", hint=did_you_mean(value, known))
        return {entry.name: value}


class _Entry(NamedTuple):
    key: str
    name: str
    """The field."""
    part: str
    value: object


def _whole(cls: type[Declared], name: str, param: Param) -> dict[str, object]:
    """All that the file can say of a field, as it is declared."""
    ends: dict[str, object] = {}
    if isinstance(param, Slider):
        ends = {"minimum": param.min, "maximum": param.max, "step": param.step}
    shown: dict[str, object] = {} if name in COMES_BY_ITSELF else {"visible": True}
    return {"value": _to_file(param, default_of(cls, name)), **shown, **ends}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -LARGEST < value < LARGEST else None


def _is_range(ends: Mapping[str, float]) -> bool:
    return ends["minimum"] < ends["maximum"] and 0 < ends["step"] <= ends["maximum"] - ends["minimum"]


def _class(kind: str) -> type[Declared]:
    if kind not in request_classes():
        raise NotFound(f"There is no form named {kind!r}.")
    return request_classes()[kind]


def _params(cls: type[Declared]) -> dict[str, Param]:
    return {name: param for name, param in cls.offered().items() if param.title and not isinstance(param, Image)}


def _from_file(param: Param, value: object) -> object:
    if isinstance(param, Choice) and param.by_index and isinstance(value, str) and value in param.choices:
        return param.choices.index(value)
    return value


def _to_file(param: Param, value: object) -> object:
    if isinstance(param, Choice) and param.by_index and isinstance(value, int):
        return param.choices[int(value)]
    return list(value) if isinstance(value, tuple) else value

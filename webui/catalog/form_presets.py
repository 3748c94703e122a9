"""Presets of a form: named sets of any of its fields, each user's own, in a JSON file; without logins everybody's."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from webui.base.errors import NotFound, UserError, did_you_mean
from webui.base.fence import read_each
from webui.base.json_values import JsonObject
from webui.base.owners import is_anonymous
from webui.base.text import cleaned
from webui.catalog.json_file import read_table, write_table
from webui.catalog.problems import Problems
from webui.request.fields import Img2Img, Txt2Img
from webui.request.params import Declared, Image
from webui.request.presets import LONGEST_NAME

NAME = "form-presets.json"
MOST = 200
"""Of one user, of one form."""
FORMS: Mapping[str, type[Declared]] = {"txt2img": Txt2Img, "img2img": Img2Img}
NOT_KEPT = frozenset(("override_settings",))
"""What belongs to a single request."""


@dataclass(frozen=True)
class FormPreset:
    """Values of some fields of a form."""

    name: str
    values: Mapping[str, object]
    checkpoint: str = ""
    """The name of the checkpoint that it is suggested for; "": for any."""


def form_preset(name: object, values: object, checkpoint: object, kind: str) -> FormPreset:
    """A preset as it may be kept, of what a page, a program or a file says. Pictures are left out.

    Raises:
        NotFound: there is no such form.
        UserError: the name is none, there are no values, or one of them does not fit.
    """
    declared = FORMS.get(kind)
    if declared is None:
        raise NotFound(f"There is no form {kind!r}.", hint=f"There are {' and '.join(FORMS)}.", field="kind")
    title = " ".join(cleaned(name).split()) if isinstance(name, str) else ""
    if not title or len(title) > LONGEST_NAME or not title.isprintable():
        raise UserError(
            "A preset cannot be named so." if title else "The preset has no name.",
            hint=f"Write a name of at most {LONGEST_NAME} letters.",
            field="name",
        )
    params = declared.params()
    given = values if isinstance(values, Mapping) else {}
    kept: dict[str, object] = {}
    for field, value in given.items():
        if field not in declared.model_fields:
            hint = did_you_mean(str(field), list(declared.model_fields)) or "Leave it out."
            raise UserError(f"There is no field {field!r} in {kind}.", hint=hint, field="values")
        if field not in NOT_KEPT and not isinstance(params.get(str(field)), Image):
            kept[str(field)] = value
    if not kept:
        raise UserError("A preset needs at least one field.", hint="Tick what it shall hold.", field="values")
    declared.made(**kept)
    if not isinstance(checkpoint, str) or len(checkpoint) > 1000:
        raise UserError("The checkpoint's name is none.", hint="Leave it empty.", field="checkpoint")
    return FormPreset(title, kept, cleaned(checkpoint).strip())


class FormPresets:
    """By user, form and name. Any thread may call any method.

    Raises:
        StorageError: the file cannot be read. (A broken one is moved aside.)
    """

    def __init__(self, folder: Path, problems: Problems | None = None) -> None:
        self._path = folder / NAME
        self._problems = problems or Problems()
        self._lock = threading.Lock()
        self._table: JsonObject = read_table(self._path, self._problems)

    def all(self, owner: str, kind: str) -> tuple[FormPreset, ...]:
        """Those of a form, by the alphabet; what does not fit any more is left out, and told as a problem."""
        own = sorted(self._own(owner, kind).items(), key=lambda item: item[0].casefold())
        read, problems = read_each(NAME, own, lambda item: f"{kind}, {item[0]}", lambda item: _read(*item, kind))
        self._problems.found(f"{NAME} {_key(owner)} {kind}", problems)
        return tuple(preset for _, preset in read)

    def get(self, owner: str, kind: str, name: str) -> FormPreset:
        """
        Raises:
            NotFound: there is none of this name.
            UserError: what the file says of it does not fit.
        """
        own = self._own(owner, kind)
        if name not in own:
            hint = did_you_mean(name, list(own)) or "Choose one from the list."
            raise NotFound(f"There is no preset named {name!r}.", hint=hint, field="name")
        return _read(name, own[name], kind)

    def save(self, owner: str, kind: str, preset: FormPreset) -> None:
        """Keep it, in the place of one of its name.

        Raises:
            UserError: there are too many.
            StorageError: the file cannot be written; all stays as it was.
        """
        with self._lock:
            entry = {"checkpoint": preset.checkpoint, "values": dict(preset.values)}
            own = {**self._own(owner, kind), preset.name: entry}
            if len(own) > MOST:
                raise UserError(f"You have {MOST} presets.", hint="Delete some of them first.", field="name")
            self._write(owner, kind, own)

    def delete(self, owner: str, kind: str, name: str) -> None:
        """Forget it.

        Raises:
            NotFound: there is none of this name.
            StorageError: as `save`.
        """
        with self._lock:
            own = dict(self._own(owner, kind))
            if own.pop(name, None) is None:
                raise NotFound(f"There is no preset named {name!r}.", hint="Choose one from the list.", field="name")
            self._write(owner, kind, own)

    def _own(self, owner: str, kind: str) -> Mapping[str, object]:
        forms = self._table.get(_key(owner))
        own = forms.get(kind) if isinstance(forms, Mapping) else None
        return own if isinstance(own, Mapping) else {}

    def _write(self, owner: str, kind: str, own: Mapping[str, object]) -> None:
        owner = _key(owner)
        forms = self._table.get(owner)
        table = cast("JsonObject", {**self._table, owner: {**(forms if isinstance(forms, dict) else {}), kind: own}})
        write_table(self._path, table)
        self._table = table


def _read(name: str, entry: object, kind: str) -> FormPreset:
    said = entry if isinstance(entry, Mapping) else {}
    return form_preset(name, said.get("values"), said.get("checkpoint", ""), kind)


def _key(owner: str) -> str:
    """A program and a browser without logins are one person, whatever cookie either has."""
    return "" if is_anonymous(owner) else owner

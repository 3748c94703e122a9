"""Presets of the forms: listed, saved, deleted, taken along as one file and brought again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from fastapi import Path, Query, Request
from pydantic import ConfigDict, Field

from webui.base.errors import NotFound, WebuiError
from webui.catalog.form_presets import FORMS, NOT_KEPT, FormPreset, form_preset
from webui.request.documented import Documented
from webui.request.params import Image, by_name
from webui.request.presets import LONGEST_NAME
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

Kind = Annotated[str, Path(description="The form: txt2img or img2img.")]
MOST_SENT = 500
PLACE = "^([0-9a-f]{32}/[0-9a-f]{32})?$"


class FormPresetBody(Documented):
    """A preset of a form."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    """Its name; a preset that has it already is replaced."""
    values: dict[str, object] = Field(min_length=1, max_length=500)
    """Fields of the form by their names, as in a request."""
    checkpoint: str = Field("", max_length=1000)
    """The name of the checkpoint that it is suggested for; empty: for any."""


class PresetsFile(Documented):
    """Presets of a form, to be taken along."""

    presets: list[dict[str, object]] = Field(max_length=MOST_SENT)
    """Each with `name`, `values` and `checkpoint`."""


class Imported(Documented):
    """What came of a file of presets."""

    saved: list[str]
    """The names of those that were saved."""
    left: list[str]
    """A sentence about each that was not."""


class FormField(Documented):
    """A field of the form, as it stands now."""

    name: str
    """Its name in requests."""
    title: str
    """Its name on the page."""
    value: object
    """What stands in it."""
    changed: bool
    """Whether it stands otherwise than the form begins."""


class FormNow(Documented):
    """The form as the page last told the server."""

    fields: list[FormField]
    """Its fields, but pictures."""
    checkpoint: str
    """The checkpoint that is chosen."""


def routes(app: App) -> Routes:
    """Below the prefix of our own API. Everybody has presets of their own."""
    router, presets = Routes(), app.catalog.form_presets

    @router.get("/form-presets/{kind}", "user")
    def list_form_presets(kind: Kind, request: Request) -> list[FormPresetBody]:
        """Your presets of a form."""
        _check(kind)
        return [_told(preset) for preset in presets.all(caller_of(request.scope).owner, kind)]

    @router.post("/form-presets/{kind}", "user")
    def save_form_preset(kind: Kind, body: FormPresetBody, request: Request) -> FormPresetBody:
        """Save a preset, in the place of one of its name; answers what was kept of it."""
        kept = form_preset(body.name, body.values, body.checkpoint, kind)
        presets.save(caller_of(request.scope).owner, kind, kept)
        return _told(kept)

    @router.delete("/form-presets/{kind}", "user")
    def delete_form_preset(
        kind: Kind,
        name: Annotated[str, Query(min_length=1, max_length=LONGEST_NAME, description="The name of the preset.")],
        request: Request,
    ) -> None:
        """Delete a preset of yours."""
        _check(kind)
        presets.delete(caller_of(request.scope).owner, kind, name)

    @router.post("/form-presets/{kind}/import", "user")
    def import_form_presets(kind: Kind, body: PresetsFile, request: Request) -> Imported:
        """Save the presets of a file, in the place of those of their names."""
        _check(kind)
        answer = Imported(saved=[], left=[])
        for number, entry in enumerate(body.presets, 1):
            try:
                kept = form_preset(entry.get("name"), entry.get("values"), entry.get("checkpoint", ""), kind)
                presets.save(caller_of(request.scope).owner, kind, kept)
                answer.saved.append(kept.name)
            except WebuiError as error:
                answer.left.append(f"{str(entry.get('name') or number)[:80]}: {error.message}")
        return answer

    @router.get("/form-presets/{kind}/now", "user")
    def form_now(
        kind: Kind,
        request: Request,
        place: Annotated[str, Query(pattern=PLACE, description="The browser and its page.")] = "",
    ) -> FormNow:
        """The fields of a form as the page last told the server, to choose from for a preset."""
        _check(kind)
        browser, _, page = place.partition("/")
        whose = caller_of(request.scope).owner if app.access.required else f"browser {browser}"
        content = app.catalog.forms.last(whose, page, f"{kind} now")
        values = by_name(by_name(json.loads(content)).get("values")) if content else {}
        return FormNow(fields=_fields(app, kind, values), checkpoint=app.settings.current.render.sd_model_checkpoint)

    return router


def _fields(app: App, kind: str, values: Mapping[str, object]) -> list[FormField]:
    declared, begins = FORMS[kind], app.catalog.ui_defaults.values(kind)
    params = declared.params()
    found = []
    for name, value in values.items():
        param = params.get(name)
        if name in NOT_KEPT or name not in declared.model_fields or isinstance(param, Image):
            continue
        begin = begins.get(name, declared.model_fields[name].default)
        same = value == begin or (value in ({}, [], "") and begin in ({}, [], (), "", None))
        found.append(FormField(name=name, title=param.title if param else "Features", value=value, changed=not same))
    return found


def _check(kind: str) -> None:
    if kind not in FORMS:
        raise NotFound(f"There is no form {kind!r}.", hint=f"There are {' and '.join(FORMS)}.", field="kind")


def _told(preset: FormPreset) -> FormPresetBody:
    return FormPresetBody(name=preset.name, values=dict(preset.values), checkpoint=preset.checkpoint)

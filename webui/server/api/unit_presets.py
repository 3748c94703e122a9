"""Presets of a feature's units for programs: listed, saved, deleted, and put into requests by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated

from fastapi import Path, Query, Request
from pydantic import ConfigDict, Field

from webui import registry
from webui.base.errors import NotFound, UserError, did_you_mean
from webui.registry import FeatureEntry
from webui.request.documented import Documented
from webui.request.fields import Generation
from webui.request.presets import LONGEST_NAME, Unit, unit_preset
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

MOST_UNITS_SENT = 32
FeatureName = Annotated[str, Path(description="The name of the feature, such as ControlNet.")]


class SavedPreset(Documented):
    """What you have saved of a feature's units."""

    name: str
    """Its name."""
    units: list[dict[str, object] | None]
    """The values of each unit, without pictures; null for one that is off. A single one goes into the first unit."""
    problem: str
    """Why it cannot be used any more; empty if it can."""


class PresetToSave(Documented):
    """A preset under its name."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    """Its name; a preset that has it already is replaced."""
    units: list[dict[str, object] | None] = Field(min_length=1, max_length=MOST_UNITS_SENT)
    """The values of each unit; null for one that is off. Pictures are left out."""


def routes(app: App) -> Routes:
    """Below the prefix of our own API. Everybody has presets of their own."""
    router, presets = Routes(), app.catalog.unit_presets

    def told(entry: FeatureEntry, owner: str, name: str) -> SavedPreset:
        try:
            found = presets.get(owner, entry.name, name, entry.params)
        except UserError as error:
            return SavedPreset(name=name, units=[], problem=error.message)
        return SavedPreset(name=name, units=[None if unit is None else dict(unit) for unit in found.units], problem="")

    @router.get("/presets/{feature}", "user")
    def list_presets(feature: FeatureName, request: Request) -> list[SavedPreset]:
        """Your presets of a feature that has units, such as ControlNet."""
        entry, owner = with_units(feature), caller_of(request.scope).owner
        return [told(entry, owner, name) for name in presets.names(owner, entry.name)]

    @router.post("/presets/{feature}", "user")
    def save_preset(feature: FeatureName, preset: PresetToSave, request: Request) -> SavedPreset:
        """Save a preset, in the place of one of its name; answers what was kept of it."""
        entry, owner = with_units(feature), caller_of(request.scope).owner
        for unit in preset.units:
            _check_names(unit or {}, entry)
        kept = unit_preset(preset.name, preset.units, entry.params)
        presets.save(owner, entry.name, kept)
        return told(entry, owner, kept.name)

    @router.delete("/presets/{feature}", "user")
    def delete_preset(
        feature: FeatureName,
        name: Annotated[str, Query(min_length=1, max_length=LONGEST_NAME, description="The name of the preset.")],
        request: Request,
    ) -> None:
        """Delete a preset of yours."""
        presets.delete(caller_of(request.scope).owner, with_units(feature).name, name)

    return router


def with_units(name: str) -> FeatureEntry:
    """
    Raises:
        NotFound: there is no such feature, or it has no units.
    """
    entry = registry.feature(name)
    if entry is None or not entry.params.units:
        names = [each.name for each in registry.carried() if each.params.units]
        hint = did_you_mean(name, names) or f"Those with units are {', '.join(names)}."
        raise NotFound(f"There is no feature with units named {name!r}.", hint=hint, field="feature")
    return entry


def with_presets(app: App, request: Generation, names: Mapping[str, str], sent: object, owner: str) -> Generation:
    """The request with a preset's values in each of these features' units, under what the request itself says of them.

    sent: its `features` as they came, without defaults.

    Raises:
        NotFound: there is no such feature or preset.
        UserError: a preset does not fit any more, or not together with what the request says.
    """
    features: dict[str, object] = dict(request.features)
    said = {entry.name: units for name, units in _by_name(sent).items() if (entry := registry.feature(str(name)))}
    for name, preset in names.items():
        entry = with_units(name)
        saved = app.catalog.unit_presets.get(owner, entry.name, preset, entry.params)
        given = said.get(entry.name)
        own = [given] if isinstance(given, Mapping) else given if isinstance(given, Sequence) else []
        features[entry.name] = [_over(unit, mine) for unit, mine in zip_longest(saved.units, own)]
    return request.changed(features=features)


def _over(saved: Unit, given: object) -> Unit:
    return {**saved, **_by_name(given)} if saved is not None else _by_name(given) or None


def _by_name(value: object) -> dict[str, object]:
    return {str(name): one for name, one in value.items()} if isinstance(value, Mapping) else {}


def _check_names(unit: Mapping[str, object], entry: FeatureEntry) -> None:
    """Raises UserError: a unit has a value of an unknown name, which would be lost without a word."""
    known = entry.params.params()
    for name in unit:
        if name not in known:
            hint = did_you_mean(name, list(known)) or "Leave it out."
            raise UserError(f"There is no parameter named {name!r} in {entry.name}.", hint=hint, field="units")

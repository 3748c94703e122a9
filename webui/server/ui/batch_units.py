"""Pictures for the units of ControlNet in a batch of img2img: the n-th for the n-th picture, out of a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Generic, Protocol, TypeVar

from webui.base.errors import UserError
from webui.request.params import by_name, units_in
from webui.server.ui.controls import PARTS

FEATURE, PICTURE = "ControlNet", "image"


class PlacedPicture(Protocol):
    """A picture of a folder."""

    @property
    def below(self) -> PurePath:
        """The folder that it lies in, seen from the one that was named."""

    @property
    def stem(self) -> str:
        """Its name without ending."""


P = TypeVar("P", bound=PlacedPicture)


class UnitPictures(Generic[P]):
    """A folder's pictures by unit: those of its subfolders 0, 1, 2 are for these units, and all others for the first
    unit that is on. A single one is for every picture; of those whose names are the pictures', each is for its own, so
    that one more shifts no other; else they go by their order."""

    def __init__(self, pictures: Sequence[P], given: Sequence[P]) -> None:
        self._by_unit: dict[int | None, list[P]] = {}
        for picture in pictures:
            first = picture.below.parts[:1]
            unit = int(first[0]) if first and first[0].isdecimal() else None
            self._by_unit.setdefault(unit, []).append(picture)
        stems = {each.stem for each in given}
        self._by_name = {
            unit: {each.stem: each for each in reversed(own)}
            for unit, own in self._by_unit.items()
            if any(each.stem in stems for each in own)
        }

    def values(
        self, number: int, picture: P, base: Mapping[str, object], keep: Callable[[P], str]
    ) -> dict[str, object]:
        """The fields of the request of the n-th picture that are otherwise than in the form; keep: puts a picture into
        the store -> its name.

        Raises:
            UserError: a unit is off, or has no picture for this one.
        """
        if not self._by_unit:
            return {}
        parts = by_name(base.get(PARTS))
        units: list[Mapping[str, object] | None] = list(units_in(parts.get(FEATURE)))
        first = next((at for at, unit in enumerate(units) if unit is not None), None)
        for unit, own in self._by_unit.items():
            at = first if unit is None else unit
            values = units[at] if at is not None and at < len(units) else None
            if at is None or values is None:
                which = "a unit, and none is on" if at is None else f"unit {at}, which is off"
                raise UserError(f"{FEATURE} directory: it is for {which}.", hint="Enable it.", field=PARTS)
            units[at] = {**values, PICTURE: keep(self._for(unit, own, number, picture))}
        return {PARTS: {**parts, FEATURE: units}}

    def _for(self, unit: int | None, own: Sequence[P], number: int, picture: P) -> P:
        if len(own) == 1:
            return own[0]
        found = self._by_name[unit].get(picture.stem) if unit in self._by_name else (*own, None)[min(number, len(own))]
        if found is None:
            raise UserError("skipped: it has no control picture.", hint="Add one of its name.", field=PARTS)
        return found

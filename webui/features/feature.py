"""What a feature says of itself in both processes: its parameters, and what it needs and touches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from webui.base.errors import UserError
from webui.request.capabilities import Capability, Need
from webui.request.params import Declared, by_name, shortened, units_in
from webui.request.workload import Workload

if TYPE_CHECKING:
    from webui.request.fields import Generation
    from webui.request.jobs import Demand
    from webui.request.plan import Picture, Plan, Resolving
    from webui.request.settings import LimitSettings, RenderSettings, UiSettings

MOST_UNITS = 32
"""Of one feature in one request."""
Touched = Literal["text", "network", "call", "guidance", "latents", "picture"]


class FeatureParams(Declared):
    """The declared half of a feature; `parameters.py` in its folder has its class, called `Params`.

    The engine half is `Engine` in `engine.py`, a `webui.engine.feature.FeatureEngine`. A field without a `Param` is
    none that people set: what `resolve` has found stands there.
    """

    title: ClassVar[str] = ""
    """Its name in the registry, where requests carry its values under `features`; "": they have fields for them."""
    units: ClassVar[int] = 0
    """Over 0: it may act several times at once, and the form has room for so many; requests carry a list of values
    then, with null for each unit that is off."""
    unit_of_programs: ClassVar[Mapping[str, object]] = MappingProxyType({})
    """What programs are told of a unit as it begins, where that is more than, or differs from, its defaults here."""
    flat: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Names that some of its parameters have as if they were the request's, in the API, on the command line, in forms
    and in what is stored -> the parameter."""
    off: ClassVar[Mapping[str, object]] = MappingProxyType({})
    """Parameter -> value: it is off where all of them are so; empty: whoever names it switches it on."""
    switch: ClassVar[str] = ""
    """The parameter that says nothing but whether it is on."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Titles of always-on scripts that are the same: [enabled, then the values in order of declaration]."""
    by_fields: ClassVar[bool] = False
    """Over A1111's API the request's fields hold (`flat`), and the values of the script of its name have no effect, as
    there: its own built-in scripts are read on its page alone."""
    called: ClassVar[str] = ""
    """What people call it, where that is not its title."""
    field: ClassVar[str] = "features"
    """The field of a request that asks for it."""
    needs: ClassVar[frozenset[Capability]] = frozenset()
    """What a model's family must be able to bear: refused in words where it cannot, before anything is loaded."""
    in_front: ClassVar[bool] = False
    """Its controls stand in the form itself, and not in the fold of more features."""
    switch_off: ClassVar[str] = ""
    """How to do without it, where that is not by a switch of its name: "set Token merging to 0"."""
    touches: ClassVar[frozenset[Touched]] = frozenset()
    """Where it acts. Calls of a network that nobody touches ("network") may be recorded and replayed."""
    softens_mask: ClassVar[bool] = False
    """Masks keep their soft edges in latent space."""
    prompts: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The parameters that are prompts of its own, in which `{a|b}` is a choice, as `Generation.texts`."""
    after: ClassVar[tuple[str, ...]] = ()
    """Names of features that must stand before it in the registry, whose order is that of all hooks."""

    def wanted(self) -> tuple[Need, ...]:
        """What it needs, with the words to refuse it by."""
        switch_off = self.switch_off or f"switch {self.called or self.title} off"
        return tuple(Need(what, switch_off, self.field) for what in Capability if what in self.needs)

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        """What a request and its settings ask of this feature; None: nothing, it is off."""
        values = request.features.get(cls.title)
        return None if values is None else cls.made(**by_name(values))

    @classmethod
    def units_of(cls, request: Generation, render: RenderSettings) -> Iterator[tuple[int, Self]]:
        """The units that are on, with their numbers; a feature without units has the one of number 0.

        Raises:
            UserError: a value is wrong.
        """
        if not cls.units:
            params = cls.of(request, render)
            if params is not None:
                yield 0, params
            return
        for unit, values in enumerate(units_in(request.features.get(cls.title))):
            if values is not None:
                yield unit, cls.made(**values)

    @classmethod
    def shown(cls, ui: UiSettings) -> int:
        """How many units the form shows."""
        return cls.units

    @classmethod
    def is_shown(cls, ui: UiSettings) -> bool:
        """Whether forms have controls for it, where it has no units."""
        return True

    @classmethod
    def carried(cls, given: object) -> object:
        """What a request carries of what somebody asks of this feature: all values by name, those of each unit in a
        list where it has units; None: nothing is on.

        Raises:
            UserError: a value is wrong.
        """
        if not cls.units:
            values = cls._values(given)
            return values if not cls.off or any(values[name] != value for name, value in cls.off.items()) else None
        units = [given] if isinstance(given, Mapping) else given
        if not isinstance(units, list | tuple):
            raise UserError(f"Expected a list of units, not {shortened(given)}.", field="features")
        if len(units) > MOST_UNITS:
            raise UserError(f"{len(units)} units are too many.", hint=f"At most {MOST_UNITS}.", field="features")
        found = [None if unit is None else cls._values(unit) for unit in units]
        while found and found[-1] is None:
            found.pop()
        return found or None

    @classmethod
    def _values(cls, given: object) -> dict[str, object]:
        if not isinstance(given, Mapping):
            raise UserError(f"Expected values by name, not {shortened(given)}.", field="features")
        settable = cls.params()
        for name in given:
            if name not in settable:
                raise UserError(f"There is no parameter named {name!r}.", field="features")
        return cls.made(**given).model_dump(mode="json", include=set(settable))

    @classmethod
    def of_arguments(cls, given: Sequence[object]) -> object:
        """What an always-on script of this name asks for, by its values in A1111's API, as `carried` takes it; None:
        it is off.

        A list of values begins with whether the feature is on; values by name need not say it (`enabled`). Units come
        by name, one after the other, null for one that is off.
        """
        if cls.units:
            return None if False in given[:1] else [_on(unit) for unit in given if not isinstance(unit, bool)]
        if len(given) == 1 and isinstance(given[0], Mapping):
            return _on(given[0])
        names = (name for name in cls.params() if name != cls.switch)
        return dict(zip(names, given[1:], strict=False)) if given and given[0] else None

    @classmethod
    def label_of(cls, _label: str, _unit: int) -> str:
        """What an infotext calls a parameter of this unit, which is called `_label` alone; "": all parameters of a
        unit stand together under one label, "Title N: ..."."""
        return ""

    @classmethod
    def written_labels(cls, unit: int = 0) -> tuple[str, ...]:
        """All labels that an infotext may have of it, or of one of its units."""
        own = [param.label for param in cls.params().values() if param.label]
        if cls.units:
            own = [cls.label_of(label, unit) or f"{cls.title} {unit}" for label in own]
        return tuple(dict.fromkeys(own))

    def tells(self, _name: str) -> bool:
        """Whether the infotext of a unit says anything of this parameter, where its declaration would."""
        return True

    @classmethod
    def labels_in(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        """The labels of an infotext as its parameters have them, where it writes them in a way of its own."""
        return labels

    def demands(self, _limits: LimitSettings) -> Iterable[Demand]:
        """What it asks for beyond the request, where the settings limit that."""
        return ()

    def prepare(self, picture: Picture, stream: Random) -> Picture:
        """The picture with another request, before names are looked up: wildcards. Once a picture; `stream` follows
        from its seeds, so that it is the same each time."""
        return picture

    def sized(self, picture: Picture, size_of: Callable[[str], tuple[int, int]]) -> Picture:
        """The picture with a size that follows from what it begins with; `size_of`: of a picture by its name, (width,
        height). Once a picture, after `prepare`; the limits of the settings hold for that size, too.

        Raises:
            NotFound, UserError: it cannot be done.
        """
        return picture

    def resolve(self, resolving: Resolving) -> Self:
        """With its names looked up, and what it makes pictures with planned.

        Raises:
            NotFound, UserError: it cannot be done.
        """
        return self

    def facts(self, picture: Picture, plan: Plan) -> Mapping[str, str]:
        """Label -> text of what infotexts say of a picture with it, beyond the request's own values."""
        return {}

    def cost(self, work: Workload) -> Workload:
        """What memory must hold for a batch with it, where it is `work` without: larger pictures, more weights."""
        return work


def _on(unit: object) -> object:
    """A unit's values without its switch; None where that is off."""
    if not isinstance(unit, Mapping):
        return unit
    values = dict(unit)
    return values if values.pop("enabled", True) else None

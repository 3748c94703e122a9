"""A script makes many requests out of one, and says how their pictures are laid out.

Pure data. A script is a declared class, its fields its parameters: controls, the API's values by position and their
description follow from them. The queue makes the pictures, all of them one job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from pydantic import BeforeValidator

from webui import registry
from webui.base.errors import UserError, did_you_mean
from webui.request.fields import Generation
from webui.request.fitting import fitted
from webui.request.params import Choice, Declared, Number, Param, Several, Slider, default_of
from webui.request.plan import Names

Title: TypeAlias = str | tuple[tuple[str, bool], ...]
"""What stands above a column or beside a row: a text, or lines, each with whether it is in force there."""


@dataclass(frozen=True)
class Seeds:
    """The numbers that stand for seeds of -1: the same ones each time that the same job is expanded."""

    seed: int
    subseed: int
    more: Callable[[], int]
    """Gives the next one, where several are needed."""

    def fixed(self, request: Generation) -> Generation:
        """The request with its open seeds chosen."""
        return request.changed(
            seed=self.seed if request.seed < 0 else request.seed,
            subseed=self.subseed if request.subseed < 0 else request.subseed,
        )

    def anew(self, request: Generation) -> Generation:
        """The request with its open seeds chosen, others for every call."""
        return request.changed(
            seed=self.more() if request.seed < 0 else request.seed,
            subseed=self.more() if request.subseed < 0 else request.subseed,
        )


@dataclass(frozen=True)
class Cell:
    """One request of a table, at its place: column, row, layer."""

    place: tuple[int, int, int]
    request: Generation
    """Its seeds are chosen."""
    otherwise: Generation | None = None
    """What is made where nothing has a name that `request` uses; None: then the whole table is refused."""
    said: str = ""
    """What is said then, before the reason: "Line 3 is taken as a prompt"."""


@dataclass(frozen=True)
class Sheets:
    """How the pictures of a table are laid out."""

    titles: tuple[tuple[Title, ...], tuple[Title, ...], tuple[Title, ...]]
    """Of columns, rows and layers; their numbers are those of the table."""
    stem: str
    """What the files of the sheets are called: "xyz_grid"."""
    labels: tuple[tuple[str, str], ...] = ()
    """What the sheet's infotext says beyond that of its first picture."""
    margin: int = 0
    """Pixels between pictures."""
    layers: bool = False
    """Each layer is a sheet of its own as well."""


@dataclass(frozen=True)
class Table:
    """All requests, in the order in which they are made."""

    cells: tuple[Cell, ...]
    sheets: Sheets | None = None
    """None: there is no sheet of them."""
    remarks: tuple[str, ...] = ()
    """What was not taken as it was written: sentences."""

    @property
    def count(self) -> int:
        """Pictures in it."""
        return sum(cell.request.picture_count for cell in self.cells)


class Script(Declared):
    """The parameters of a script, and what it does with a request."""

    title: ClassVar[str]
    first_alone: ClassVar[bool] = False
    """A1111: an API's answer has the first picture of each request alone, however many it makes."""
    kinds: ClassVar[tuple[str, ...]] = ("txt2img", "img2img")
    """The kinds of generation that it can be picked for."""
    advice: ClassVar[str] = ""
    """What stands above its values in the form: a sentence."""
    places: ClassVar[tuple[str, ...]] = ()
    """A1111: the values by position, where that is not the order of declaration; "": what only shows something."""

    @property
    def shows_pictures(self) -> bool:
        """Whether an API's answer has the pictures, or the sheets alone where there are some."""
        return True

    def expand_with(self, request: Generation, seeds: Seeds, most: int, _names: Names) -> Table:
        """As `expand`, of a script that looks something up.

        Raises:
            NotFound, UserError: as `expand`, or something is not there.
        """
        return self.expand(request, seeds, most)

    def expand(self, request: Generation, seeds: Seeds, most: int) -> Table:
        """The requests that `request` becomes. `most`: how many pictures are taken.

        Raises:
            UserError: a value is wrong, or there are too many pictures.
        """
        raise NotImplementedError

    @classmethod
    def of_arguments(cls, _request: type[Generation], arguments: Sequence[object]) -> dict[str, object]:
        """A1111: the values come by position -> by name. The only value may be all of them by name.

        Raises:
            UserError: there are too many, or one has a name that no parameter has.
        """
        names = cls.places or tuple(cls.params())
        if len(arguments) == 1 and isinstance(arguments[0], Mapping):
            by_name = {str(name): value for name, value in arguments[0].items()}
            for name in by_name:
                if name not in names:
                    raise UserError(
                        f"{cls.title} has no parameter named {name!r}.",
                        hint=did_you_mean(name, cls.params()),
                        field="script_args",
                    )
            return by_name
        if len(arguments) > len(names):
            raise UserError(
                f"{cls.title} takes {len(names)} values; {len(arguments)} came.",
                hint="/sdapi/v1/script-info lists them.",
                field="script_args",
            )
        return {name: value for name, value in zip(names, arguments, strict=False) if name}

    @classmethod
    def arguments(cls, _request: type[Generation]) -> list[dict[str, object]]:
        """A1111's description of the values by position."""
        params = cls.params()
        shown = {"label": "", "value": cls.advice, **dict.fromkeys(("minimum", "maximum", "step", "choices"))}
        return [_argument(cls, name, params[name]) if name else shown for name in cls.places or params]


def _argument(cls: type[Script], name: str, param: Param) -> dict[str, object]:
    """A1111's description of one value."""
    bounds = param if isinstance(param, Slider) else None
    whole = {"minimum": param.ge, "maximum": param.le} if isinstance(param, Number) else {}
    value = default_of(cls, name)
    if isinstance(param, Choice) and param.by_index and isinstance(value, int):
        value = param.choices[value]
    return {
        "label": param.title,
        "value": value,
        "minimum": bounds.min if bounds else None,
        "maximum": bounds.max if bounds else None,
        "step": bounds.step if bounds else None,
        "choices": list(param.choices) if isinstance(param, Choice | Several) else None,
        **whole,
    }


def by_place(*names: tuple[str, ...]) -> BeforeValidator:
    """For a `Choice` by index: a program may also name what it means, in any letters. names: of the choices, in each of
    the ways that they are called."""
    known = {name.casefold(): place for choices in names for place, name in enumerate(choices)}
    return BeforeValidator(lambda value: known.get(value.casefold(), value) if isinstance(value, str) else value)


def chosen(request: Generation) -> tuple[Script, tuple[str, ...]]:
    """The script that a request names, with its values -> and a sentence about each that was made to fit.

    Raises:
        NotFound: there is no such script.
        UserError: a value is wrong.
    """
    cls: type[Script] = registry.script(request.script)
    values, remarks = fitted(cls, request.script_values)
    return cls.made(**values), remarks


def refuse_beyond(pictures: int, most: int) -> None:
    """
    Raises:
        UserError: these are too many.
    """
    if pictures > most:
        raise UserError(
            f"{pictures:,} pictures are too many for one job.",
            hint=f"The limit is {most:,} (Settings, Limits).",
            field="script_args",
        )

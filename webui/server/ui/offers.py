"""What the lists of a form offer, and what a value means in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from webui.request.params import Choice, Param, Several, same_choice
from webui.server.ui.components import all_in, number_in

NONE = "None"
"""What a list offers that has a line for nothing; the request then says ""."""


class Offers:
    """Of one form. `choices` lists what a source has now; `narrowed`: field -> the only ones that people want to be
    offered. A `faithful` form shows every value, also one that its list does not offer any more."""

    def __init__(
        self, choices: Callable[[str], list[str]], narrowed: Mapping[str, Sequence[str]], *, faithful: bool
    ) -> None:
        self._choices = choices
        self._narrowed = narrowed
        self._faithful = faithful

    def on_offer(self, name: str, param: Choice, value: object) -> tuple[Sequence[object], object]:
        """What a list offers, and the option that this value means, or None."""
        if param.by_index:
            return self.options(name, param), int(number_in(value))
        options = self._wanted(name, param)
        found = picked(param, value, options)
        if found is None and (left_out := picked(param, value, self.all_of(param))) is not None:
            return [*options, left_out], left_out  # People do not want it in the list; here somebody asks for it.
        if found is None and self._faithful and value:
            return [*options, value], value
        return options, found

    def all_on_offer(self, name: str, param: Several, values: Sequence[str]) -> tuple[list[str], list[str]]:
        """What a list offers, and which of the values are in it."""
        options = self._wanted(name, param)
        options += [item for item in values if item not in options and item in self.all_of(param)]
        if self._faithful:
            options += [item for item in values if item not in options]
        return options, [item for item in values if item in options]

    def seen(self, name: str, param: Param, value: object) -> object:
        """The value of a control in which this was put."""
        match param:
            case Choice(radio=True):
                return listed(param, value)
            case Choice():
                return self.on_offer(name, param, value)[1]
            case Several():
                return self.all_on_offer(name, param, all_in(value))[1]
            case _:
                return value

    def options(self, name: str, param: Choice | Several, also: object = None) -> Sequence[str | tuple[str, int]]:
        """What is offered; `also`, where there is such a thing, even if people do not want it in the list."""
        if isinstance(param, Choice) and param.by_index and not param.source:
            return [(text, index) for index, text in enumerate(param.choices)]
        offered = self._wanted(name, param)
        wanted = isinstance(also, str) and also not in offered and also in self.all_of(param)
        return [*offered, str(also)] if wanted else offered

    def _wanted(self, name: str, param: Choice | Several) -> list[str]:
        """What people want to be offered."""
        wanted, known = self._narrowed.get(name, ()), self.all_of(param)
        return [item for item in known if item in wanted] or known if wanted else known

    def all_of(self, param: Choice | Several) -> list[str]:
        """All that there is."""
        return self._choices(param.source) if param.source else list(param.choices)


def picked(param: Choice, value: object, options: Sequence[str]) -> str | int | None:
    """The option that a value means: itself, the line for nothing, or the same in other letters."""
    if param.by_index:
        return int(number_in(value))
    if isinstance(value, str) and value in options:
        return value
    if value == "" and options and NONE in options:
        return NONE
    # A checkpoint goes by its title; infotexts and settings have its name, with or without the hash.
    return (same_choice(str(value), options) if value else "") or None


def listed(param: Choice, value: object) -> object:
    """What is picked of options that are all shown at once."""
    return int(number_in(value)) if param.by_index else value

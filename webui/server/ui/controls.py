"""From declaration to control and back: what a control is, what its value means, how a value is shown in it.

No parameter is named here. A tab says where controls stand; a class's declaration says what they are.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

import gradio as gr

from webui import registry
from webui.base.errors import NotFound, UserError
from webui.catalog.ui_defaults import ControlLook
from webui.request.params import (
    Choice,
    Colour,
    Declared,
    Image,
    Number,
    Param,
    Several,
    Slider,
    Text,
    Toggle,
    by_name,
    default_of,
    field_of,
    help_of,
)
from webui.request.settings import Settings
from webui.server.ui.components import Component, Data, Make, Update, Updates, all_in, number_in, text_in
from webui.server.ui.offers import NONE, Offers, listed, picked

QUIET: Mapping[str, object] = {
    "queue": False,
    "show_progress": "hidden",
    "show_progress_on": (),
    "api_visibility": "private",
}
"""How every event of the page is wired: at once, without Gradio's spinner, and no part of the public API."""

LARGEST_EXACT = 2**53
"""Beyond it a browser's numbers lose digits."""

HIDDEN = "hidden"
"""Of a control that is built and not seen: what the page's modules have laid over it stays."""

NAMES = "names"
"""The class of lists of names, most of them people's own: files, styles. They are in no language of the page's."""

PARTS = "features"
"""The field of a request that has the values of features by their names."""

OVERRIDES = "override_settings"
"""The field of a request that has settings otherwise than they are."""


def _trusting(component: type) -> Make:
    """The component, without Gradio's own look at what comes in: whether a value fits is for the declaration to say,
    in words, and a list that changed meanwhile is no mistake of whoever picked from it.

    The class is made past Gradio's metaclass, which would write a stub file beside this one.
    """
    changes = {"is_template": True, "preprocess": lambda _self, payload: payload}
    made: Make = ABCMeta.__new__(type(component), component.__name__, (component,), changes)
    return made


_Dropdown, _Radio, _Slider = _trusting(gr.Dropdown), _trusting(gr.Radio), _trusting(gr.Slider)
_CheckboxGroup = _trusting(gr.CheckboxGroup)
_Number: Make = gr.Number
_Checkbox: Make = gr.Checkbox
_Textbox: Make = gr.Textbox
_ColorPicker: Make = gr.ColorPicker
_Image: Make = gr.Image
_Gallery: Make = gr.Gallery
_PICTURE: Mapping[str, object] = {
    "type": "filepath",
    "image_mode": None,
    "format": "png",
    "sources": ["upload", "clipboard"],
    "elem_classes": "source",
    "height": 240,
    "buttons": [],
}
"""How the control of a picture looks."""
_PICTURES: Mapping[str, object] = {
    "type": "filepath",
    "format": "png",
    "file_types": ["image"],
    "columns": 4,
    "height": 180,
    "object_fit": "contain",
    "elem_classes": "source",
    "buttons": [],
}
"""How that of several looks."""


def _picture(**look: object) -> Component:
    return _Image(**{**_PICTURE, **look})


def _pictures(**look: object) -> Component:
    return _Gallery(**{**_PICTURES, **look})


Units: TypeAlias = "Sequence[tuple[Component, Controls]]"
"""What switches each unit of a feature on, and its controls."""


Follow: TypeAlias = "Callable[[Mapping[str, object]], Updates]"
"""(values that are put into a form) -> what changes along with them."""


Copied: TypeAlias = "Callable[[str], str]"
"""The name of a picture -> the path of a copy that the page may show, or ""."""


def nowhere(_name: str) -> str:
    """For `Copied`: pictures do not come along."""
    return ""


class Embedded(Protocol):
    """Settings that stand in a form: what they say otherwise than those that hold is overridden in its requests."""

    @property
    def components(self) -> list[Component]: ...

    def overrides(self, data: Data, /) -> dict[str, object]:
        """What they say otherwise, of what a handler got."""

    def shown(self, overrides: Mapping[str, object], /) -> Updates:
        """Updates that put these into the controls, and the settings that hold into all others."""

    def without(self, overrides: Mapping[str, object], /) -> dict[str, object]:
        """Those that have no control here."""


class Controls:
    """The controls of one declared class in one tab, by the names of its fields."""

    def __init__(
        self,
        declared: type[Declared],
        prefix: str,
        choices: Callable[[str], list[str]],
        *,
        defaults: Mapping[str, object] | None = None,
        looks: Mapping[str, ControlLook] | None = None,
        explained: bool = False,
        faithful: bool = False,
        fixed: frozenset[str] = frozenset(),
        keep: Callable[[str], str] = str,
    ) -> None:
        """`choices` lists what a source offers now; `defaults` and `looks` are what people saved.

        `explained` puts the help text under each label; else it is the label's tooltip. `faithful` controls show every
        value, also one that their list does not offer any more. `fixed` ones cannot be changed. `keep` takes the path
        of a picture that came to the page -> the name that requests have for it.
        """
        self.declared = declared
        self._looks = dict(looks or {})
        self._offered = {
            name: replace(param, radio=True) if isinstance(param, Choice) and self._look(name).radio else param
            for name, param in declared.offered().items()
        }
        self.prefix = prefix
        self.choices = choices
        self._defaults = dict(defaults or {})
        self._looks = dict(looks or {})
        self._explained = explained
        self._faithful = faithful
        self._fixed = fixed
        self._offers = Offers(choices, {name: look.choices for name, look in self._looks.items()}, faithful=faithful)
        self._made: dict[str, Component] = {}
        self.keep = keep
        self._parts: dict[str, Units] = {}
        self._has_units: set[str] = set()
        self._followers: list[tuple[Sequence[Component], Follow]] = []
        self.embedded: Embedded | None = None
        """Settings that stand in this form."""
        self.header: Component | None = None
        """Of a feature's panel: the line with the switch, for whatever shall stand beside that."""
        self.left_out: frozenset[str] = frozenset()
        """Fields that a feature's panel gives no control: they keep their defaults."""
        self.whole: Controls | None = None
        """Of a feature's panel: the form that it is a part of."""

    def __getitem__(self, name: str) -> Component:
        return self._made[name]

    def __contains__(self, name: str) -> bool:
        return name in self._made

    def __iter__(self) -> Iterator[str]:
        yield from self._made
        if self._parts:
            yield PARTS

    @property
    def components(self) -> list[Component]:
        units = [[switch, *controls.components] for units in self._parts.values() for switch, controls in units]
        own = [*self._made.values(), *(component for unit in units for component in unit)]
        own += self.embedded.components if self.embedded is not None else []
        return list(dict.fromkeys((*own, *(each for components, _ in self._followers for each in components))))

    @property
    def switches(self) -> Mapping[str, Sequence[Component]]:
        """What switches the features on whose values requests carry by name: one for each unit."""
        return {name: [switch for switch, _ in units] for name, units in self._parts.items()}

    def part(self, name: str, units: Units, *, listed: bool = False) -> None:
        """The controls of a feature whose values requests carry by its name, and what switches it on: of each unit,
        where they are `listed`."""
        self._parts[name] = units
        if listed:
            self._has_units.add(name)

    def _param(self, name: str) -> Param:
        return self._offered[name]

    def _look(self, name: str) -> ControlLook:
        return self._looks.get(name, ControlLook())

    def add(self, name: str, **look: object) -> Component:
        """Make the control of a field, here in the layout. `look` overrides how it looks, never what it means."""
        param = self._param(name)
        value = self._defaults.get(name, default_of(self.declared, name))
        given: dict[str, object] = {
            "label": param.title or _spaced(name),
            "elem_id": f"{self.prefix}_{name}",
            "interactive": True,
        }
        why = param.without_effect()
        if self._explained:
            given["info"] = _explanation(help_of(self.declared, name), why, name in self._fixed)
        if why:
            look = {**look, "interactive": False, "elem_classes": ["without-effect"]}
        if name in self._fixed:
            look = {**look, "interactive": False}
        if isinstance(param, Choice | Several) and param.source not in ("", "tabs"):
            look = {**look, "elem_classes": [*_classes(look.get("elem_classes")), NAMES]}
        if self._look(name).hidden:
            look = {**look, "visible": "hidden"}
        component = self._component(name, param, value, {**given, **look})
        self._made[name] = component
        return component

    def put(self, name: str, component: Component) -> Component:
        """Let a component of the layout's own stand for a field, as in a feature's panel: one that takes the values and
        updates of what `add` would make. Raises KeyError: there is no such field."""
        self._param(name)
        self._made[name] = component
        return component

    def follow(self, components: Sequence[Component], updates_of: Follow) -> None:
        """Let components of the layout change along when values are put into the form. What `updates_of` says of a
        field's own component, such as what a list offers, goes before what follows from its declaration."""
        self._followers.append((components, updates_of))

    def add_all(self, names: Iterable[str], **look: object) -> None:
        """Make several controls, one after the other."""
        for name in names:
            self.add(name, **look)

    def values(self, data: Data) -> dict[str, object]:
        """Field -> value as the declared class takes it, of what a handler got."""
        found = {name: self._told(name, data[component]) for name, component in self._made.items() if component in data}
        if self._parts:
            parts: dict[str, object] = {}
            found[PARTS] = parts
            for name, units in self._parts.items():
                told = [controls.values(data) if data.get(switch) else None for switch, controls in units]
                if any(values is not None for values in told):
                    parts[name] = told if name in self._has_units else told[0]
        if self.embedded is not None:
            # What came with an infotext was meant for this picture.
            found[OVERRIDES] = {**self.embedded.overrides(data), **by_name(found.get(OVERRIDES))}
        return found

    def show(self, values: Mapping[str, object], copied: Copied = nowhere) -> tuple[Updates, list[str]]:
        """Updates that put these values into their controls, and remarks on what could not be shown.

        copied: where a picture of a name lies for the page to show; "": nowhere. Values beyond a slider's range widen
        it; what a list does not offer is left out. Names without a control here are passed over.
        """
        updates: Updates = {}
        remarks: list[str] = []
        following = {each: update for _, of in self._followers for each, update in of(values).items()}
        if self.embedded is not None and OVERRIDES in values:
            overrides = by_name(values[OVERRIDES])
            updates |= self.embedded.shown(overrides)
            values = {**values, OVERRIDES: self.embedded.without(overrides)}
        for name, value in values.items():
            if name in self._made:
                update, remark = self._shown(name, value, copied)
                if update:
                    updates[self._made[name]] = update
                if remark and "value" not in following.get(self._made[name], {}):
                    remarks.append(remark)
        if self._parts and PARTS in values:
            self._show_parts(by_name(values[PARTS]), updates, remarks, copied)
        updates.update({each: {**updates.get(each, {}), **update} for each, update in following.items()})
        return updates, remarks

    def _show_parts(self, wanted: Mapping[str, object], into: Updates, remarks: list[str], copied: Copied) -> None:
        remarks += [_not_here(name) for name in wanted if name not in self._parts]
        for name, units in self._parts.items():
            given = wanted.get(name)
            asked: Sequence[object] = given if isinstance(given, list | tuple) else [given]
            if len(asked) > len(units):
                remarks.append(f"{name} has {len(asked)} units, of which {len(units)} are shown.")
            for unit, (switch, controls) in enumerate(units):
                values = asked[unit] if unit < len(asked) else None
                into[switch] = gr.update(value=values is not None)
                shown, more = controls.show(by_name(values), copied)
                into.update(shown)
                remarks += more

    def told_of(self, values: Mapping[str, object]) -> dict[str, object]:
        """What `values` gives of controls in which `show` has put these, where nobody has changed them."""
        return {
            name: self._told(name, self._offers.seen(name, self._param(name), values[name]))
            for name in self._made
            if name in values
        }

    def refreshed(self) -> Updates:
        """Updates that bring the lists of all controls up to date, and leave their values alone, but for those of
        embedded settings."""
        found = {
            component: gr.update(choices=self._offers.options(name, param, self._defaults.get(name)))
            for name, component in self._made.items()
            if isinstance(param := self._param(name), Choice | Several) and param.source
        }
        return found if self.embedded is None else {**found, **self.embedded.shown({})}

    def _component(self, name: str, param: Param, value: object, given: dict[str, object]) -> Component:
        match param:
            case Slider():
                here = number_in(value)
                low, high = _range(param, here)
                saved = self._look(name).range
                return _Slider(
                    **{
                        "minimum": min(saved.get("minimum", low), here),
                        "maximum": max(saved.get("maximum", high), here),
                        "step": saved.get("step", param.step),
                        "value": value,
                        "buttons": [],
                        **given,
                    }
                )
            case Number():
                whole = field_of(self.declared, name).annotation is int
                return _Number(**{"value": value, "precision": 0 if whole else None, **given})
            case Choice(radio=True):
                return _Radio(**{"choices": self._offers.options(name, param), "value": listed(param, value), **given})
            case Choice():
                options, chosen = self._offers.on_offer(name, param, value)
                if chosen is None:  # what was saved is gone
                    chosen = picked(param, default_of(self.declared, name), self._offers.all_of(param))
                return _Dropdown(**{"choices": options, "value": chosen, **given})
            case Several(checks=True):
                return _CheckboxGroup(**{"choices": list(param.choices), "value": list(all_in(value)), **given})
            case Several():
                options, chosen = self._offers.all_on_offer(name, param, all_in(value))
                return _Dropdown(**{"choices": options, "value": chosen, "multiselect": True, **given})
            case Toggle():
                return _Checkbox(**{"value": value, **given})
            case Text():
                return _Textbox(
                    **{"value": value, "lines": param.lines, "placeholder": param.placeholder or None, **given}
                )
            case Colour():
                return _ColorPicker(**{"value": value, **given})
            case Image():
                return _pictures(**given) if param.many else _picture(**given)
            case _:
                return _Dropdown(
                    **{"choices": [], "value": [], "multiselect": True, "allow_custom_value": True, **given}
                )

    def _told(self, name: str, value: object) -> object:
        param = self._param(name)
        if isinstance(param, Image):
            return _one_or_all(param, tuple(map(self.keep, _paths_in(value))))
        if isinstance(param, Several):
            return tuple(all_in(value))
        if isinstance(param, Choice) and not param.by_index:
            return "" if value is None or (value == NONE and default_of(self.declared, name) == "") else value
        if isinstance(param, Choice | Slider | Number | Toggle | Colour):
            return value
        if isinstance(param, Text):
            return value or ""
        return overrides(all_in(value))

    def _shown(self, name: str, value: object, copied: Copied) -> tuple[Update, str]:
        """(update, "") or ({}, why the value cannot be shown)."""
        param = self._param(name)
        match param:
            case Image():
                return _pictured(param, value, copied)
            case Slider():
                low, high = _range(param, number_in(value))
                return gr.update(value=value, minimum=low, maximum=high), ""
            case Number():
                if abs(number_in(value)) > LARGEST_EXACT and not self._faithful:
                    return (
                        {},
                        f"{param.title} {value} has more digits than the form can hold; the field was left unchanged.",
                    )
                return gr.update(value=value), ""
            case Choice(radio=True):
                return gr.update(value=listed(param, value)), ""
            case Choice():
                options, chosen = self._offers.on_offer(name, param, value)
                if chosen is None and not self._faithful:
                    return {}, f"{param.title}: there is no {str(value)!r}, so it was left as it is."
                return gr.update(choices=options, value=chosen), ""
            case Several():
                wanted = all_in(value)
                options, _ = self._offers.all_on_offer(name, param, wanted)
                missing = [item for item in wanted if item not in options]
                if missing:
                    return (
                        {},
                        f"{param.title} {', '.join(map(repr, missing))}: not available; the field was left unchanged.",
                    )
                return gr.update(choices=options, value=wanted), ""
            case Toggle() | Text() | Colour():
                return gr.update(value=value), ""
            case _:
                chips = [chip(key, item) for key, item in by_name(value).items()]
                return gr.update(choices=chips, value=chips, visible=bool(chips)), ""


def _classes(given: object) -> list[str]:
    return [given] if isinstance(given, str) else all_in(given)


def _pictured(param: Image, value: object, copied: Copied) -> tuple[Update, str]:
    """As `_shown`: the pictures of these names, as far as they are there."""
    paths = [copied(each) for each in (all_in(value) if param.many else [text_in(value)] if value else [])]
    again = "" if all(paths) else f"{param.title}: drop the picture into it again."
    return gr.update(value=_one_or_all(param, tuple(filter(None, paths))) or None), again


def _one_or_all(param: Image, found: tuple[str, ...]) -> str | tuple[str, ...]:
    """As many as the parameter is."""
    return found if param.many else next(iter(found), "")


def _paths_in(value: object) -> list[str]:
    """Where pictures lie: one, or those of a gallery, each of which comes with its caption."""
    if not isinstance(value, list | tuple):
        return [text_in(value)] if value else []
    return [text_in(each[0]) for each in value if isinstance(each, list | tuple) and each and each[0]]


def _explanation(help_text: str, why: str, fixed: bool) -> str:
    said = f"{help_text} No effect: {why}" if why else help_text
    return f"{said} Fixed by the server's command line." if fixed else said


def chip(key: str, value: object) -> str:
    """An overridden setting as people read it: "Clip skip: 2"."""
    return f"{_setting_label(key)}: {value}"


def overrides(chips: Iterable[str]) -> dict[str, object]:
    """What `chip` was given, of several.

    Raises:
        UserError: a chip is not "Label: value", or nothing is called so.
    """
    known = Settings.keys()
    keys = {_setting_label(key): key for key in known}
    found: dict[str, object] = {}
    for text in chips:
        label, separator, value = text.partition(":")
        key = keys.get(label.strip()) or (label.strip() if label.strip() in known else "")
        if not separator:
            raise UserError(f"{text!r} is not an override.", hint='Write "Setting: value".', field="override_settings")
        if not key:
            raise NotFound(f"There is no setting {label.strip()!r} to override.", field="override_settings")
        found[key] = value.strip()
    return found


def _setting_label(key: str) -> str:
    section, name = Settings.keys()[key]
    param = Settings.sections()[section].params()[name]
    return param.label or param.title


def _range(param: Slider, value: float) -> tuple[float, float]:
    return min(param.min, value), max(param.max, value)


def _spaced(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _not_here(feature: str) -> str:
    known = any(entry.name == feature for entry in registry.carried())
    return f"The feature {feature!r} is not {'shown here' if known else 'installed'}; it was ignored."

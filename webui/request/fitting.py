"""Values that nearly fit, made to fit: what programs send instead of what is meant, and A1111 takes.

A fraction loses what is behind its point where a whole number is meant, a number is written out where a text is meant,
and what lies beyond a limit moves to it; each with a remark. What has no meaning there stays as it is, and is refused
by the model that validates it next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from webui.request.params import Choice, Declared, Number, field_of, param_of, shortened
from webui.request.settings import Settings

SPELLINGS: Mapping[str, str] = {"jpeg": "jpg"}
"""Other words for some choices -> ours."""


def fitted(
    cls: type[BaseModel], values: Mapping[str, object], *, move: bool = True
) -> tuple[dict[str, object], tuple[str, ...]]:
    """The values of a record's fields, as far as they can be made to fit -> and a sentence about each that changed.

    Keys that are no field stay as they are. `move`: also to the nearest limit, and not only to the right type.
    """
    found, remarks = dict(values), []
    fields = dict(cls.model_fields)
    if issubclass(cls, Declared):
        fields |= {name: field_of(cls, name) for name in cls.offered()}
    for name, info in fields.items():
        if name in values:
            found[name] = _fitted(info, values[name], move=move)
            remarks += _remark(name, values[name], found[name])
    return found, tuple(remarks)


def fitted_options(values: Mapping[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """The same for settings by their keys; those that are null, A1111's word for "as it is", are left out."""
    found, remarks = {key: value for key, value in values.items() if value is not None}, []
    keys, sections = Settings.keys(), Settings.sections()
    for key, value in found.items():
        if key in keys:
            section, name = keys[key]
            found[key] = _fitted(sections[section].model_fields[name], value)
            remarks += _remark(key, value, found[key])
    return found, tuple(remarks)


def _fitted(info: FieldInfo, value: object, *, move: bool = True) -> object:
    converted = _spelt(info, _converted(_kind(info.annotation), value))
    return _within(info, converted) if move else converted


def _kind(annotation: object) -> object:
    """What a field's values are: int, float, bool, str, tuple, dict or something else; "or None" does not count."""
    if get_origin(annotation) in (Union, UnionType):
        others = [each for each in get_args(annotation) if each is not NoneType]
        return _kind(others[0]) if len(others) == 1 else None
    return get_origin(annotation) or annotation


def _converted(kind: object, value: object) -> object:
    """The value as one of this kind, where that is a matter of writing."""
    number = isinstance(value, int | float)
    if kind in (int, float) and isinstance(value, str):
        value = _number(value)
    if kind is float and isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, int | float) and math.isfinite(value):
        return int(value)  # A1111: towards zero
    if kind is str and number:
        return str(value)
    if kind is bool and number:
        return bool(value)
    if kind is tuple and not isinstance(value, list | tuple | dict):
        value = [value]
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(_converted(str, each) for each in value if each is not None)
    # A list without anything in it is how PHP writes an empty table.
    return {} if kind is dict and value == [] else value


def _number(text: str) -> object:
    """The number that a text is; the text itself where it is none."""
    try:
        return float(text) if any(mark in text for mark in ".eE") else int(text)
    except ValueError:
        return text


def _spelt(info: FieldInfo, value: object) -> object:
    """One of the choices, however it is written."""
    param = param_of(info)
    if not isinstance(param, Choice) or param.by_index or not isinstance(value, str) or value in param.choices:
        return value
    known = {choice.casefold(): choice for choice in param.choices}
    plain = value.strip().casefold()
    return known.get(SPELLINGS.get(plain, plain), value)


def _within(info: FieldInfo, value: object) -> object:
    """The nearest value within the field's limits."""
    param = param_of(info)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if param is not None and (param.firm or isinstance(param, Choice)):
        return value
    low = [limit.ge for limit in info.metadata if isinstance(limit, Ge) and isinstance(limit.ge, int | float)]
    high = [limit.le for limit in info.metadata if isinstance(limit, Le) and isinstance(limit.le, int | float)]
    if param is not None:
        # A number such as a seed is a name: one that is too large is not meant for another one.
        low = [] if param.ge is None else [param.ge]
        high = [] if param.le is None or isinstance(param, Number) else [param.le]
    if low and value < low[0]:
        return low[0]
    return high[0] if high and value > high[0] else value


def _remark(name: str, given: object, taken: object) -> list[str]:
    """What is to say of a value that was taken for another one; nothing where only its writing differs."""
    plain = _number(given) if isinstance(given, str) and not isinstance(taken, str) else given
    if isinstance(plain, list) and isinstance(taken, tuple):
        plain = tuple(plain)
    same = plain == taken and isinstance(plain, str) == isinstance(taken, str)
    if same or (plain,) == taken or (plain == [] and taken == {}):
        return []
    return [f"{name}: {shortened(given)} was changed to {shortened(taken)}."]

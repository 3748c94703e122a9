"""What JSON can say, as types: of everything that files, other programs and browsers send.

What has been read is looked into by `isinstance`, or through the looks below, which never raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]


def as_object(value: Json) -> Mapping[str, Json]:
    """An object of JSON; an empty one in the place of anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Json) -> Sequence[Json]:
    """A list of JSON; an empty one in the place of anything else."""
    return value if isinstance(value, list) else []


def objects_in(value: Json) -> list[JsonObject]:
    """The objects in a list of JSON; what else stands there is left out."""
    return [one for one in as_list(value) if isinstance(one, dict)]

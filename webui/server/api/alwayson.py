"""Scripts that A1111 runs on every picture: which of them are here, and what becomes of the others.

Programs send the values of all extensions that they know, also of those that their user has switched off.
"""

from __future__ import annotations

from collections.abc import Mapping

from webui import registry
from webui.base.errors import UserError

ALWAYS_ON: Mapping[str, tuple[str, ...]] = {
    "comments": (),
    "extra options": (),
    "hypertile": (),
    "sampler": ("steps", "sampler_name", "scheduler"),
    "seed": ("seed", "subseed", "subseed_strength", "seed_resize_from_w", "seed_resize_from_h"),
}
"""A1111: scripts that every installation has -> the parameters that are theirs.

What a client sends as their values has no effect, there as here: over the API the fields of the request hold.
"""
SWITCHES = ("enabled", "enable", "is_enabled", "active")
"""What extensions call the key of a unit that says whether it acts."""
BEHIND_A_PICTURE = ("faceswaplab", "reactor", "roop")
"""Extensions whose first value is a picture, and whose switch is the second."""
DEEPEST = 20
"""So far into nested values it is looked."""
NOTHING = ("", "none", "false", "off")


def arguments(values: object) -> list[object] | None:
    """The values of a script by position; None: they are no such list."""
    if isinstance(values, Mapping):
        values = values.get("args")
    return list(values) if isinstance(values, list | tuple) else [] if values is None else None


def left_out(scripts: Mapping[str, object]) -> tuple[str, ...]:
    """A sentence about each script that is not here, and does not matter, since it is switched off.

    Raises:
        UserError: one that is switched on is not here, or the values of one that is are no list.
    """
    remarks = []
    for title, values in scripts.items():
        if title.strip().lower() in ALWAYS_ON or registry.feature(title) is not None:
            if arguments(values) is None:
                raise UserError(f"The values of {title!r} must be a list under the key args.", field="alwayson_scripts")
        elif _is_off(title.strip().lower(), values):
            remarks.append(
                f"There is no script {title!r} here, but this request does not enable it, so it was ignored."
            )
        else:
            raise UserError(f"always on script {title} not found", field="alwayson_scripts")
    return tuple(remarks)


def features_in(scripts: Mapping[str, object], kind: str = "") -> dict[str, object]:
    """The features that are switched on among the scripts: name -> what requests of this kind carry of each."""
    found: dict[str, object] = {}
    for title, values in scripts.items():
        entry = registry.feature(title)
        if entry is None or entry.params.by_fields or not entry.is_for(kind):
            continue
        asked = entry.params.of_arguments(arguments(values) or [])
        if asked is not None:
            found[entry.name] = asked
    return found


def _is_off(title: str, values: object) -> bool:
    """Whether an extension's values say that it does nothing."""
    given = arguments(values)
    if given is None:
        return _is_nothing(values)
    units = [value for value in given if isinstance(value, Mapping)]
    if units:
        switch = given[0] if given else None
        return switch is False or all(map(_is_nothing, units))
    switch = given[1:2] if title in BEHIND_A_PICTURE else given[:1]
    return switch == [False] or _is_nothing(given)


def _is_nothing(value: object, depth: int = 0) -> bool:
    """Whether a value is empty or off, or a unit that does not act."""
    if isinstance(value, str):
        return value.strip().lower() in NOTHING
    if not isinstance(value, Mapping | list | tuple):
        return not value
    if depth > DEEPEST:
        return False
    if not isinstance(value, Mapping):
        return all(_is_nothing(each, depth + 1) for each in value)
    switches = [value[key] for key in SWITCHES if key in value]
    return any(_is_nothing(each, depth + 1) for each in switches) or all(
        _is_nothing(each, depth + 1) for each in value.values()
    )

"""What a request asks for and does not get, in sentences for `info.comments`: nothing is passed over in silence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from webui import registry
from webui.request.documented import Documented
from webui.request.settings import Settings, setting_title
from webui.server.api.alwayson import ALWAYS_ON, arguments
from webui.server.api.bodies import Body

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "do_not_save_samples": "save_images decides",
        "do_not_save_grid": "save_images and the settings decide",
        "firstpass_image": "only hires fix has a first pass",
        "latent_mask": "mask is the one that counts, as in A1111",
        "comments": "they are not stored, as in A1111",
    }
)
"""Fields of a body that are taken, as A1111 takes them, and that nothing reads -> why."""
EXTRAS_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "show_extras_results": "the pictures are in the response",
        "upscale_first": "nothing else is done first, as in A1111",
    }
)
"""The same of the routes of the Extras tab."""
ALREADY_SO = ("do_not_save_samples", "do_not_save_grid")
"""Those that wish for what happens anyway unless `save_images` is on."""
SCRIPTS: Mapping[str, str] = MappingProxyType(
    {
        "hypertile": "the settings of its name count instead, as in A1111; use override_settings",
        "extra options": "they stand on the page alone, as in A1111; use override_settings",
    }
)
"""Always-on scripts that A1111 has, and that do nothing here -> why."""


def unheard(body: Body) -> tuple[str, ...]:
    """A sentence about each field, setting and script of the request that has no effect."""
    found = []
    for name, why in FIELDS.items():
        if name == "firstpass_image" and body.hires is not None:
            continue
        if getattr(body, name, None) and (body.save_images or name not in ALREADY_SO):
            found.append(f"{name} has no effect: {why}.")
    idle = Settings.without_effect()
    for key in body.override_settings:
        if key in idle:
            found.append(f"The setting {key} ({setting_title(key)}) has no effect: {idle[key]}")
    for title, values in body.alwayson_scripts.items():
        name = title.strip().lower()
        if not arguments(values):
            continue
        if name in SCRIPTS:
            found.append(f"The script {title} has no effect: {SCRIPTS[name]}.")
        elif fields := _fields_of(name):
            found.append(
                f"The values of the script {title} have no effect: {', '.join(fields)} count instead, as in A1111."
            )
    return tuple(found)


def _fields_of(script: str) -> tuple[str, ...]:
    """The fields that hold instead of the values of an always-on script."""
    entry = registry.feature(script)
    return tuple(entry.params.flat) if entry is not None and entry.params.by_fields else ALWAYS_ON.get(script, ())


def unheard_extras(body: Documented) -> tuple[str, ...]:
    """A sentence about each field of a request to the Extras tab that has no effect, where it wishes for one."""
    fields = type(body).model_fields
    return tuple(
        f"{name} has no effect: {why}."
        for name, why in EXTRAS_FIELDS.items()
        if getattr(body, name) != fields[name].default
    )

"""Settings that nobody may change while the server runs, because its command line says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webui.base.errors import UserError
from webui.request.sections import SECTIONS, section_of
from webui.request.settings import Settings, setting_title


class Frozen(UserError):
    """A setting is not to be changed while the server runs."""

    code = "frozen"
    status = 403


@dataclass(frozen=True)
class Freeze:
    """What the flags freeze. Nothing, unless they say so."""

    everything: bool = False
    sections: tuple[str, ...] = ()
    """A1111's ids of sections, or ours."""
    keys: tuple[str, ...] = ()
    folders: bool = False
    """Where pictures lie, and what they are called: these are not shown either."""

    def why(self, key: str) -> str:
        """The flag that freezes this setting (our name or A1111's); "": none does."""
        if self == NOTHING:
            return ""
        section, name = Settings.keys()[key]
        if self.everything:
            return "--freeze-settings"
        names = _names(section, name)
        if {section, *map(section_of, names)} & set(self.sections):
            return "--freeze-settings-in-sections"
        if set(names) & set(self.keys):
            return "--freeze-specific-settings"
        if self.folders and self.hides(key):
            return "--hide-ui-dir-config"
        return ""

    def hides(self, key: str) -> bool:
        """Whether the page does not show this setting at all."""
        return self.folders and not HIDDEN.isdisjoint(_names(*Settings.keys()[key]))

    def check(self, settings: Settings, values: Mapping[str, object]) -> None:
        """`values`: settings by our names or A1111's, that somebody wants instead of those in `settings`.

        Raises:
            Frozen: one of them would change, and is not to.
            UserError: a value does not fit its setting.
        """
        if self == NOTHING:
            return
        keys = Settings.keys()
        for key, value in values.items():
            if key not in keys or not (flag := self.why(key)):
                continue
            section, name = keys[key]
            wanted = settings.with_options({key: value})
            if getattr(getattr(wanted, section), name) != getattr(getattr(settings, section), name):
                raise Frozen(
                    f"The setting {setting_title(key)} cannot be changed: {flag} keeps it as it is.",
                    hint="Ask whoever runs the server.",
                    field=key,
                )

    def thawed(self, settings: Settings, values: Mapping[str, object]) -> dict[str, object]:
        """Those of the values that may hold instead of what is in `settings`."""
        found = {}
        for key, value in values.items():
            try:
                self.check(settings, {key: value})
            except Frozen:
                continue
            found[key] = value
        return found

    def unknown(self) -> list[str]:
        """A sentence about each name that is no section, or no setting."""
        known = {key for keys in SECTIONS.values() for key in keys} | {*Settings.keys()}
        sections = [one for one in self.sections if one not in SECTIONS and one not in Settings.sections()]
        keys = [one for one in self.keys if one not in known]
        return [
            *_unknown("--freeze-settings-in-sections", "section", sections),
            *_unknown("--freeze-specific-settings", "setting", keys),
        ]


NOTHING = Freeze()
HIDDEN = Settings.folders() | {
    "samples_filename_pattern",
    "directories_filename_pattern",
    "save_images_add_number",
    "directories_max_prompt_words",
    "save_images_replace_action",
    "grid_zip_filename_pattern",
}
"""What `--hide-ui-dir-config` takes from the page."""


def _names(section: str, name: str) -> tuple[str, ...]:
    alias = Settings.sections()[section].params()[name].alias
    return (name, alias) if alias else (name,)


def _unknown(flag: str, what: str, names: Iterable[str]) -> list[str]:
    return [f"{flag}: there is no {what} {name!r}, so nothing is frozen by it." for name in names]

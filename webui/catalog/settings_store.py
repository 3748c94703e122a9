"""Settings on disk: `config.json`, flat, in A1111's names; what we do not know in it is kept as it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from webui.base.errors import UserError
from webui.base.paths import Paths
from webui.catalog.json_file import read_table, write_table
from webui.request.frozen import Freeze
from webui.request.settings import Settings

log = logging.getLogger(__name__)


class SettingsStore:
    """The current settings, a frozen value; a change makes a new one, writes it, and tells the subscribers.

    Each key is its last writer's, whoever that is. What a person wrote into the file meanwhile holds from the next
    change on.

    Raises:
        StorageError: the file cannot be read. (A broken one is moved aside and the defaults hold.)
    """

    def __init__(self, paths: Paths, freeze: Freeze | None = None) -> None:
        """`freeze`: what stays as it is."""
        self.path = paths.settings
        self.freeze = freeze or Freeze()
        self._lock = threading.RLock()
        self._subscribers: list[Callable[[Settings], None]] = []
        self._seen: Mapping[str, object] = read_table(self.path)
        """What the file held when it was last read or written."""
        self._current = _understood(self._seen)

    @property
    def current(self) -> Settings:
        return self._current

    def change(
        self,
        values: Mapping[str, object],
        *,
        strict: bool = True,
        only_if: Mapping[str, object] | None = None,
        by_program: bool = False,
    ) -> Settings:
        """New settings with these values, by our names or A1111's; saved before they hold.

        `only_if`: nothing is changed unless these settings have these values still.
        `by_program`: nobody asked for it, so that it may be a frozen one.

        Raises:
            Frozen: one of them is not to be changed.
            NotFound: `strict`, and a key is no setting.
            UserError: a value does not fit.
            StorageError: the file cannot be written; the settings stay as they were.
        """
        with self._lock:
            # A file that was broken is moved aside, and one that is gone is gone: then what was in it holds.
            table: Mapping[str, object] = read_table(self.path) or self._seen
            standing = _edited(self._current, self._seen, table)
            if only_if is not None and standing.with_options(only_if) != standing:
                return self._current
            changed = standing.with_options(values, strict=strict)
            if not by_program:
                self.freeze.check(standing, values)
            written = _merged(table, changed, values)
            if changed == self._current and written == table:
                return changed
            write_table(self.path, written)
            self._current, self._seen = changed, written
            subscribers = list(self._subscribers)
        for tell in subscribers:
            tell(changed)
        return changed

    def subscribe(self, callback: Callable[[Settings], None]) -> Callable[[], None]:
        """Call `callback` with the new settings after each change -> a function that ends it."""
        with self._lock:
            self._subscribers.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.remove(callback)

        return unsubscribe


def _understood(table: Mapping[str, object]) -> Settings:
    """The settings in a table; a value that does not fit is passed over, with a line in the log."""
    settings = Settings()
    for key, value in _modern(table).items():
        if value is None:
            continue  # A1111: an option that was never chosen
        try:
            settings = settings.with_options({key: value}, strict=False)
        except UserError as error:
            log.warning("A setting in config.json is ignored: %s", error)
    return settings


def _edited(settings: Settings, before: Mapping[str, object], now: Mapping[str, object]) -> Settings:
    """The settings, with what was written into the file by others; a value that does not fit is passed over."""
    before, now, keys = _modern(before), _modern(now), Settings.keys()
    for key in {**before, **now}:
        if key not in keys or before.get(key) == now.get(key):
            continue
        section, name = keys[key]
        value = now.get(key)
        try:
            plain = getattr(getattr(Settings(), section), name)
            settings = settings.with_options({key: plain if value is None else value})
        except UserError as error:
            log.warning("A setting in config.json is ignored: %s", error)
    return settings


def _modern(table: Mapping[str, object]) -> dict[str, object]:
    """A1111: options that had another name in its older versions."""
    found = dict(table)
    if isinstance(old_bar := found.get("quicksettings"), str):
        del found["quicksettings"]
        found.setdefault("quicksettings_list", [name.strip() for name in old_bar.split(",") if name.strip()])
    if isinstance(per_model := found.get("sd_vae_as_default"), bool):
        del found["sd_vae_as_default"]
        found.setdefault("sd_vae_overrides_per_model_preferences", not per_model)
    return found


def _merged(table: Mapping[str, object], settings: Settings, touched: Mapping[str, object]) -> dict[str, object]:
    """The file's next content: what differs from the defaults, and whatever in it we could not make sense of."""
    saved = settings.changed_options()
    keys = Settings.keys()
    place_of = {keys[key] for key in touched if key in keys}
    kept = {}
    for key, value in _modern(table).items():  # What had an older name is saved under today's, or it would come again.
        if key not in keys or (keys[key] not in place_of and not _fits(key, value)):
            kept[key] = value
    return {**kept, **{key: list(value) if isinstance(value, tuple) else value for key, value in saved.items()}}


def _fits(key: str, value: object) -> bool:
    try:
        Settings().with_options({key: value})
    except UserError:
        return False
    return True

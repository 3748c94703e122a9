"""Looks for other programs' folders with models in the usual places: in a thread of its own, and never for long.

Looked at are known places, what lies in them and, where a name tells of such a program, what lies one or two folders
deeper. No disk is looked through: `MOST` folders and `LONGEST` seconds are the end, whatever is there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import string
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from webui.base.errors import NotFound, UserError
from webui.base.fence import Problem, read_each
from webui.base.paths import PROGRAM, Paths
from webui.base.text import named
from webui.catalog.products import ENDINGS, KINDS, MOST_NAMES, Installation, is_remote, laid_out, recognised

log = logging.getLogger(__name__)

LONGEST = 10.0
"""Seconds of a look."""
MOST = 4000
"""Folders that are looked at to recognise them."""
MOST_COUNTED = 20_000
"""Entries of an installation's folders that are counted; beyond them it has "more than"."""
HINTS = (
    "stable", "diffusion", "webui", "forge", "sdnext", "sd.next", "automatic", "a1111", "comfy", "invoke", "pinokio",
    "matrix", "packages", "api", "app", "data", "models", "ai", "sd",
)  # fmt: skip
"""Parts, or the whole, of names of folders that are looked into as well."""
BELOW_HOME = (
    "", "Documents", "Desktop", "Downloads", "ai", "AI", "src", "git", "code", "dev", "projects", "repos", "apps",
    "StabilityMatrix", "pinokio/api", "AppData/Roaming/StabilityMatrix", "AppData/Roaming/ComfyUI",
    "AppData/Local/Programs", "Library/Application Support/ComfyUI", "Library/Application Support/StabilityMatrix",
    ".config/ComfyUI", ".config/StabilityMatrix", ".local/share/StabilityMatrix",
)  # fmt: skip
ELSEWHERE = ("/opt", "/srv", "/workspace", "/content", "/mnt", "/media", "/data", "/Volumes")
SHORT = ("ai", "sd", "api", "app", "data")
"""Hints that count where they are the whole name."""

State = Literal["idle", "looking", "done"]


@dataclass(frozen=True)
class ModelCount:
    """The files of models in an installation."""

    by_kind: Mapping[str, int]
    complete: bool
    """False: there are more, which were not counted."""


@dataclass(frozen=True)
class FoundInstallation:
    """An installation that was found, with the name that stands for it."""

    id: str
    installation: Installation
    count: ModelCount


def id_of(installation: Installation) -> str:
    """What stands for an installation, so that nobody needs to send its path."""
    return hashlib.sha256(f"{installation.product}\n{named(installation.root)}".encode()).hexdigest()[:16]


def usual_places(paths: Paths, home: Path | None = None) -> Iterator[Path]:
    """Where people put such programs, likeliest first: besides ours, in their home, on other disks."""
    yield from dict.fromkeys((PROGRAM.parent, paths.data.parent))
    home = Path.home() if home is None else home
    yield from (home / place for place in BELOW_HOME)
    for variable in ("INVOKEAI_ROOT", "APPDATA", "LOCALAPPDATA"):
        if told := os.environ.get(variable):
            yield Path(told)
    if sys.platform == "win32":
        yield from (disk for disk in (Path(f"{letter}:\\") for letter in string.ascii_uppercase) if disk.is_dir())
    else:
        yield from map(Path, ELSEWHERE)


class BoundedLook:
    """One look through some places, which ends in time. `is_ours`: folders that are left out."""

    def __init__(self, is_ours: Callable[[Path], bool], now: Callable[[], float] = time.monotonic) -> None:
        self._is_ours = is_ours
        self._now = now
        self._end = now() + LONGEST
        self._left = MOST
        self._seen: set[tuple[int, int]] = set()
        self.complete = True
        """False: the time was over, or there were too many folders, before everything was looked at."""

    def through(self, places: Iterable[Path]) -> tuple[list[Installation], list[Problem]]:
        """What is in the places, each folder once, and which could not be looked at."""
        found: list[Installation] = []
        problems: list[Problem] = []
        for folder in self._candidates(places):
            looked, failed = read_each("other programs", [folder], named, recognised)
            found += (installation for _, installation in looked if installation is not None)
            problems += failed
        return found, problems

    def _candidates(self, places: Iterable[Path]) -> Iterator[Path]:
        ahead = [(place, 0) for place in places]
        while ahead:
            folder, depth = ahead.pop(0)
            if self._now() > self._end or self._left <= 0:
                self.complete = False
                return
            if not self._enters(folder):
                continue
            yield folder
            if depth <= 2 and (depth == 0 or tells(folder.name)):
                ahead += ((below, depth + 1) for below in _below(folder))

    def _enters(self, folder: Path) -> bool:
        self._left -= 1
        try:
            status = folder.stat()
            key = (status.st_dev, status.st_ino) if status.st_ino else (0, hash(folder.resolve()))
            if key in self._seen or not folder.is_dir() or self._is_ours(folder):
                return False
        except (OSError, RuntimeError, ValueError):
            return False
        self._seen.add(key)
        return True


def tells(name: str) -> bool:
    """Whether a folder of this name may hold such a program."""
    folded = name.casefold().removesuffix(".git")
    return folded in SHORT or any(hint in folded for hint in HINTS if hint not in SHORT)


def _below(folder: Path) -> list[Path]:
    """Its folders, those whose names tell something first."""
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= MOST_NAMES:
                    break
                if entry.is_dir() and (not entry.name.startswith(".") or entry.name == ".invokeai"):
                    found.append(Path(entry.path))
    except OSError:
        return []
    return sorted(found, key=lambda below: (not tells(below.name), below.name.casefold()))


def counted(installation: Installation, most: int = MOST_COUNTED) -> ModelCount:
    """How many files of models are in its folders; a folder is entered once, and links to folders are followed."""
    by_kind: dict[str, int] = {}
    seen: set[tuple[str, int, int]] = set()
    left = most
    for kind, root in installation.folders:
        ahead = [root]
        while ahead:
            folder = ahead.pop()
            try:
                status = folder.stat()
                if (kind, status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((kind, status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    for entry in entries:
                        left -= 1
                        if left < 0:
                            return ModelCount(by_kind, complete=False)
                        if entry.is_dir():
                            ahead.append(Path(entry.path))
                        elif entry.name.lower().endswith(ENDINGS):
                            by_kind[kind] = by_kind.get(kind, 0) + 1
            except OSError:
                continue
    return ModelCount(by_kind, complete=True)


class Installations:
    """What was found on this machine. Any thread may call any method; `look` returns at once."""

    def __init__(self, paths: Paths, places: Callable[[], Iterable[Path]] | None = None) -> None:
        """`places` instead of the usual ones."""
        self._paths = paths
        self._places = places or (lambda: usual_places(paths))
        self._lock = threading.Lock()
        self._found: dict[str, FoundInstallation] = {}
        self._state: State = "idle"
        self.problems: tuple[Problem, ...] = ()
        self.complete = True

    @property
    def state(self) -> State:
        return self._state

    def all(self) -> list[FoundInstallation]:
        """Those of the last look, and of the one that is under way so far."""
        with self._lock:
            return list(self._found.values())

    def get(self, installation_id: str) -> FoundInstallation | None:
        """The one that this stands for, where it was found."""
        with self._lock:
            return self._found.get(installation_id)

    def look(self, *, again: bool = False) -> None:
        """Begin to look, in a thread of its own, unless that was done or is under way."""
        with self._lock:
            if self._state == "looking" or (self._state == "done" and not again):
                return
            self._state = "looking"
        threading.Thread(target=self.look_now, name="installations", daemon=True).start()

    def look_now(self) -> None:
        """Look, and wait until it is over."""
        try:
            look = BoundedLook(self.is_ours)
            found, self.problems = _listed(look, self._places())
            self.complete = look.complete
            with self._lock:
                self._found = {one.id: one for one in found}
        finally:
            self._state = "done"

    def is_ours(self, folder: Path) -> bool:
        """Whether a folder is this program's own, which has its models already."""
        try:
            real = folder.resolve()
            return any(real == own.resolve() for own in (PROGRAM, self._paths.data, self._paths.models))
        except (OSError, RuntimeError):
            return True

    def named(self, text: str, kind: str = "") -> Installation:
        """What a person means by a folder of this machine: a program's, one with folders of models, or one of a kind.

        Raises:
            UserError: it is none, or nobody can tell what is in it.
        """
        folder = Path(text.strip().strip('"')).expanduser()
        if is_remote(text.strip()) or "\0" in text or not folder.is_absolute():
            hint = "Write its whole path, on a disk of this machine."
            raise UserError(f"{text[:200]!r} is not a folder of this machine.", hint=hint, field="path")
        if kind and kind not in KINDS:
            raise NotFound(f"There is no kind of models {kind!r:.60}.", hint=f"Choose one of {', '.join(KINDS)}.")
        try:
            folder = folder.resolve()
            found = None if kind else recognised(folder) or laid_out(folder)
            if not folder.is_dir() or self.is_ours(folder) or self._paths.is_private(folder):
                raise UserError(f"{named(folder)} is not a folder of another program.", field="path")
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{text[:200]!r} cannot be read: {error}.", field="path") from error
        if found is None and not kind:
            hint = "Say what is in it: checkpoints, LoRAs, ..."
            raise UserError(f"{named(folder)} has no folders of models by a known name.", hint=hint, field="kind")
        return found or Installation("Folder", folder, ((kind, folder),))


def _listed(look: BoundedLook, places: Iterable[Path]) -> tuple[list[FoundInstallation], tuple[Problem, ...]]:
    """Those with models, and what could not be read; a program whose folders are all another one's is left out."""
    installations, problems = look.through(places)
    found = []
    taken: set[tuple[str, Path]] = set()
    for one in installations:
        problems += one.problems
        count = counted(one)
        if count.by_kind and not taken.issuperset(one.folders):
            taken.update(one.folders)
            found.append(FoundInstallation(id_of(one), one, count))
    return found, tuple(problems)

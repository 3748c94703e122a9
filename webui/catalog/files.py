"""Finding model files in folders: fast, through links, in the order in which a person counts."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A file below one of the folders that were looked through."""

    path: Path
    name: str
    """Relative to that folder, with forward slashes."""
    stamp: tuple[int, int]
    """(mtime in ns, size in bytes)"""

    @property
    def stem(self) -> str:
        """The file's name without folder and extension."""
        return self.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def find_files(root: Path, endings: Collection[str], *, deep: bool = True) -> list[Found]:
    """Files whose lower-case name ends with one of `endings`, below `root`; a folder is entered once at most.

    Follows symbolic links; leaves out what cannot be read, links to nothing, and the `._` files that macOS makes.
    """
    return sorted(_walk(str(root), "", tuple(endings), deep, set()), key=lambda found: natural_key(found.name))


def natural_key(name: str) -> tuple[list[str | int], str]:
    """For sorting: model2 comes before model10, whatever the letter case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def _walk(
    folder: str, prefix: str, endings: tuple[str, ...], deep: bool, entered: set[tuple[int, int]]
) -> Iterator[Found]:
    try:
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as listing:
            entries = list(listing)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        log.warning("The folder %s is left out: %s", folder, error.strerror or error)
        return
    for entry in entries:
        try:
            if entry.is_dir():
                if deep:
                    yield from _walk(entry.path, f"{prefix}{entry.name}/", endings, deep, entered)
            elif entry.name.lower().endswith(endings) and not entry.name.startswith("._") and entry.is_file():
                file = entry.stat()
                yield Found(Path(entry.path), prefix + entry.name, (file.st_mtime_ns, file.st_size))
        except OSError as error:
            log.warning("%s is left out: %s", entry.path, error.strerror or error)

"""Finding model files in folders: fast, through links, in the order in which a person counts."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from webui.base.text import named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A file below one of the folders that were looked through."""

    path: Path
    name: str
    """Relative to that folder, with forward slashes."""
    stamp: tuple[int, int]
    """(mtime in ns, size in bytes)"""
    fault: str = ""
    """What is wrong with it, where it is broken."""

    @property
    def stem(self) -> str:
        """The file's name without folder and extension."""
        return self.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def find_files(
    root: Path,
    endings: Collection[str],
    *,
    deep: bool = True,
    whole: str = "",
    tell: Callable[[str, str], None] = lambda name, reason: log.warning("%s: %s", named(name), reason),
) -> list[Found]:
    """Files whose lower-case name ends with one of `endings`, below `root`; a folder is entered once at most.

    Follows symbolic links; leaves out the `._` files that macOS makes.
    whole: a folder, also `root` itself, with a file of this name is found itself, and what is in it is not.
    tell: hears of what is left out, by its name below `root`, and why: no permission, links to nothing.
    """
    found = _walk(root, _Wanted(tuple(endings), deep, whole), tell)
    return sorted(found, key=lambda found: natural_key(found.name))


def folder_files(folder: Path) -> list[Found]:
    """The files of a folder that stands for one thing, such as a pipeline of diffusers; hidden ones are no part."""
    return [file for file in find_files(folder, ("",)) if not f"/{file.name}".count("/.")]


def stamp_of(path: Path) -> tuple[int, int]:
    """When a file was changed last, in ns, and its bytes; of a folder those of all files in it. Raises OSError."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        return _stamp(status)
    stamps = [file.stamp for file in folder_files(path)]
    return max((changed for changed, _ in stamps), default=_stamp(status)[0]), sum(size for _, size in stamps)


def _stamp(status: os.stat_result) -> tuple[int, int]:
    """Times beyond the year 2262, which some disks and archives give, are told by 63 bits, as databases keep them."""
    return status.st_mtime_ns % 2**63, status.st_size


class _Wanted(NamedTuple):
    endings: tuple[str, ...]
    deep: bool
    whole: str


def natural_key(name: str) -> tuple[list[str | int], str]:
    """For sorting: model2 comes before model10, whatever the letter case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def _walk(root: Path, wanted: _Wanted, tell: Callable[[str, str], None]) -> Iterator[Found]:
    entered: set[tuple[int, int]] = set()
    ahead = [(str(root), "")]
    while ahead:
        folder, prefix = ahead.pop()
        try:
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = list(listing)
            if wanted.whole and any(entry.name == wanted.whole for entry in entries):
                yield Found(Path(folder), named(prefix.rstrip("/") or root.name), stamp_of(Path(folder)))
                continue
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            tell(prefix.rstrip("/") or "The folder itself", f"It cannot be read: {error.strerror or error}.")
            continue
        below: list[tuple[str, str]] = []
        for entry in entries:
            try:
                if entry.is_dir():
                    below.append((entry.path, f"{prefix}{entry.name}/"))
                elif entry.name.lower().endswith(wanted.endings) and not entry.name.startswith("._"):
                    if entry.is_file():
                        yield Found(Path(entry.path), named(prefix + entry.name), _stamp(entry.stat()))
                    else:
                        link = entry.is_symlink()
                        tell(
                            prefix + entry.name,
                            "It is a link whose target does not exist." if link else "It is not a regular file.",
                        )
            except OSError as error:
                tell(prefix + entry.name, f"It cannot be read: {error.strerror or error}.")
        if wanted.deep:
            ahead += reversed(below)

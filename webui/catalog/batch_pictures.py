"""The pictures of a batch: files that were dropped into the page, or a folder of the machine that somebody named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from webui.base.errors import StorageError, UserError
from webui.base.paths import Paths
from webui.base.text import named, path_named
from webui.catalog.files import find_files
from webui.catalog.image_files import endings
from webui.request.captions import ENDING, LONGEST

MOST = 2000
"""Pictures at one press."""
INIT = "init_images"


@dataclass(frozen=True)
class BatchPicture:
    """A picture of a batch."""

    path: Path
    below: PurePath = field(default_factory=PurePath)
    """The folder that it lies in, seen from the one that was named; empty for what was dropped."""

    @property
    def place(self) -> str:
        """Name and folder without ending: a picture and its mask have the same."""
        return (self.below / self.path.stem).as_posix()

    @property
    def stem(self) -> str:
        """The name without ending, in letters that every system has."""
        return named(self.path.stem)

    @property
    def caption(self) -> str:
        """What the text file beside it says; "" where there is none that can be read."""
        return caption_in(self.path.with_suffix(ENDING))

    def __str__(self) -> str:
        return named((self.below / self.path.name).as_posix())


def caption_in(path: Path) -> str:
    """What a text file says; "" where there is none that can be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("r", encoding="utf-8-sig") as file:
            return file.read(LONGEST).strip()
    except (OSError, ValueError):
        return ""


def files_in(folder: str, which: str, paths: Paths, *, but: Iterable[str] = ()) -> list[BatchPicture]:
    """The pictures in a folder and those in it, in the order in which a person counts; not those in the folders `but`,
    nor any in the program's own memory.

    Raises:
        UserError: the folder was not given, is none, or has no picture.
    """
    given = (folder or "").strip()
    if not given:
        raise UserError(f"{which} directory: no folder was given.", hint="Enter the path of the folder.", field=INIT)
    root = path_named(given).expanduser()
    try:
        next(root.iterdir(), None)
    except (OSError, ValueError) as error:
        hint = getattr(error, "strerror", "") or ""
        raise UserError(f"{which} directory: {given} cannot be read.", hint=hint, field=INIT) from error
    left_out = [Path(other.strip()).expanduser() for other in but if other.strip()]
    found = [
        BatchPicture(file.path, PurePath(file.name).parent)
        for file in find_files(root, endings())
        if not any(part.startswith(".") for part in PurePath(file.name).parts)
        and not paths.is_private(file.path)
        and not any(file.path.is_relative_to(other) for other in left_out if other != root)
    ]
    if not found:
        raise UserError(f"{which} directory: {given} contains no pictures.", field=INIT)
    return few(found)


def few(found: list[BatchPicture]) -> list[BatchPicture]:
    """They. Raises UserError: there are too many."""
    if len(found) > MOST:
        raise UserError(f"{len(found)} pictures are too many at once.", hint=f"Use at most {MOST}.", field=INIT)
    return found


def may_hold_results(folder: str, paths: Paths) -> str:
    """The folder. Raises UserError: it is the program's own memory."""
    if folder and paths.is_private(Path(folder).expanduser()):
        raise UserError(f"Output directory: {folder} is used by Gesso itself.", hint="Choose another one.")
    return folder


def content_of(path: Path) -> bytes:
    """Its bytes. Raises StorageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"The file cannot be read: {error.strerror or error}.") from error

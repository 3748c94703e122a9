"""What finished pictures are called, and how they come to the disk without taking the place of another."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from webui.base.errors import StorageError
from webui.base.files import write_atomically, write_new
from webui.catalog.image_files import EncodedPicture
from webui.request.filenames import file_name

log = logging.getLogger(__name__)

TRIES = 1000
"""So many numbers are tried; each is higher than all that were there."""
MOST_NAMESAKES = 1_000_000


@dataclass(frozen=True)
class PictureFile:
    """A picture that is to be a file."""

    content: bytes
    folder: Path
    ending: str
    """Without the dot."""
    stem: str
    """What it is called; behind its number, where it has one."""
    numbered: bool
    text: str | None = None
    """What is to lie beside it as NAME.txt."""
    replaces: Callable[[Path], bool] = field(default=lambda _path: False, compare=False)
    """Whether it may take the place of the file of that name, where it has no number."""

    @property
    def digest(self) -> str:
        """The sha256 of the file, in hex."""
        return hashlib.sha256(self.content).hexdigest()


class PictureFiles:
    """Writes pictures, each under a name of its own. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[Path, int] = {}
        self._namesakes: dict[tuple[Path, str], int] = {}

    def write(self, file: PictureFile, announce: Callable[[Path], None]) -> Path:
        """Write the picture, and the text beside it, under the first name that is free -> where it is.

        announce: called with each name that is tried, before anything is written there.

        Raises:
            StorageError: the disk is full or not writable, or no name is free.
        """
        if not file.numbered and file.replaces(path := file.folder / file_name(file.stem, file.ending)):
            announce(path)
            if file.text is not None:
                write_atomically(path.with_suffix(".txt"), f"{file.text}\n".encode("utf-8", "replace"))
            write_atomically(path, file.content)
            return path
        for path in self._names(file):
            beside = path.with_suffix(".txt")
            if path.exists() or (file.text is not None and beside.exists()):
                continue
            announce(path)
            if file.text is not None and not write_new(beside, f"{file.text}\n".encode("utf-8", "replace")):
                continue
            try:
                written = write_new(path, file.content)
            except StorageError:
                _remove(beside, file.text is not None)
                raise
            if written:
                return path
            _remove(beside, file.text is not None)
        raise StorageError(f"No free file name was found in {file.folder}.")

    def write_beside(self, path: Path, suffix: str, copy: EncodedPicture) -> None:
        """Write what belongs to the picture at `path`: beside it, called like it with the suffix behind.

        Raises:
            StorageError: the disk is full or not writable, or no name is free.
        """
        turns = ("", *range(-1, -TRIES, -1))
        names = (file_name(path.stem, copy.kind, suffix=f"{suffix}{turn}") for turn in turns)
        if not any(write_new(path.with_name(name), copy.content) for name in names):
            raise StorageError(f"No free file name was found in {path.parent}.")

    def _names(self, file: PictureFile) -> Iterator[Path]:
        """What the file may be called, the best first: by its number, or by its pattern with a number where others are
        called so. A picture takes the place of another only where `file.replaces` says so.
        """
        folder, stem = file.folder, file.stem
        if file.numbered:
            for _ in range(TRIES):
                number = f"{self._next_number(folder):05}"
                yield folder / file_name(f"{number}-{stem}" if stem else number, file.ending)
            return
        path = folder / file_name(stem, file.ending)
        yield path
        for _ in range(MOST_NAMESAKES):
            with self._lock:
                turn = self._namesakes[folder, path.name] = self._namesakes.get((folder, path.name), 0) + 1
            yield folder / file_name(stem, file.ending, suffix=f"-{turn}")

    def _next_number(self, folder: Path) -> int:
        with self._lock:
            number = self._numbers.get(folder)
            if number is None or not folder.is_dir():
                number = _highest_number(folder) + 1
                _make_folder(folder)  # Before the next one asks, who would begin anew, too.
            self._numbers[folder] = number + 1
            return number


def _remove(text: Path, written: bool) -> None:
    """The text that was laid beside a picture, which has another name now."""
    if written:
        try:
            text.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays: %s", text, error.strerror or error)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be created: {error.strerror or error}.",
            hint="Check the permissions of the folder above it.",
        ) from error


def _highest_number(folder: Path) -> int:
    """A1111: the number that a file's name begins with, before its first "-"; -1 where none has one."""
    try:
        heads = [path.stem.split("-", 1)[0] for path in folder.iterdir()]
    except FileNotFoundError:
        return -1
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    return max((int(head) for head in heads if head.isascii() and head.isdigit() and len(head) < 19), default=-1)

"""Files that people's browsers have sent to the page, and copies that the page has made for them: each in a folder of
its owner's, under a name that nobody can guess."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import shutil
import stat
import time
from pathlib import Path

from webui.base.errors import NotFound, StorageError
from webui.base.files import write_atomically

log = logging.getLogger(__name__)

_MARK = re.compile(r"[0-9a-f]{32}")
_LONGEST = 100
"""Letters of a file's name."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
"""What Windows takes for a device in whatever folder it is asked for."""


class VisitorFiles:
    """A folder with a folder for each owner. Any thread may call any method.

    A file is `OWNER/TOKEN/NAME`: OWNER is made of the owner's name with a secret of this run, TOKEN is random.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._secret = secrets.token_bytes(32)

    def place(self, owner: str, name: str) -> Path:
        """Where a new file of this name can be written; its folder is there.

        Raises:
            StorageError: the folder cannot be made.
        """
        folder = self._folder / self._mark(owner) / secrets.token_hex(16)
        try:
            folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise StorageError(f"{folder} cannot be created: {error.strerror or error}.") from error
        return folder / plain_name(name)

    def put(self, owner: str, content: bytes, name: str) -> Path:
        """Keep bytes for somebody -> the file.

        Raises:
            StorageError: it cannot be written.
        """
        path = self.place(owner, name)
        write_atomically(path, content)
        return path

    def theirs(self, owner: str, given: str) -> Path:
        """The file that somebody names by its path, if it was put here for them.

        `given` is read as text: no part of it reaches the file system before it is known to be a name of ours.

        Raises:
            NotFound: it is no file of this owner's, or it is gone.
        """
        gone = NotFound("This file was not uploaded by you, or it no longer exists.", hint="Upload it again.")
        beginning = str(self._folder) + os.sep
        if not given.startswith(beginning) or len(given) > len(beginning) + 300:
            raise gone
        parts = given.removeprefix(beginning).replace(os.sep, "/").split("/")
        if len(parts) != 3 or not _MARK.fullmatch(parts[1]) or plain_name(parts[2]) != parts[2]:
            raise gone
        if not hmac.compare_digest(parts[0].encode("utf-8", "replace"), self._mark(owner).encode()):
            raise gone
        path = self._folder.joinpath(*parts)
        try:
            kind = path.lstat().st_mode
        except OSError as error:
            raise gone from error
        if not stat.S_ISREG(kind):
            raise gone
        return path

    def sweep(self, older_than_seconds: float) -> int:
        """Delete what was put longer ago than this -> how many files."""
        limit = time.time() - older_than_seconds
        deleted = 0
        for folder in self._folder.glob("*/*"):
            try:
                if folder.stat().st_mtime < limit:
                    deleted += sum(1 for _ in folder.iterdir())
                    shutil.rmtree(folder)
            except OSError as error:
                log.warning("%s stays: %s", folder, error.strerror or error)
        for owner in self._folder.glob("*"):
            try:
                owner.rmdir()
            except OSError:
                continue  # Something of theirs is left.
        return deleted

    def _mark(self, owner: str) -> str:
        return hmac.new(self._secret, b"files\0" + owner.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


def plain_name(name: str) -> str:
    """A file's name as it may stand in a folder on every system: its last part, without what is special anywhere."""
    name = _FORBIDDEN.sub("_", re.split(r"[/\\]", name)[-1]).strip(" .")
    stem, dot, ending = name.rpartition(".")
    if len(name) > _LONGEST:
        name = f"{stem[: _LONGEST - 10]}.{ending[:9]}" if dot and stem else name[:_LONGEST]
        name = name.strip(" .")
    if not name or _DEVICE.fullmatch(name):
        name = f"file_{name}"
    return name

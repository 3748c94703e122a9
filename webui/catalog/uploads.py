"""Pictures that requests refer to: kept by the hash of their bytes, looked at with suspicion before."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Collection
from pathlib import Path

from webui.base.errors import NotFound, UserError
from webui.base.files import write_atomically
from webui.catalog.image_files import decoding, open_picture, readable

log = logging.getLogger(__name__)

MOST_BYTES = 128 * 2**20
MOST_PIXELS = 64 * 2**20
"""Below the number at which Pillow itself begins to warn."""
_NAME = re.compile(r"[0-9a-f]{64}")


class PictureStore:
    """Uploaded pictures in a folder; a picture's name is the sha256 of its bytes, in hex."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._most_bytes, self._most_pixels = MOST_BYTES, MOST_PIXELS

    def allow(self, most_bytes: int, most_pixels: int) -> None:
        """How large a file and a picture may be from now on."""
        self._most_bytes, self._most_pixels = most_bytes, most_pixels

    def put(self, content: bytes, field: str = "") -> str:
        """Keep a picture file -> its name. It is decoded once, so that no job stumbles over it later.

        field: of a request, which it comes in; errors name it.

        Raises:
            UserError: it is no picture, cut off, or too large.
            StorageError: it cannot be written.
        """
        if len(content) > self._most_bytes:
            raise UserError(
                f"This file has {len(content):,} bytes; at most {self._most_bytes:,} are allowed.", field=field
            )
        try:
            _check(content, self._most_pixels)
        except UserError as error:
            error.field = error.field or field
            raise
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if not (path.is_file() and _refreshed(path)):
            write_atomically(path, content)
        return name

    def get(self, name: str) -> bytes:
        """The bytes that were put.

        Raises:
            NotFound: there is no picture of this name.
        """
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise NotFound(f"The picture {name[:12]} no longer exists.", hint="Upload it again.") from error

    def has(self, name: str) -> bool:
        """Whether this is the name of a picture that is here."""
        return bool(_NAME.fullmatch(name)) and self._path(name).is_file()

    def path(self, name: str) -> Path:
        """The file of a picture.

        Raises:
            NotFound: there is no picture of this name.
        """
        if not self.has(name):
            raise NotFound(f"There is no uploaded picture {name[:80]!r}.", hint="Upload it again.")
        return self._path(name)

    def sweep(self, needed: Collection[str], older_than_seconds: float) -> int:
        """Delete what was put longer ago than this, unless it is needed -> how many."""
        limit = time.time() - older_than_seconds
        deleted = 0
        for path in self._folder.glob("??/*"):
            try:
                if path.name not in needed and path.stat().st_mtime < limit:
                    path.unlink()
                    deleted += 1
            except OSError as error:
                log.warning("%s stays: %s", path, error.strerror or error)
        return deleted

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def _refreshed(path: Path) -> bool:
    """Whether the file counts as put just now. Where a drive belongs to another, it refuses to change times."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _check(content: bytes, most_pixels: int) -> None:
    if not content:
        raise UserError("This file is empty.")
    if content[:512].lstrip()[:5].lower() in (b"<svg ", b"<?xml") or b"<svg" in content[:512].lower():
        raise UserError("SVG pictures are not supported.", hint="Save it as PNG first.")
    readable(lambda: _decode(content, most_pixels))


def _decode(content: bytes, most_pixels: int) -> None:
    with open_picture(content) as image:
        width, height = image.size
        if width * height > most_pixels:
            raise UserError(
                f"This picture has {width}x{height} pixels, which is too many.",
                hint=f"At most {most_pixels / 1e6:.0f} megapixels are allowed.",
            )
        with decoding(image):
            image.load()

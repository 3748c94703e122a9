"""Small versions of finished pictures, made when they are first asked for, and kept."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps

from webui.base.errors import StorageError
from webui.base.files import write_atomically
from webui.catalog.image_files import decoding, open_picture, over_white, readable
from webui.catalog.levels import eight_bit

log = logging.getLogger(__name__)

SIDE = 256
"""Pixels, at most."""


class Thumbnails:
    """Those of an installation. Any thread may call any method."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, picture_id: str, content: Callable[[], bytes]) -> bytes:
        """A WebP of at most 256 pixels a side. `content` gives the picture's file where there is no thumbnail yet.

        Raises:
            UserError: the file is broken.
        """
        kept = self._path(picture_id)
        if kept.is_file():
            return kept.read_bytes()
        picture = content()
        small = readable(lambda: _small(picture))
        try:
            write_atomically(kept, small)
        except StorageError as error:
            log.warning("The thumbnail is not kept: %s", error)
        return small

    def forget(self, picture_id: str) -> None:
        try:
            self._path(picture_id).unlink(missing_ok=True)
        except OSError as error:
            log.warning("The thumbnail of %s stays: %s", picture_id, error.strerror or error)

    def _path(self, picture_id: str) -> Path:
        return self._folder / picture_id[:2] / f"{picture_id}.webp"


def _small(content: bytes) -> bytes:
    with open_picture(content) as image, decoding(image):
        image.draft("RGB", (SIDE * 2, SIDE * 2))
        small = over_white(ImageOps.exif_transpose(eight_bit(image)))
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()

"""Smaller copies of large pictures, as JPEG files beside them."""

from __future__ import annotations

import logging

from PIL import Image

from webui.base.errors import StorageError, UserError
from webui.base.files import write_new
from webui.base.text import path_named
from webui.catalog.image_files import encode, pixels_of
from webui.catalog.pictures import SavedPicture
from webui.request.settings import SaveSettings

log = logging.getLogger(__name__)


def keep_small_copy(saved: SavedPicture, save: SaveSettings) -> None:
    """Write NAME.jpg beside a saved picture that is larger than the settings want, and no longer on a side than they
    say, unless there is such a file; the log tells where it cannot be done.

    A1111: `export_for_4chan`.
    """
    path, most = path_named(saved.path), save.target_side_length
    if not save.export_for_4chan or not save.samples_save or path.suffix == ".jpg":
        return
    oversize = max(saved.width, saved.height) > most
    try:
        if not oversize and path.stat().st_size <= save.img_downscale_threshold * 2**20:
            return
        image = pixels_of(path.read_bytes())
        if oversize:
            image.thumbnail((most, most), Image.Resampling.LANCZOS)
        copy = encode(image, "jpg", saved.infotext if save.enable_pnginfo else "", quality=save.jpeg_quality)
        write_new(path.with_suffix(".jpg"), copy.content)
    except (StorageError, UserError, OSError) as error:
        log.warning("A picture's smaller copy is not saved: %s", error)

"""Pictures that img2img started from, kept by their hash where the settings say so."""

from __future__ import annotations

import hashlib
import logging

from PIL import Image, ImageOps

from webui.base.errors import StorageError, UserError
from webui.base.files import write_atomically
from webui.base.paths import Paths
from webui.catalog.image_files import as_format, decoding, encode, infotext_of, open_picture, readable
from webui.request.plan import Picture, Plan
from webui.request.settings import SaveSettings

log = logging.getLogger(__name__)

LABEL = "Init image hash"


def init_hash(picture: Picture, plan: Plan) -> str:
    """The MD5 of the pixels that the last given picture has, in hex; "" where there is none.

    A1111: of the last one, whichever the picture was made of, and of its bytes in memory (RGB, RGBA, L ...).
    """
    if not picture.request.begins_with:
        return ""
    content = plan.images.get(picture.request.begins_with[-1])
    try:
        return _hashed(_opened(content)) if content else ""
    except UserError as error:
        log.warning("%s", error)
        return ""


def keep_init_pictures(picture: Picture, plan: Plan, paths: Paths, save: SaveSettings) -> None:
    """Write the given pictures as HASH.png (or in the settings' format), unless they lie there already."""
    for name in picture.request.begins_with:
        try:
            image = _opened(plan.images[name])
            encoded = encode(image, as_format(save.samples_format), infotext_of(image)[0], quality=save.jpeg_quality)
            path = paths.data / save.outdir_init_images / f"{_hashed(image)}.{encoded.kind}"
            if not path.exists():
                write_atomically(path, encoded.content)
        except (UserError, StorageError) as error:
            log.warning("An input picture could not be saved: %s", error)


def _opened(content: bytes) -> Image.Image:
    """Raises UserError."""

    def whole() -> Image.Image:
        opened = open_picture(content)
        with decoding(opened):
            image = ImageOps.exif_transpose(opened)
            image.load()
        if image.mode in ("RGB", "P") and isinstance(image.info.get("transparency"), bytes):
            image = image.convert("RGBA")
        return image

    return readable(whole)


def _hashed(image: Image.Image) -> str:
    return hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest()

"""What a canvas of the page sends, and colours put together with the picture that they were painted on."""

from __future__ import annotations

import base64
import binascii
import io
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass

from PIL import Image, ImageFilter

from webui.base.errors import UserError
from webui.catalog.decoding import DECODING
from webui.catalog.image_files import pixels_of, size_of

PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Canvas:
    """What a canvas sends: the paint or the mask alone where that says everything; else a whole picture, and a mask."""

    paint: bytes = b""
    """A PNG of colours on nothing or, of a canvas for masks, of a mask in black and white."""
    picture: bytes = b""
    """A PNG of all that is seen; b"": the picture that was dropped in, with the paint."""
    mask: bytes = b""
    """A PNG, white where the picture may change. It comes with `picture` alone."""

    @property
    def marked(self) -> bytes:
        """What a canvas for masks says of where the picture may change; b"": nothing."""
        return self.mask if self.picture else self.paint


def canvas(text: str) -> Canvas:
    """What the page put into the form; "" is an untouched canvas.

    Raises:
        UserError: it is nothing that a canvas sends.
    """
    if not text.startswith("{"):
        return Canvas(painted(text)) if text else Canvas()
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("picture"), str):
        raise _broken()
    mask = told.get("mask") or ""
    if not isinstance(mask, str):
        raise _broken()
    return Canvas(picture=painted(told["picture"]), mask=painted(mask) if mask else b"")


def _broken() -> UserError:
    return UserError("The painting could not be read.", hint="Paint it again.", field="mask")


def painted(data_url: str) -> bytes:
    """The PNG in a data URL.

    Raises:
        UserError: it is none.
    """
    if not data_url.startswith(PNG):
        raise _broken()
    try:
        return base64.b64decode(data_url.removeprefix(PNG), validate=True)
    except binascii.Error as error:
        raise _broken() from error


def sketched(picture: bytes, paint: bytes) -> bytes:
    """A PNG of the picture with the paint (colours on nothing) over it. Raises UserError."""
    with _room_for(picture):
        below = _opened(picture)
        return _png(Image.alpha_composite(below, _fitted(paint, below.size)))


def sketched_to_inpaint(
    picture: bytes, paint: bytes, blur: tuple[float, float], transparency: float
) -> tuple[bytes, bytes]:
    """(PNG of the picture with softened, partly transparent paint; PNG of the mask: where paint is).

    `blur` are the radii of the softening in pixels, x and y; `transparency` is 0 to 100.

    Raises:
        UserError: one of both is no picture.
    """
    with _room_for(picture):
        below = _opened(picture)
        layer = _fitted(paint, below.size)
        # A1111: whatever was painted on is masked, and the transparency darkens the mask itself.
        mask = layer.getchannel("A").point(lambda alpha: round(255 * (1 - transparency / 100)) if alpha else 0)
        softened = ImageFilter.GaussianBlur(blur)
        covered = Image.composite(Image.alpha_composite(below, layer).filter(softened), below, mask.filter(softened))
        return _png(covered), _png(mask)


def _room_for(picture: bytes) -> AbstractContextManager[None]:
    """A share of the memory for all that is made of a picture. Raises UserError."""
    width, height = size_of(picture)
    return DECODING.lent(width * height)


def _fitted(paint: bytes, size: tuple[int, int]) -> Image.Image:
    layer = _opened(paint)
    return layer if layer.size == size else layer.resize(size, Image.Resampling.BILINEAR)


def _opened(content: bytes) -> Image.Image:
    """RGBA, upright."""
    return pixels_of(content).convert("RGBA")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
    (image.convert("RGB") if opaque else image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

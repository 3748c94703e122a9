"""Pictures reduced to a size at which they are looked at, the latest of which are remembered."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from webui.catalog.image_files import pixels_of

SIDE = 1024
"""Pixels of the longer side, at most."""
REMEMBERED = 8


@dataclass(frozen=True)
class Reduced:
    """A small copy of a picture."""

    width: int
    """In pixels, of the picture itself; and so is `height`."""
    height: int
    png: bytes = field(repr=False)
    """The copy, a whole file; transparent where the picture is."""


class ReducedPictures:
    """Any thread may call any method."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        """read: the file of a picture by its name, which is one of its contents."""
        self._read = read
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Reduced] = OrderedDict()

    def of(self, name: str) -> Reduced:
        """
        Raises:
            NotFound: there is no picture of this name.
            UserError: its file is broken.
        """
        with self._lock:
            if (known := self._known.get(name)) is not None:
                self._known.move_to_end(name)
                return known
        made = reduced(self._read(name))
        with self._lock:
            self._known[name] = made
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return made


def reduced(content: bytes) -> Reduced:
    """
    Raises:
        UserError: it is no picture.
    """
    picture = pixels_of(content)
    width, height = picture.size
    small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", compress_level=1)
    return Reduced(width, height, buffer.getvalue())

"""What pictures look like, in a few bytes each, so that those like a picture are found among all of them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webui.base.errors import NotFound, UserError, WebuiError
from webui.catalog.database import Database
from webui.catalog.image_files import open_picture
from webui.catalog.pictures import Pictures

log = logging.getLogger(__name__)

CELLS = 4
"""Of each side of the colours."""
EDGE = 8
"""Comparisons of brightness of each side."""
COLOURS = CELLS * CELLS * 3
LENGTH = COLOURS + EDGE * EDGE // 8
"""Bytes of a look."""
PAUSE = 0.01
"""Seconds between two pictures that are looked at, so that others get their turn."""
COLOUR_SCALE = 48.0
"""Levels by which the cells of two pictures differ on average that have nothing in common."""


@dataclass(frozen=True)
class Alike:
    """A picture that looks like another one."""

    number: int
    """Its place in the history."""
    distance: float
    """0: it cannot be told from it; 1: nothing in common."""


@dataclass(frozen=True)
class LooksKnown:
    """Of how many pictures it is known what they look like."""

    known: int
    total: int
    running: bool
    """Whether the others are being looked at."""


def look_of(picture: Image.Image) -> bytes:
    """`LENGTH` bytes: the mean brightness and colours (YCbCr) of 4x4 cells, and of 8x8 places whether it is brighter
    there than at the next one to the right: a difference hash (Krawetz 2013, "Kind of Like That")."""
    plain = picture.convert("RGB")
    colours = plain.convert("YCbCr").resize((CELLS, CELLS), Image.Resampling.BOX)
    levels = np.asarray(plain.convert("L").resize((EDGE + 1, EDGE), Image.Resampling.BOX), np.int16)
    brighter = levels[:, :-1] > levels[:, 1:]
    return colours.tobytes() + np.packbits(brighter).tobytes()


def distances(looks: NDArray[np.uint8], look: bytes) -> NDArray[np.float64]:
    """Of (n, `LENGTH`) looks from one: half by colours, half by edges; 0 to 1 each."""
    one = np.frombuffer(look, np.uint8)
    colours = np.abs(looks[:, :COLOURS].astype(np.int16) - one[:COLOURS].astype(np.int16)).mean(axis=1)
    edges = np.bitwise_count(looks[:, COLOURS:] ^ one[COLOURS:]).sum(axis=1) / (EDGE * EDGE)
    found: NDArray[np.float64] = (np.minimum(colours / COLOUR_SCALE, 1) + np.minimum(edges * 2, 1)) / 2
    return found


class Likeness:
    """What the pictures of an installation look like. Any thread may call any method."""

    def __init__(self, database: Database, pictures: Pictures) -> None:
        self._database = database
        self._pictures = pictures
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def like(self, picture_id: str, *, owner: str | None = None, limit: int = 120) -> tuple[Alike, ...]:
        """The pictures that look most like this one, which comes first; of `owner`, or of all.

        Raises:
            NotFound: there is no such picture, or its file is gone.
            UserError: its file is broken.
        """
        rows = self._database.read("SELECT number, owner FROM pictures WHERE id = ?", picture_id)
        if not rows or (owner is not None and rows[0]["owner"] != owner):
            raise NotFound(f"There is no picture {picture_id[:40]!r}.")
        look = self._looked_at(picture_id, rows[0]["number"])
        if not look:
            raise UserError("The picture cannot be read.")
        others = self._database.read(
            "SELECT number, look FROM looks WHERE length(look) = ?"
            + ("" if owner is None else " AND number IN (SELECT number FROM pictures WHERE owner = ?)"),
            LENGTH,
            *(() if owner is None else (owner,)),
        )
        numbers = np.fromiter((row[0] for row in others), np.int64, len(others))
        looks = np.frombuffer(b"".join(row[1] for row in others), np.uint8).reshape(-1, LENGTH)
        apart = distances(looks, look)
        first = np.lexsort((-numbers, apart))[:limit]
        return tuple(Alike(int(numbers[at]), float(apart[at])) for at in first)

    def known(self) -> LooksKnown:
        """Of how many it is known."""
        known, total = (
            int(self._database.read(f"SELECT count(*) FROM {name}")[0][0]) for name in ("looks", "pictures")
        )
        thread = self._thread
        return LooksKnown(min(known, total), total, thread is not None and thread.is_alive())

    def look_at_all(self) -> None:
        """Begin to look at those that are not known yet, newest first, in a thread, if it is not being done."""
        with self._lock:
            if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._work, name="looks", daemon=True)
            self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Until what runs now is over."""
        if self._thread is not None:
            self._thread.join(timeout)

    def stop(self) -> None:
        """End the work."""
        self._stop.set()
        self.wait()

    def _work(self) -> None:
        try:
            below = 2**63 - 1
            while not self._stop.is_set():
                rows = self._database.read(
                    "SELECT id, number FROM pictures WHERE number < ? AND number NOT IN (SELECT number FROM looks)"
                    " ORDER BY number DESC LIMIT 100",
                    below,
                )
                if not rows:
                    return
                for row in rows:
                    below = row["number"]
                    self._looked_at(row["id"], below)
                    if self._stop.wait(PAUSE):
                        return
        except WebuiError as error:
            log.warning("The look at the pictures ends: %s", error)

    def _looked_at(self, picture_id: str, number: int) -> bytes:
        """What it looks like; b"": it cannot be read, which is remembered, too."""
        rows = self._database.read("SELECT look FROM looks WHERE number = ?", number)
        if rows:
            return bytes(rows[0][0])
        try:
            with open_picture(self._pictures.thumbnail(picture_id)) as image:
                look = look_of(image)
        except (UserError, OSError):
            look = b""
        self._database.write(
            "INSERT OR REPLACE INTO looks (number, look) SELECT number, ? FROM pictures WHERE id = ? AND number = ?",
            look,
            picture_id,
            number,
        )
        return look

"""Pictures that come with a result and are no results of their own, such as its mask: files named by its id."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from webui.base.errors import NotFound, StorageError
from webui.base.files import write_atomically
from webui.request.messages import ExtraPicture

log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]+(\.\d+-[a-z0-9-]+\.[a-z]+)?")


class ExtraPictures:
    """In a folder of their own; they go when their picture does. Any thread may call any method."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, picture_id: str, extras: Sequence[ExtraPicture], *, first: int = 0) -> None:
        """Write them, numbered from `first` on; what cannot be written is left out, and the log says so."""
        for number, extra in enumerate(extras, first):
            try:
                write_atomically(self._folder / f"{picture_id}.{number}-{extra.name}.{extra.kind}", extra.content)
            except StorageError as error:
                log.warning("A picture's %s is not kept: %s", extra.name, error)

    def names(self, picture_id: str) -> tuple[str, ...]:
        """ "0-mask.png", ... in the order of their making."""
        if not _NAME.fullmatch(picture_id):
            return ()
        found = (path.name.partition(".")[2] for path in self._folder.glob(f"{picture_id}.*"))
        return tuple(sorted(found, key=lambda name: (len(name.partition("-")[0]), name)))

    def content(self, picture_id: str, name: str) -> tuple[bytes, str]:
        """(bytes of the file, its kind: "png", "webp"). Raises NotFound."""
        file = f"{picture_id}.{name}"
        try:
            if not _NAME.fullmatch(file):
                raise FileNotFoundError
            return (self._folder / file).read_bytes(), name.rpartition(".")[2]
        except OSError as error:
            raise NotFound(f"The picture {picture_id!r} has no {name!r}.") from error

    def forget(self, picture_id: str) -> None:
        """Delete those of a picture."""
        for name in self.names(picture_id):
            try:
                (self._folder / f"{picture_id}.{name}").unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s of the picture %s stays: %s", name, picture_id, error.strerror or error)

"""Resume points of pictures: each as it is before features make pictures within it, which takes long and may fail.

Whatever ends the engine over that, the next one goes on from there; and if that one ends over it too, the picture is
given as it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from webui.base.errors import StorageError
from webui.base.fence import fenced
from webui.base.resume_points import ResumePoints
from webui.engine.batch import Batch, Services
from webui.engine.feature import FinishedPicture
from webui.engine.start import encoded_png
from webui.engine.watch import Watch
from webui.request.messages import ExtraPicture, Saved
from webui.request.plan import Picture, Plan

log = logging.getLogger(__name__)

ENGINES = 2
"""So many may end over what features make within a picture; the next one leaves that out."""
TOLD, PICTURE, MASK, EXTRA = "told.json", "picture.png", "mask.png", "extra-{}"


@dataclass(frozen=True, eq=False)
class KeptPicture:
    """What is in a resume point."""

    key: str
    """Of what the picture depends on."""
    picture: Image.Image
    """RGB or RGBA."""
    mask: Image.Image | None
    """White where it may change; None: everywhere."""
    extras: tuple[ExtraPicture, ...]
    facts: Mapping[str, str]
    comments: tuple[str, ...]
    begun: int = 1
    """Engines that have begun what follows."""

    def write(self, path: Path) -> None:
        """Raises OSError."""
        told = {
            "key": self.key,
            "facts": dict(self.facts),
            "comments": self.comments,
            "begun": self.begun,
            "extras": [[extra.name, extra.kind, extra.shown, extra.saved] for extra in self.extras],
        }
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(TOLD, json.dumps(told))
            file.writestr(PICTURE, encoded_png(self.picture, compress_level=1))
            if self.mask is not None:
                file.writestr(MASK, encoded_png(self.mask, compress_level=1))
            for number, extra in enumerate(self.extras):
                file.writestr(EXTRA.format(number), extra.content)

    @classmethod
    def read(cls, path: Path) -> KeptPicture:
        """Raises whatever is wrong with the file."""
        with zipfile.ZipFile(path) as file:
            told = json.loads(file.read(TOLD))
            extras = tuple(
                ExtraPicture(name, kind, file.read(EXTRA.format(number)), shown, saved)
                for number, (name, kind, shown, saved) in enumerate(told["extras"])
            )
            mask = _opened(file, MASK) if MASK in file.namelist() else None
            picture = _opened(file, PICTURE)
        return cls(told["key"], picture, mask, extras, told["facts"], tuple(told["comments"]), told["begun"])


def _opened(file: zipfile.ZipFile, name: str) -> Image.Image:
    with file.open(name) as stream, Image.open(stream) as picture:
        picture.load()
        return picture.copy()


@dataclass(eq=False)
class PicturePoints:
    """Those of one batch. Where nothing can be kept, nothing is, and the pictures are made all the same."""

    folder: ResumePoints | None
    """Of the job; None: nowhere."""
    plan: Plan
    pictures: Sequence[Picture]
    watch: Watch
    _found: tuple[KeptPicture, ...] = field(default=(), init=False)

    def found(self, batch: Batch, services: Services) -> list[FinishedPicture]:
        """The pictures as an earlier engine has left them; none where one of them is missing."""
        kept = [self._read(picture) for picture in self.pictures]
        self._found = tuple(each for each in kept if each is not None)
        if len(self._found) < len(self.pictures):
            self._found = ()
            return []
        finished = []
        for index, each in enumerate(self._found):
            batch.facts.noted.update(each.facts)
            for comment in each.comments:
                self.watch.remark(comment)
            shown = FinishedPicture(each.picture, each.picture, index, batch, services)
            finished.append(replace(shown, mask=each.mask, extras=each.extras))
        return finished

    def keep(self, finished: Sequence[FinishedPicture]) -> None:
        """The pictures as they are now."""
        for picture, each in zip(self.pictures, finished, strict=True):
            facts, comments = dict(each.batch.facts.noted), tuple(self.watch.comments)
            kept = KeptPicture(self._key(picture), each.picture, each.mask, each.extras, facts, comments)
            self._save(picture, kept)

    def may_begin(self, index: int) -> bool:
        """Whether what follows may be tried with this picture, which is noted if earlier engines have ended over it."""
        if not self._found:
            return True
        kept = self._found[index]
        if kept.begun >= ENGINES:
            return False
        self._save(self.pictures[index], replace(kept, begun=kept.begun + 1))
        return True

    def forget(self) -> None:
        """The pictures have been given out."""
        for picture in self.pictures:
            if (points := self._of(picture)) is not None:
                points.forget()

    def _of(self, picture: Picture) -> ResumePoints | None:
        return None if self.folder is None else self.folder.of(f"picture-{picture.position}")

    def _key(self, picture: Picture) -> str:
        """Scripts may ask for one picture after the other at the same place."""
        whole = (picture.request.model_dump_json(), picture.seed, picture.subseed, self.plan.checkpoint.path)
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    def _read(self, picture: Picture) -> KeptPicture | None:
        points = self._of(picture)
        path = None if points is None else points.newest
        kept: KeptPicture | None = None
        if path is not None:
            with fenced(lambda error: log.warning("%s cannot be read: %s", path, error)):
                kept = KeptPicture.read(path)
        return kept if kept is not None and kept.key == self._key(picture) else None

    def _save(self, picture: Picture, kept: KeptPicture) -> None:
        points = self._of(picture)
        if points is None:
            return
        try:
            self.watch.emit(Saved(self.watch.job_id, points.save(kept.write)))
        except StorageError as error:
            log.warning("No resume point could be written: %s", error)

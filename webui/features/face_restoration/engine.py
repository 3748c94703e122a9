"""A restorer of the registry mends the faces of a decoded picture."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from webui import registry
from webui.engine.feature import FeatureEngine, FinishedPicture
from webui.engine.start import copy
from webui.entry_points import expected
from webui.features.face_restoration.parameters import Params
from webui.registry import RestorerEntry


class Engine(FeatureEngine[Params]):
    """The picture with its faces mended; as it is, with a remark, where nothing can."""

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        entry = chosen(self.params.model)
        if entry is None:
            finished.watch.remark(f"Faces were not restored: {_lacking(self.params.model)}")
            return finished
        finished.batch.facts.note("Face restoration", entry.name)
        restored: Image.Image = expected(
            registry.resolved(entry.code)(finished.picture), Image.Image, entry, entry.name
        )
        if restored is finished.picture or not self.params.keeps_before:
            return replace(finished, picture=restored)
        before = copy("before-face-restoration", finished.picture)
        return replace(finished, picture=restored, extras=(*finished.extras, before))


def chosen(name: str) -> RestorerEntry | None:
    """The restorer of this name, in any letter case; "" is the first. None: there is none."""
    return next((e for e in registry.restorers() if not name or e.name.casefold() == name.casefold()), None)


def _lacking(name: str) -> str:
    known = [entry.name for entry in registry.restorers()]
    if not known:
        return "nothing that does it is installed."
    return f"there is no face restorer named {name!r}; available: {', '.join(known)}."

"""The place in the passes where a restorer of the registry mends the faces of a decoded picture."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from webui import registry
from webui.registry import RestorerEntry
from webui.request.settings import RenderSettings


def mended(
    picture: Image.Image,
    render: RenderSettings,
    note: Callable[[str, object], None],
    remark: Callable[[str], None],
) -> Image.Image:
    """The picture with its faces mended, where the settings want it; as it is, with a remark, where nothing can."""
    if not render.face_restoration:
        return picture
    entry = chosen(render.face_restoration_model)
    if entry is None:
        remark(f"Faces were not restored: {_lacking(render.face_restoration_model)}")
        return picture
    note("Face restoration", entry.name)
    restored: Image.Image = registry.resolved(entry.code)(picture)
    return restored


def chosen(name: str) -> RestorerEntry | None:
    """The restorer of this name, in any letter case; "" is the first. None: there is none."""
    return next((e for e in registry.restorers() if not name or e.name.casefold() == name.casefold()), None)


def _lacking(name: str) -> str:
    known = [entry.name for entry in registry.restorers()]
    if not known:
        return "nothing that does it is installed."
    return f"no face restorer is called {name!r}; there are {', '.join(known)}."

"""Networks that find the subject of a picture: the packaged one, and files of one's own, as rembg keeps them."""

from __future__ import annotations

from pathlib import Path

from webui.base.errors import NotFound, did_you_mean
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.folders import Folders, SearchFolder
from webui.request.cutting import INCLUDED, PACKAGED, Cutting, Edge
from webui.request.model_ref import ModelRef

FOLDERS = ("rembg", "u2net")
"""Below `models/`; the second is what rembg calls its own."""
ENDINGS = (".onnx",)
PUBLISHED = (
    "u2net",
    "u2netp",
    "u2net_human_seg",
    "u2net_cloth_seg",
    "silueta",
    "isnet-general-use",
    "isnet-anime",
    "birefnet-general",
    "birefnet-general-lite",
    "birefnet-portrait",
    "birefnet-dis",
    "birefnet-hrsod",
    "birefnet-cod",
    "birefnet-massive",
    "bria-rmbg",
    "ben2-base",
    "sam",
)
"""What rembg calls its networks; the packaged one answers for one that is not there."""


class CutOutFiles:
    """The networks of an installation. Looked for anew each time: there are few."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._places = [SearchFolder(paths.models / folder, ENDINGS) for folder in FOLDERS]
        self._folders = folders

    def files(self) -> dict[str, ModelRef]:
        """Name -> file of one's own."""
        looked = self._folders.look("Background removal", self._places)
        return {
            named(file.path.stem): ModelRef(str(file.path), named(file.path.stem), stamp=file.stamp)
            for _, file in reversed(looked)
        }

    def names(self) -> list[str]:
        """What a list offers."""
        own = sorted(self.files(), key=str.casefold)
        return [PACKAGED, *(name for name in own if name != PACKAGED)]

    def cutting(self, name: str, edge: Edge | None = None, field: str = "") -> Cutting:
        """With the network of this name, or of this file, in any letter case; "" is the packaged one, which also stands
        for one that rembg would download.

        Raises:
            NotFound: there is none; `field` asked for it.
        """
        folded, files = name.strip().casefold(), self.files()
        for own, ref in files.items():
            if folded in (own.casefold(), Path(ref.path).name.casefold()):
                return Cutting(ref, edge)
        if folded in ("", PACKAGED):
            return Cutting(INCLUDED, edge)
        if folded in PUBLISHED:
            return Cutting(INCLUDED, edge, name.strip())
        hint = did_you_mean(name, [PACKAGED, *files]) or f"Put {name.strip()}.onnx into models/{FOLDERS[0]}."
        raise NotFound(f"There is no network for backgrounds named {name.strip()!r}.", hint=hint, field=field)

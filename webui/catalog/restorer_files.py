"""Files of networks that restore faces, and the names that programs know them by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from webui import registry
from webui.base.errors import NotFound, did_you_mean
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.folders import Folders, SearchFolder
from webui.request.model_ref import ModelRef

FOLDERS = ("Codeformer", "GFPGAN", "RestoreFormer", "facerestore_models")
"""Below `models/`; the last is what other programs call it."""
ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt")
PUBLISHED: Mapping[str, str] = {
    "CodeFormer": "codeformer-v0.1.0.pth into models/Codeformer",
    "GFPGAN": "GFPGANv1.4.pth into models/GFPGAN",
    "RestoreFormer": "RestoreFormer.pth into models/GFPGAN",
}
"""A1111's names, with which the published files' names begin -> which file goes where."""
BESIDE = ("detection_", "parsing_", "alignment_", "recognition_", "yolov5", "headpose_", "matting_")
"""How the names of files begin that other programs keep in the same folders, and that restore nothing."""
INSTEAD = "Or turn on ADetailer with the detector 'face' (in Extras: Detail): it repaints faces with the checkpoint."


class RestorerFiles:
    """The face restorers of an installation. Looked for anew each time: there are few."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        places = (*paths.restorer_dirs, *(paths.models / folder for folder in FOLDERS))
        self._places = [SearchFolder(place, ENDINGS) for place in places]
        self._folders = folders

    def files(self) -> dict[str, ModelRef]:
        """Name -> file: of each published kind the newest under A1111's name, then all others by their stems."""
        looked = self._folders.look(
            "Face restorers", self._places, wanted=lambda file: not file.path.stem.casefold().startswith(BESIDE)
        )
        refs = [ModelRef(str(file.path), named(file.path.stem), stamp=file.stamp) for _, file in looked]
        refs.sort(key=lambda ref: ref.title.casefold(), reverse=True)
        found: dict[str, ModelRef] = {}
        for kind in PUBLISHED:
            newest = next((ref for ref in refs if ref.title.casefold().startswith(kind.casefold())), None)
            if newest is not None:
                found[kind] = newest
        taken = {ref.path for ref in found.values()}
        found |= {ref.title: ref for ref in reversed(refs) if ref.path not in taken}
        return found

    def names(self) -> list[str]:
        """What a list offers."""
        return [*self.files(), *(entry.name for entry in registry.restorers())]

    def ref(self, name: str, field: str = "") -> ModelRef:
        """The restorer of this name, or of this file, in any letter case; "" is the first. Without a path it is that of
        an installed package.

        Raises:
            NotFound: there is none.
        """
        files, folded = self.files(), name.strip().casefold()
        for own, ref in files.items():
            file = Path(ref.path).name
            if not folded or folded in (own.casefold(), *(named(part).casefold() for part in (Path(file).stem, file))):
                return ModelRef(ref.path, own, stamp=ref.stamp)
        for entry in registry.restorers():
            if not folded or entry.name.casefold() == folded:
                return ModelRef("", entry.name)
        kind = next((kind for kind in PUBLISHED if folded.startswith(kind.casefold())), "")
        if kind or not files:
            hint = f"Put {PUBLISHED[kind] if kind else ', or '.join(list(PUBLISHED.values())[:2])}. {INSTEAD}"
        else:
            hint = did_you_mean(name, files)
        missing = f"There is no face restorer named {name.strip()!r}." if folded else "There is no face restorer."
        raise NotFound(missing, hint=hint, field=field)


def folder_of(ref: ModelRef) -> str | None:
    """Where its file lies; None: it has none."""
    return named(Path(ref.path).parent) if ref.path else None

"""Files of preprocessors that have a network: in the layout of A1111's extension, as people have them."""

from __future__ import annotations

from pathlib import Path

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.checkup import check_model
from webui.catalog.folders import Folders, SearchFolder
from webui.request.model_ref import ModelRef
from webui.request.preprocessors import TABLE, WeightsOf, preprocessor

FOLDER = "ControlNetPreprocessor"
INSIGHTFACE = "insightface"
"""Below models: where that package unpacks what it fetches, and other programs look for it."""
DOWNLOADS = Path("extensions", "sd-webui-controlnet", "annotator", "downloads")
"""Below the data folder: where the extension of A1111 keeps them."""
ENDINGS = (".pth", ".pt", ".safetensors", ".onnx")
KNOWN = frozenset(name.casefold() for each in TABLE for weights in each.weights for name in weights.names)


class AnnotatorFiles:
    """The preprocessors' files of an installation. Looked for anew each time: there are few."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._places = (paths.models / FOLDER, paths.models / INSIGHTFACE, paths.data / DOWNLOADS)
        self._folders = folders
        self.also_in: tuple[Path, ...] = ()
        """Folders that the settings name."""

    def refs(self, module: str) -> tuple[ModelRef, ...]:
        """The files of a preprocessor, by its name, in the order of its line in the table; those that it can do without
        may be missing. Whatever folder below the places a file lies in, its name tells which it is.

        Raises:
            NotFound: one is missing or broken, or there is no such preprocessor.
        """
        wanted = preprocessor(module).weights
        if not wanted:
            return ()
        places = [SearchFolder(place, ENDINGS) for place in (*self._places, *self.also_in)]
        looked = self._folders.look(
            FOLDER, places, _checked, wanted=lambda file: file.path.name.casefold() in KNOWN, remembered_as="annotators"
        )
        by_name = {file.path.name.casefold(): file for _, file in reversed(looked)}
        found: list[ModelRef] = []
        for weights in wanted:
            file = next((by_name[name.casefold()] for name in weights.names if name.casefold() in by_name), None)
            if file is None:
                if not weights.optional:
                    raise _missing(module, weights)
                continue
            name = named(file.path.name)
            if file.fault:
                raise NotFound(
                    f"{name}, which the preprocessor {module} needs, is broken: {file.fault}",
                    hint="Download it again.",
                    field="module",
                )
            found.append(ModelRef(str(file.path), name, stamp=file.stamp))
        return tuple(found)


def _missing(module: str, weights: WeightsOf) -> NotFound:
    usual, *others = weights.names
    also = f" (or {', '.join(others)})" if others else ""
    return NotFound(
        f"The preprocessor {module} needs the file {usual}, which is missing.",
        hint=f"Put it into models/{FOLDER}/{weights.folder}/{usual}{also}.",
        field="module",
    )


def _checked(path: Path) -> None:
    """As other files of models; .onnx files are looked at when they are opened."""
    if path.suffix.lower() != ".onnx":
        check_model(path)

"""Lists of words that a description is completed with, and the CLIP model that ranks them by how well they fit.

As A1111 has them: `interrogate/NAME.txt` or `NAME.topN.txt` below the data folder, a phrase a line. The model: a file
with both of its towers below `models/CLIP`, or two files in .onnx.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from webui.base.paths import Paths
from webui.catalog.checkup import check_unless_onnx
from webui.catalog.folders import Folders, SearchFolder
from webui.request.interrogators import Ranking, WordList
from webui.request.model_ref import ModelRef
from webui.request.settings import InterrogateSettings

LISTS, MODELS = "interrogate", "CLIP"
ENDINGS = (".safetensors", ".onnx")
_TOP = re.compile(r"\.top(\d{1,2})$")
LARGEST_LIST = 8 * 2**20
LONGEST_PHRASE = 300
MOST_LISTS, MOST_PHRASES = 50, 20_000


class RankingLists:
    """The lists and the model of an installation. Looked for anew each time."""

    def __init__(self, paths: Paths, folders: Folders, known: Callable[[ModelRef], ModelRef]) -> None:
        self._lists, self._models = paths.data / LISTS, paths.models / MODELS
        self._folders, self._known = folders, known

    def names(self) -> list[str]:
        """Of the lists."""
        return sorted({_TOP.sub("", path.stem) for path in self._files()}, key=str.casefold)

    def ranking(self, interrogate: InterrogateSettings) -> Ranking | None:
        """How a description is completed; None: there is no list, or no model."""
        model = self._model()
        limit = interrogate.interrogate_clip_dict_limit or MOST_PHRASES
        lists = [
            WordList(name, _count(path), phrases)
            for path in self._files()
            if (name := _TOP.sub("", path.stem)) not in interrogate.interrogate_clip_skip_categories
            and (phrases := _phrases(path, min(limit, MOST_PHRASES)))
        ]
        if model is None or not lists:
            return None
        return Ranking(self._known(model), tuple(lists), interrogate.interrogate_return_ranks)

    def _files(self) -> list[Path]:
        try:
            found = sorted(path for path in self._lists.iterdir() if path.suffix.lower() == ".txt" and path.is_file())
        except OSError:
            return []
        return found[:MOST_LISTS]

    def _model(self) -> ModelRef | None:
        """The first file there that is not broken; those that torch carries out come first."""
        looked = self._folders.look(MODELS, [SearchFolder(self._models, ENDINGS)], check_unless_onnx)
        good = sorted(
            (file for _, file in looked if not file.fault), key=lambda file: ENDINGS.index(file.path.suffix.lower())
        )
        return next((ModelRef(str(file.path), file.stem, stamp=file.stamp) for file in good), None)


def _count(path: Path) -> int:
    """How many of a list's phrases are taken."""
    match = _TOP.search(path.stem)
    return max(int(match[1]), 1) if match else 1


def _phrases(path: Path, most: int) -> tuple[str, ...]:
    """Those of a list, the first ones; none where it cannot be read."""
    try:
        if path.stat().st_size > LARGEST_LIST:
            return ()
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    return tuple(dict.fromkeys(line.strip()[:LONGEST_PHRASE] for line in lines if line.strip()))[:most]

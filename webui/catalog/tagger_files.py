"""WD14 taggers of one's own: a network and its list of tags in a folder, as people and other programs keep them.

Read are `wd14/NAME/model.onnx` or `model.safetensors` with `selected_tags.csv` beside it, below the folder of models;
the folders of A1111's tagger extension (`TaggerOnnx`, and `interrogators` as huggingface_hub fills it) and of kohya's
scripts (`wd14_tagger_model/SmilingWolf_NAME`); and `NAME.onnx` with `NAME.csv`.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from webui.base.errors import ModelError, NotFound, did_you_mean
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.checkup import check_unless_onnx
from webui.catalog.files import Found
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.headers import read_header
from webui.request.interrogators import FIRST
from webui.request.model_ref import ModelRef

FOLDER = "wd14"
PLACES = (FOLDER, "TaggerOnnx", "interrogators", "wd14_tagger_model")
"""Below the folder of models."""
ENDINGS = (".onnx", ".safetensors")
USUAL, TAGS = "model", "selected_tags.csv"
"""What the network and its list are called in a folder of their own, the one without its ending."""
PUT = f"Put its model.onnx or model.safetensors, and {TAGS}, into models/{FOLDER}/NAME."
AUTHOR = "SmilingWolf_"
CACHED = "models--"
"""What folders of huggingface_hub begin with."""
OWN = frozenset(
    {
        "blocks.0.attn.qkv.weight",
        "blocks.0.attn.q_proj.weight",
        "layers.0.blocks.0.attn.logit_scale",
        "stages.0.blocks.0.gamma",
    }
)
"""A tensor of each of the networks that this program has: ViT, EVA-02, SwinV2, ConvNeXt."""
_ALIKE = frozenset({"", "wd", "wd14", "1", "4", "v1", "tagger", "git", "smilingwolf"})
"""Parts of names that tell no tagger from another."""


class TaggerFiles:
    """The taggers of an installation. Looked for anew each time: there are few."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._places = tuple(paths.models / place for place in PLACES)
        self._folders = folders

    def files(self) -> dict[str, Found]:
        """Name -> the network's file. Of several in one folder, the one that needs no other program."""
        places = [SearchFolder(place, ENDINGS) for place in self._places]
        found: dict[str, Found] = {}
        for _, file in self._folders.look(FOLDER, places, check_unless_onnx):
            name = name_of(file)
            if name not in found or (file.path.parent == found[name].path.parent and _is_own(file.path)):
                found[name] = file
        return found

    def names(self) -> list[str]:
        """What a list offers."""
        return sorted(self.files(), key=str.casefold)

    def ref(self, name: str) -> ModelRef:
        """The tagger of this name, in any letter case, or of one that means the same network: wd14-vit-v2-git is
        wd-v1-4-vit-tagger-v2. `FIRST` is the first one.

        Raises:
            NotFound: there is none, it is broken, or its list of tags is missing.
        """
        files = self.files()
        if name in ("", FIRST):
            name = min(files, key=str.casefold, default="")
        by_name = {own.casefold(): own for own in files}
        alike = [own for own in files if _parts(own) == _parts(name)] if _parts(name) else []
        own = by_name.get(name.strip().casefold()) or next(iter(alike), "")
        if not own:
            hint = did_you_mean(name, files) if files else PUT
            said = f"There is no tagger named {name!r}." if name else "There is no WD14 tagger, which finds tags."
            raise NotFound(said, hint=hint, field="model")
        file = files[own]
        if file.fault:
            raise NotFound(f"The tagger {own} is broken: {file.fault}", hint="Download it again.", field="model")
        tags = tags_beside(file.path)
        if not tags.is_file():
            raise NotFound(
                f"The tagger {own} has no list of tags: {named(tags.name)} is missing.",
                hint=f"Put it beside {named(file.path.name)}.",
                field="model",
            )
        return ModelRef(str(file.path), own, stamp=file.stamp)


def name_of(file: Found) -> str:
    """What a tagger is called: as its file, or as its folder where that file is called as all are."""
    if file.stem.casefold() != USUAL:
        return file.stem
    folders = PurePosixPath(file.name).parts[:-1]
    cached = next((part for part in folders if part.startswith(CACHED)), "")
    own = cached.rsplit("--", 1)[-1] or (folders[-1] if folders else named(file.path.parent.name))
    return own.removeprefix(AUTHOR)


def tags_beside(path: Path) -> Path:
    """The list of the tags of a network in this file."""
    return path.with_name(TAGS) if path.stem.casefold() == USUAL else path.with_suffix(".csv")


def _parts(name: str) -> frozenset[str]:
    """What in a name says which network it is: its kind, and the version of its list."""
    return frozenset(re.split(r"[^a-z0-9]+", name.casefold())) - _ALIKE


def _is_own(path: Path) -> bool:
    """Whether it is a network that is carried out here without another program."""
    if path.suffix.lower() != ".safetensors":
        return False
    try:
        return not OWN.isdisjoint(read_header(path))
    except ModelError:
        return False

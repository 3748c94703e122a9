"""Files of control networks, and the names that programs know them by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from webui.base.errors import ModelError, NotFound, did_you_mean
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.checkup import check_model
from webui.catalog.control_kinds import told
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.headers import read_header, sizes_in
from webui.request.model_ref import ModelRef

ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
EXTENSION = Path("extensions", "sd-webui-controlnet", "models")
"""Below the data folder: where the extension of A1111 keeps its own."""
DOWNLOADS = Path("extensions", "sd-webui-controlnet", "annotator", "downloads", "clip_vision")
"""And its image encoders."""
OLD_HASH_AT, OLD_HASH_SIZE = 0x100000, 0x10000
"""A1111's old hash: of 64 KiB, one MiB into the file."""


@dataclass(frozen=True)
class ControlFile:
    """A file of a control network."""

    stem: str
    path: Path
    stamp: tuple[int, int]

    @property
    def title(self) -> str:
        """What lists call it: `control_v11p_sd15_canny [d14c016b]`."""
        return f"{self.stem} [{_old_hash(self.path)}]"


class ControlNetworks:
    """The control networks of an installation. Looked for anew each time: there are few."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._places = (
            paths.models / "ControlNet",
            *paths.control_dirs,
            paths.data / EXTENSION,
        )
        self._folders = folders
        self.also_in: tuple[Path, ...] = ()
        """Folders that the settings name."""
        self._families: dict[Path, tuple[tuple[int, int], str]] = {}

    def files(self) -> list[ControlFile]:
        """By name; of two with one name the first counts."""
        places = [SearchFolder(place, ENDINGS) for place in (*self._places, *self.also_in)]
        found: dict[str, ControlFile] = {}
        for _, file in self._folders.look("ControlNet", places):
            stem = named(file.path.stem)
            found.setdefault(stem, ControlFile(stem, file.path, file.stamp))
        return sorted(found.values(), key=lambda file: file.stem)

    def titles(self) -> list[str]:
        return ["None", *(file.title for file in self.files())]

    def ref(self, name: str) -> ModelRef:
        """The network of this title, else of this stem in any letter case, else the one with the shortest name that
        contains it.

        Raises:
            NotFound: there is none.
            ModelError: its file is broken.
        """
        files = self.files()
        folded = name.casefold()
        bare = folded.rsplit(" [", 1)[0] if folded.endswith("]") else folded
        exact = next((file for file in files if file.stem.casefold() == bare), None)
        within = sorted(
            (file for file in files if bare and bare in file.stem.casefold()), key=lambda file: len(file.stem)
        )
        found = exact or next(iter(within), None)
        if found is None:
            raise NotFound(
                f"There is no control network named {name!r}.",
                hint=did_you_mean(name, [file.stem for file in files]) or "Put its file into models/ControlNet.",
                field="features",
            )
        return ModelRef(str(found.path), found.stem, stamp=found.stamp, family=self._family(found))

    def _family(self, file: ControlFile) -> str:
        """As `family_of`, looked at again when the file has changed."""
        stamp, family = self._families.get(file.path, ((0, 0), ""))
        if stamp != file.stamp:
            family = family_of(file.path)
            self._families[file.path] = (file.stamp, family)
        return family


def family_of(path: Path) -> str:
    """For which family a control network was made; "": nothing tells before it is opened.

    Raises:
        ModelError: the file is broken.
    """
    name = named(path.name)
    try:
        check_model(path)
        header = read_header(path) if path.suffix.lower() == ".safetensors" else {}
        shapes = {
            key: sizes_in(entry.get("shape"), key)
            for key, entry in header.items()
            if key != "__metadata__" and isinstance(entry, dict)
        }
    except ModelError as error:
        # Nobody but the machine's owner is to learn where folders lie.
        reason = error.message.replace(str(path), "it")
        raise ModelError(f"{name} is broken: {reason}", hint=error.hint, field="features") from error
    except OSError as error:
        reason = f"{name} cannot be read: {error.strerror or error}."
        raise ModelError(reason, hint="Check its permissions.", field="features") from error
    facts = told(shapes)
    return facts.family if facts is not None else ""


def _old_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(OLD_HASH_AT)
            return hashlib.sha256(file.read(OLD_HASH_SIZE)).hexdigest()[:8]
    except OSError:
        return "unreadable"


class ImageEncoders:
    """The image encoders of an installation: which is which, their shapes tell whoever opens them."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._places = (
            paths.models / "ControlNetPreprocessor" / "clip_vision",
            paths.models / "clip_vision",
            paths.data / DOWNLOADS,
        )
        self._folders = folders
        self.also_in: tuple[Path, ...] = ()
        """Folders that the settings name."""

    def refs(self) -> tuple[ModelRef, ...]:
        """Those that are not broken."""
        places = [SearchFolder(place, ENDINGS) for place in (*self._places, *self.also_in)]
        found = self._folders.look("Image encoders", places)
        return tuple(
            ModelRef(str(file.path), named(file.path.stem), stamp=file.stamp) for _, file in found if not file.fault
        )

"""Checkpoints on disk: found, titled, hashed, looked up by every name that people and old infotexts have for them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from webui.base.errors import ModelError, NotFound, StorageError, did_you_mean
from webui.base.json_values import Json, JsonObject
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.files import Found, stamp_of
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.hashes import BackgroundHashing, Hashes, Stamp
from webui.catalog.headers import read_header, read_metadata
from webui.catalog.model_families import family_of_checkpoint
from webui.catalog.problems import Problems
from webui.catalog.said import examples_in, read_said
from webui.request.plan import CheckpointRef

ENDINGS = (".safetensors", ".ckpt", ".gguf")
VAES_BESIDE = (".vae.safetensors", ".vae.ckpt", ".vae.pt")
"""How names of files end that are VAEs, though they lie among the checkpoints."""
PIPELINE = "model_index.json"
"""The file that makes a folder one checkpoint: a pipeline of diffusers."""
PIPELINE_SIDE = 1024
"""Width and height in pixels of pipelines that do not say theirs; most were trained so."""
FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"
EDITING = 8
"""Channels that the first layer of an InstructPix2Pix checkpoint takes: the latents, and the picture's."""
SUGGESTED = 2000
"""Of more checkpoints than this, only so many are compared with a misspelt name."""


@dataclass(frozen=True)
class Checkpoint:
    """A file, or a folder of diffusers, that can make pictures; its hash is "" until it is computed."""

    path: Path
    name: str
    """`folder/name.safetensors`, relative to the folder of checkpoints that it lies in; no two have the same."""
    stamp: Stamp
    sha256: str = ""
    whole: bool = False
    """It is a folder: a pipeline of diffusers, which is run as a whole."""
    fault: str = ""
    """What is wrong with it, where it is broken."""

    @property
    def stem(self) -> str:
        """The file's name without folder and extension."""
        return self.bare.rsplit("/", 1)[-1]

    @property
    def bare(self) -> str:
        """The name without extension; a folder has none, whatever dots are in it."""
        return self.name if self.whole else self.name.rsplit(".", 1)[0]

    @property
    def model_name(self) -> str:
        """A1111: `folder_name`, which no two have unless one has the other's folder in its name."""
        return self.bare.replace("/", "_")

    @property
    def short_hash(self) -> str:
        return self.sha256[:10]

    @property
    def title(self) -> str:
        """`folder/name.safetensors [6ce0161689]`, or without the hash while that is not known."""
        return f"{self.name} [{self.short_hash}]" if self.sha256 else self.name

    @property
    def short_title(self) -> str:
        """`name [6ce0161689]`"""
        return f"{self.stem} [{self.short_hash}]" if self.sha256 else self.stem

    @property
    def config(self) -> Path | None:
        """The yaml file beside it that describes its architecture, where there is one."""
        beside = self.path.with_suffix(".yaml")
        return beside if beside.is_file() and not self.whole else None

    @property
    def metadata(self) -> JsonObject:
        """What the author wrote into a safetensors file."""
        return read_metadata(self.path)

    @property
    def native_size(self) -> tuple[int, int] | None:
        """(width, height) in pixels that its author says it was trained at (ModelSpec's `modelspec.resolution`)."""
        if self.whole:
            return _pipeline_size(self.path)
        found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", str(self.metadata.get("modelspec.resolution", "")))
        return (int(found[1]), int(found[2])) if found else None

    @property
    def examples(self) -> tuple[str, ...]:
        """Prompts to begin with, from the table beside it."""
        beside = self.path.with_suffix(".json")
        return examples_in(read_said(beside)) if not self.whole and beside.is_file() else ()

    @property
    def edits(self) -> bool:
        """Whether it edits pictures by instruction (InstructPix2Pix): its network takes the given picture, too.

        A safetensors file shows it by the first layer's inputs; of others a yaml file beside them, or their name, does.
        """
        if self.whole:
            return False
        if self.path.suffix.lower() == ".safetensors":
            return _inputs(self.path) == EDITING
        if self.config is not None:
            try:
                return "cond_stage_key: edit" in self.config.read_text("utf-8", "replace")
            except OSError:
                return False
        return "pix2pix" in self.name.casefold()

    @property
    def ref(self) -> CheckpointRef:
        """What the engine gets."""
        return CheckpointRef(
            path=str(self.path),
            title=self.title,
            name=self.stem,
            sha256=self.sha256,
            config=str(self.config or ""),
            stamp=self.stamp,
        )


class Checkpoints:
    """The checkpoints of an installation. Listing them never waits for hashes: those come in the background.

    Which is which: files of `models/Stable-diffusion` and below, of `models` itself, and of `--ckpt-dir` and below; and
    folders there, and in `models/diffusers`, that are pipelines of diffusers.
    """

    def __init__(self, paths: Paths, hashes: Hashes, folders: Folders | None = None) -> None:
        self._paths = paths
        self._hashes = hashes
        self._folders = folders or Folders(hashes, Problems())
        self._doubted: dict[tuple[Path, Stamp], str] = {}
        self._families: dict[tuple[Path, Stamp], str] = {}
        self._lock = threading.RLock()
        self._known: tuple[Checkpoint, ...] | None = None
        self._names: dict[str, Checkpoint] | None = None
        self.hashing = BackgroundHashing(hashes, self._learn)

    def scan(self) -> tuple[Checkpoint, ...]:
        """All checkpoints in natural order, as they were at the last look."""
        with self._lock:
            return self._known if self._known is not None else self.refresh()

    def refresh(self) -> tuple[Checkpoint, ...]:
        """Refresh the list."""
        hashes = self._hashes.all_cached()
        found = tuple(
            Checkpoint(
                path=file.path,
                name=name,
                stamp=file.stamp,
                sha256=hashes.get((named(file.path), file.stamp), ""),
                whole=not name.lower().endswith(ENDINGS),
                fault=file.fault,
            )
            for name, file in self._named()
        )
        with self._lock:
            self._known = found
            self._names = None
        return found

    def hash_in_background(self) -> None:
        """Compute the hashes that are not known yet, one after the other, in a thread of low priority."""
        self.hashing.add(checkpoint.path for checkpoint in self.scan() if not checkpoint.sha256)

    def titles(self) -> list[str]:
        """What the dropdown offers."""
        return [checkpoint.title for checkpoint in self.scan()]

    def find(self, name: str) -> Checkpoint:
        """The checkpoint that has this title, name, stem or hash, or the closest match; "" means the first whole one.

        A closest match is, as in A1111, the shortest title that contains the text, or contains it without a `[hash]`
        at its end.

        Raises:
            NotFound: there is none.
        """
        known = self.scan()
        if not known:
            raise NotFound(
                "There is no checkpoint yet.",
                hint=f"Put a .safetensors file into {self._paths.checkpoints} and press the refresh button.",
                field="sd_model_checkpoint",
            )
        if not name:
            return self._first(known)
        names = self._aliases()
        found = names.get(name) or names.get(name.casefold()) or self._by_legacy_hash(name)
        without_hash = _without_hash(name)
        found = found or self._containing(name) or (self._containing(without_hash) if without_hash else None)
        if found is None:
            titles = [checkpoint.title for checkpoint in known[:SUGGESTED]]
            hint = did_you_mean(name, titles) if len(titles) < 20 else f"There are {len(known)} others."
            raise NotFound(f"There is no checkpoint {name!r}.", hint=hint, field="sd_model_checkpoint")
        return found

    def doubt(self, path: Path, why: str) -> bool:
        """An engine cannot open this one: it is no default any more -> whether another one is, now."""
        before = self.find("")
        with self._lock:
            for checkpoint in self.scan():
                if checkpoint.path == path:
                    self._doubted[checkpoint.path, checkpoint.stamp] = why
            told = {one.name: self._doubted.get((one.path, one.stamp), "") for one in self.scan()}
        self._folders.doubted("Stable-diffusion", {name: why for name, why in told.items() if why})
        return self.find("") != before

    def _first(self, known: tuple[Checkpoint, ...]) -> Checkpoint:
        """The one to begin with: a broken one only where all are."""
        whole = (one for one in known if not one.fault and (one.path, one.stamp) not in self._doubted)
        return next(whole, known[0])

    def ref(self, checkpoint: Checkpoint) -> CheckpointRef:
        """What the engine gets, with the file as it is now; its hash is computed before the others'.

        Raises:
            NotFound: the file is gone.
        """
        try:
            stamp = stamp_of(checkpoint.path)
        except OSError as error:
            raise NotFound(
                f"The checkpoint {checkpoint.path} is gone: {error.strerror or error}.",
                hint="Press the refresh button beside the list of checkpoints.",
                field="sd_model_checkpoint",
            ) from error
        if stamp != checkpoint.stamp:
            checkpoint = replace(checkpoint, stamp=stamp, sha256="")
        if not checkpoint.sha256:
            checkpoint = replace(checkpoint, sha256=self._hashes.cached(checkpoint.path, stamp) or "")
        if not checkpoint.sha256:
            self.hashing.add([checkpoint.path], first=True)
        return replace(checkpoint.ref, family=self.family(checkpoint))

    def family(self, checkpoint: Checkpoint) -> str:
        """Of which family it is, as `webui.request.capabilities` names it; "" where only the engine can tell.

        Its header is read once, when somebody asks.
        """
        key = (checkpoint.path, checkpoint.stamp)
        if key not in self._families:
            self._families[key] = family_of_checkpoint(checkpoint.path, whole=checkpoint.whole)
        return self._families[key]

    def close(self) -> None:
        """End the background hashing."""
        self.hashing.stop()

    def _places(self) -> Iterable[SearchFolder]:
        yield SearchFolder(self._paths.checkpoints, ENDINGS, whole=PIPELINE)
        yield SearchFolder(self._paths.models, ENDINGS, deep=False, whole=PIPELINE)
        yield SearchFolder(self._paths.models / "diffusers", ENDINGS, whole=PIPELINE)
        for folder in self._paths.checkpoint_dirs:
            yield SearchFolder(folder, ENDINGS, whole=PIPELINE)

    def _named(self) -> list[tuple[str, Found]]:
        """Each file once, with a name that no other has: the folder comes before it where it must."""
        found: dict[str, Found] = {}
        looked = self._folders.look(
            "Stable-diffusion",
            self._places(),
            wanted=lambda file: not file.path.name.lower().endswith(VAES_BESIDE),
        )
        for place, file in looked:
            name = file.name
            while name in found:
                name = f"{named(place.folder.name)}/{name}" if name == file.name else f"_{name}"
            found[name] = file
        return list(found.items())

    def _learn(self, path: Path) -> None:
        """A hash has come in: the title changes."""
        with self._lock:
            if self._known is None:
                return
            self._known = tuple(
                replace(checkpoint, sha256=self._hashes.cached(path, checkpoint.stamp) or "")
                if checkpoint.path == path
                else checkpoint
                for checkpoint in self._known
            )
            self._names = None

    def _aliases(self) -> dict[str, Checkpoint]:
        with self._lock:
            if self._names is None:
                self._names = {}
                called = [(checkpoint, _aliases_of(checkpoint)) for checkpoint in self.scan()]
                for rank in range(RANKS):
                    for checkpoint, aliases in called:
                        for alias in aliases[rank]:
                            self._names.setdefault(alias, checkpoint)
                folded = {alias.casefold(): checkpoint for alias, checkpoint in reversed(self._names.items())}
                self._names = {**folded, **self._names}
            return self._names

    def _containing(self, text: str) -> Checkpoint | None:
        folded = text.casefold()
        fitting = [checkpoint for checkpoint in self.scan() if folded in checkpoint.title.casefold()]
        return min(fitting, key=lambda checkpoint: len(checkpoint.title), default=None)

    def _by_legacy_hash(self, name: str) -> Checkpoint | None:
        """A1111: infotexts of 2022 name a model by eight digits; they are computed when somebody asks."""
        wanted = re.fullmatch(r"(?:.*\[)?([0-9a-fA-F]{8})\]?", name)
        if wanted is None:
            return None
        for checkpoint in self.scan():
            if checkpoint.whole:
                continue
            try:
                if self._hashes.legacy(checkpoint.path) == wanted[1].lower():
                    return checkpoint
            except StorageError:
                continue
        return None


def _config(part: Path) -> JsonObject:
    """What a part of a pipeline says of itself; {} where nothing can be read."""
    try:
        found: Json = json.loads((part / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _inputs(path: Path) -> int:
    """Channels that the first layer of a UNet in this safetensors file takes; 0 where that is not to be seen."""
    try:
        layer = read_header(path).get(FIRST_LAYER)
        shape = layer.get("shape") if isinstance(layer, dict) else None
    except ModelError:
        return 0
    if not isinstance(shape, list) or len(shape) != 4 or not isinstance(shape[1], int):
        return 0
    return shape[1]


def _pipeline_size(folder: Path) -> tuple[int, int]:
    """The side of the latents that a pipeline's network was made for, in pixels."""
    vae, network = _config(folder / "vae"), _config(folder / "transformer") or _config(folder / "unet")
    side = network.get("sample_size")
    levels = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
    if not isinstance(side, int) or not isinstance(levels, list) or not 0 < side <= 512:
        return PIPELINE_SIDE, PIPELINE_SIDE
    return side * 2 ** (len(levels) - 1), side * 2 ** (len(levels) - 1)


RANKS = 3


def _aliases_of(checkpoint: Checkpoint) -> tuple[list[str], ...]:
    """`RANKS` lists of names: its own, what is made of folder and name, what others may have as well. A name of a lower
    rank is never taken for another checkpoint's of a higher one."""
    name, short = checkpoint.name, checkpoint.short_hash
    own = [checkpoint.title, name, str(checkpoint.path), named(checkpoint.path), name.replace("/", "\\")]
    made, shared = [checkpoint.bare, checkpoint.model_name], [named(checkpoint.path.name), checkpoint.stem]
    if checkpoint.sha256:
        made += [f"{checkpoint.bare} [{short}]", f"{checkpoint.model_name} [{short}]"]
        shared += [short, checkpoint.sha256, checkpoint.sha256[:12], checkpoint.short_title]
    return own, made, shared


def _without_hash(name: str) -> str:
    """ "fox [0123456789]" -> "fox" """
    ended = name.rstrip()
    if not ended.endswith("]"):
        return name
    before, bracket, inside = ended[:-1].rpartition("[")
    return before.rstrip() if bracket and "]" not in inside else name

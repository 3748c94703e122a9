"""LoRAs and their kin on disk: found, named, told apart by family; ten thousand of them without waiting."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webui.base.errors import ModelError, StorageError
from webui.base.fence import read_each
from webui.base.json_values import Json, JsonObject
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.files import Found
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.hashes import BACKGROUND, BackgroundHashing, Hashes, HashKind, Stamp
from webui.catalog.headers import read_header, read_metadata, sizes_in
from webui.catalog.network_families import VERSION, family_of_network
from webui.catalog.problems import Problems
from webui.catalog.tag_names import TagNames, with_folder
from webui.prompt.networks import renamed_loras
from webui.request.plan import NetworkRef

ENDINGS = (".safetensors", ".pt", ".ckpt")
SHORT = 12
"""Digits of a hash in infotexts."""
SETTLED = ("none", "addams")
"""A1111: aliases that mean something else."""


@dataclass(frozen=True)
class Lora:
    """A network file."""

    path: Path
    name: str
    """`folder/name.safetensors`, relative to the folder of LoRAs that it lies in."""
    stamp: Stamp
    alias: str = ""
    """What its author called it ("ss_output_name"), or the file's stem."""
    family: str = ""
    """The model family that it was made for, or ""."""
    author_hash: str = ""
    """The hash that its trainer wrote into it."""
    fault: str = ""
    """What is wrong with it, where it is broken."""

    @property
    def stem(self) -> str:
        """What prompts call it."""
        return named(self.path.stem)

    @property
    def metadata(self) -> JsonObject:
        """What the trainer wrote into a safetensors file."""
        return read_metadata(self.path)


class Loras:
    """The LoRAs of an installation: `models/Lora`, `models/LyCORIS`, and the folders of `--lora-dir`.

    What stands in a file's header is read once and kept in the database until the file changes.
    """

    def __init__(self, paths: Paths, hashes: Hashes, folders: Folders | None = None) -> None:
        self._looking = folders or Folders(hashes, Problems())
        self._folders = tuple(dict.fromkeys((paths.loras, paths.models / "LyCORIS", *paths.lora_dirs)))
        self._hashes = hashes
        self._lock = threading.RLock()
        self._known: tuple[Lora, ...] | None = None
        self._names = TagNames[Lora](())
        self._shared: frozenset[str] = frozenset()

    @property
    def folders(self) -> tuple[Path, ...]:
        return self._folders

    def scan(self) -> tuple[Lora, ...]:
        """All LoRAs in natural order, as they were at the last look."""
        with self._lock:
            return self._known if self._known is not None else self.refresh()

    def refresh(self) -> tuple[Lora, ...]:
        """Refresh the list."""
        with self._lock:
            places = [SearchFolder(folder, ENDINGS) for folder in self._folders]
            files = [file for _, file in self._looking.look("Lora", places)]
            kept = {key: json.loads(text) for key, text in self._hashes.all_cached("summary").items()}
            known = {key: said for key, said in kept.items() if said.get("version") == VERSION}
            new = [file for file in files if (named(file.path), file.stamp) not in known]
            fresh = dict.fromkeys(new, _said("", "", ""))
            fresh |= read_each("Lora", new, lambda file: file.name, lambda file: _summary(file.path))[0]
            told = {(file.path, file.stamp): json.dumps(said) for file, said in fresh.items()}
            self._hashes.remember("summary", told)
            self._known = tuple(_lora(file, fresh.get(file) or known[named(file.path), file.stamp]) for file in files)
            self._names = TagNames((lora, _names(lora)) for lora in self._known)
            counts = Counter(name for lora in self._known for name in {lora.alias.lower(), lora.stem.lower()})
            self._shared = frozenset({*SETTLED, *(name for name, count in counts.items() if count > 1)})
            return self._known

    def names(self) -> list[str]:
        """What a dropdown offers."""
        return [lora.stem for lora in self.scan()]

    def find(self, name: str) -> Lora | None:
        """The LoRA that a prompt calls so: by stem, alias or path; else the folders are looked at again."""
        self.scan()
        return self._found(name) or (self.refresh() and self._found(name)) or None

    def mention(self, lora: Lora, *, by_alias: bool = True) -> str:
        """The name to write into a prompt: the alias, where it is wanted and no other file has it."""
        stem, *others = _names(lora)
        preferred = (lora.alias, stem) if by_alias and lora.alias.lower() not in self._shared else (stem,)
        return self._names.tag(lora, (*preferred, *others))

    def called_here(self, prompt: str, hashes: str) -> str:
        """The prompt with its LoRAs by the names that they have here, if `hashes` ("name: 12 hex digits, ...", as in
        an infotext) say which files they are. Reads no file: only hashes that are known already help."""
        told = {name.strip(): rest.strip() for name, _, rest in (part.partition(":") for part in hashes.split(","))}
        if not told or "<lora:" not in prompt:
            return prompt
        cached = self._hashes.all_cached("sha256") | self._hashes.all_cached("contents")
        known = ((lora.author_hash or cached.get((named(lora.path), lora.stamp), ""), lora) for lora in self.scan())
        there = {digest[:SHORT]: lora for digest, lora in known if digest}

        def name_here(name: str) -> str:
            lora = there.get(told.get(name) or told.get(re.sub("[:,]", "", name), ""))
            return name if lora is None or lora == self._found(name) else self.mention(lora)

        return renamed_loras(prompt, name_here)

    def known_hashes(self) -> dict[Path, str]:
        """File -> its hash, of those for which one is known by now; reads no file."""
        cached = self._hashes.all_cached("sha256") | self._hashes.all_cached("contents")
        told = ((lora.path, lora.author_hash or cached.get((named(lora.path), lora.stamp), "")) for lora in self.scan())
        return {path: digest for path, digest in told if digest}

    def hash_of(self, lora: Lora) -> str:
        """64 hex digits: the trainer's, else those of the tensors. Reads the file once. Raises StorageError."""
        if lora.author_hash:
            return lora.author_hash
        whole = _hash_kind(lora.path) == "sha256"
        if not whole:
            try:
                return self._hashes.contents(lora.path)
            except ModelError:  # it is no safetensors file, whatever its name says
                pass
        return self._hashes.sha256(lora.path)

    def hash_in_background(self, hashing: BackgroundHashing) -> None:
        """Have the hashes computed that nobody knows yet, so that a generation seldom waits for one."""
        for kind in BACKGROUND:
            known = self._hashes.all_cached(kind)
            missing = (lora for lora in self.scan() if not lora.author_hash and _hash_kind(lora.path) == kind)
            hashing.add((lora.path for lora in missing if (named(lora.path), lora.stamp) not in known), kind=kind)

    def ref(self, name: str) -> NetworkRef | None:
        """What the engine gets; without a hash where the file cannot be read, which the engine says then."""
        lora = self.find(name)
        if lora is not None and not lora.path.exists():
            self.refresh()  # Deleted since the last look; another one may go by that name.
            lora = self._found(name)
        if lora is None:
            return None
        try:
            digest = self.hash_of(lora)
        except (ModelError, StorageError):
            digest = ""
        return NetworkRef(str(lora.path), name, digest)

    def _found(self, name: str) -> Lora | None:
        return self._names.find(name)


def _hash_kind(path: Path) -> HashKind:
    return "contents" if path.suffix.lower() == ".safetensors" else "sha256"


def _names(lora: Lora) -> tuple[str, str, str, str, str]:
    """What prompts may call it; stems win over aliases."""
    return lora.stem, lora.name.rsplit(".", 1)[0], lora.alias, *with_folder(lora.path, lora.name)


def _summary(path: Path) -> dict[str, Json]:
    """What is kept of a file's header."""
    try:
        header = read_header(path)
    except ModelError:
        header = {}
    metadata = header.pop("__metadata__", None)
    metadata = metadata if isinstance(metadata, dict) else {}
    shapes = {name: sizes_in(entry.get("shape", []), name) for name, entry in header.items() if isinstance(entry, dict)}
    alias, digest = (str(metadata.get(key) or "") for key in ("ss_output_name", "sshs_model_hash"))
    return _said(alias, family_of_network(shapes, metadata), digest)


def _said(alias: str, family: str, digest: str) -> dict[str, Json]:
    return {"alias": alias, "family": family, "hash": digest, "version": VERSION}


def _lora(file: Found, said: Mapping[str, Any]) -> Lora:
    return Lora(file.path, file.name, file.stamp, said["alias"] or file.stem, said["family"], said["hash"], file.fault)

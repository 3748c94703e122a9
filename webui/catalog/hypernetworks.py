"""Hypernetworks on disk."""

from __future__ import annotations

from pathlib import Path

from webui.base.errors import StorageError
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.files import Found
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.hashes import Hashes
from webui.catalog.tag_names import TagNames, with_folder
from webui.request.plan import NetworkRef


class Hypernetworks:
    """The hypernetworks of an installation: `models/hypernetworks` or `--hypernetwork-dir`."""

    def __init__(self, paths: Paths, hashes: Hashes, folders: Folders) -> None:
        self.folder: Path = paths.hypernetworks
        self._hashes = hashes
        self._folders = folders

    def scan(self) -> list[Found]:
        """All of them, in natural order."""
        return [file for _, file in self._folders.look("hypernetworks", [SearchFolder(self.folder, (".pt",))])]

    def names(self) -> list[str]:
        """What a dropdown offers."""
        return [file.stem for file in self.scan()]

    def ref(self, name: str) -> NetworkRef | None:
        """What the engine gets, by the file's stem, its path, or by how a tag can have them."""
        found = TagNames((file, _names(file)) for file in self.scan()).find(name)
        if found is None:
            return None
        try:
            digest = self._hashes.sha256(found.path)
        except StorageError:
            digest = ""  # the engine says that it cannot be read
        return NetworkRef(str(found.path), name, digest)

    def mention(self, path: Path) -> str:
        """The name to write into a prompt."""
        files = {file.path: _names(file) for file in self.scan()}
        return TagNames(files.items()).tag(path, files.get(path, (named(path.stem),)))


def _names(file: Found) -> tuple[str, str, str, str]:
    return file.stem, file.name.rsplit(".", 1)[0], *with_folder(file.path, file.name)

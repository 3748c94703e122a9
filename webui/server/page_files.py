"""The page's own files: JavaScript modules, under an address that changes whenever any of them does.

The address names the edition, a hash over all files, as a folder: modules import each other by relative names, as they
do on disk, and a browser keeps what it has for good. A file of another edition is not there: modules of two editions
are never mixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fastapi import Response

from webui.server.routes import Routes

ASSETS = Path(__file__).parent / "ui" / "assets"
ENTRY = "main.js"
"""The module that imports all others."""
ROOT = "page"
FOR_GOOD = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
NEVER_KEPT = {"cache-control": "no-store"}


class PageFiles:
    """Files of one edition, in memory: what is served is what was hashed."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        """`contents`: by name."""
        self._contents = dict(sorted(contents.items()))
        told = hashlib.sha256()
        for name, content in self._contents.items():
            told.update(f"{name}\0{len(content)}\0".encode() + content)
        self.edition = told.hexdigest()[:16]

    def address(self, name: str) -> str:
        """Where a file is, below the page."""
        return f"./{ROOT}/{self.edition}/{name}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._contents)

    def content(self, edition: str, name: str) -> bytes | None:
        """A file; None: there is none of this name, or not in this edition."""
        return self._contents.get(name) if edition == self.edition else None


FILES = PageFiles({path.name: path.read_bytes() for path in ASSETS.glob("*.js")})


def routes(files: PageFiles = FILES) -> Routes:
    """The route of the files."""
    router = Routes(prefix=f"/{ROOT}", include_in_schema=False)

    @router.get("/{edition}/{name}", "user")
    def file(edition: str, name: str) -> Response:
        content = files.content(edition, name)
        if content is None:
            return Response("There is no such file, or the page is a newer one by now.", 404, NEVER_KEPT)
        return Response(content, media_type="text/javascript", headers=FOR_GOOD)

    return router

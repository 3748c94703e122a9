"""The page's own files: JavaScript modules and the stylesheet, under an address that changes whenever any of them does.

The address names the edition, a hash over all files, as a folder: modules import each other by relative names, as they
do on disk, and a browser keeps what it has for good. A file of another edition is not there: modules of two editions
are never mixed.

Gradio's scripts and stylesheets are given out by us as well, the sheets in a layer below ours: at addresses of their
own, since a browser may have kept them as Gradio itself gave them out. Their edition is that of Gradio alone: a page
that stays open while the program becomes a newer one still gets what it loads late.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from fastapi import Response
from starlette.responses import FileResponse

from webui.server.routes import Routes
from webui.server.ui import late, lookup, sheets

ENTRY = "main.js"
"""The module that imports all others."""
SHEET = "style.css"
INLINE = "inline"
"""The folder of scripts that stand in the page itself."""
USER_SHEET = "user.css"
"""Where the person's own one is, below the page: as A1111 calls it in the data folder."""
ROOT = "page"
OLD_PLACE = "./assets/"
"""Where Gradio has its files."""
FOR_GOOD = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
NEVER_KEPT = {"cache-control": "no-store"}
_NAME = re.compile(r"[\w-]+(\.[\w-]+)+", re.ASCII)


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
    def modules(self) -> tuple[str, ...]:
        return tuple(name for name in self._contents if name.endswith(".js"))

    def content(self, edition: str, name: str) -> bytes | None:
        """A file; None: there is none of this name, or not in this edition."""
        return self._contents.get(name) if edition == self.edition else None

    def in_layers(self, page: str, *, user_sheet: bool = False) -> str:
        """Gradio's page, with its own rules in the layer below ours, and all sheets and scripts from this edition.
        `user_sheet`: there is one."""
        page = _STYLE.sub(lambda found: f"<style>{sheets.below_ours(found[1])}</style>", page, count=1)
        page = _OF_GRADIO.sub(lambda found: f'{found[1]}="{GRADIO_PLACE}', page)
        ours = f'<style>{sheets.ORDER}</style><link rel="stylesheet" href="{escape(self.address(SHEET))}">'
        if user_sheet:  # in no layer, and so above all of them
            ours += f'<link rel="stylesheet" href="./{ROOT}/{USER_SHEET}">'
        return _BASE.sub(lambda found: found[0] + ours, page, count=1)


_BASE = re.compile(r"<base\b[^<>]*>")
_STYLE = re.compile(r"<style>((?:[^<]|<(?!/?style>))*+)</style>")
_OF_GRADIO = re.compile(r'\b(src|href)="\./assets/')
"""In the page's settings, which are JSON, a quotation mark has a backslash before it."""

_GRADIO_EDITION = hashlib.sha256(
    f"{distribution('gradio').version}\0{sheets.below_ours('')}\0"
    f"{[instead for _, instead in lookup.PATCHES]}\0{late.TREE}{late.BUILD}{late.ANSWERS.read_text('utf-8')}".encode()
).hexdigest()[:16]
GRADIO_PLACE = f"./{ROOT}/gradio/{_GRADIO_EDITION}/"
"""Where we have them, below the page."""

FILES = PageFiles(
    {
        **{
            path.relative_to(sheets.ASSETS).as_posix(): path.read_bytes()
            for path in sheets.ASSETS.rglob("*.js")
            if path.parent.name != INLINE
        },
        SHEET: sheets.stylesheet().encode(),
    }
)


def gradio_files() -> Path:
    """The folder of Gradio's own scripts and stylesheets, found without importing it."""
    spec = find_spec("gradio")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "templates" / "frontend" / "assets"


def routes(user_sheet: Path, files: PageFiles = FILES) -> Routes:
    """The routes of the files. `user_sheet`: the person's own one, if there is any."""
    router = Routes(prefix=f"/{ROOT}", include_in_schema=False)
    folder = gradio_files()

    @router.get("/gradio/{edition}/{name}", "user")
    def gradio_file(edition: str, name: str) -> Response:
        path = folder / name
        if edition != _GRADIO_EDITION or not _NAME.fullmatch(name) or not path.is_file():
            return _absent()
        if path.suffix not in (".css", ".js"):
            return FileResponse(path, media_type=_media_type(name), headers=FOR_GOOD)
        return Response(_of_gradio(path), media_type=_media_type(name), headers=FOR_GOOD)

    @router.get("/{edition}/{name:path}", "user")
    def file(edition: str, name: str) -> Response:
        content = files.content(edition, name)
        if content is None:
            return _absent()
        return Response(content, media_type=_media_type(name), headers=FOR_GOOD)

    @router.get(f"/{USER_SHEET}", "user")
    def own_sheet() -> Response:
        if not user_sheet.is_file():
            return Response("There is no user.css in the data folder.", 404, NEVER_KEPT)
        return FileResponse(user_sheet, media_type="text/css", headers={"cache-control": "no-cache"})

    return router


@lru_cache(maxsize=400)
def _of_gradio(path: Path) -> bytes:
    """One of Gradio's scripts or sheets, as we serve it. A page asks for some sixty of them at once."""
    text = path.read_text("utf-8")
    if path.suffix == ".css":
        return sheets.below_ours(text).encode()
    # The first script names a sheet as seen from the page, others as seen from themselves.
    return late.building_late(lookup.remembering(text.replace(OLD_PLACE, GRADIO_PLACE))).encode()


def _absent() -> Response:
    return Response("There is no such file, or the page has been updated since.", 404, NEVER_KEPT)


def _media_type(name: str) -> str:
    # Not by the system's table alone: Windows' may call JavaScript plain text, which no browser runs as a module.
    match Path(name).suffix:
        case ".js":
            return "text/javascript"
        case ".css":
            return "text/css"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"

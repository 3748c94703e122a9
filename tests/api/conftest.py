"""The API over an engine that only paints colours: everything but the pictures themselves is real."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.server.guard import Guard
from webui.server.serve import application


class Api:
    """A client, and the App behind it."""

    def __init__(self, data: Path, *line: str) -> None:
        chosen = flags.read(["--data-dir", str(data), "--nowebui", *line])
        self.engine = StandIn()
        self.app = App(chosen, self.engine)
        self.app.start()
        self.client = TestClient(Guard(application(self.app), chosen, self.app.access), base_url="http://127.0.0.1")


@contextmanager
def opened(data: Path, *line: str) -> Iterator[Api]:
    """An installation with two checkpoints, started with these flags."""
    folder = data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    for name in ("first.safetensors", "second.safetensors"):
        (folder / name).write_bytes(f"never opened: {name}".encode())
    made = Api(data, *line)
    made.app.catalog.checkpoints.hashing.wait(60)
    with made.client:
        yield made
    made.app.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """An installation of the test's own."""
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One installation for all tests that leave its settings and files as they are."""
    with opened(tmp_path_factory.mktemp("standing")) as made:
        yield made

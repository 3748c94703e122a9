"""A queue over a real catalog, with an engine that does what the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.stand_in import StandIn
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.catalog.settings_store import SettingsStore
from webui.server.jobs.queue import JobQueue


class Office:
    """The queue, and what it works with."""

    def __init__(self, data: Path, *engines: StandIn) -> None:
        paths = Paths(data=data)
        self.engine, self.engines = engines[0], engines
        self.catalog = Catalog(paths)
        self.settings = SettingsStore(paths)
        self.queue = JobQueue(self.catalog, self.settings, engines, "Gesso test")

    def close(self) -> None:
        self.queue.close()
        self.catalog.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Opens offices, one after the other, in one installation; the queue runs already unless `begin` is off."""
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (folder / "any.safetensors").write_bytes(b"never opened")
    opened: list[Office] = []

    def open_one(*engines: StandIn, begin: bool = True) -> Office:
        opened.append(Office(tmp_path, *(engines or (StandIn(),))))
        if begin:
            opened[-1].queue.start(preload=False)
        return opened[-1]

    yield open_one
    for one in opened:
        if one.queue.started:
            one.close()

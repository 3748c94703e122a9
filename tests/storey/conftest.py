"""Two packages from outside the tree, installed with the entry points of their own `pyproject.toml`."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningServer, furnish, start_server

HERE = Path(__file__).parent


def installed(source: Path, into: Path) -> Path:
    """What an installer makes of a package without dependencies: its modules, and its metadata beside them."""
    told = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    name, version = told["name"], told["version"]
    module = name.replace("-", "_")
    shutil.copytree(source / module, into / module, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = into / f"{module}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    lines = []
    for group, points in told["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items()), ""]
    (metadata / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    return into


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages, as Python's own for packages is."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("sample", "broken"):
        installed(HERE / name, folder)
    return folder


@pytest.fixture(scope="session")
def storey(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, site: Path) -> Iterator[RunningServer]:
    """The real server with both packages."""
    data = furnish(tmp_path_factory.mktemp("storey") / "data", tiny_checkpoint)
    running = start_server(data, "--api", path=[site])
    yield running
    running.stop()

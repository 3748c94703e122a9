"""Kinds of jobs that the program does not know: a test registers them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from webui import registry
from webui.registry import JobKind
from webui.request.jobs import request_classes

COUNTING = JobKind("counting", "tests.kinds.counting", long=True)


@contextmanager
def registered(*kinds: JobKind) -> Iterator[None]:
    """They are kinds of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "JOB_KINDS", (*registry.JOB_KINDS, *kinds))
        request_classes.cache_clear()
        yield
    request_classes.cache_clear()


def installed(folder: Path, *kinds: str) -> Path:
    """A package that lies in this folder, and gives every process that finds it there these lines of `tests.kinds`."""
    package = folder / "kinds_of_a_test-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: kinds-of-a-test\nVersion: 1.0\n")
    lines = "".join(f"{name.lower()} = tests.kinds:{name}\n" for name in kinds)
    (package / "entry_points.txt").write_text(f"[webui.jobs]\n{lines}")
    return folder

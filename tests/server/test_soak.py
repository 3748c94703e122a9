"""Memory stays flat while checkpoints change and pictures are made; `bench soak` is the long version."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.conftest import RunningServer
from webui.server.bench_jobs import GROWN, MeasuredServer, Round, course_of, growth


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="resident memory means another thing there")
def test_memory_is_flat_after_the_third_change_of_the_checkpoint(server: RunningServer) -> None:
    folder = server.data / "models" / "Stable-diffusion"
    third = [shutil.copy(folder / f"other.{ending}", folder / f"third.{ending}") for ending in ("yaml", "safetensors")]
    soaked = MeasuredServer(int(server.url.rsplit(":", 1)[1].strip("/")), server.process.pid)
    try:
        soaked.call("POST", "/sdapi/v1/refresh-checkpoints")
        titles = soaked.titles()
        assert len(titles) == 3
        ratios = growth(course_of(soaked, titles, 7, 3))
    finally:
        for path in third:
            path.unlink()
        soaked.call("POST", "/sdapi/v1/refresh-checkpoints")
    assert max(ratios.values()) <= GROWN, ratios


def test_growth_is_measured_from_the_third_round() -> None:
    course = [Round(1, 1), Round(9, 9), Round(100, 200), Round(110, 100), Round(150, 100), Round(120, 100)]
    assert growth(course) == {"server": 1.2, "engine": 0.5}

"""A resume point is there whole or not at all, wherever the process that saves it is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from webui.base import resume_points
from webui.base.resume_points import KEPT, ResumePoints


def saved(points: ResumePoints, content: str) -> str:
    return points.save(lambda path: path.write_text(content))


def test_the_newest_whole_one_is_found_and_older_ones_go(tmp_path: Path) -> None:
    points = ResumePoints(tmp_path / "made" / "when needed")
    assert points.newest is None and points.number == 0
    for number in range(1, 6):
        saved(points, f"state {number}")
        assert points.number == number
        assert points.newest is not None and points.newest.read_text() == f"state {number}"
    assert len(list(points.folder.iterdir())) == KEPT
    assert ResumePoints(points.folder).number == 5, "nothing is remembered beside the files"


@pytest.mark.parametrize("damage", [lambda p: p.write_text("other"), lambda p: p.write_bytes(b""), os.unlink])
def test_a_broken_one_is_passed_over(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    points = ResumePoints(tmp_path)
    saved(points, "first")
    damage(tmp_path / saved(points, "second"))
    (tmp_path / "somebody's.txt").write_text("not ours")
    (tmp_path / ("9" * 8 + "-" + "0" * 64 + ".point")).mkdir()
    assert points.newest is not None and points.newest.read_text() == "first"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_every_line_the_old_one_or_the_new_one_is_there(tmp_path: Path) -> None:
    moment, ended_well = 0, False
    while not ended_well:
        points = ResumePoints(tmp_path / str(moment))
        saved(points, "old"), saved(points, "last")
        child = os.fork()
        if child == 0:
            _save_and_be_killed(points, moment)
        ended_well = os.waitpid(child, 0)[1] == 0
        found = points.newest
        assert found is not None and found.read_text() in (("new",) if ended_well else ("last", "new"))
        saved(points, "after")
        assert points.newest is not None and points.newest.read_text() == "after"
        moment += 1
    assert moment > 10


def _save_and_be_killed(points: ResumePoints, moment: int) -> None:
    """In a process of its own: save one more, and be killed before the line with this number."""
    lines = iter(range(moment))

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != resume_points.__file__:
            return trace if event == "call" and frame.f_code.co_filename.endswith("files.py") else None
        if event == "line" and next(lines, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    saved(points, "new")
    os._exit(0)

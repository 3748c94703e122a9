"""The benchmark of the queue runs, and a long queue is no slower than a short one."""

from __future__ import annotations

from pathlib import Path

from webui.catalog.database import Database
from webui.server import bench_jobs


def test_the_queue_s_bench_measures_each_action() -> None:
    times = bench_jobs.queue_times((5, 50), rounds=3)
    assert set(times) == {"enqueue", "list", "claim"}
    assert all(len(values) == 2 and min(values) > 0 for values in times.values())


def test_no_question_to_the_queue_reads_all_of_it(tmp_path: Path) -> None:
    """What makes the times independent of the queue's length: every step is answered from an index."""
    database = Database(tmp_path / "db")
    for question in (
        "SELECT * FROM jobs WHERE state = 'queued' ORDER BY position LIMIT 100",
        "SELECT * FROM jobs WHERE state = 'queued' AND owner = 'a' ORDER BY position LIMIT 100",
        "SELECT MIN(position) FROM jobs WHERE state = 'queued' AND owner = 'a'",
        "SELECT COALESCE(MAX(position), 0) + 1 FROM jobs",
        "DELETE FROM jobs WHERE finished IS NOT NULL AND finished < 5",
    ):
        steps = [str(row[-1]) for row in database.read(f"EXPLAIN QUERY PLAN {question}")]
        assert all("USING" in step and "INDEX" in step for step in steps), (question, steps)
    database.close()

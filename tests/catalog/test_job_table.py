"""Jobs as rows: fair turns, no job twice, none lost, whatever ends the program."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.base.errors import Busy, NotFound
from webui.base.paths import PROGRAM
from webui.catalog.database import Database
from webui.catalog.job_table import JobRow, JobTable
from webui.catalog.pictures import SavedPicture, record


@pytest.fixture
def jobs(database: Database) -> JobTable:
    return JobTable(database)


def submit(jobs: JobTable, owner: str = "me", request: str = "{}") -> str:
    return jobs.submit("txt2img", owner, request, seed=7, subseed=8, pictures=2).id


def claim(jobs: JobTable) -> JobRow:
    job = jobs.claim()
    assert job is not None
    return job


def test_a_job_goes_its_way(jobs: JobTable) -> None:
    job = jobs.submit(
        "txt2img", "me", '{"steps": 3}', settings='{"a": 1}', seed=2**63 - 1, subseed=8, pictures=2, now=1.0
    )
    assert (job.state, job.attempts, job.created, job.started, job.finished) == ("queued", 0, 1.0, None, None)
    assert (job.seed, job.subseed, job.request, job.settings) == (2**63 - 1, 8, '{"steps": 3}', '{"a": 1}')
    running = jobs.claim(now=2.0)
    assert running is not None
    assert (running.id, running.state, running.attempts, running.started) == (job.id, "running", 1, 2.0)
    assert jobs.claim() is None
    assert jobs.finish(job.id, ["LoRA not found: x"], now=3.0)
    done = jobs.get(job.id)
    assert (done.state, done.finished, done.comments) == ("done", 3.0, ("LoRA not found: x",))


def test_an_end_is_an_end(jobs: JobTable) -> None:
    job = submit(jobs)
    assert not jobs.finish(job), "it was never begun"
    assert jobs.cancel(job)
    assert not jobs.cancel(job)
    assert not jobs.fail(job, "x", "y")
    assert jobs.claim() is None
    job = submit(jobs)
    claim(jobs)
    assert jobs.fail(job, "out_of_memory", "Too large.", "Make it smaller.")
    failed = jobs.get(job)
    assert (failed.state, failed.code, failed.message, failed.hint) == (
        "failed",
        "out_of_memory",
        "Too large.",
        "Make it smaller.",
    )
    assert not jobs.finish(job)


def test_owners_take_turns_and_each_ones_jobs_keep_their_order(jobs: JobTable) -> None:
    a = [submit(jobs, "a") for _ in range(4)]
    b = [submit(jobs, "b") for _ in range(2)]
    c = [submit(jobs, "c")]
    assert [claim(jobs).id for _ in range(7)] == [a[0], b[0], c[0], a[1], b[1], a[2], a[3]]


def test_who_comes_late_waits_one_turn_and_makes_up_for_none(jobs: JobTable) -> None:
    a = [submit(jobs, "a") for _ in range(6)]
    assert [claim(jobs).id for _ in range(3)] == a[:3]
    late = [submit(jobs, "late") for _ in range(3)]
    order = [claim(jobs).owner for _ in range(6)]
    assert order in (["late", "a"] * 3, ["a", "late"] * 3)
    assert late


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "claim"]), max_size=30))
def test_whoever_waits_is_served_before_anybody_is_served_twice(events: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "d")
        jobs = JobTable(database)
        waiting: dict[str, list[str]] = {"a": [], "b": [], "c": []}
        since: dict[str, Counter[str]] = {"a": Counter(), "b": Counter(), "c": Counter()}
        for event in [*events, *["claim"] * len(events)]:
            if event != "claim":
                if not waiting[event]:
                    since[event] = Counter()
                waiting[event].append(submit(jobs, event))
            elif job := jobs.claim():
                assert job.id == waiting[job.owner].pop(0), "first in, first out"
                since[job.owner] = Counter()
                for owner, left in waiting.items():
                    if left and owner != job.owner:
                        since[owner][job.owner] += 1
                        assert since[owner][job.owner] <= 2
        assert not any(waiting.values())
        database.close()


def test_reordering_moves_only_what_waits(jobs: JobTable) -> None:
    first, second, third, other = (submit(jobs, owner) for owner in ("me", "me", "me", "you"))
    jobs.reorder([third, second, first])
    assert [job.id for job in jobs.list()] == [third, second, first, other]
    assert claim(jobs).id == third
    with pytest.raises(Busy):
        jobs.reorder([third, first])
    assert [job.id for job in jobs.list(states=["queued"])] == [second, first, other]


def test_lists_and_counts(jobs: JobTable) -> None:
    mine = [submit(jobs, "me") for _ in range(5)]
    yours = submit(jobs, "you")
    claim(jobs)
    assert [job.id for job in jobs.list(owner="me", limit=2)] == mine[:2]
    assert [job.id for job in jobs.list(owner="me", limit=2, after=jobs.get(mine[1]).position)] == mine[2:4]
    assert [job.id for job in jobs.list(limit=2, newest_first=True)] == [yours, mine[4]]
    assert [job.id for job in jobs.list(states=["running", "queued"])] == [*mine, yours]
    assert (jobs.waiting(), jobs.waiting("me"), jobs.waiting("nobody")) == (5, 4, 0)
    assert jobs.cancel_waiting("me") == 4
    assert jobs.cancel_waiting() == 1
    with pytest.raises(NotFound):
        jobs.get("nonesuch")


def test_results_are_recorded_once(jobs: JobTable) -> None:
    job = submit(jobs)
    assert jobs.add_result(job, 1, "p1", 8, 9, "text")
    assert jobs.add_result(job, 0, "p0", 7)
    assert not jobs.add_result(job, 1, "again", 8)
    assert not jobs.add_result("forgotten", 0, "p", 7)
    assert [(result.position, result.picture_id) for result in jobs.results(job)] == [(0, "p0"), (1, "p1")]
    assert {result.position for result in jobs.results(job)} == {0, 1}


def test_old_jobs_are_forgotten_with_their_results(jobs: JobTable) -> None:
    old, waiting = submit(jobs), submit(jobs)
    jobs.add_result(old, 0, "p", 7)
    jobs.cancel(old, now=100.0)
    assert jobs.delete_old(before=100.0) == 0
    assert jobs.delete_old(before=101.0) == 1
    assert jobs.results(old) == ()
    assert jobs.get(waiting).state == "queued"


def test_an_engine_that_died_gives_its_job_back_to_the_front(jobs: JobTable) -> None:
    first, second = submit(jobs), submit(jobs)
    assert claim(jobs).id == first
    assert jobs.requeue(first)
    assert not jobs.requeue(second)
    again = claim(jobs)
    assert (again.id, again.attempts) == (first, 2)


def test_after_a_crash_jobs_go_on_or_have_failed(jobs: JobTable) -> None:
    job = submit(jobs)
    claim(jobs)
    assert jobs.recover() == (1, 0)
    assert claim(jobs).id == job
    assert jobs.recover(resume=False) == (0, 1)
    assert jobs.get(job).state == "failed"
    deadly = submit(jobs)
    for _ in range(2):
        assert claim(jobs).id == deadly
        assert jobs.recover() == (1, 0)
    claim(jobs)
    assert jobs.recover() == (0, 1), "the third time it is given up"


def test_a_long_job_outlives_any_number_of_crashes_as_long_as_it_comes_further(
    jobs: JobTable, database: Database
) -> None:
    job = submit(jobs)
    for number in range(10):
        claim(jobs)
        made = SavedPicture("txt2img", job, number, "me", "", 8, 8, 1, "m", "Euler", time.time(), f"picture {number}")
        with database.writing() as connection:
            record(connection, replace(made, path=f"{number}.png"))
        assert jobs.recover() == (1, 0)
    claim(jobs)
    assert jobs.recover() == (1, 0)
    claim(jobs)
    assert jobs.recover() == (0, 1), "without a new picture it is what ends the program"


def test_no_job_is_claimed_twice_by_many_engines(jobs: JobTable) -> None:
    submitted = [submit(jobs, f"owner {number % 3}") for number in range(60)]
    claimed: list[str] = []

    def engine() -> None:
        while job := jobs.claim():
            claimed.append(job.id)
            assert jobs.finish(job.id)

    threads = [threading.Thread(target=engine) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(claimed) == Counter(submitted)
    assert all(jobs.get(job).state == "done" for job in submitted)


DIES = """
import sys
from pathlib import Path
from webui.catalog.database import Database
from webui.catalog.job_table import JobTable
jobs = JobTable(Database(Path(sys.argv[1])))
done = jobs.claim()
jobs.add_result(done.id, 0, "whole", 7)
jobs.finish(done.id)
half = jobs.claim()
jobs.add_result(half.id, 0, "first of two", 7)
print("ready", flush=True)
number = 0
while True:
    jobs.submit("txt2img", "storm", "{}", seed=number, subseed=0)
    number += 1
    print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_program_that_is_killed_loses_nothing_that_it_had_said(jobs: JobTable, database: Database) -> None:
    done, half, waiting = (submit(jobs) for _ in range(3))
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, str(database.path)], stdout=subprocess.PIPE, text=True, cwd=PROGRAM
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(20):
        said = int(process.stdout.readline())
    process.kill()
    said = max(said, *(int(line) for line in process.stdout.read().split("\n")[:-1]), 0)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    again = Database(database.path)
    table = JobTable(again)
    assert [table.get(job).state for job in (done, half, waiting)] == ["done", "running", "queued"]
    assert table.recover() == (1, 0)
    assert [result.position for result in table.results(half)] == [0]
    seeds = [job.seed for job in table.list(owner="storm", limit=100_000)]
    assert seeds[:said] == list(range(said)), "what was said to be queued is queued"
    assert len(seeds) <= said + 1
    job = table.claim()
    assert job is not None
    assert job.id == half
    assert again.read("PRAGMA integrity_check")[0][0] == "ok"
    again.close()

"""Long jobs: they make way for shorter ones, go on from their resume points, and fail only if they stand still."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import furnish, start_server, until
from tests.kinds import COUNTING, installed, registered
from tests.kinds.counting.request import Request
from tests.kinds.counting.work import counted
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from tests.server.test_queue import result, small
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.request.messages import Others
from webui.server.jobs import scheduler

Open = Callable[..., Office]


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    with registered(COUNTING):
        yield


def save(office: Office, job_id: str, content: str = "") -> None:
    """What the work of the job does by itself in a real engine."""
    office.catalog.job_folders.points(job_id).save(lambda path: path.write_text(content))


def told(engine: StandIn) -> list[bool]:
    return [command.waiting for command in engine.sent if isinstance(command, Others)]


def runs(engine: StandIn, count: int) -> list[str]:
    until(lambda: len(engine.jobs) >= count, f"{count} runs")
    return engine.jobs


def test_a_long_job_makes_way_for_each_shorter_one_its_owners_too(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    long = here.queue.submit(Request(upto=9), "anna")
    runs(here.engine, 1)
    assert told(here.engine) == []
    own = here.queue.submit(small(), "anna")
    until(lambda: told(here.engine) == [True], "word that others wait")
    other = here.queue.submit(small(), "otto")
    here.engine.make_way()
    until(lambda: here.engine.jobs[1:], "another job")
    assert here.queue.job(long).state == "queued"
    order = [long]
    for _ in range(2):
        order = runs(here.engine, len(order) + 1)
        if order[-1] == long:
            here.engine.make_way()
            order = runs(here.engine, len(order) + 1)
        here.engine.paint()
    assert runs(here.engine, len(order) + 1)[-1] == long
    assert {own, other} <= set(here.engine.jobs)
    assert result(here, own).state == result(here, other).state == "done"
    here.engine.answer("9")
    assert result(here, long).answer == "9"


def test_owners_take_turns_at_an_engine_that_long_jobs_want(office: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "LONG_TURN", 0.0)
    here = office(StandIn(by_itself=False))
    first = here.queue.submit(Request(), "anna")
    runs(here.engine, 1)
    second = here.queue.submit(Request(), "anna")
    third = here.queue.submit(Request(), "otto")
    for count in range(1, 5):
        runs(here.engine, count)
        until(lambda count=count: told(here.engine) == [True] * count, "word that another owner waits")
        here.engine.make_way()
    assert runs(here.engine, 5)[:5] == [first, second, third, first, third]


def test_long_jobs_of_one_owner_do_not_disturb_one_another(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.queue.submit(Request(), "anna")
    runs(here.engine, 1)
    here.queue.submit(Request(), "anna")
    until(lambda: here.queue.waiting() == 1, "the second one to wait")
    here.engine.step(0.5)
    assert told(here.engine) == []


def test_one_that_makes_way_can_be_cancelled_at_any_moment(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    waiting, stopped = (here.queue.submit(Request(), "anna") for _ in range(2))
    for job_id in (waiting, stopped):
        until(lambda j=job_id: here.engine.jobs[-1:] == [j], "its turn")
        save(here, job_id)
        if job_id == waiting:
            here.queue.pause()
            here.engine.make_way()
            until(lambda: here.queue.job(waiting).state == "queued", "it to wait")
            here.queue.cancel(waiting)
            here.queue.pause(False)
        else:
            here.queue.cancel(stopped)
        assert result(here, job_id).state == "cancelled"
        assert not here.catalog.job_folders.of(job_id).exists(), "what it kept is gone"


def test_what_is_limited_is_a_job_that_stands_still_not_the_number_of_deaths(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(Request(), "anna")
    for count in range(1, 7):
        runs(here.engine, count)
        save(here, job_id)
        here.engine.die()
        here.engine.come_up()
    runs(here.engine, 7)
    here.engine.die()
    here.engine.come_up()
    job = result(here, job_id)
    assert job.state == "failed" and job.error is not None and "twice" in job.error.message
    assert not here.catalog.job_folders.of(job_id).exists()


@pytest.mark.parametrize("progress", [True, False])
def test_ends_of_the_program_are_limited_likewise(office: Open, *, progress: bool) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(Request(), "anna")
    for _ in range(4):
        if here.queue.job(job_id).ended:
            break
        runs(here.engine, 1)
        if progress:
            save(here, job_id)
        here.close()
        here = office(StandIn(by_itself=False))
    assert here.queue.job(job_id).state == ("running" if progress else "failed") or progress
    assert here.catalog.job_folders.of(job_id).exists() is progress


def test_what_jobs_kept_that_are_over_is_removed_at_start(office: Open) -> None:
    here = office(begin=False)
    save(here, "of-an-earlier-time")
    here.queue.start(preload=False)
    assert not here.catalog.job_folders.of("of-an-earlier-time").exists()


@pytest.mark.long
def test_a_real_engine_and_a_real_server_are_killed_over_it(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """As often as GESSO_TEST_KILLS says: each new engine takes a few seconds."""
    kills, data = int(os.environ.get("GESSO_TEST_KILLS", "1")), furnish(tmp_path / "data", tiny_checkpoint)
    upto = 4 * (kills + 1)
    catalog = Catalog(Paths(data=data))
    row = catalog.jobs.submit(
        "counting", "", Request(upto=upto, pause=0.3).model_dump_json(), seed=1, subseed=1, pictures=0
    )
    points = catalog.job_folders.points(row.id)
    packages = installed(tmp_path / "packages", "COUNTING")
    server = start_server(data, "--nowebui", path=[packages])
    try:
        for _ in range(kills):
            seen = points.number
            until(lambda seen=seen: points.number > seen, "a resume point", server.process)
            server.engine().kill()
            seen = points.number
            until(lambda seen=seen: points.number > seen, "a resume point of the next engine", server.process)
            server.stop(signal.SIGKILL)
            server = start_server(data, "--nowebui", path=[packages])
        until(lambda: catalog.jobs.get(row.id).state in ("done", "failed"), "the end", server.process)
    finally:
        server.stop(signal.SIGKILL)
    ended = catalog.jobs.get(row.id)
    assert (ended.state, ended.answer) == ("done", counted(upto)), ended.message
    catalog.close()

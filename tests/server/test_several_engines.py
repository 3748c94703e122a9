"""Several engines at one queue: who takes what, and that nobody sees a difference in the result."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import until
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from tests.server.test_queue import Open, result, small
from webui import flags
from webui.request.messages import Preload, Run
from webui.server.jobs import scheduler
from webui.server.jobs.queue import JobQueue


def idle(count: int = 2) -> list[StandIn]:
    return [StandIn(by_itself=False) for _ in range(count)]


def positions(engine: StandIn) -> list[int]:
    runs = [command for command in engine.sent if isinstance(command, Run)]
    return [picture.position for run in runs for batch in run.plan.batches for picture in batch]


def has(engine: StandIn, count: int) -> Callable[[], bool]:
    return lambda: len(engine.jobs) == count


def test_they_pull_picture_by_picture_so_a_slow_one_holds_nobody_back(office: Open) -> None:
    slow, fast = idle()
    here = office(slow, fast)
    job_id = here.queue.submit(small(batch_size=4))
    until(lambda: slow.jobs and fast.jobs, "both at work")
    for count in range(2, 4):
        fast.paint()
        until(has(fast, count), "the next picture")
    fast.paint()
    slow.paint()
    job = result(here, job_id)
    assert job.state == "done"
    assert [picture.seed for picture in job.pictures] == [7, 8, 9, 10]
    assert (positions(slow), positions(fast)) == ([0], [1, 2, 3])


def test_one_that_dies_leaves_its_picture_to_the_others(office: Open) -> None:
    mortal, other = idle()
    here = office(mortal, other)
    job_id = here.queue.submit(small(n_iter=3))
    until(lambda: mortal.jobs and other.jobs, "both at work")
    mortal.die()
    for count in range(2, 4):
        other.paint()
        until(has(other, count), "the next picture")
    other.paint()
    job = result(here, job_id)
    assert [picture.position for picture in job.pictures] == [0, 1, 2]
    assert sorted(positions(other)) == [0, 1, 2]
    assert here.queue.engine_state.state == "ready"


def test_one_that_does_not_start_hinders_nobody(office: Open) -> None:
    broken, well = idle()
    here = office(broken, well)
    broken.break_down()
    job_id = here.queue.submit(small())
    until(lambda: len(well.jobs) + len(broken.jobs) > 0, "somebody at work")
    if broken.jobs:
        broken.die()
    until(has(well, 1), "the other at work")
    well.paint()
    assert result(here, job_id).state == "done"


def test_jobs_run_beside_each_other_and_a_stopped_one_stops_everywhere(office: Open) -> None:
    engines = idle(3)
    here = office(*engines)
    long, short = here.queue.submit(small(n_iter=2), "anna"), here.queue.submit(small(), "bert")
    until(lambda: len(here.queue.in_work) == 2 and all(engine.jobs for engine in engines), "both in work")
    here.queue.cancel(long)
    assert result(here, long).state == "cancelled"
    assert here.queue.job(short).state == "running"
    next(engine for engine in engines if engine.jobs == [short]).paint()
    assert result(here, short).state == "done"


def test_a_job_waits_a_while_for_the_engine_that_has_its_model(office: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = idle()
    here = office(*engines)
    (here.catalog.paths.data / "models" / "Stable-diffusion" / "more.safetensors").write_bytes(b"another")
    here.catalog.refresh()

    def submit(model: str, **values: object) -> str:
        return here.queue.submit(small(override_settings={"sd_model_checkpoint": model}, **values))

    first, second = submit("any"), submit("more")
    until(lambda: all(engine.jobs for engine in engines), "one model each")
    one_with_any = next(engine for engine in engines if engine.jobs == [first])
    one_with_more = next(engine for engine in engines if engine.jobs == [second])
    patient, ahead = submit("any"), submit("more")
    one_with_more.paint()
    until(has(one_with_more, 2), "a job for the engine that has nothing to do")
    assert one_with_more.jobs == [second, ahead], "its own model's job comes first"
    one_with_more.paint()
    assert result(here, ahead).state == "done"
    assert here.queue.job(patient).state == "queued"
    monkeypatch.setattr(scheduler, "AFFINITY_SECONDS", 0.0)
    here.queue.pause(False)  # something happens
    until(has(one_with_more, 3), "the job that waited long enough")
    assert one_with_more.jobs[-1] == patient
    one_with_any.paint()
    one_with_more.paint()
    assert result(here, patient).state == "done"


def test_every_engine_loads_the_chosen_checkpoint(office: Open) -> None:
    engines = idle()
    here = office(*engines)
    here.queue.preload()
    for engine in engines:
        until(lambda engine=engine: any(isinstance(sent, Preload) for sent in engine.sent), "the checkpoint")


def test_the_command_line_says_how_many() -> None:
    def devices(line: str) -> list[str]:
        return [options.device for options in flags.read(line.split()).engines]

    assert devices("") == [""]
    assert devices("--device-id 1") == ["cuda:1"]
    assert devices("--device-id 0,2,0") == ["cuda:0", "cuda:2"]
    assert devices("--device-id 0,1 --use-cpu all") == ["cpu", "cpu"]
    everything = flags.read(["--device-id", "all"])
    assert everything.all_devices
    assert [options.device for options in everything.engines] == ["cuda:0"]
    assert [options.device for options in everything.engines_beside_the_first(3)] == ["cuda:1", "cuda:2"]


def test_engines_for_all_devices_come_when_the_first_has_counted_them(office: Open) -> None:
    here: Office = office(begin=False)
    more = StandIn()
    asked: list[int] = []
    made = JobQueue(
        here.catalog, here.settings, [StandIn(devices=2)], "test", more=lambda count: asked.append(count) or [more]
    )
    made.start(preload=False)
    until(lambda: made.engine_state.text.startswith("2 of 2"), "the second engine")
    assert asked == [2]
    made.close()
    here.catalog.close()

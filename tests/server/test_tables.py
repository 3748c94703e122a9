"""A job with a script: one job, many requests, a sheet at the end; nothing of it is lost either."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tests.conftest import until
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from tests.server.test_queue import result, running, small
from webui.base.errors import NotFound, UserError
from webui.catalog import grid
from webui.request import infotext
from webui.request.fields import Txt2Img
from webui.request.messages import Run
from webui.server.jobs.job import Job

Open = Callable[..., Office]


def plot(x: tuple[str, str], y: tuple[str, str] = ("Nothing", ""), *, options: Any = None, **values: Any) -> Txt2Img:
    axes = {"x_type": x[0], "x_values": x[1], "y_type": y[0], "y_values": y[1]}
    return small(script="X/Y/Z plot", script_values={**axes, **(options or {})}, **values)


def sheets(office: Office, job: Job) -> list[Image.Image]:
    extras = office.catalog.pictures.extras
    first = job.pictures[0]
    names = [name for name in extras.names(first.id) if grid.is_sheet(name)]
    return [Image.open(io.BytesIO(extras.content(first.id, name)[0])) for name in names]


def runs(office: Office) -> list[list[int]]:
    """The positions of the pictures that the engine was asked for, a list each time."""
    given = (command.plan for command in office.engine.sent if isinstance(command, Run))
    return [[picture.position for batch in plan.batches for picture in batch] for plan in given]


def test_the_cells_are_one_job_in_reading_order_with_a_sheet_at_its_end(office: Open) -> None:
    here = office()
    job = result(here, here.queue.submit(plot(("Steps", "1,2"), ("CFG Scale", "3,4"), n_iter=2), "anna"))
    assert job.state == "done"
    assert (job.count, [picture.position for picture in job.pictures]) == (8, list(range(8)))
    labels = [infotext.read(picture.infotext).labels for picture in job.pictures]
    told = [(each["Steps"], each["CFG scale"], each["Seed"]) for each in labels]
    assert told[:4] == [("1", "3.0", "7"), ("1", "3.0", "8"), ("2", "3.0", "7"), ("2", "3.0", "8")]
    (sheet,) = sheets(here, job)
    found = infotext.read(sheet.info["parameters"]).labels
    assert (found["Script"], found["Y Values"], found["Steps"]) == ("X/Y/Z plot", "3,4", "1")
    saved = (here.catalog.paths.data / "outputs" / "txt2img-grids").rglob("*")
    assert [path.name for path in saved if path.is_file()] == ["xyz_grid-0000-7.png"]


def test_an_engine_that_dies_costs_no_cell_and_no_seed(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    request = plot(("Steps", "1,2,3"), seed=-1, n_iter=2, options={"no_fixed_seeds": True})
    job_id = here.queue.submit(request)
    running(here, job_id)
    here.engine.paint(2)
    until(lambda: len(here.engine.jobs) == 2, "the second cell")
    here.engine.paint(1)
    until(lambda: len(here.queue.job(job_id).pictures) == 3, "three pictures")
    seeds = [command.plan.batches[0][0].seed for command in here.engine.sent if isinstance(command, Run)]
    here.engine.die()
    here.engine.come_up()
    until(lambda: len(here.engine.jobs) == 3, "the second try")
    here.engine.paint(1)
    until(lambda: len(here.engine.jobs) == 4, "the last cell")
    here.engine.paint(2)
    job = result(here, job_id)
    assert runs(here) == [[0, 1], [2, 3], [3], [4, 5]]
    assert [picture.seed for picture in job.pictures[:4]] == [seeds[0], seeds[0] + 1, seeds[1], seeds[1] + 1]
    assert len(sheets(here, job)) == 1


def test_a_cell_that_fails_leaves_its_place_empty(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(plot(("Steps", "1,2")))
    running(here, job_id)
    here.engine.fail("No memory for the first.")
    until(lambda: len(here.engine.jobs) == 2, "the second cell")
    here.engine.paint()
    job = result(here, job_id)
    assert (job.state, len(job.pictures), job.comments) == ("done", 1, ("No memory for the first.",))
    (sheet,) = sheets(here, job)
    assert sheet.width == 16


def test_a_table_of_which_nothing_can_be_made_fails(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(plot(("Steps", "1")))
    running(here, job_id)
    here.engine.fail("No memory.")
    job = result(here, job_id)
    assert (job.state, job.error and job.error.message) == ("failed", "No memory.")


def test_an_interrupted_table_keeps_what_is_made(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(plot(("Steps", "1-4")))
    running(here, job_id)
    here.engine.paint()
    until(lambda: len(here.engine.jobs) == 2, "the second cell")
    here.queue.interrupt(job_id, at_once=True)
    job = result(here, job_id)
    assert (job.state, len(job.pictures)) == ("done", 1)
    assert runs(here) == [[0], [1]]
    assert len(sheets(here, job)) == 1


def test_several_engines_share_a_table(office: Open) -> None:
    here = office(StandIn(), StandIn())
    job = result(here, here.queue.submit(plot(("Steps", "1-3"), ("CFG Scale", "1,2"))))
    steps = [infotext.read(picture.infotext).labels["Steps"] for picture in job.pictures]
    assert steps == ["1", "2", "3"] * 2


@pytest.mark.parametrize(
    ("request_", "error", "told"),
    [
        (small(script="X/Y/Z plots"), NotFound, "not found"),
        (plot(("Sampler", "Euler, Eular")), NotFound, "Eular"),
        (plot(("Width", "1")), UserError, "no axis"),
        (plot(("Steps", "1,200000")), UserError, "steps"),
        (plot(("Steps", "1-1000"), n_iter=1000), UserError, "too many"),
        (plot(("Steps", "1"), options={"colour": "red"}), UserError, "colour"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(
    office: Open, request_: Txt2Img, error: type[Exception], told: str
) -> None:
    here = office()
    with pytest.raises(error, match=told):
        here.queue.submit(request_)
    assert here.engine.jobs == []


NOT_HERE = (
    "--prompt fox --sampler_name Nonesuch",
    "--prompt fox --scheduler Nonesuch",
    '--prompt fox --styles "Nonesuch, other"',
    "--prompt fox --sd_model nonesuch",
    "--prompt fox --width 16000 --height 16000",
    "--prompt fox --batch_size 90000",
)


def test_a_line_with_what_is_not_here_is_a_prompt_and_the_list_is_made(office: Open) -> None:
    """A1111: what cannot be used of a line's options costs no other line."""
    here = office()
    lines = "\n".join(("\ufeff--prompt cat --steps 3", *NOT_HERE, "a dog"))
    request = small(script="Prompts from file or textbox", script_values={"lines": lines}, prompt="")
    job = result(here, here.queue.submit(request, "anna"))
    assert job.state == "done", job.error
    read = [infotext.read(picture.infotext) for picture in sorted(job.pictures, key=lambda picture: picture.position)]
    assert [one.prompt for one in read] == ["cat", *NOT_HERE, "a dog"]
    assert read[0].labels["Steps"] == "3"
    assert {one.labels["Seed"] for one in read} == {"7"}
    assert sorted(comment.partition(":")[0] for comment in job.comments) == [
        f"Line {number} is taken as a prompt" for number in range(2, 2 + len(NOT_HERE))
    ]

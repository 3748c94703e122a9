"""Jobs come in, take turns, are worked off, stopped, and on_engine_lost what happens to engines and to the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.broken_things import safetensors
from tests.conftest import until
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from webui.base.errors import Busy, NotFound, StorageError, UserError
from webui.jobs.merge.request import Merge, part_of
from webui.request import infotext
from webui.request.fields import Txt2Img
from webui.request.messages import Interrupt, LivePreviews, Prefetch, Run, Skip
from webui.server.jobs.estimate import Pace
from webui.server.jobs.job import Job
from webui.server.jobs.results import Results

Open = Callable[..., Office]


def small(**values: object) -> Txt2Img:
    return Txt2Img.made(**{"prompt": "a red apple", "width": 64, "height": 64, "steps": 2, "seed": 7, **values})


def result(office: Office, job_id: str) -> Job:
    return office.queue.ended(job_id).result(60)


def running(office: Office, job_id: str) -> None:
    until(lambda: office.queue.running and office.queue.running.id == job_id, "the job to run")


def test_a_job_becomes_saved_pictures_with_infotext(office: Open) -> None:
    here = office()
    job = result(here, here.queue.submit(small(n_iter=3), "anna"))
    assert job.state == "done"
    assert [picture.seed for picture in job.pictures] == [7, 8, 9]
    for picture in job.pictures:
        saved = here.catalog.pictures.get(picture.id)
        assert saved.path.endswith(f"-{picture.seed}.png")
        content, kind = here.catalog.pictures.content(picture.id)
        assert kind == "png"
        from webui.catalog.image_files import read_infotext

        text, _ = read_infotext(content)
        assert infotext.read(text).labels["Seed"] == str(picture.seed)
        assert infotext.read(text).prompt == "a red apple"


def test_all_is_printed_where_somebody_watches_the_console(office: Open, capsys: pytest.CaptureFixture[str]) -> None:
    one = office()
    result(one, one.queue.submit(small(prompt="an owl", seed=5)))
    assert "an owl" not in capsys.readouterr().out
    one.settings.change({"samples_log_stdout": True})
    result(one, one.queue.submit(small(prompt="a cat", seed=5, n_iter=2)))
    told = capsys.readouterr().out
    assert told.count("a cat\nSteps: ") == 2
    assert "Seed: 6" in told


def test_random_seeds_are_fixed_when_the_job_is_submitted(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small(seed=-1))
    running(here, job_id)
    here.engine.die()
    here.engine.come_up()
    until(lambda: len(here.engine.jobs) == 2, "the second try")
    first, second = [command.plan for command in here.engine.sent if isinstance(command, Run)]
    assert first.batches == second.batches
    assert first.batches[0][0].seed == here.queue.job(job_id).seed >= 0


def test_two_owners_are_served_in_turn(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.queue.pause()
    asked = [here.queue.submit(small(), owner) for owner in ("anna", "anna", "anna", "bert", "bert")]
    here.queue.pause(False)
    for count in range(1, 6):
        until(lambda count=count: len(here.engine.jobs) == count, "the next job")
        here.engine.paint()
    owners = [here.queue.job(job_id).owner for job_id in here.engine.jobs]
    assert owners == ["anna", "bert", "anna", "bert", "anna"]
    assert sorted(here.engine.jobs) == sorted(asked)


def test_an_engine_that_dies_costs_no_picture(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small(n_iter=4))
    running(here, job_id)
    here.engine.paint(2)
    until(lambda: len(here.queue.job(job_id).pictures) == 2, "two pictures")
    here.engine.die()
    here.engine.come_up()
    until(lambda: len(here.engine.jobs) == 2, "the second try")
    again = [command for command in here.engine.sent if isinstance(command, Run)][1]
    assert [picture.position for batch in again.plan.batches for picture in batch] == [2, 3]
    here.engine.paint(2)
    job = result(here, job_id)
    assert job.state == "done"
    assert [picture.seed for picture in job.pictures] == [7, 8, 9, 10]


def test_what_memory_ran_out_over_is_tried_with_less_and_the_next_job_as_usual(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    jobs = [here.queue.submit(small()) for _ in range(2)]
    running(here, jobs[0])
    here.engine.die(out_of_memory=True)
    here.engine.come_up()
    until(lambda: len(here.engine.jobs) == 2, "the second try")
    assert "less" in here.queue.job(jobs[0]).progress.text
    here.engine.paint(1)
    until(lambda: len(here.engine.jobs) == 3, "the next job")
    here.engine.paint(1)
    assert [command.lean for command in here.engine.sent if isinstance(command, Run)] == [False, True, False]


def test_a_batch_that_is_half_there_is_made_again_whole_and_kept_once(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small(batch_size=2, n_iter=2))
    running(here, job_id)
    here.engine.paint(3)
    until(lambda: len(here.queue.job(job_id).pictures) == 3, "three pictures")
    before = here.queue.job(job_id).pictures
    here.engine.die()
    here.engine.come_up()
    until(lambda: len(here.engine.jobs) == 2, "the second try")
    here.engine.paint(2)
    job = result(here, job_id)
    assert [picture.position for picture in job.pictures] == [0, 1, 2, 3]
    assert [picture.id for picture in job.pictures[:3]] == [picture.id for picture in before]


def test_a_picture_that_kills_two_engines_fails_and_the_next_job_runs(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    deadly, harmless = here.queue.submit(small()), here.queue.submit(small())
    running(here, deadly)
    here.engine.die()
    here.engine.come_up()
    until(lambda: len(here.engine.jobs) == 2, "the second try")
    here.engine.die()
    job = result(here, deadly)
    assert job.state == "failed"
    assert job.error is not None
    assert "SIGKILL" in job.error.message
    here.engine.come_up()
    running(here, harmless)
    here.engine.paint()
    assert result(here, harmless).state == "done"


def test_a_merge_that_is_cut_off_leaves_no_half_checkpoint(office: Open) -> None:
    """Whether its engine ends twice over it, or the program does."""
    first = office(StandIn(by_itself=False))
    wish = Merge(primary_model_name="any.safetensors", interp_method="No interpolation", custom_name="new")
    deadly = first.queue.submit(wish)
    running(first, deadly)
    assert first.settings.current.render.sd_model_checkpoint.startswith("any.safetensors"), "whatever comes first now"
    part = part_of(first.catalog.paths.new_checkpoints, deadly)
    part.write_bytes(b"half")
    first.engine.die()
    first.engine.come_up()
    until(lambda: len(first.engine.jobs) == 2, "the second try")
    first.engine.die()
    job = result(first, deadly)
    assert (job.state, part.exists()) == ("failed", False)
    assert job.error is not None
    assert "twice with the same job" in job.error.message
    first.engine.come_up()
    unlucky = first.queue.submit(wish)
    running(first, unlucky)
    first.settings.change({"resume_jobs_at_start": False})
    first.close()
    parts = [part_of(first.catalog.paths.new_checkpoints, name) for name in (deadly, unlucky, "another-program's")]
    for path in parts:
        path.write_bytes(b"half")
    second = office(StandIn())
    assert second.queue.job(unlucky).state == "failed"
    assert [path.exists() for path in parts] == [False, False, True]


def test_what_an_engine_complains_of_is_told(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small())
    running(here, job_id)
    here.engine.fail("The GPU has not enough memory.")
    job = result(here, job_id)
    assert (job.state, job.error and job.error.message) == ("failed", "The GPU has not enough memory.")


def test_an_engine_that_does_not_start_leaves_nobody_waiting(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.queue.pause()
    waited_for = here.queue.ended(here.queue.submit(small()))
    patient = here.queue.submit(small())
    here.engine.break_down()
    assert waited_for.result(60).state == "failed"
    assert here.queue.job(patient).state == "queued"
    with pytest.raises(Busy, match="lacks torch"):
        here.queue.submit(small())


def test_the_first_interrupt_lets_the_picture_be_finished_the_second_does_not(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.engine.send = lambda command: here.engine.sent.append(command)  # type: ignore[method-assign]
    job_id = here.queue.submit(small(n_iter=3))
    running(here, job_id)
    here.queue.interrupt(job_id)
    here.queue.interrupt(job_id)
    stops = [command.after_current for command in here.engine.sent if isinstance(command, Interrupt)]
    assert stops == [True, False]


def test_an_interrupted_job_keeps_what_is_finished_and_says_so(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small(n_iter=3))
    running(here, job_id)
    here.engine.paint()
    here.queue.interrupt(job_id)
    job = result(here, job_id)
    assert (job.state, len(job.pictures)) == ("done", 1)
    assert job.comments == ("Stopped after 1 of 3 pictures.",)


def test_cancelled_jobs_do_not_run(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    first, second, third = (here.queue.submit(small(), "anna") for _ in range(3))
    running(here, first)
    here.queue.cancel(second)
    assert here.queue.job(second).state == "cancelled"
    here.queue.cancel(first)
    assert result(here, first).state == "cancelled"
    running(here, third)
    assert here.queue.cancel_all("anna") == 0
    assert result(here, third).state == "cancelled"
    with pytest.raises(NotFound):
        here.queue.cancel("no such job")


def test_a_paused_queue_starts_nothing(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.queue.pause()
    job_id = here.queue.submit(small())
    assert here.engine.jobs == []
    here.queue.pause(False)
    running(here, job_id)


def test_waiting_jobs_can_change_places(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.queue.pause()
    one, two, three = (here.queue.submit(small(), "anna") for _ in range(3))
    here.queue.reorder([three, one, two])
    assert [job.id for job in here.queue.jobs("anna")] == [three, one, two]
    assert [job.position for job in here.queue.jobs("anna")] == [1, 2, 3]


def test_skip_is_passed_on(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small())
    running(here, job_id)
    here.queue.skip(job_id)
    assert here.engine.sent[-1] == Skip(job_id)


@pytest.mark.parametrize("resume", [True, False])
def test_after_a_restart_of_the_program_jobs_go_on_if_the_settings_say_so(office: Open, resume: bool) -> None:
    before = office(StandIn(by_itself=False))
    before.settings.change({"resume_jobs_at_start": resume})
    cut_off, waiting = before.queue.submit(small(n_iter=2)), before.queue.submit(small())
    running(before, cut_off)
    before.engine.paint()
    until(lambda: len(before.queue.job(cut_off).pictures) == 1, "a picture")
    before.close()

    after = office()
    assert result(after, waiting).state == "done"
    job = result(after, cut_off)
    if resume:
        assert (job.state, [picture.seed for picture in job.pictures]) == ("done", [7, 8])
    else:
        assert (job.state, [picture.seed for picture in job.pictures]) == ("failed", [7])
        assert job.error is not None
        assert "program stopped" in job.error.message


def test_settings_are_those_of_the_moment_of_submission(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.queue.pause()
    job_id = here.queue.submit(small())
    here.settings.change({"CLIP_stop_at_last_layers": 2})
    here.queue.pause(False)
    running(here, job_id)
    [run] = [command for command in here.engine.sent if isinstance(command, Run)]
    assert run.plan.batches[0][0].render.clip_skip == 1


@pytest.mark.parametrize(
    ("values", "error", "field"),
    [
        ({"sampler_name": "Eulr"}, NotFound, "sampler_name"),
        ({"scheduler": "Karos"}, NotFound, "scheduler"),
        ({"override_settings": {"sd_model_checkpoint": "nothing like it"}}, NotFound, "sd_model_checkpoint"),
        ({"override_settings": {"CLIP_stop_at_last_layers": 99}}, UserError, "clip_skip"),
        ({"styles": ("no style",)}, NotFound, "styles"),
        ({"prompt": "a" * 300_000}, UserError, "prompt"),
        ({"n_iter": 100_000, "batch_size": 512}, UserError, "n_iter"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    office: Open, values: dict[str, object], error: type[UserError], field: str
) -> None:
    here = office()
    with pytest.raises(error) as caught:
        here.queue.submit(small(**values))
    assert caught.value.field == field
    assert here.queue.jobs("") == []


def test_progress_counts_and_tells_how_long(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small())
    running(here, job_id)
    here.engine.step(0.5)
    until(lambda: here.queue.job(job_id).progress.fraction == 0.5, "progress")
    progress = here.queue.job(job_id).progress
    assert progress.text == "Sampling 1/10"
    here.engine.paint()
    result(here, job_id)
    # From the first job's pace, the second one is estimated before its first step.
    again = here.queue.submit(small())
    running(here, again)
    until(lambda: here.queue.job(again).progress.eta_seconds is not None, "an estimate")


def test_previews_are_made_only_while_somebody_looks(office: Open) -> None:
    here = office()
    watched = [command.watched for command in here.engine.sent if isinstance(command, LivePreviews)]
    assert watched == [False]
    assert here.queue.look() is None
    assert [command.watched for command in here.engine.sent if isinstance(command, LivePreviews)] == [False, True]


def test_a_full_disk_costs_no_picture(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    blocked = here.catalog.paths.data / "outputs"
    blocked.write_text("a file where a folder should be")
    job_id = here.queue.submit(small())
    running(here, job_id)
    here.engine.paint()
    job = result(here, job_id)
    assert job.state == "done"
    assert any("could not be saved" in comment for comment in job.comments)
    content, _ = here.catalog.pictures.content(job.pictures[0].id)
    assert content.startswith(b"\x89PNG")
    blocked.unlink()
    assert here.catalog.pictures.save_again(job.pictures[0].id).path


def test_a_job_can_be_had_again_as_it_was_or_changed(office: Open) -> None:
    here = office()
    job = result(here, here.queue.submit(small(seed=-1), "anna", settings={"CLIP_stop_at_last_layers": 2}))
    here.settings.change({"CLIP_stop_at_last_layers": 3})
    twin = result(here, here.queue.again(job.id, "anna"))
    assert twin.seed != job.seed
    other = result(here, here.queue.again(job.id, "anna", {"seed": job.seed, "steps": 9}))
    assert (other.seed, other.request.steps, other.request.prompt) == (job.seed, 9, job.request.prompt)
    skips = [sent.plan.batches[0][0].render.clip_skip for sent in here.engine.sent if isinstance(sent, Run)]
    assert skips == [2, 2, 2]
    with pytest.raises(UserError):
        here.queue.again(job.id, "anna", {"steps": "many"})


def test_forever_goes_on_until_somebody_stops_it_or_has_gone(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    there = {"anna": True}
    here.queue.hub.is_there = lambda viewer, within: there[viewer]  # type: ignore[method-assign]
    first = here.queue.submit(small(seed=-1), "anna")
    here.queue.forever("anna", first)
    for count in range(1, 4):
        until(lambda count=count: len(here.engine.jobs) == count, "the next round")
        here.engine.paint()
    until(lambda: len(here.engine.jobs) == 4, "one more")
    here.queue.forever("anna")
    here.engine.paint()
    assert result(here, here.engine.jobs[-1]).state == "done"
    assert here.queue.repeated("anna") == ""
    here.queue.forever("anna", first)
    until(lambda: len(here.engine.jobs) == 5, "an ended job is begun anew")
    there["anna"] = False
    here.engine.paint()
    until(lambda: here.queue.repeated("anna") == "", "the end")
    assert here.queue.waiting() == 0


def test_forever_ends_with_a_job_that_fails(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small(), "anna")
    here.queue.forever("anna", job_id)
    running(here, job_id)
    here.engine.fail("Too large.")
    result(here, job_id)
    assert here.queue.repeated("anna") == ""


def test_the_end_of_a_job_that_cannot_be_written_down_is_told_and_written_later(office: Open) -> None:
    """A full disk keeps the database from growing, too."""
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(small())
    running(here, job_id)
    write = here.catalog.jobs.finish

    def refused(*_: object, **__: object) -> bool:
        raise StorageError("The database or disk is full.")

    here.catalog.jobs.finish = refused  # type: ignore[method-assign]
    here.engine.paint()
    job = result(here, job_id)
    assert (job.state, len(job.pictures)) == ("done", 1)
    assert here.catalog.jobs.get(job_id).state == "running"
    here.catalog.jobs.finish = write  # type: ignore[method-assign]
    here.queue.pause(False)  # something happens
    until(lambda: here.catalog.jobs.get(job_id).state == "done", "the row")


def test_an_engine_at_work_reads_the_next_jobs_model_ahead(office: Open, tmp_path: Path) -> None:
    (tmp_path / "models" / "Stable-diffusion" / "other.safetensors").write_bytes(b"never opened")
    here = office(StandIn(by_itself=False))
    here.queue.submit(small())
    until(lambda: here.engine.jobs, "the first job")
    other = here.catalog.checkpoints.scan()[-1]
    here.queue.submit(small(override_settings={"sd_model_checkpoint": other.title}))
    here.queue.submit(small())
    until(lambda: any(isinstance(command, Prefetch) for command in here.engine.sent), "the model to be read ahead")
    assert [command.path for command in here.engine.sent if isinstance(command, Prefetch)] == [str(other.path)]


def test_a_first_checkpoint_that_cannot_be_opened_gives_way_to_the_next(office: Open, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "Stable-diffusion"
    for name in ("a-broken", "b-broken", "c-whole"):
        (folder / f"{name}.safetensors").write_bytes(safetensors())
    engine = StandIn(by_itself=False)
    engine.refused = {"a-broken"}
    here = office(engine, begin=False)
    here.queue.start(preload=True)
    until(lambda: here.catalog.checkpoints.find("").stem == "b-broken", "the next one")
    job = here.queue.submit(Txt2Img(prompt="a fox"), owner="")
    until(lambda: engine.jobs, "the job at the engine")
    engine.fail("b-broken.safetensors cannot be loaded: it is damaged.", "model_error")
    until(lambda: len(engine.jobs) == 2, "the job once more")
    engine.paint()
    assert here.queue.ended(job).result(60).state == "done"
    assert Path([run for run in engine.sent if isinstance(run, Run)][-1].plan.checkpoint.path).stem == "c-whole"  # type: ignore[union-attr]
    told = {(problem.name, problem.reason) for problem in here.catalog.problems.all()}
    assert ("a-broken.safetensors", "a-broken.safetensors is no checkpoint.") in told
    assert ("b-broken.safetensors", "b-broken.safetensors cannot be loaded: it is damaged.") in told


def test_a_checkpoint_that_cannot_be_loaded_is_taken_back_once(office: Open, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "Stable-diffusion"
    for name in ("broken", "fine", "lost"):
        (folder / f"{name}.safetensors").write_bytes(b"never opened")
    here = office()
    here.engine.refused = {"broken"}
    refused: list[str] = []
    publish = here.queue.hub.publish

    def listen(key: str, message: Mapping[str, Any], **rest: Any) -> None:
        if key == "refused":
            refused.append(message["message"])
        publish(key, message, **rest)

    here.queue.hub.publish = listen  # type: ignore[method-assign]

    def chosen() -> str:
        return here.settings.current.render.sd_model_checkpoint

    def choose(name: str) -> None:
        here.settings.change({"sd_model_checkpoint": here.catalog.checkpoints.find(name).title})

    choose("fine")
    until(lambda: here.queue.checkpoint_in_use.startswith("fine"), "the choice")
    choose("broken")
    until(lambda: chosen().startswith("fine"), "the one before")
    assert refused == ["broken.safetensors is no checkpoint."]
    assert here.queue.models.message == "", "who comes later is not told what is over"

    # With none that could be loaded, the choice stands, and the reason with it.
    here.engine.refused = {"broken", "fine"}
    choose("broken")
    until(lambda: here.queue.models.message, "the reason")
    assert "fine" in here.queue.models.message
    assert chosen().startswith("fine")
    here.engine.refused = set()
    choose("any")
    until(lambda: not here.queue.models.message, "a good one")
    assert chosen().startswith("any")

    # A file that went away is taken back like one that is broken.
    title = here.catalog.checkpoints.find("lost").title
    (folder / "lost.safetensors").unlink()
    here.catalog.refresh()
    here.settings.change({"sd_model_checkpoint": title})
    until(lambda: chosen().startswith("any"), "the one before")
    assert "lost" in refused[-1]


def test_calls_whose_answer_nobody_can_take_end_with_the_program(
    office: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that are kept beside their answer, and what the page asked for, go on."""
    before = office(StandIn(by_itself=False))
    unkept = {"samples_save": False}
    begun = before.queue.submit(small(), settings=unkept, called=True)
    running(before, begun)
    waiting = before.queue.submit(small(), settings=unkept, called=True)
    kept = before.queue.submit(small(), called=True)
    of_the_page = before.queue.submit(small(), settings=unkept)
    before.close()
    with caplog.at_level("INFO"):
        after = office()
    assert [result(after, each).state for each in (begun, waiting)] == ["cancelled"] * 2
    assert [result(after, each).state for each in (kept, of_the_page)] == ["done"] * 2
    assert all(f"The job {each} was dropped" in caplog.text for each in (begun, waiting))
    assert after.engine.jobs == [kept, of_the_page]


def test_a_picture_that_is_half_done_is_given_to_a_call_and_saved_where_that_is_wished(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    for wished in (False, True):
        here.settings.change({"save_incomplete_images": wished})
        job_id = here.queue.submit(small(), called=True)
        running(here, job_id)
        assert [command.half_done for command in here.engine.sent if isinstance(command, Run)][-1]
        here.engine.give_half_done()
        job = result(here, job_id)
        assert (job.state, len(job.pictures)) == ("done", 1)
        folder = Path(here.catalog.pictures.get(job.pictures[0].id).path).parent.name
        assert (folder != "unsaved") == wished


def test_a_job_that_cannot_be_concluded_fails_and_the_queue_goes_on(
    office: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = office(StandIn(by_itself=False))

    def falling(*_: Any) -> None:
        raise KeyError("the sky has fallen")

    monkeypatch.setattr(Pace, "learn", falling)
    for job_id in [here.queue.submit(small()) for _ in range(2)]:
        running(here, job_id)
        here.engine.step(0.5)
        here.engine.paint()
        job = result(here, job_id)
        assert job.state == "failed" and job.error is not None
        assert "the sky has fallen" in job.error.message


def test_one_that_cannot_even_be_put_down_is_in_nobodys_way(office: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    here = office()
    write_down = Results.write_down
    refused: list[str] = []

    def falling(self: Results, ended: Job) -> None:
        if not refused or refused[0] == ended.id:
            refused[:] = [ended.id]
            raise KeyError("the sky has fallen")
        write_down(self, ended)

    monkeypatch.setattr(Results, "write_down", falling)
    here.queue.submit(small())
    assert result(here, here.queue.submit(small())).state == "done"

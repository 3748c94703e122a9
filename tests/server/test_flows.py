"""A job whose next request needs the pictures of the last: nothing of it is lost either, and nothing else is kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image

from tests.conftest import until
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from tests.server.test_queue import result, running
from webui.base.errors import NotFound, UserError
from webui.catalog import grid
from webui.request import infotext
from webui.request.fields import Generation, Img2Img
from webui.request.messages import Run
from webui.scripts.flow import Made, Next
from webui.scripts.loopback import Loopback
from webui.server.jobs.job import Job

Open = Callable[..., Office]


def looped(office: Office, *, options: Any = None, **values: Any) -> Img2Img:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), "teal").save(stream, "PNG")
    given = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 2, "seed": 7, "denoising_strength": 0.6}
    upload = office.catalog.uploads.put(stream.getvalue())
    script = {"script": "Loopback", "script_values": {"loops": 3, "final_denoising_strength": 0.2, **(options or {})}}
    return Img2Img.made(**{**given, "init_images": (upload,), **script, **values})


def asked(office: Office) -> list[Any]:
    """The pictures that the engine was asked for, one by one."""
    plans = [command.plan for command in office.engine.sent if isinstance(command, Run)]
    return [picture for plan in plans for batch in plan.batches for picture in batch]


def given_to(office: Office, number: int) -> Image.Image:
    """What the picture with this number was made of."""
    plans = [command.plan for command in office.engine.sent if isinstance(command, Run)]
    (picture,) = plans[number].batches[0]
    with Image.open(io.BytesIO(plans[number].images[picture.init_image])) as image:
        return image.convert("RGB")


def told(job: Job) -> list[tuple[str, str]]:
    labels = [infotext.read(picture.infotext).labels for picture in job.pictures]
    return [(each["Seed"], each["Denoising strength"]) for each in labels]


def test_each_picture_is_made_of_the_last(office: Open) -> None:
    here = office()
    here.settings.change({"samples_format": "jpg"})
    job = result(here, here.queue.submit(looped(here)))
    assert (job.state, job.count) == ("done", 3)
    assert told(job) == [("7", "0.6"), ("8", "0.4"), ("9", "0.2")]
    assert infotext.read(job.pictures[0].infotext).labels["Denoising curve"] == "Linear"
    assert given_to(here, 0).getpixel((0, 0)) == (0, 128, 128)
    assert [given_to(here, each).getpixel((0, 0)) for each in (1, 2)] == [(7, 0, 0), (8, 1, 0)], "without loss"
    assert not here.catalog.job_folders.of(job.id).exists()
    (sheet,) = (name for name in here.catalog.pictures.extras.names(job.pictures[0].id) if grid.is_sheet(name))
    with Image.open(io.BytesIO(here.catalog.pictures.extras.content(job.pictures[0].id, sheet)[0])) as image:
        assert image.size == (24, 8)


def test_of_several_batches_the_last_pictures_are_results_and_nothing_is_left_of_the_others(office: Open) -> None:
    here = office()
    job = result(here, here.queue.submit(looped(here, n_iter=2, inpainting_fill=0, mask="")))
    assert (job.count, [picture.seed for picture in job.pictures]) == (2, [9, 12])
    assert [picture.position for picture in job.pictures] == [0, 1]
    fills = [picture.request.inpainting_fill for picture in asked(here)]
    assert fills == [0, 1, 1, 0, 1, 1]
    assert len(list((here.catalog.paths.outputs / "img2img-images").rglob("*.png"))) == 2


@pytest.mark.parametrize("kill", ["engine", "program"])
@pytest.mark.parametrize("batches", [1, 2])
def test_killed_behind_every_picture_the_same_follow(office: Open, kill: str, batches: int) -> None:
    here = office()
    undisturbed = result(here, here.queue.submit(looped(here, n_iter=batches)))
    steps = [(p.seed, p.request.denoising_strength, p.init_image) for p in asked(here)]
    here.close()
    here = office(StandIn(by_itself=False))
    request = looped(here, n_iter=batches)
    job_id, seen = here.queue.submit(request), []
    for _ in steps:
        running(here, job_id)
        before = until(lambda h=here: len(asked(h)), "a picture to be asked for")
        if kill == "engine":
            here.engine.die()
            here.engine.come_up()
        else:
            here.close()
            here, before = office(StandIn(by_itself=False)), 0
        count = until(lambda h=here, n=before: len(asked(h)) > n and len(asked(h)), "the next try")
        last = asked(here)[-1]
        here.engine.paint()
        seen.append((last.seed, last.request.denoising_strength, last.init_image))
        until(lambda h=here, c=count: len(asked(h)) > c or h.queue.job(job_id).ended, "what follows")
    job = result(here, job_id)
    assert seen == steps
    assert told(job) == told(undisturbed) and job.count == undisturbed.count
    contents = [
        [one.catalog.pictures.content(p.id)[0] for p in each.pictures]
        for one, each in ((here, job), (here, undisturbed))
    ]
    pixels = [[Image.open(io.BytesIO(c)).tobytes() for c in each] for each in contents]
    assert pixels[0] == pixels[1]


OTHERS: dict[str, dict[str, Any]] = {
    "SD upscale": {"overlap": 16, "upscaler": "Lanczos", "scale_factor": 6},
    "Outpainting mk2": {"pixels": 16, "direction": ["left", "down"]},
    "Poor man's outpainting": {"pixels": 16, "direction": ["right"]},
    "Ultimate SD upscale": {"target_size_type": 2, "custom_scale": 8, "tile_width": 64, "upscaler": "Lanczos"},
}


@pytest.mark.parametrize("kill", ["engine", "program"])
@pytest.mark.parametrize("script", OTHERS)
def test_killed_behind_every_step_of_a_script_with_pictures_the_same_follow(
    office: Open, kill: str, script: str
) -> None:
    def works(office: Office) -> list[str]:
        return [repr(command.plan) for command in office.engine.sent if isinstance(command, Run)]

    here = office(StandIn(by_itself=False))
    request = looped(here).changed(script=script, script_values=OTHERS[script])
    job_id, seen, count = here.queue.submit(request), [], 0
    while not here.queue.job(job_id).ended:
        until(lambda h=here, c=count: len(works(h)) > c or h.queue.job(job_id).ended, "what follows")
        if here.queue.job(job_id).ended:
            break
        before = works(here)[-1]
        if kill == "engine":
            here.engine.die()
            here.engine.come_up()
            until(lambda h=here, c=count: len(works(h)) > c + 1, "the next try")
        else:
            here.close()
            here = office(StandIn(by_itself=False))
            until(lambda h=here: works(h), "the next try")
        assert works(here)[-1] == before
        seen.append(here.engine.kind)
        count = len(works(here))
        here.engine.paint(here.engine.left)
    job = result(here, job_id)
    assert (job.state, job.count) == ("done", len(job.pictures)), job.error
    assert {"compose", "img2img"} <= set(seen) <= {"compose", "img2img", "extras"}
    until(lambda: not here.catalog.job_folders.of(job.id).exists(), "nothing to be left of the steps")


def test_an_interrupt_keeps_what_is_there_and_nothing_follows(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(looped(here))
    running(here, job_id)
    here.engine.paint()
    until(lambda: len(asked(here)) == 2, "the second picture")
    here.queue.interrupt(job_id, at_once=True)
    job = result(here, job_id)
    assert (job.state, len(job.pictures), len(asked(here))) == ("done", 1, 2)
    assert job.comments == ("Stopped after 1 of 3 pictures.",)


def test_a_batch_that_is_skipped_is_left_out(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    job_id = here.queue.submit(looped(here, n_iter=2))
    running(here, job_id)
    here.engine.finish()
    for count in (2, 3, 4):
        until(lambda c=count: len(asked(here)) == c, "the next picture")
        here.engine.paint()
    job = result(here, job_id)
    assert [picture.seed for picture in job.pictures] == [10]


def test_a_next_request_of_another_kind_is_refused_at_once_where_it_cannot_be(office: Open) -> None:
    here = office()
    with pytest.raises(NotFound, match="BLIP"):
        here.queue.submit(looped(here, options={"append_interrogation": "CLIP"}))
    with pytest.raises(UserError, match="too many"):
        here.queue.submit(looped(here, options={"loops": 1000}, n_iter=100))


def test_a_flow_that_fails_over_its_next_request_fails_its_own_job_and_the_queue_goes_on(
    office: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = office()
    follow = Loopback.follow

    def failing(self: Loopback, request: Generation, made: Sequence[Made]) -> Next | None:
        if made:
            raise KeyError("the sky has fallen")
        return follow(self, request, made)

    with monkeypatch.context() as patched:
        patched.setattr(Loopback, "follow", failing)
        job = result(here, here.queue.submit(looped(here)))
    assert (job.state, len(job.pictures)) == ("failed", 1)
    assert job.error is not None and "the sky has fallen" in job.error.message
    assert result(here, here.queue.submit(looped(here))).state == "done"


def test_a_flow_that_says_another_thing_each_time_fails_its_own_job_and_the_queue_goes_on(
    office: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = office()
    follow, asked_for = Loopback.follow, 0

    def changing(self: Loopback, request: Generation, made: Sequence[Made]) -> Next | None:
        nonlocal asked_for
        asked_for += 1
        return follow(self, request, made) if asked_for <= 2 else None  # when it is submitted, and when it begins

    with monkeypatch.context() as patched:
        patched.setattr(Loopback, "follow", changing)
        job = result(here, here.queue.submit(looped(here)))
    assert (job.state, job.pictures) == ("failed", ())
    assert job.error is not None and "was asked twice for the next step" in job.error.message
    assert result(here, here.queue.submit(looped(here))).state == "done"


def test_each_picture_is_described_before_the_next_loop(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    file = here.catalog.paths.models / "torch_deepdanbooru" / "model-resnet_custom_v3.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"never opened")
    job_id = here.queue.submit(looped(here, options={"append_interrogation": "DeepBooru", "loops": 2}))
    for words in ("solo", "outdoors"):
        until(lambda: here.engine.kind == "interrogate", "a question")
        here.engine.answer(words)
        until(lambda: here.engine.kind == "img2img", "a picture")
        here.engine.paint()
    job = result(here, job_id)
    assert [infotext.read(picture.infotext).prompt for picture in job.pictures] == [
        "a red apple, solo",
        "a red apple, outdoors",
    ]
    assert job.answer == ""

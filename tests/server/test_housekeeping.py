"""What is forgotten in time, what is refused at once, and that nobody else is in the folder."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import until
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from tests.server.test_queue import result, small
from webui.base.errors import NotFound, UserError
from webui.base.folder_lock import FolderLock
from webui.request.fields import Img2Img
from webui.request.messages import Heartbeat, PartUse, Unload
from webui.server.housekeeping import DAY, UPLOADS_KEPT, Housekeeping
from webui.server.jobs.limits import within

Open = Callable[..., Office]


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (64, 64), shade).save(stream, "PNG")
    return stream.getvalue()


def test_old_jobs_go_and_pictures_that_no_job_refers_to(office: Open) -> None:
    here = office()
    uploads = here.catalog.uploads
    old, kept, lonely, fresh = (uploads.put(png(shade)) for shade in range(4))

    def submit(init: str) -> str:
        request = Img2Img.made(prompt="x", width=64, height=64, steps=2, init_images=(init,))
        job_id = here.queue.submit(request)
        result(here, job_id)
        return job_id

    gone, stays = submit(old), submit(kept)
    long_ago = time.time() - 31 * DAY
    with here.catalog.database.writing() as connection:
        connection.execute("UPDATE jobs SET finished = ? WHERE id = ?", (long_ago, gone))
    for name in (old, kept, lonely):
        past = time.time() - UPLOADS_KEPT - 60
        os.utime(uploads.path(name), (past, past))
    house = Housekeeping(here.catalog, here.settings)
    assert house.tidy() == (1, 2)
    for name in (old, lonely):
        with pytest.raises(NotFound):
            uploads.get(name)
    assert uploads.get(kept) and uploads.get(fresh)
    assert here.queue.job(stays).state == "done"
    with pytest.raises(NotFound):
        here.queue.job(gone)
    here.settings.change({"keep_jobs_days": 0})
    with here.catalog.database.writing() as connection:
        connection.execute("UPDATE jobs SET finished = ?", (long_ago,))
    assert house.tidy() == (0, 0), "0 days: never"


def test_it_works_in_the_background_and_ends(office: Open) -> None:
    here = office()
    rounds: list[int] = []
    house = Housekeeping(here.catalog, here.settings, period=0.01)
    house.tidy = lambda: (rounds.append(1), (0, 0))[1]  # type: ignore[method-assign]
    house.start()
    until(lambda: len(rounds) > 2, "some rounds")
    house.close()
    count = len(rounds)
    time.sleep(0.05)
    assert len(rounds) == count


@pytest.mark.parametrize(
    ("limit", "most", "asked", "field"),
    [
        ("most_prompt_characters", 100, {"negative_prompt": "n" * 101}, "prompt"),
        ("most_pictures", 6, {"batch_size": 2, "n_iter": 4}, "n_iter"),
        ("most_batch_size", 2, {"batch_size": 3}, "batch_size"),
        ("most_steps", 20, {"steps": 21}, "steps"),
        ("most_steps", 20, {"enable_hr": True, "hr_second_pass_steps": 30}, "steps"),
        ("most_megapixels", 1.0, {"width": 1024, "height": 1024}, "width"),
        ("most_megapixels", 1.0, {"width": 512, "height": 512, "enable_hr": True, "hr_scale": 2.5}, "width"),
        ("most_megapixels", 1.0, {"enable_hr": True, "hr_resize_x": 1024, "hr_resize_y": 1024}, "width"),
        ("most_megapixels", 1.0, {"enable_hr": True, "hr_resize_x": 2048}, "width"),
    ],
)
def test_a_job_that_asks_for_too_much_is_refused_at_once(
    office: Open, limit: str, most: float, asked: dict[str, object], field: str
) -> None:
    here = office()
    here.settings.change({limit: most})
    with pytest.raises(UserError) as caught:
        here.queue.submit(small(**asked))
    assert caught.value.field == field
    assert "The limit is" in caught.value.hint
    within(small(), here.settings.current.limits)


def test_one_server_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "config" / "server.lock"
    first = FolderLock(path)
    with pytest.raises(UserError, match=f"process {os.getpid()}"):
        FolderLock(path)
    first.release()
    FolderLock(path).release()


@pytest.mark.parametrize(
    "memory", [Heartbeat(resident=("any.safetensors",)), Heartbeat(parts=(PartUse("4x", "upscaler", 5, "cpu"),))]
)
def test_models_of_any_kind_go_when_nobody_has_made_pictures_for_a_while(office: Open, memory: Heartbeat) -> None:
    here = office()
    here.settings.change({"unload_after_minutes": 0.0001})
    result(here, here.queue.submit(small()))

    def unloads() -> int:
        here.engine._hear(memory)
        return sum(isinstance(sent, Unload) for sent in here.engine.sent)

    until(lambda: unloads() == 1, "the models to be put away")
    time.sleep(0.05)
    assert unloads() == 1
    assert unloads() == 1, "once"
    result(here, here.queue.submit(small()))
    until(lambda: unloads() == 2, "and again after the next job")


def test_models_stay_while_there_is_work_or_nothing_is_said_of_it(office: Open) -> None:
    here = office(StandIn(by_itself=False))
    here.engine._hear(Heartbeat(resident=("any.safetensors",)))
    job_id = here.queue.submit(small())
    until(lambda: here.engine.jobs, "the job")
    here.settings.change({"unload_after_minutes": 0.0001})
    for _ in range(3):
        time.sleep(0.02)
        here.engine._hear(Heartbeat(resident=("any.safetensors",)))
    assert not any(isinstance(sent, Unload) for sent in here.engine.sent)
    here.engine.paint()
    result(here, job_id)

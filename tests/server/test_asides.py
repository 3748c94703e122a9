"""What is asked beside the jobs: the newest counts, jobs do not notice, and an engine that dies loses nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from PIL import Image

from tests.conftest import until
from tests.server.conftest import Office
from tests.server.stand_in import StandIn
from tests.server.test_queue import result, running
from webui.base.errors import Busy, EngineCrashed, NotFound, UserError
from webui.jobs.extras.request import Extras, ExtrasPreview
from webui.jobs.merge.request import Merge
from webui.request.fields import Txt2Img
from webui.request.messages import AsideResult
from webui.server.jobs.asides import MOST, Superseded

Open = Callable[..., Office]
PATIENCE = 60.0


def wish(office: Office, **values: Any) -> Extras:
    stream = io.BytesIO()
    Image.new("RGB", (1600, 800), "teal").save(stream, "PNG")
    return Extras.made(
        **{"images": (office.catalog.uploads.put(stream.getvalue()),), "upscaler_1": "Lanczos", **values}
    )


def comments(answer: Future[AsideResult]) -> tuple[str, ...]:
    return answer.result(PATIENCE).comments


def held() -> StandIn:
    return StandIn(by_itself=False)


def test_an_answer_comes_and_leaves_neither_row_nor_history(office: Open) -> None:
    here = office()
    assert comments(here.queue.asides.ask("me", wish(here))) == ("Look 1.",)
    assert here.queue.asides.waiting == ()
    assert here.queue.jobs("") == [] and here.queue.waiting() == 0
    assert not list(here.catalog.paths.outputs.rglob("*.png"))


def test_the_engine_gets_a_small_copy_and_the_size_of_the_picture(office: Open) -> None:
    here = office(held())
    here.queue.asides.ask("me", wish(here))
    plan = here.engine.asides[0].plan
    assert isinstance(plan, ExtrasPreview) and plan.size == (1600, 800)
    with Image.open(io.BytesIO(plan.picture)) as small:
        assert small.size == (1024, 512)


def test_the_newest_of_a_key_counts_and_keys_do_not_meet(office: Open) -> None:
    here = office(held())
    asides, engine = here.queue.asides, here.engine
    first, other = asides.ask("me", wish(here)), asides.ask("you", wish(here))
    second = asides.ask("me", wish(here, upscaling_resize=2))
    with pytest.raises(Superseded):
        first.result(PATIENCE)
    one, two, three = engine.asides
    engine.look(one)  # it had begun already: its answer is of no interest
    engine.look(three)
    engine.look(two)
    assert comments(second) == (f"Look {three.number}.",) and comments(other) == (f"Look {two.number}.",)
    engine.look(one)
    third = asides.ask("me", wish(here))
    engine.look(engine.asides[-1], refuses="That cannot be.")
    with pytest.raises(UserError, match="That cannot be"):
        third.result(PATIENCE)


def test_a_job_in_work_does_not_notice(office: Open) -> None:
    here = office(held())
    job_id = here.queue.submit(Txt2Img(prompt="a cat", seed=1, n_iter=2))
    running(here, job_id)
    here.engine.paint()
    before = list(here.engine.jobs)
    answer = here.queue.asides.ask("me", wish(here))
    here.engine.look(here.engine.asides[-1])
    assert comments(answer) and here.engine.jobs == before and not here.queue.job(job_id).ended
    lost = here.queue.asides.ask("me", wish(here))
    here.engine.paint()
    assert result(here, job_id).state == "done" and not lost.done(), "nor does it wait for one that never comes"


def test_an_engine_that_dies_loses_the_preview_alone(office: Open) -> None:
    here = office(held())
    job_id = here.queue.submit(Txt2Img(prompt="a cat", seed=1))
    running(here, job_id)
    answer = here.queue.asides.ask("me", wish(here))
    here.engine.die()
    with pytest.raises(EngineCrashed, match="before the preview was made"):
        answer.result(PATIENCE)
    waits = here.queue.asides.ask("me", wish(here))
    count = len(here.engine.asides)
    assert not waits.done() and count == 1, "none is asked while none is there"
    here.engine.come_up()
    until(lambda: len(here.engine.asides) == 2, "it is asked now")
    here.engine.look(here.engine.asides[-1])
    assert comments(waits)
    until(lambda: len(here.engine.jobs) == 2, "the job is begun anew")
    here.engine.paint()
    assert result(here, job_id).state == "done"


def test_who_leaves_takes_the_wish_along(office: Open) -> None:
    here = office(held())
    asides = here.queue.asides
    old = asides.ask("me", wish(here))
    new = asides.ask("me", wish(here))
    asides.forget("me", old)
    assert asides.waiting == ("me",), "somebody else waits for the newer one"
    asides.forget("me", new)
    assert asides.waiting == () and here.engine.asides[-1].plan is None
    with pytest.raises(Superseded):
        new.result(PATIENCE)
    here.engine.look(here.engine.asides[1])
    asides.forget("me")


def test_what_cannot_be_is_refused_before_an_engine_hears_of_it(office: Open) -> None:
    here = office(held())
    asides = here.queue.asides
    with pytest.raises(NotFound, match="Lanzos"):
        asides.ask("me", wish(here, upscaler_1="Lanzos"))
    with pytest.raises(NotFound):
        asides.ask("me", wish(here, images=("0" * 64,)))
    with pytest.raises(UserError, match="no picture"):
        asides.ask("me", wish(here, images=()))
    with pytest.raises(UserError, match="no preview"):
        asides.ask("me", Merge())
    for number in range(MOST):
        asides.ask(str(number), wish(here))
    with pytest.raises(Busy):
        asides.ask("one more", wish(here))
    asides.ask("0", wish(here))
    assert len(here.engine.asides) == MOST + 1
    here.engine.break_down()
    until(lambda: not asides.waiting, "no engine starts any more")

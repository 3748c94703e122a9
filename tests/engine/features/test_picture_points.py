"""A picture in which things are painted anew is never lost over that, wherever the engine ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import levels
from tests.engine.features.test_detailer import TWO, Detailing, detailing, with_unit  # noqa: F401 - a fixture
from webui.base.resume_points import ResumePoints
from webui.engine.generate import Tools, pictures
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.request.fields import Txt2Img
from webui.request.messages import Event, Pictured, Progress, Saved

ASKED = with_unit(TWO, batch_size=2, steps=3)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a killed process."""


def life(
    detailing: Detailing,  # noqa: F811
    points: ResumePoints,
    asked: Txt2Img = ASKED,
    *,
    ends: Callable[[list[Event]], bool] = lambda _heard: False,
) -> tuple[list[Event], list[Pictured]]:
    """An engine that is killed when it has said what `ends` waits for -> what it said, and the pictures it gave."""
    heard: list[Event] = []
    made: list[Pictured] = []

    def hear(event: Event) -> None:
        heard.append(event)
        if ends(heard):
            raise Killed

    engine, plan = detailing.engine, detailing.plan(asked)
    watch = Watch("job", hear, Cancel(), Viewing(), Stopwatch(torch.device("cpu")), progress_period=0.0)
    lent = Tools(engine.models, engine.cache, engine.shelf, watch, residents=engine.models.residents, points=points)
    try:
        with torch.inference_mode():
            for each in pictures(plan, lent):
                made.append(each)
    except Killed:
        pass
    return heard, made


def walked(heard: list[Event]) -> int:
    """Steps of samplers."""
    return sum(isinstance(each, Progress) and each.phase == "sampling" and each.step > 0 for each in heard)


def painting(heard: list[Event]) -> bool:
    """Something is being painted in a picture that is kept."""
    return isinstance(heard[-1], Progress) and heard[-1].phase == "sampling" and any(map(_is_saved, heard))


def _is_saved(event: Event) -> bool:
    return isinstance(event, Saved)


def test_an_engine_that_ends_over_it_costs_no_step_of_the_pictures(
    detailing: Detailing,  # noqa: F811
    tmp_path: Path,
) -> None:
    said, undisturbed = life(detailing, ResumePoints(tmp_path / "undisturbed"))
    kept = max(at for at, event in enumerate(said) if isinstance(event, Saved)) + 1
    assert kept < len(said) and len(undisturbed) == 2
    own = walked(said[:kept])
    assert own == 3
    for moment in (kept, (kept + len(said)) // 2):
        points = ResumePoints(tmp_path / str(moment))
        _, before = life(detailing, points, ends=lambda heard, m=moment: len(heard) == m)  # type: ignore[misc]
        heard, made = life(detailing, points)
        assert [each.rgb for each in made] == [each.rgb for each in undisturbed]
        assert made[0].facts == undisturbed[0].facts and made[1].comments == undisturbed[1].comments
        assert walked(heard) == walked(said) - own, "only what is painted within them"
        assert len(before) < 2


def test_what_ends_two_engines_is_left_out_and_the_picture_is_as_it_was(
    detailing: Detailing,  # noqa: F811
    tmp_path: Path,
) -> None:
    plain = detailing.engine.run(with_unit(batch_size=2, steps=3))
    points, reached = ResumePoints(tmp_path), 0
    for _ in range(2):
        life(detailing, points, ends=painting)
        assert points.reached > reached, "each engine has come further than the one before"
        reached = points.reached
    heard, made = life(detailing, points)
    assert (levels(made[0]) == levels(plain[0])).all() and not made[0].half_done
    assert any("ADetailer" in each and "as before" in each for each in made[0].comments)
    assert made[1].rgb != plain[1].rgb
    assert walked(heard), "what is found in the other one is painted"
    assert points.reached == 0, "nothing is kept of what was given out"


def test_a_picture_that_was_asked_for_otherwise_is_made_anew(detailing: Detailing, tmp_path: Path) -> None:  # noqa: F811
    points = ResumePoints(tmp_path)
    life(detailing, points, ends=painting)
    other = ASKED.changed(prompt="something else")
    made = life(detailing, points, other)[1]
    assert [each.rgb for each in made] == [each.rgb for each in detailing.run(other)]


def _broken(folder: Path) -> None:
    for path in folder.rglob("*.point"):
        path.write_bytes(b"nothing")


def _gone(folder: Path) -> None:
    for path in folder.rglob("picture-1/*.point"):
        path.unlink()


@pytest.mark.parametrize("damage", [_broken, _gone])
def test_where_a_resume_point_is_broken_the_pictures_are_made_anew(
    detailing: Detailing,  # noqa: F811
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    points = ResumePoints(tmp_path)
    life(detailing, points, ends=painting)
    damage(tmp_path)
    assert [each.rgb for each in life(detailing, points)[1]] == [each.rgb for each in detailing.run(ASKED)]


def test_a_full_disk_costs_the_resume_point_alone(detailing: Detailing, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "file").write_text("in the way")
    heard, made = life(detailing, ResumePoints(tmp_path / "file"))
    assert [each.rgb for each in made] == [each.rgb for each in detailing.run(ASKED)]
    assert not any(map(_is_saved, heard))

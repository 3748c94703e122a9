"""Stopped beyond its sampling, a batch gives what is there, to those who want what is half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.conftest import Engine, levels
from tests.engine.features.rooms import ENTRIES, RepaintEngine
from tests.engine.features.test_rooms import WIDE, request
from webui import registry
from webui.base.errors import Interrupted
from webui.engine.feature import FinishedPicture
from webui.engine.watch import HALFWAY, Cancel
from webui.request.messages import Event, Pictured, Progress

Press = Callable[[Event], None]


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "features", lambda: ENTRIES)
    monkeypatch.setattr(RepaintEngine, "heard", [])


def same(made: list[Pictured], plain: list[Pictured]) -> bool:
    return all((levels(one) == levels(other)).all() for one, other in zip(made, plain, strict=True))


def repainting(cancel: Cancel, monkeypatch: pytest.MonkeyPatch, press: Callable[[], None], *, later: bool) -> Press:
    """Presses when a repainting begins, or at its first step."""
    begun: list[bool] = []
    finish = RepaintEngine.finish

    def watched(self: RepaintEngine, finished: FinishedPicture) -> FinishedPicture:
        begun.append(True)
        if not later:
            press()
        return finish(self, finished)

    def hear(event: Event) -> None:
        if later and begun and isinstance(event, Progress) and event.phase == "sampling" and event.step == 1:
            press()

    monkeypatch.setattr(RepaintEngine, "finish", watched)
    return hear


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("button", ["interrupt", "skip"])
def test_stopped_in_a_repainting_the_pictures_are_as_they_were_before(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, button: str, later: bool
) -> None:
    plain = engine.run(request(**WIDE, batch_size=2))
    asked = request(**WIDE, batch_size=2, features={"Repaint": [{"prompt": "red"}, {"prompt": "blue"}]})
    cancel = Cancel(half_done=True)
    hear = repainting(cancel, monkeypatch, getattr(cancel, button), later=later)
    made = engine.run(asked, cancel=cancel, on_event=hear)
    assert [picture.half_done for picture in made] == [True, True]
    assert same(made, plain), "nothing half repainted lies over them"
    assert HALFWAY in made[0].comments
    assert len(RepaintEngine.heard) == 1, "no further repainting is begun"


@pytest.mark.parametrize(("button", "wish"), [("interrupt", Interrupted), ("skip", None)])
def test_who_does_not_want_what_is_half_done_gets_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, button: str, wish: type[Exception] | None
) -> None:
    cancel = Cancel()
    hear = repainting(cancel, monkeypatch, getattr(cancel, button), later=True)
    asked = request(**WIDE, features={"Repaint": {"prompt": "red"}})
    if wish is None:
        assert engine.run(asked, cancel=cancel, on_event=hear) == []
        return
    with pytest.raises(wish):
        engine.run(asked, cancel=cancel, on_event=hear)


def test_a_picture_that_is_half_done_is_not_repainted(engine: Engine) -> None:
    cancel = Cancel(half_done=True)

    def hear(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "sampling" and event.step == 2:
            cancel.interrupt()

    (made,) = engine.run(request(**{**WIDE, "steps": 20}, features={"Repaint": {}}), cancel=cancel, on_event=hear)
    assert made.half_done and not RepaintEngine.heard


def at(cancel: Cancel, phase: str) -> Press:
    def hear(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == phase:
            cancel.interrupt()

    return hear


def test_what_has_been_sampled_is_decoded_and_whole(engine: Engine) -> None:
    asked = request(batch_size=3, n_iter=2)
    plain, cancel = engine.run(asked), Cancel(half_done=True)
    made = engine.run(asked, cancel=cancel, on_event=at(cancel, "decoding"))
    assert [picture.half_done for picture in made] == [False] * 3 and same(made, plain[:3])
    cancel = Cancel()
    with pytest.raises(Interrupted):
        engine.run(asked, cancel=cancel, on_event=at(cancel, "decoding"))


@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_stopped_between_two_passes_the_first_one_s_picture_is_given(engine: Engine, upscaler: str) -> None:
    more: dict[str, Any] = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": upscaler}
    plain, cancel = engine.run(request()), Cancel(half_done=True)
    (made,) = engine.run(request(**more), cancel=cancel, on_event=at(cancel, "hires"))
    assert made.half_done and same([made], plain) and HALFWAY in made.comments
    cancel = Cancel()
    with pytest.raises(Interrupted):
        engine.run(request(**more), cancel=cancel, on_event=at(cancel, "hires"))

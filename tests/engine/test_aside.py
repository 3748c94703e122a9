"""The lane beside the device: the newest wins, nothing waits for it, and it shows what the job would make."""

from __future__ import annotations

import io
import queue
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.engine.conftest import OPTIONS
from tests.engine.test_extras import Names, made
from webui.base.errors import UserError
from webui.catalog.image_files import picture_of
from webui.catalog.reduced import reduced
from webui.engine.aside import AsideLane
from webui.engine.command_handler import CommandHandler
from webui.engine.inpaint import flattened
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.jobs.extras.aside import aside
from webui.jobs.extras.request import RESIZE_TO, Extras, ExtrasPreview, resolve_extras
from webui.request.messages import Aside, AsideDone, AsideResult, Event, Finished, Pictured, Run
from webui.request.settings import Settings

PATIENCE = 60.0
LENDING = Residents(profile_of(OPTIONS))


@dataclass(frozen=True)
class Wish:
    """A plan that says itself what shall come of it."""

    says: str
    kind: str = "extras"


class Held:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.begun: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.open = threading.Semaphore(0)

    def __call__(self, plan: Any, _residents: Any) -> AsideResult:
        self.begun.put(plan.says)
        assert self.open.acquire(timeout=PATIENCE)
        if plan.says == "broken":
            raise ZeroDivisionError("division by zero")
        if plan.says == "refused":
            raise UserError("That cannot be.", hint="Ask for less.")
        return AsideResult(comments=(plan.says,))


class Heard:
    def __init__(self) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def done(self) -> AsideDone:
        while not isinstance(event := self.events.get(timeout=PATIENCE), AsideDone):
            pass
        return event


def test_the_newest_takes_the_place_of_what_has_not_begun_and_keeps_its_turn() -> None:
    heard, held = Heard(), Held()
    lane = AsideLane(heard.events.put, held)
    lane.put(Aside("first", 1, Wish("a")))
    assert held.begun.get(timeout=PATIENCE) == "a"
    for number, says in ((2, "b"), (4, "c"), (6, "d")):
        lane.put(Aside("first", number, Wish(says)))
        lane.put(Aside("second", number + 1, Wish(says * 2)))
    lane.put(Aside("third", 8, Wish("nobody's")))
    lane.put(Aside("third", 8, None))
    for _ in range(3):
        held.open.release()
    answers = [heard.done() for _ in range(3)]
    assert [(each.key, each.number) for each in answers] == [("first", 1), ("first", 6), ("second", 7)]
    assert [each.result and each.result.comments for each in answers] == [("a",), ("d",), ("dd",)]
    lane.put(Aside("third", 9, Wish("e")))
    held.open.release()
    assert heard.done().number == 9, "what nobody wants any more was never begun"


def test_an_error_is_an_answer_and_the_lane_goes_on() -> None:
    heard, held = Heard(), Held()
    lane = AsideLane(heard.events.put, held)
    for number, says in enumerate(("broken", "refused", "well")):
        lane.put(Aside("key", number, Wish(says)))
        held.begun.get(timeout=PATIENCE)
        held.open.release()
        answer = heard.done()
        if says == "broken":
            assert (answer.code, answer.result) == ("error", None) and "ZeroDivisionError" in answer.message
        if says == "refused":
            assert (answer.code, answer.message, answer.hint) == ("bad_request", "That cannot be.", "Ask for less.")
    assert answer.result == AsideResult(comments=("well",))


def test_a_job_comes_to_its_end_while_something_beside_it_never_does() -> None:
    heard, held = Heard(), Held()
    handler = CommandHandler(OPTIONS, heard.events.put)
    handler.aside = AsideLane(heard.events.put, held)
    assert not handler.hear(Aside("key", 1, Wish("slow"))), "it takes no turn of the device's"
    held.begun.get(timeout=PATIENCE)
    request = Extras(images=("x", "y"), upscaler_1="Nearest", upscaling_resize=2)
    run = Run("job", resolve_extras(request, Settings(), Names()))
    assert handler.hear(run)
    handler.serve(run)
    told: list[Event] = []
    while not told or not isinstance(told[-1], Finished):
        told.append(heard.events.get(timeout=PATIENCE))
    assert len([event for event in told if isinstance(event, Pictured)]) == 2
    assert not any(isinstance(event, AsideDone) for event in told)
    held.open.release()
    assert heard.done().number == 1


def test_what_has_no_preview_says_so() -> None:
    heard = Heard()
    AsideLane(heard.events.put).put(Aside("key", 1, Wish("", kind="merge")))
    assert "cannot be previewed" in heard.done().message


# --- what is seen -------------------------------------------------------------------------------------------------

TO = {"resize_mode": RESIZE_TO, "upscaling_resize_w": 240, "upscaling_resize_h": 320}
ASKED: tuple[dict[str, Any], ...] = (
    {},
    {"upscaler_1": "None"},
    {"upscaler_1": "None", "flip_horizontal": True, "flip_vertical": True, "flip_both": True},
    {"upscaling_resize": 0.37},
    {"upscaling_resize": 6, "max_side_length": 1500},
    TO,
    {**TO, "upscaling_crop": False},
    {**TO, "upscaling_resize_w": 2000},
    {**TO, "upscaling_crop": False, "split_oversized": True, "split_threshold": 1, "split_overlap": 0.3},
    {"autosized_crop": True, "crop_max_side": 1024, "crop_max_area": 640 * 640, "crop_threshold": 0.5},
    {**TO, "autosized_crop": True, "crop_min_side": 64, "crop_objective": "Minimize error", "flip_vertical": True},
    {"upscaler_1": "Lanczos", "upscaler_2": "Nearest", "extras_upscaler_2_visibility": 0.5},
)


class Landscape(Names):
    """One picture, larger than what a preview is made of, with a different colour in each corner."""

    size = (1300, 700)

    def picture(self, name: str) -> bytes:
        image = Image.new("RGBA", (4, 2), "white")
        for x, y, colour in ((0, 0, "red"), (3, 0, "green"), (0, 1, "blue"), (3, 1, "#00000000")):
            image.paste(colour, (x, y, x + 1, y + 1))
        buffer = io.BytesIO()
        image.resize(self.size, Image.Resampling.BICUBIC).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()


@pytest.mark.parametrize("asked", ASKED)
def test_a_preview_shows_what_the_job_makes(asked: dict[str, Any]) -> None:
    names = Landscape()
    request = Extras(**{"images": ("x",), "upscaler_1": "Nearest", "upscaling_resize": 2, **asked})
    small = reduced(names.picture("x"))
    assert (small.width, small.height) == names.size
    plan = ExtrasPreview(request, small.png, names.size, {"Lanczos": "Lanczos", "Nearest": "Nearest"}, 64_000_000)
    looks, results = aside(plan, LENDING).pictures, made(names, **asked)
    assert [(look.width, look.height) for look in looks] == [(each.width, each.height) for each in results]
    for look, result in zip(looks, results, strict=True):
        with Image.open(io.BytesIO(look.webp)) as image:
            seen = flattened(image, "grey")
        assert max(seen.size) <= 640
        whole = picture_of(result.width, result.height, result.rgb, result.alpha)
        distance = ImageChops.difference(seen, flattened(whole, "grey").resize(seen.size, Image.Resampling.LANCZOS))
        assert max(ImageStat.Stat(distance).mean) < 4


def test_what_the_job_would_refuse_the_preview_refuses_and_of_many_parts_the_first_are_shown() -> None:
    small = reduced(Landscape().picture("x"))
    names = {"Lanczos": "Lanczos", "Nearest": "Nearest"}
    large = Extras(images=("x",), upscaler_1="Lanczos", upscaling_resize=8)
    with pytest.raises(UserError, match="would become 10400x5600"):
        aside(ExtrasPreview(large, small.png, (1300, 700), names, 1_000_000), LENDING)
    parts = Extras(
        **{**TO, "images": ("x",), "upscaling_resize_w": 20, "split_oversized": True, "split_threshold": 1},
        flip_horizontal=True,
        flip_vertical=True,
        flip_both=True,
    )
    result = aside(ExtrasPreview(parts, small.png, (1300, 700), names, 64_000_000, ("Said before.",)), LENDING)
    assert len(result.pictures) == 12
    assert result.comments[0] == "Said before." and "The first 12 of" in result.comments[1]

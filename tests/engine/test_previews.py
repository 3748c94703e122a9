"""What whoever looks at the previews has chosen, and what a job tells of a device's memory."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.engine.conftest import SMALL, Engine, levels
from webui.engine.memory import forget_peak, peak_use
from webui.engine.watch import Cancel
from webui.request.fields import Txt2Img
from webui.request.messages import Event, LivePreviews, Pictured, Preview, Progress

EVERY = LivePreviews(True, 0.0, format="png")


def request(**changes: object) -> Txt2Img:
    return Txt2Img.model_validate({"prompt": "a cat", **SMALL, **changes})


def seen(engine: Engine, looks: LivePreviews, **changes: Any) -> list[np.ndarray]:
    engine.events.clear()
    engine.run(request(**changes), looks=looks)
    previews = [event for event in engine.events if isinstance(event, Preview)]
    return [np.array(Image.open(io.BytesIO(preview.content))) for preview in previews]


def test_they_come_at_every_so_many_steps(engine: Engine) -> None:
    every, third, last = (
        seen(engine, LivePreviews(True, 0.0, every=steps, format="png"), steps=6) for steps in (1, 3, -1)
    )
    assert len(every) == 6
    assert [len(third), len(last)] == [2, 1]
    assert np.array_equal(third[0], every[2])
    assert np.array_equal(last[0], every[5])


def test_the_subject_is_what_one_of_the_prompts_leads_to(engine: Engine) -> None:
    changes: dict[str, object] = {"steps": 2, "negative_prompt": "a dog", "cfg_scale": 2.0}
    combined, positive, negative = (
        seen(engine, LivePreviews(True, 0.0, subject=subject, format="png"), **changes)[0].astype(int)
        for subject in ("Combined", "Prompt", "Negative prompt")
    )
    # Both are of the first call, which sees the same noise: classifier-free guidance goes on from one to the other.
    (alone,) = seen(engine, EVERY, **{**changes, "steps": 2, "cfg_scale": 1.0})[:1]
    assert np.array_equal(positive, alone.astype(int))
    inside = np.all([(each > 0) & (each < 255) for each in (combined, positive, negative)], axis=0)
    assert inside.any()
    assert np.abs(negative + 2 * (positive - negative) - combined)[inside].max() <= 3
    assert not np.array_equal(positive, negative)


def test_what_is_stopped_halfway_is_decoded_as_the_previews_are(engine: Engine) -> None:
    def stopped(looks: LivePreviews) -> Pictured:
        cancel = Cancel(half_done=True)

        def at_two(event: Event) -> None:
            if isinstance(event, Progress) and event.phase == "sampling" and event.step == 2:
                cancel.interrupt()

        (picture,) = engine.run(request(steps=30), cancel=cancel, looks=looks, on_event=at_two)
        return picture

    fast, plain = (stopped(LivePreviews(fast_interrupt=fast)) for fast in (True, False))
    assert fast.half_done and plain.half_done
    assert (fast.width, fast.height) == (plain.width, plain.height) == (64, 64)
    assert not np.array_equal(levels(fast), levels(plain))


def test_a_device_without_memory_of_its_own_tells_nothing() -> None:
    forget_peak(torch.device("cpu"))
    assert peak_use(torch.device("cpu")) is None

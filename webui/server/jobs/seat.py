"""An engine's seat at the queue: how the engine is, and what it works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from webui.request.messages import Beat, DeviceInfo
from webui.server.jobs.engine_client import Engine, EngineState
from webui.server.jobs.work import Unit

STARTING = EngineState("starting", "The engine starts.")


@dataclass(frozen=True)
class ModelState:
    """What an engine has in memory, for the page and for `/sdapi/v1/memory`."""

    loading: str = ""
    message: str = ""
    beat: Beat = field(default_factory=Beat)
    device: DeviceInfo | None = None

    @property
    def shown(self) -> dict[str, Any]:
        return {
            "loading": self.loading,
            "resident": list(self.beat.resident),
            "message": self.message,
            "profile": self.beat.profile,
            "parts": [asdict(part) for part in self.beat.parts],
        }


@dataclass(eq=False)
class Seat:
    """Belongs to the queue's thread; the frozen `state` and `models` may be read by any."""

    engine: Engine
    state: EngineState = STARTING
    models: ModelState = ModelState()
    job_id: str = ""
    """Of the job that it makes a part of; "" while it has nothing to do."""
    unit: Unit | None = None
    checkpoint: str = ""
    """Path of the file that it used last: most likely still in its memory."""
    since: float = 0.0
    """When it was given its part of the job, by the clock that only goes on."""
    others_wait: bool = False
    """Whether it was told that shorter jobs wait for a long one that it is at."""

    @property
    def idle(self) -> bool:
        """Whether it can be given work."""
        return not self.job_id and self.state.state == "ready"


def state_of(seats: Sequence[Seat]) -> EngineState:
    """How the engines are, in one: ready when one of them is."""
    order = ("ready", "starting", "restarting", "failed")
    best = min((seat.state for seat in seats), key=lambda state: order.index(state.state), default=STARTING)
    alike = [seat.state for seat in seats if seat.state.state == best.state]
    if len(seats) < 2:
        return best
    texts = "; ".join(dict.fromkeys(state.text for state in alike))
    return EngineState(best.state, f"{len(alike)} of {len(seats)} engines: {texts}")


def models_of(seats: Sequence[Seat]) -> ModelState:
    """What the engines have in memory, in one: sums, and each model once."""
    if len(seats) == 1:
        return seats[0].models
    all_models = [seat.models for seat in seats]
    beats = [models.beat for models in all_models]
    return ModelState(
        loading=next((models.loading for models in all_models if models.loading), ""),
        message=next((models.message for models in all_models if models.message), ""),
        beat=Beat(
            ram_used=sum(beat.ram_used for beat in beats),
            vram_used=sum(beat.vram_used for beat in beats),
            vram_total=sum(beat.vram_total for beat in beats),
            resident=tuple(dict.fromkeys(title for beat in beats for title in beat.resident)),
            parts=tuple(part for beat in beats for part in beat.parts),
            profile=next((beat.profile for beat in beats if beat.profile), ""),
        ),
        device=next((models.device for models in all_models if models.device is not None), None),
    )

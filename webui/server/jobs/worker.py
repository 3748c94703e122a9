"""An engine's worker at the queue: how the engine is, and what it works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from webui.request.messages import DeviceInfo, Heartbeat
from webui.server.jobs.engine_client import Engine, EngineState
from webui.server.jobs.work import Chunk

STARTING = EngineState("starting", "The engine is starting.")


@dataclass(frozen=True)
class ModelState:
    """What an engine has in memory, for the page and for `/sdapi/v1/memory`."""

    loading: str = ""
    message: str = ""
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    device: DeviceInfo | None = None

    @property
    def shown(self) -> dict[str, object]:
        return {
            "loading": self.loading,
            "resident": list(self.heartbeat.resident),
            "message": self.message,
            "profile": self.heartbeat.profile,
            "parts": [asdict(part) for part in self.heartbeat.parts],
        }


@dataclass(eq=False)
class Worker:
    """Belongs to the queue's thread; the frozen `state` and `models` may be read by any."""

    engine: Engine
    state: EngineState = STARTING
    models: ModelState = ModelState()
    job_id: str = ""
    """Of the job that it makes a part of; "" while it has nothing to do."""
    chunk: Chunk | None = None
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


def state_of(workers: Sequence[Worker]) -> EngineState:
    """How the engines are, in one: ready when one of them is."""
    order = ("ready", "starting", "restarting", "failed")
    best = min((worker.state for worker in workers), key=lambda state: order.index(state.state), default=STARTING)
    alike = [worker.state for worker in workers if worker.state.state == best.state]
    if len(workers) < 2:
        return best
    texts = "; ".join(dict.fromkeys(state.text for state in alike))
    return EngineState(best.state, f"{len(alike)} of {len(workers)} engines: {texts}")


def models_of(workers: Sequence[Worker]) -> ModelState:
    """What the engines have in memory, in one: sums, and each model once."""
    if len(workers) == 1:
        return workers[0].models
    all_models = [worker.models for worker in workers]
    heartbeats = [models.heartbeat for models in all_models]
    return ModelState(
        loading=next((models.loading for models in all_models if models.loading), ""),
        message=next((models.message for models in all_models if models.message), ""),
        heartbeat=Heartbeat(
            ram_used=sum(heartbeat.ram_used for heartbeat in heartbeats),
            vram_used=sum(heartbeat.vram_used for heartbeat in heartbeats),
            vram_total=sum(heartbeat.vram_total for heartbeat in heartbeats),
            resident=tuple(dict.fromkeys(title for heartbeat in heartbeats for title in heartbeat.resident)),
            parts=tuple(part for heartbeat in heartbeats for part in heartbeat.parts),
            profile=next((heartbeat.profile for heartbeat in heartbeats if heartbeat.profile), ""),
        ),
        device=next((models.device for models in all_models if models.device is not None), None),
    )

"""The engines as one: how they are, which models they have, and what they are told besides jobs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from webui import entry_points
from webui.base.errors import NotFound, StorageError
from webui.base.fence import Problem
from webui.catalog.catalog import Catalog
from webui.catalog.settings_store import SettingsStore
from webui.request.messages import (
    Broken,
    Command,
    Configure,
    Heartbeat,
    LivePreviews,
    Preload,
    Preloaded,
    PreviewFormat,
    PreviewSubject,
    Unload,
)
from webui.request.plan import chosen_models
from webui.request.settings import Settings, UiSettings
from webui.server.jobs.engine_client import Engine, EngineState, Heard
from webui.server.jobs.events import Hub
from webui.server.jobs.worker import ModelState, Worker, models_of, state_of

log = logging.getLogger(__name__)

POLLED_SECONDS = 10.0
"""Who asked for a preview so long ago counts as watching."""


def choice(settings: Settings) -> tuple[str, str]:
    """The checkpoint and the VAE that are chosen."""
    return settings.render.sd_model_checkpoint, settings.render.sd_vae


def _wish(ui: UiSettings, *, watched: bool) -> LivePreviews:
    """How previews are wanted."""
    return LivePreviews(
        watched,
        period=ui.live_preview_refresh_period / 1000,
        method=ui.show_progress_type,
        every=ui.show_progress_every_n_steps,
        subject=cast("PreviewSubject", ui.live_preview_content),
        format=cast("PreviewFormat", ui.live_previews_image_format),
        whole_batch=ui.show_progress_grid,
        full_anyway=ui.live_preview_allow_lowvram_full,
        fast_interrupt=ui.live_preview_fast_interrupt,
    )


class Engines:
    """Belongs to the queue's thread, but for `tell`, `watch` and what can only be read."""

    def __init__(
        self,
        catalog: Catalog,
        settings: SettingsStore,
        hub: Hub,
        engines: Sequence[Engine],
        more: Callable[[int], Sequence[Engine]] | None,
    ) -> None:
        """`more`: asked once how many devices the first engine sees; gives the engines for the others."""
        self._catalog = catalog
        self._settings = settings
        self._hub = hub
        self.workers = tuple(Worker(engine) for engine in engines)
        self._more = more
        self._hear: Callable[[Worker, Heard], None] = lambda _seat, _heard: None
        self.trouble = ""
        """Why no job can be begun; "": all is well."""
        self.polled = 0.0
        """When somebody asked for a preview."""
        self.idle_since: float | None = time.monotonic()
        self._watching = False
        self._told: tuple[str, str] | None = None
        self._asked = ("", "")
        self._loaded: tuple[str, str] | None = None
        self._fallen_back = ""

    def start(self, hear: Callable[[Worker, Heard], None]) -> None:
        """Start them all; `hear` gets what they say, in threads of theirs."""
        self._hear = hear
        self._loaded = choice(self._settings.current)
        self.configure(self._settings.current)
        for worker in self.workers:
            self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        worker.engine.start(lambda heard: self._hear(worker, heard))

    def tell(self, command: Command) -> None:
        for worker in self.workers:
            worker.engine.send(command)

    def tell_those_at(self, job_id: str, command: Command) -> None:
        for worker in self.workers:
            if worker.job_id == job_id:
                worker.engine.send(command)

    @property
    def state(self) -> EngineState:
        """How the engines are, in one."""
        return state_of(self.workers)

    @property
    def models(self) -> ModelState:
        """What the engines have in memory, in one."""
        found = models_of(self.workers)
        return replace(found, message=f"The queue is waiting. {self.trouble}") if self.trouble else found

    @property
    def checkpoint_in_use(self) -> str:
        """The title of the checkpoint that an engine used last; "" is none."""
        paths = {worker.checkpoint for worker in self.workers if worker.checkpoint}
        known = self._catalog.checkpoints.scan() if paths else ()
        return next((checkpoint.title for checkpoint in known if str(checkpoint.path) in paths), "")

    def unload(self, part: str = "") -> None:
        """Let the engines put all models away."""
        self.tell(Unload(part))

    def note_trouble(self, trouble: str) -> None:
        """No job can be begun, and why; "": all is well. Said once, on the page as well."""
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble:
            log.error("The queue is waiting. %s", trouble)
        else:
            log.info("The queue continues.")
        self._hub.publish("models", {"type": "models", **self.models.shown})

    def note_state(self, worker: Worker, state: EngineState) -> bool:
        """An engine says how it is -> whether none of them starts any more."""
        worker.state = state
        told = self.state
        self._hub.publish("engine", {"type": "engine", "state": told.state, "text": told.text})
        return told.state == "failed"

    def note_broken(self, broken: Broken) -> None:
        """An installed package has failed in an engine."""
        problem = Problem(entry_points.KIND, broken.package, f"{broken.what}: {broken.reason}", entry_points.TODO)
        self._catalog.problems.noted(entry_points.KIND, problem)

    def note_heartbeat(self, worker: Worker, heard: Heartbeat) -> None:
        """A sign of life; people hear of it when it says something new."""
        changed = heard.loaded != worker.models.heartbeat.loaded
        worker.models = replace(worker.models, heartbeat=heard)
        if changed:
            self.set_models(worker)

    def unload_when_idle(self) -> None:
        """Nobody has made pictures for the time that the settings say: the models go."""
        minutes = self._settings.current.system.unload_after_minutes
        if not minutes or self.idle_since is None:
            return
        heartbeat = self.models.heartbeat
        if time.monotonic() - self.idle_since > minutes * 60 and (heartbeat.resident or heartbeat.parts):
            self.idle_since = None  # Once; the next job begins the time anew.
            self.unload()

    def take_in_more(self, devices: int) -> None:
        """The first engine has said how many devices there are: engines for the others, when they are wished for."""
        if self._more is None or devices < 2:
            return
        more, self._more = tuple(Worker(engine) for engine in self._more(devices)), None
        self.workers += more
        self.configure(self._settings.current, more)
        for worker in more:
            self._begin(worker)

    def configure(self, settings: Settings, workers: Sequence[Worker] | None = None) -> None:
        budget = int(settings.system.model_memory_budget * 2**30)
        for worker in self.workers if workers is None else workers:
            system = settings.system
            worker.engine.send(
                Configure(system.sd_checkpoints_limit, budget, system.offload, attention=system.attention)
            )
        self.watch(settings)

    def forget_choice(self) -> None:
        """The next `preload` loads the checkpoint of the settings even if that was asked for before."""
        self._told = None

    def preload(self, settings: Settings) -> None:
        """Load the checkpoint of the settings, if it is another one than before."""
        wanted = choice(settings)
        if wanted == self._told:
            return
        self._told = wanted
        remarks: list[str] = []
        # What somebody has just chosen and is not there is taken back; what was chosen long ago may have gone since.
        anew = ("sd_model_checkpoint",) if self._loaded not in (None, wanted) else ()
        try:
            checkpoint, vae = chosen_models(settings.render, self._catalog, remarks.append, asked=anew)
        except NotFound as error:
            self._refuse(self.workers[0], str(error))
            return
        self._fallen_back = " ".join(remarks)
        self._asked = (checkpoint.path, vae.path if vae else "")
        for worker in self.workers:
            worker.checkpoint = checkpoint.path
            worker.engine.send(Preload(checkpoint, vae))

    def note_choice(self, worker: Worker, heard: Preloaded) -> None:
        """An engine has loaded the checkpoint of the settings, or cannot."""
        if (heard.checkpoint, heard.vae) != self._asked:
            return  # Something else has been chosen meanwhile.
        if heard.failure and self._unchosen_and_replaced(heard):
            self._told = None
            self.preload(self._settings.current)
        elif heard.failure:
            self._refuse(worker, heard.failure)
        else:
            self._loaded = self._told
            self.set_models(worker, message=self._fallen_back)

    def _unchosen_and_replaced(self, heard: Preloaded) -> bool:
        """Nobody has chosen the checkpoint that cannot be loaded: whether the next one of the list takes its place."""
        unchosen = not self._settings.current.render.sd_model_checkpoint and not heard.vae
        return unchosen and self._catalog.checkpoints.doubt(Path(heard.checkpoint), heard.failure)

    def _refuse(self, worker: Worker, why: str) -> None:
        """The choice cannot be loaded: the one before holds again; where there is none, it stands, with the reason."""
        before = self._loaded
        if before is None or before == self._told:
            self._loaded = None
            self.set_models(worker, message=why)
        elif choice(self._settings.current) == self._told:
            names = ("sd_model_checkpoint", "sd_vae")
            try:
                self._settings.change(
                    dict(zip(names, before, strict=True)),
                    only_if=dict(zip(names, self._told, strict=True)),
                    by_program=True,
                )
            except StorageError as error:
                self.set_models(worker, message=f"{why} {error}")
                return
            # A message of its own: the models' next one, soon to come, would take its place for a slow reader.
            self._hub.publish("refused", {"type": "refused", "message": why})

    def watch(self, settings: Settings | None = None) -> None:
        """Tell the engines whether anybody looks."""
        chosen = settings or self._settings.current
        watched = self._hub.watched or time.monotonic() - self.polled < POLLED_SECONDS
        watched = watched and chosen.ui.live_previews_enable
        if watched != self._watching or settings is not None:
            self._watching = watched
            self.tell(_wish(chosen.ui, watched=watched))

    def set_models(self, worker: Worker, **changes: Any) -> None:
        worker.models = replace(worker.models, **changes)
        self._hub.publish("models", {"type": "models", **self.models.shown})

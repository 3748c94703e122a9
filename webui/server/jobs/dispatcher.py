"""The queue's own thread: it hears the engines and the settings, and hands out work after each word."""

from __future__ import annotations

import logging
import threading
from queue import Empty, SimpleQueue

from webui.base.errors import DatabaseError, WebuiError
from webui.request.live_settings import live_settings
from webui.request.messages import (
    Answered,
    AsideDone,
    Broken,
    Failed,
    Finished,
    Heartbeat,
    Loading,
    Pictured,
    Preloaded,
    Preview,
    Progress,
    Ready,
    Saved,
    Yielded,
)
from webui.request.settings import Settings
from webui.server.jobs.asides import Asides
from webui.server.jobs.engine_client import EngineState, Heard, Lost
from webui.server.jobs.engines import Engines
from webui.server.jobs.events import Hub
from webui.server.jobs.results import Results
from webui.server.jobs.runs import Runs
from webui.server.jobs.scheduler import Scheduler
from webui.server.jobs.work import Work
from webui.server.jobs.worker import Worker

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""After so long it is tried again to write what a full or locked disk has refused."""


class Dispatcher:
    """Any thread may `put` and `wake`."""

    def __init__(
        self,
        hub: Hub,
        engines: Engines,
        results: Results,
        runs: Runs,
        scheduler: Scheduler,
        asides: Asides,
        works: dict[str, Work],
    ) -> None:
        self._hub = hub
        self._engines = engines
        self._results = results
        self._runs = runs
        self._scheduler = scheduler
        self._asides = asides
        self._works = works
        self._inbox: SimpleQueue[tuple[Worker, Heard] | Settings | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def put(self, word: tuple[Worker, Heard] | Settings) -> None:
        """An engine has said something, or the settings are different."""
        self._inbox.put(word)

    def wake(self) -> None:
        """Something about the queue is different."""
        self._inbox.put(None)

    def _work(self) -> None:
        while not self._scheduler.closing:
            item = self._next_word()
            worker = item[0] if isinstance(item, tuple) else None
            try:
                self._hear(item)
            except Exception as error:  # noqa: BLE001 - the edge: the queue outlives every job
                self._runs.give_up(worker, error)
            trouble = ""
            try:
                self._scheduler.hand_out()
            except DatabaseError as error:
                trouble = str(error)
            except WebuiError as error:
                log.error("%s", error)
            except Exception as error:
                log.exception("An unexpected error occurred.")
                self._scheduler.give_up(error)
            self._engines.note_trouble(trouble)

    def _next_word(self) -> tuple[Worker, Heard] | Settings | None:
        """What somebody says; None also when what the disk refused shall be tried again."""
        try:
            return self._inbox.get(timeout=RETRY_SECONDS if self._engines.trouble or self._results.unwritten else None)
        except Empty:
            return None

    def _hear(self, item: tuple[Worker, Heard] | Settings | None) -> None:
        match item:
            case Settings():
                self._hub.publish("page", {"type": "page", **live_settings(item)})
                self._engines.configure(item)
                self._engines.preload(item)
            case (worker, heard):
                self._hear_of(worker, heard)
            case None:
                pass

    def _hear_of(self, worker: Worker, heard: Heard) -> None:
        match heard:
            case EngineState():
                hopeless = self._engines.note_state(worker, heard)
                if hopeless:
                    self._runs.fail_all()
                    self._asides.on_engine_lost(None)
                if heard.state == "ready":
                    self._asides.on_engine_ready()
            case Ready():
                self._engines.set_models(worker, device=heard.info, message="")
                self._engines.take_in_more(heard.info.devices)
            case Lost():
                self._engines.set_models(worker, loading="", heartbeat=Heartbeat())
                self._runs.on_engine_lost(worker, heard)
                self._asides.on_engine_lost(worker)
            case Heartbeat():
                if not self._works:
                    self._engines.unload_when_idle()
                self._engines.note_heartbeat(worker, heard)
            case Loading():
                self._engines.set_models(worker, loading=heard.title)
            case Broken():
                self._engines.note_broken(heard)
            case Preloaded():
                self._engines.note_choice(worker, heard)
            case AsideDone():
                self._asides.hear(heard)
            case Saved() if heard.job_id == worker.job_id:
                pass  # It lies on the disk; whether others wait is looked at behind every word.
            case Yielded() if heard.job_id == worker.job_id:
                self._scheduler.take_back(worker)
            case Progress() | Preview() | Pictured() | Answered() | Finished() | Failed() if (
                heard.job_id == worker.job_id
            ):
                self._runs.hear(worker, self._works.get(heard.job_id), heard)
            case _:
                pass

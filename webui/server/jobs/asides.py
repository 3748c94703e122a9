"""What is asked of the engines beside the jobs: previews, of which the newest of a key counts and nothing is kept."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count

from webui.base.errors import Busy, EngineCrashed, ModelError, NotFound, UserError, WebuiError
from webui.catalog.settings_store import SettingsStore
from webui.request.jobs import AsidePlan, JobRequest
from webui.request.messages import Aside, AsideDone, AsideResult
from webui.server.jobs.engines import Engines
from webui.server.jobs.servers import JobServers
from webui.server.jobs.worker import Worker

MOST = 64
"""So many keys may wait at a time."""


class Superseded(WebuiError):
    """Something newer has been asked for, or nobody wants it any more."""

    code = "superseded"
    status = 409


@dataclass(eq=False)
class _Asked:
    number: int
    plan: AsidePlan
    answer: Future[AsideResult] = field(default_factory=lambda: _begun())
    worker: Worker | None = None
    """Who was asked; None: no engine is ready yet."""


class Asides:
    """Any thread may call any method. A row, a place in the queue, a picture on the disk: none of these comes of it."""

    def __init__(self, engines: Engines, servers: JobServers, settings: SettingsStore) -> None:
        self._engines = engines
        self._servers = servers
        self._settings = settings
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}

    def ask(self, key: str, request: JobRequest) -> Future[AsideResult]:
        """The preview of a request. What this key has asked for before is given up, whoever waits for it: the future
        raises Superseded. Looks at the request's pictures, so that it may take a moment.

        Raises:
            NotFound: a name in the request is nothing's.
            UserError: it has no preview.
            Busy: too many people ask at once.
        """
        return self.ask_for(key, self._servers.of(request.kind).aside(request, self._settings.current))

    def ask_for(self, key: str, plan: AsidePlan) -> Future[AsideResult]:
        """What comes of a plan that the caller has made.

        Raises:
            Busy: too many people ask at once.
        """
        with self._lock:
            before = self._asked.get(key)
            if before is None and len(self._asked) >= MOST:
                raise Busy("Too many previews are being made at once.", hint="Try again in a moment.")
            asked = self._asked[key] = _Asked(next(self._numbers), plan)
            self._send(key, asked)
        if before is not None:
            before.answer.set_exception(Superseded("A newer preview has been requested."))
        return asked.answer

    def forget(self, key: str, answer: Future[AsideResult] | None = None) -> None:
        """Nobody waits for it any more; with `answer` only if that is the newest of the key."""
        with self._lock:
            asked = self._asked.get(key)
            if asked is None or (answer is not None and asked.answer is not answer):
                return
            del self._asked[key]
            if asked.worker is not None:
                asked.worker.engine.send(Aside(key, asked.number, None))
        asked.answer.set_exception(Superseded("Nobody is waiting for this preview any more."))

    @property
    def waiting(self) -> tuple[str, ...]:
        """The keys that wait for an answer."""
        with self._lock:
            return tuple(self._asked)

    def hear(self, heard: AsideDone) -> None:
        """An engine has answered; only the newest of a key is of interest."""
        with self._lock:
            asked = self._asked.get(heard.key)
            if asked is None or asked.number != heard.number:
                return
            del self._asked[heard.key]
        if heard.result is None:
            asked.answer.set_exception(_error(heard))
        else:
            asked.answer.set_result(heard.result)

    def on_engine_ready(self) -> None:
        """What was asked before one was ready is asked now."""
        with self._lock:
            for key, asked in self._asked.items():
                if asked.worker is None:
                    self._send(key, asked)

    def on_engine_lost(self, worker: Worker | None) -> None:
        """What it was asked is lost, and not asked again: it may be the reason. None: no engine starts any more."""
        with self._lock:
            lost = {key: asked for key, asked in self._asked.items() if worker is None or asked.worker is worker}
            for key in lost:
                del self._asked[key]
        for asked in lost.values():
            asked.answer.set_exception(
                EngineCrashed("The engine ended before the preview was made.", hint="Change a setting to try again.")
            )

    def _send(self, key: str, asked: _Asked) -> None:
        asked.worker = next((each for each in self._engines.workers if each.state.state == "ready"), None)
        if asked.worker is not None:
            asked.worker.engine.send(Aside(key, asked.number, asked.plan))


def _begun() -> Future[AsideResult]:
    """One that who waits for it cannot cancel: it ends once, by us."""
    future: Future[AsideResult] = Future()
    future.set_running_or_notify_cancel()
    return future


def _error(heard: AsideDone) -> WebuiError:
    kind = {each.code: each for each in (UserError, NotFound, ModelError)}.get(heard.code, WebuiError)
    return kind(heard.message, hint=heard.hint)

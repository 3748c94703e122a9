"""The engine process: takes commands from a connection, gives events back, and ends when the other side is gone."""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from webui.base import log as logs
from webui.base.errors import WebuiError
from webui.request.engine_options import EngineOptions
from webui.request.messages import Command, Event, Failed, Heartbeat, Ready, Shutdown

log = logging.getLogger(__name__)

BEAT_PERIOD = 1.0
"""Seconds between two signs of life."""
NAME = "gesso-engine"
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # no request is ever attempted
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",  # what Apple's GPUs cannot do, their CPU does
    "THP_MEM_ALLOC_ENABLE": "1",  # torch asks for huge pages: weights are read with a tenth of the page faults
}
"""Read by the libraries when they are imported, or first asked for memory."""


class Connection(Protocol):
    """One end of a `multiprocessing.Pipe`, or something that behaves like it."""

    def send(self, obj: object, /) -> None: ...
    def recv(self) -> object: ...


def main(connection: Connection, options: EngineOptions) -> None:
    """Serve until Shutdown comes or the other side is gone. Answers Ready first, or Failed with an empty job id."""
    logs.set_up(options.log_level)
    os.environ.update(ENVIRONMENT)
    _set_title(NAME)
    from webui.engine.command_handler import (
        CommandHandler,  # imports torch, which takes seconds: the environment is set before
    )

    outbox = Outbox(connection)
    try:
        handler = CommandHandler(options, outbox.put)
    except WebuiError as error:
        outbox.put(Failed("", error.code, error.message, error.hint))
        outbox.close()
        return
    waiting: queue.SimpleQueue[Command] = queue.SimpleQueue()
    _start(lambda: _listen(connection, handler.hear, waiting), "reader")
    outbox.put(Ready(handler.profile.info()))
    _start(lambda: _send_heartbeats(handler.heartbeat, outbox), "heartbeat")
    handler.warm_up()
    while not isinstance(command := waiting.get(), Shutdown):
        try:
            handler.serve(command)
        except Exception as error:  # noqa: BLE001 - the one edge: the engine outlives every job
            handler.failed(command, error)
    outbox.close()


class Outbox:
    """Sends events from a thread of its own, in order, so that the work never waits for the other side."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = _start(self._send, "sender")

    def put(self, event: Event) -> None:
        self._events.put(event)

    def close(self) -> None:
        """Wait until everything is sent."""
        self._events.put(None)
        self._thread.join()

    def _send(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self._connection.send(event)
            except OSError:
                _end()


def _listen(connection: Connection, hear: Callable[[Command], bool], waiting: queue.SimpleQueue[Command]) -> None:
    """The reader thread: what cannot wait is done at once, even while a picture is made."""
    while True:
        try:
            command: Command = connection.recv()  # type: ignore[assignment]
        except (EOFError, OSError):
            _end()
        if hear(command):
            waiting.put(command)


def _send_heartbeats(heartbeat: Callable[[], Heartbeat], outbox: Outbox) -> None:
    parent = os.getppid()
    pause = threading.Event()
    while not pause.wait(BEAT_PERIOD):
        if os.getppid() != parent:
            _end()
        outbox.put(heartbeat())


def _end() -> None:
    """The other side is gone. At once, without waiting for the network that computes in the main thread."""
    os._exit(0)


def _start(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def _set_title(title: str) -> None:
    """The name that `top` and `ps` show."""
    if sys.platform == "linux":
        prctl_set_name = 15
        try:
            ctypes.CDLL(None).prctl(prctl_set_name, title.encode(), 0, 0, 0)
        except (OSError, AttributeError):
            log.debug("The process cannot be named.")

"""The engine as the server sees it: somebody to whom commands are sent and from whom events come; who may die.

`LocalEngine` is a process of this machine, supervised: started at once, started again when it ends or falls silent.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Literal, Protocol

from webui.base.paths import PROGRAM
from webui.request.engine_options import EngineOptions
from webui.request.messages import (
    EVENT_MODULES,
    Command,
    Configure,
    Event,
    Failed,
    Heartbeat,
    LivePreviews,
    Pictured,
    Preload,
    Ready,
    Saved,
    Shutdown,
)

log = logging.getLogger(__name__)

CHILD = "webui.server.jobs.engine_child"
START_LIMIT = 600.0
"""Seconds until the first sign of life: importing torch from a cold disk can take minutes."""
SILENCE_LIMIT = 120.0
"""Seconds without any sign of life, after which an engine counts as stuck."""
LOOK, JUMP = 1.0, 10.0
"""Seconds between two looks at an engine; and between those where it was us, or the machine, that did not run."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds before an engine is started again."""
WELL_AFTER = 60.0
"""An engine that lived so many seconds, or made a picture, is started again at once."""
HOPELESS_AFTER = 3
"""Starts in a row without a sign of life, after which the engine counts as failed. (It is tried on.)"""
KILLED, PERHAPS, BY_MEMORY = "SIGKILL", " (perhaps because memory ran out)", ": memory ran out"
YIELDING = 10.0
"""Seconds that an engine lets something else go first, see `LocalEngine`."""


@dataclass(frozen=True)
class Lost:
    """The engine has ended; what it worked on is lost."""

    reason: str
    out_of_memory: bool = False
    """The system ended it, as memory ran out."""


@dataclass(frozen=True)
class EngineState:
    """How the engine is, for the page."""

    state: Literal["starting", "ready", "restarting", "failed"]
    text: str


Heard = Event | Lost | EngineState


class Engine(Protocol):
    """Somebody who makes pictures: here, or elsewhere."""

    def start(self, hear: Callable[[Heard], None]) -> None:
        """Begin; from now on `hear` is called with everything that happens, from a thread of the engine's."""
        ...

    def send(self, command: Command) -> None:
        """Never waits, never fails: what cannot be delivered any more is answered by `Lost`."""
        ...

    def close(self) -> None:
        """End it for good."""
        ...


class Silence:
    """How long an engine has said nothing while somebody listened.

    A laptop's lid was closed, a virtual machine was held, a debugger stopped us: then nobody listened, whatever the
    clock says, and the engine, which did not run either, is asked once more with all the time it had.
    """

    def __init__(self) -> None:
        self._since = self._looked = time.monotonic()

    def ends(self) -> None:
        """It has said something."""
        self._since = self._looked = time.monotonic()

    @property
    def seconds(self) -> float:
        """To be asked at every look."""
        now = time.monotonic()
        if now - self._looked > JUMP:
            log.warning("The machine was suspended for %.0f s; the engine is given time to answer.", now - self._looked)
            self._since = now
        self._looked = now
        return now - self._since


class LocalEngine:
    """An engine process of this machine, kept alive by a thread."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        start_limit: float = START_LIMIT,
        silence_limit: float = SILENCE_LIMIT,
        after: threading.Event | None = None,
        memory_kills: Callable[[], int] | None = None,
    ) -> None:
        """`after`: what its first start lets go before, for at most `YIELDING` seconds. `memory_kills`: how many
        processes the system has ended so far for want of memory."""
        self._options = options
        self._memory_kills = memory_kills or kernel_memory_kills
        self._after = after
        self._start_limit = start_limit
        self._silence_limit = silence_limit
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._ready = False
        self._standing: dict[type[Command], Command] = {}
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The process's number while there is one."""
        process = self._process
        return process.popen.pid if process else None

    def start(self, hear: Callable[[Heard], None]) -> None:
        self._thread = threading.Thread(target=self._supervise, args=(hear,), name="engine", daemon=True)
        self._thread.start()

    def send(self, command: Command) -> None:
        with self._lock:
            if isinstance(command, LivePreviews | Configure | Preload):
                self._standing[type(command)] = command
                if not self._ready:
                    return  # It is told when it is ready, and so is every one after it.
            if self._process is not None:
                self._process.send(command)

    def close(self) -> None:
        self._closing.set()
        process = self._process
        if process is not None:
            process.send(Shutdown())
            if not process.ended_within(3.0):
                process.popen.kill()
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(10.0)

    def _supervise(self, hear: Callable[[Heard], None]) -> None:
        pause, failures = SHORTEST_PAUSE, 0
        hear(EngineState("starting", "The engine is starting."))
        patience = time.monotonic() + YIELDING
        while self._after is not None and not self._closing.is_set() and time.monotonic() < patience:
            if self._after.wait(0.2):
                break
        while not self._closing.is_set():
            began = time.monotonic()
            kills = self._memory_kills()
            was_ready, useful, reason = self._live(hear)
            if self._closing.is_set():
                return
            failures = 0 if was_ready else failures + 1
            well = useful or (was_ready and time.monotonic() - began > WELL_AFTER)
            pause = SHORTEST_PAUSE if well else min(pause * 2, LONGEST_PAUSE)
            log.error("The engine %s; a new one will start in %.1f s.", reason, pause)
            starved = KILLED in reason and self._memory_kills() > kills
            hear(Lost(f"The engine {reason.replace(PERHAPS, BY_MEMORY) if starved else reason}.", starved))
            if failures >= HOPELESS_AFTER:
                hear(EngineState("failed", f"The engine could not be started: it {reason}."))
            else:
                hear(EngineState("restarting", f"The engine {reason}. A new one is starting."))
            self._closing.wait(pause)

    def _live(self, hear: Callable[[Heard], None]) -> tuple[bool, bool, str]:
        """One life of the process -> whether it was ever ready, whether it made progress, and why it ended."""
        try:
            process = _Process(self._options)
        except OSError as error:
            return False, False, f"cannot be started: {error.strerror or error}"
        with self._lock:
            self._process = process
        if self._closing.is_set():
            process.send(Shutdown())  # `close` has looked for a process a moment before there was one.
        ready, useful, complaint = False, False, ""
        silence = Silence()
        try:
            while True:
                limit = self._silence_limit if ready else self._start_limit
                if not process.connection.poll(min(limit, LOOK)):
                    if silence.seconds > limit:
                        process.popen.kill()
                        return ready, useful, f"did not respond for {limit:.0f} s"
                    continue
                event = _received(process.connection)
                silence.ends()
                if isinstance(event, Ready) and not ready:
                    ready = True
                    with self._lock:
                        self._ready = True
                        for command in self._standing.values():
                            process.send(command)
                    hear(EngineState("ready", f"{event.info.name}, {event.info.dtype}"))
                if isinstance(event, Failed) and not event.job_id:
                    complaint = f"{event.message} {event.hint}".strip()  # It cannot start, and says why.
                    continue
                if isinstance(event, Heartbeat) and event.stuck:
                    process.popen.kill()
                    return ready, useful, f"was stuck: it made no progress for {event.stuck:.0f} s"
                useful = useful or isinstance(event, Pictured | Saved)
                hear(event)
        except pickle.UnpicklingError as error:
            process.popen.kill()
            return ready, useful, f"sent something that is not a message: {error}"
        except (EOFError, OSError):
            ended = process.end()
            return ready, useful, f"ended: {complaint}" if complaint else ended
        finally:
            with self._lock:
                self._process, self._ready = None, False
            process.close()


def kernel_memory_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How many processes Linux has ended for want of memory since it started; 0 where that cannot be told."""
    try:
        lines = vmstat.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class _Reader(pickle.Unpickler):
    """Reads events. A class of another module would be imported with all that hangs on it, torch for one."""

    def find_class(self, module: str, name: str) -> object:
        if module != "builtins" and module not in EVENT_MODULES:
            raise pickle.UnpicklingError(f"The engine sent a {module}.{name}, which is not a message.")
        return super().find_class(module, name)


def _received(connection: Connection) -> Event:
    event: Event = _Reader(io.BytesIO(connection.recv_bytes())).load()
    return event


class _Process:
    """One engine process, its pipe, and a thread that writes into it (so that no one waits for a busy reader)."""

    def __init__(self, options: EngineOptions) -> None:
        self.connection, theirs = Pipe()
        try:
            self.popen = _started(theirs)
        finally:
            theirs.close()
        self._last_words: deque[str] = deque(maxlen=20)
        self._outbox: SimpleQueue[object] = SimpleQueue()
        self._outbox.put(options)
        self._threads = [
            threading.Thread(target=self._write, name="to-engine", daemon=True),
            threading.Thread(target=self._listen, name="engine-log", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, command: Command) -> None:
        self._outbox.put(command)

    def ended_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(seconds)
        return self.popen.poll() is not None

    def end(self) -> str:
        """The pipe is closed: wait for the process to end, or end it -> why it ended, after "The engine"."""
        if not self.ended_within(5.0):
            self.popen.kill()
            return "closed its connection"
        code = self.popen.returncode
        if code < 0:
            name = signal.Signals(-code).name if -code in {*signal.Signals} else str(-code)
            return f"was ended by {name}{PERHAPS if name == 'SIGKILL' else ''}"
        self._threads[1].join(1.0)
        words = next((line for line in reversed(self._last_words) if line.strip()), "")
        return f"ended with code {code}" + (f": {words}" if words and code else "")

    def close(self) -> None:
        self._outbox.put(None)
        if self.popen.poll() is None and not self.ended_within(1.0):
            self.popen.kill()
            self.popen.wait()
        for thread in self._threads:
            thread.join(2.0)
        self.connection.close()

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self.connection.send(message)
            except (OSError, ValueError):
                return  # The reader notices the end of the process.

    def _listen(self) -> None:
        """Pass the process's log on, and keep its last lines."""
        stream: IO[str] | None = self.popen.stderr
        if stream is None:
            return
        with stream:
            for line in stream:
                self._last_words.append(line.rstrip())
                sys.stderr.write(line)


def _started(theirs: Connection) -> subprocess.Popen[str]:
    """A process that holds the other end of the pipe. Ctrl+C in the terminal is ours to handle, not its."""
    path = os.pathsep.join(filter(None, (str(PROGRAM), os.environ.get("PYTHONPATH"))))
    options: dict[str, Any] = {
        "env": {**os.environ, "PYTHONPATH": path},
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "text": True,
        "errors": "replace",
        "encoding": "utf-8",
    }
    handle = theirs.fileno()
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        options |= {"startupinfo": startup, "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        options |= {"pass_fds": (handle,), "start_new_session": True}
    return subprocess.Popen([sys.executable, "-P", "-m", CHILD, str(handle)], **options)

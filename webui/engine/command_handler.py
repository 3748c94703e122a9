"""What the engine does with each command."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import torch

from webui.base.errors import ExtensionError, Interrupted, OutOfMemory, WebuiError
from webui.base.fence import Exited, fenced, told_of
from webui.base.resume_points import ResumePoints
from webui.engine.aside import AsideLane
from webui.engine.conditioning import TextCache
from webui.engine.families.components import Components
from webui.engine.given import each
from webui.engine.house import GIVEN_OUT, House, WorkFunction
from webui.engine.memory import (
    forget_peak,
    give_back,
    is_out_of_memory,
    peak_use,
    profile_of,
    total_bytes,
    used_bytes,
)
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.prefetch import Prefetcher
from webui.engine.small_vae import SmallVaes
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch, Watchdog
from webui.entry_points import blamed, is_there, origin_of
from webui.registry import FAMILIES, JOB_KINDS, job_kind, of_the_engine, resolved
from webui.request import messages
from webui.request.engine_options import EngineOptions
from webui.request.messages import (
    Aside,
    Broken,
    Command,
    Configure,
    Event,
    Failed,
    Finished,
    Heartbeat,
    Interrupt,
    Loading,
    Others,
    Pictured,
    Prefetch,
    Preload,
    Preloaded,
    Progress,
    Run,
    Saved,
    Shutdown,
    Skip,
    Unload,
    Yielded,
)

log = logging.getLogger(__name__)


class CommandHandler:
    """`hear` is called by the reader thread as commands arrive, `serve` by the main thread, one after the other."""

    def __init__(self, options: EngineOptions, emit: Callable[[Event], None]) -> None:
        """Raises UserError: the options do not fit the machine."""
        self.emit = emit
        self.profile = profile_of(options)
        if options.threads:
            torch.set_num_threads(options.threads)
        self.models = ModelManager(
            self.profile,
            limit=options.resident_limit,
            budget=options.budget_bytes,
            announce=self._announce,
            components=Components(
                Path(options.models_dir) if options.models_dir else None,
                Path(options.brought) if options.brought else None,
            ),
        )
        self.viewing = Viewing()
        self.watchdog = Watchdog()
        self._prefetcher = Prefetcher()
        self.aside = AsideLane(emit)
        self._cache = TextCache()
        self._shelf = EmbeddingShelf()
        self._small = SmallVaes(Path(options.models_dir) if options.models_dir else None, self.models.residents)
        self._upscalers = UpscalerShelf(self.models.residents)
        self._cancels: dict[str, Cancel] = {}
        self._others = threading.Event()
        self._lock = threading.Lock()
        self._process = psutil.Process()

    def warm_up(self) -> None:
        """Import what the first picture needs, while nobody waits for it yet."""
        for family in FAMILIES:
            resolved(family.code)
        for kind in JOB_KINDS:
            resolved(kind.work)
        for line, code in of_the_engine():  # what packages add: what cannot be imported is told before it is asked for
            with fenced(partial(self._tell_broken, line.origin, line.name)):
                if is_there(code):  # the server says so of what is not
                    resolved(code)
        gc.collect()
        gc.freeze()  # the libraries' objects stay: what collects garbage after an eviction need not look at them

    def hear(self, command: Command) -> bool:
        """Do at once what cannot wait; True when the command is to be served in its turn."""
        with self._lock:
            match command:
                case Run():
                    self._others.clear()
                    self._cancels[command.job_id] = Cancel(half_done=command.half_done)
                case Interrupt() if cancel := self._cancels.get(command.job_id):
                    cancel.interrupt(after_current=command.after_current)
                case Skip() if cancel := self._cancels.get(command.job_id):
                    cancel.skip()
                case Shutdown():
                    for cancel in self._cancels.values():
                        cancel.interrupt()
                case Others():
                    (self._others.set if command.waiting else self._others.clear)()
                case Prefetch():
                    self._prefetcher.begin(command.path)
                case Aside():
                    self.aside.put(command)
                case messages.LivePreviews():
                    self.viewing.wish = command
        return not isinstance(command, Interrupt | Skip | Others | Prefetch | Aside | messages.LivePreviews)

    def serve(self, command: Command) -> None:
        """Carry it out. Raises whatever goes wrong; `failed` makes an event of it."""
        with torch.inference_mode(), self.watchdog.working():
            match command:
                case Run():
                    self._run(command)
                case Preload():
                    self.models.preload(command.checkpoint, command.vae)
                    self._answer(command)
                case Unload() if command.part:
                    self.models.residents.put_away_all(command.part)
                case Unload():
                    self._cache.forget()
                    self.models.unload()
                case Configure():
                    self.models.configure(command.resident_limit, command.budget_bytes)
                    self.models.wanted = command.memory_profile
                    self.models.wanted_attention = command.attention
                case _:
                    pass

    def failed(self, command: Command, error: Exception) -> None:
        """Say what went wrong with a command; the engine goes on."""
        code, message, hint = self._told(error)
        if origin := origin_of(error):
            self._tell_broken(origin, type(command).__name__, error)
        if isinstance(command, Preload):
            self._answer(command, f"{message} {hint}".strip())
        elif isinstance(command, Run):
            self.emit(Failed(command.job_id, code, message, hint))
        else:
            log.error("%s failed: %s", type(command).__name__, message)

    def _tell_broken(self, origin: str, what: str, error: Exception) -> None:
        """Name an installed package that fails."""
        told = error.reason if isinstance(error, ExtensionError) else told_of(error)
        log.warning("The package %s: %s: %s", origin, what, told, exc_info=error)
        self.emit(Broken(origin, what, told))

    def _answer(self, asked: Preload, failure: str = "") -> None:
        self.emit(Preloaded(asked.checkpoint.path, asked.vae.path if asked.vae else "", failure))

    def heartbeat(self) -> Heartbeat:
        """A sign of life."""
        device = self.profile.device
        return Heartbeat(
            ram_used=self._process.memory_info().rss,
            vram_used=used_bytes(device),
            vram_total=total_bytes(device) if device.type != "cpu" else 0,
            resident=self.models.resident,
            parts=(*self.models.residents.uses, *self.aside.residents.uses),
            profile=self.models.ran.sentence if self.models.resident else "",
            stuck=self.watchdog.stuck,
        )

    # ------------------------------------------------------------

    def _run(self, command: Run) -> None:
        start = time.perf_counter()
        forget_peak(self.profile.device)
        stopwatch = Stopwatch(self.profile.device)
        with self._lock:
            cancel = self._cancels[command.job_id]
        batches = len(command.plan.batches)
        watch = Watch(command.job_id, self.emit, cancel, self.viewing, stopwatch, batches, watchdog=self.watchdog)
        house = House(
            profile=self.profile,
            models=self.models,
            cache=self._cache,
            embeddings=self._shelf,
            small_vaes=self._small,
            upscalers=self._upscalers,
            watch=watch,
            state=ResumePoints(Path(command.state)),
            others_wait=self._others.is_set,
            lean=command.lean,
        )
        made, interrupted, gives_way = 0, False, False
        try:
            kind = job_kind(command.plan.kind)
            work: WorkFunction = resolved(kind.work)
            events = each(work(command.plan, house), GIVEN_OUT, kind, "work")
            for event in events:
                self.emit(event)
                gives_way = isinstance(event, Saved) and self._others.is_set() and not cancel.ends_now
                if gives_way:
                    break
                made += not isinstance(event, Progress | Saved)
                interrupted = interrupted or (isinstance(event, Pictured) and event.half_done)
            if gives_way:
                events.close()  # What it holds is given back before the next job comes.
        except Interrupted:
            interrupted = True
        finally:
            with self._lock:
                del self._cancels[command.job_id]
        if gives_way:
            self.emit(Yielded(command.job_id))
            return
        interrupted = interrupted or (cancel.ends_now and made < command.plan.count)
        seconds = time.perf_counter() - start
        self.emit(Finished(command.job_id, interrupted, seconds, stopwatch.seconds, peak_use(self.profile.device)))

    def _told(self, error: Exception) -> tuple[str, str, str]:
        """(code, message, hint) for the person."""
        if isinstance(error, WebuiError) and not isinstance(error, Exited):
            return error.code, error.message, error.hint
        if is_out_of_memory(error):
            log.warning("Out of memory: %s", error)
            self._cache.forget()
            self.models.unload()
            give_back(self.profile.device)
            return (
                OutOfMemory.code,
                f"There is not enough memory on {self.profile.device} for this picture.",
                "Make it smaller or fewer at once, or start with --medvram.",
            )
        log.error("Something went wrong inside the engine.", exc_info=error)
        if (theirs := blamed(error)) is not None:
            return theirs.code, theirs.message, theirs.hint
        return (
            "internal",
            f"{type(error).__name__}: {error}",
            "This is a fault of the program; the log has the details.",
        )

    def _announce(self, title: str, seconds: float) -> None:
        self.watchdog.enter("loading")
        self.emit(Loading(title, seconds))

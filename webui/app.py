"""The composition root: builds the program's parts once and connects them."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack

import psutil

from webui import entry_points
from webui.base import version
from webui.base.errors import NotFound, UserError
from webui.base.folder_lock import FolderLock
from webui.catalog.catalog import Catalog
from webui.catalog.installations import Installations
from webui.catalog.sessions import Sessions
from webui.catalog.settings_store import SettingsStore
from webui.catalog.tokens import Tokens
from webui.flags import Flags, is_file
from webui.request.settings import Settings
from webui.server.access import Access, AccountsNow
from webui.server.api.tasks import Tasks
from webui.server.housekeeping import Housekeeping
from webui.server.jobs.engine_client import Engine, LocalEngine
from webui.server.jobs.queue import JobQueue

log = logging.getLogger(__name__)

CORES_FOR_BOTH = 4
"""Processor cores from which the page is built and the engine started at the same time."""


class NoLauncher(UserError):
    """The program cannot be started again from within."""

    code = "no_launcher"
    status = 501


class App:
    """Everything that the routes and the page need, by name.

    Raises:
        UserError: the flags do not fit, or another server works with the same folder.
        StorageError: database or settings cannot be used.
    """

    def __init__(self, flags: Flags, engine: Engine | None = None) -> None:
        """`engine` instead of those that the flags say."""
        self.flags = flags
        self.paths = flags.paths
        self.version = version.VERSION
        self._page_ready = threading.Event()
        # On two cores the engine's imports would keep the page waiting.
        page_first = self._page_ready if not flags.nowebui and (os.cpu_count() or 1) < CORES_FOR_BOTH else None
        engines = [engine] if engine is not None else [LocalEngine(one, after=page_first) for one in flags.engines]
        accounts = AccountsNow(flags)
        with ExitStack() as begun:
            # First of all: a second server of this folder must not even look into the database.
            begun.callback(FolderLock(self.paths.state / "server.lock").release)
            self.catalog = Catalog(self.paths, remembers=not flags.no_prompt_history)
            begun.callback(self.catalog.close)
            self.installations = Installations(self.paths)
            self.tokens = Tokens(self.catalog.database)
            with contextlib.suppress(OSError):
                (self.paths.state / "secret.key").unlink()  # Earlier versions signed cookies with it.
            self.access = Access(accounts, self.tokens, Sessions(self.catalog.database))
            begun.callback(self.access.close)
            self.settings = SettingsStore(self.paths, flags.freeze)
            self.queue = JobQueue(
                self.catalog,
                self.settings,
                engines,
                version.LABEL,
                more=self._engines_beside_the_first if flags.all_devices and engine is None else None,
            )
            begun.callback(self.queue.close)  # It ends what it has begun, however far it came.
            self.tasks = Tasks()
            self._has_launcher = "GESSO_RESTART_FILE" in os.environ
            self._parent = psutil.Process().parent()
            self.restart_asked = False
            self._housekeeping = Housekeeping(self.catalog, self.settings)
            begun.callback(self._housekeeping.close)
            self._allow(self.settings.current)
            self.settings.subscribe(self._allow)
            self._stop: Callable[[], None] | None = None
            self._begun = begun.pop_all()

    def start(self) -> None:
        """Start the engine and the queue; begin with the models that the flags name. Should that fail, everything that
        was begun is ended again.

        Raises:
            NotFound: there is no such checkpoint, or VAE.
            StorageError: database or settings cannot be used.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self.catalog.pictures.forget_unsaved()
        self.catalog.job_pictures.recover()
        chosen: dict[str, str] = {}
        if self.flags.ckpt:
            chosen["sd_model_checkpoint"] = self.catalog.checkpoint(self.flags.ckpt).title
        if self.flags.vae_path is not None:
            if not is_file(self.flags.vae_path):
                raise NotFound(f"--vae-path: there is no file {self.flags.vae_path}.")
            chosen["sd_vae"] = self.flags.vae_path.name
        if chosen:
            self.settings.change(chosen, by_program=True)
        self.queue.start(preload=not self.flags.skip_load_model_at_start)
        self.catalog.hash_in_background()
        self._housekeeping.start()
        self.catalog.look_for_pictures(self.settings.current.save)

    def _engines_beside_the_first(self, devices: int) -> list[Engine]:
        return [LocalEngine(options) for options in self.flags.engines_beside_the_first(devices)]

    def close(self) -> None:
        """Stop everything that was begun, the latest first; what is in the queue goes on at the next start."""
        self._begun.close()

    def _allow(self, settings: Settings) -> None:
        limits = settings.limits
        self.catalog.uploads.allow(limits.most_upload_megabytes * 2**20, int(limits.most_upload_megapixels * 1e6))
        self.catalog.look_for_control(settings.ui)
        self.catalog.look_in_hidden(settings.system.list_hidden_files)

    def note_broken(self, origin: str, what: str, error: Exception) -> None:
        """The code of an installed package has failed; what: the part of it."""
        log.warning("The package %s: %s failed.", origin, what, exc_info=error)
        self.catalog.problems.noted(entry_points.KIND, entry_points.problem_with(origin, what, error))

    def stoppable(self, stop: Callable[[], None]) -> None:
        """How the server is ended from within."""
        self._stop = stop

    def restart(self) -> None:
        """End the server, and ask the launcher to start it again.

        Raises:
            NoLauncher: nobody is there to do so: it was not started by a launcher, or that one has ended.
        """
        orphaned = self._parent is not None and not self._parent.is_running()
        if not self._has_launcher or orphaned:
            raise NoLauncher(
                "The server cannot restart itself, so it keeps running.",
                hint="Stop it and start it yourself; when started by webui-user or launch.py, it can restart itself.",
            )
        self.tasks = Tasks()
        self.restart_asked = True
        self.stop()

    def stop(self) -> None:
        """End the server."""
        if self._stop is None:
            raise UserError("This server cannot be stopped from here.")
        self._stop()

    def page_ready(self) -> None:
        """The page answers from now on."""
        self._page_ready.set()

    def wait_for_page(self, seconds: float) -> bool:
        """Until the page answers -> whether it does."""
        return self._page_ready.wait(seconds)

"""What the server does at its start and now and then: it forgets what nobody needs any more."""

from __future__ import annotations

import logging
import threading
import time

from webui.base.errors import StorageError
from webui.catalog.catalog import Catalog
from webui.catalog.forms import KEPT
from webui.catalog.settings_store import SettingsStore

log = logging.getLogger(__name__)

PERIOD = 3600.0
"""Seconds between two rounds."""
UPLOADS_KEPT = 3 * 24 * 3600.0
"""Seconds for which an uploaded picture stays that no job refers to: it may stand in a form."""
DAY = 24 * 3600.0
DROPPED_KEPT = 2 * DAY
"""Seconds for which the page keeps files that were dropped into it; its own round is made daily."""


class Housekeeping:
    """A thread of its own; the first round is made at once."""

    def __init__(self, catalog: Catalog, settings: SettingsStore, period: float = PERIOD) -> None:
        self._catalog = catalog
        self._settings = settings
        self._period = period
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_house, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def tidy(self) -> tuple[int, int]:
        """One round -> how many old jobs and uploaded pictures are gone; files of the page that were left go too.

        Raises:
            StorageError: the database cannot be used.
        """
        days = self._settings.current.limits.keep_jobs_days
        jobs = self._catalog.jobs.delete_old(time.time() - days * DAY) if days else 0
        uploads = self._catalog.uploads.sweep(self._catalog.jobs.pictures_needed(), UPLOADS_KEPT)
        self._catalog.visitor_files.sweep(DROPPED_KEPT)
        self._catalog.forms.sweep(time.time() - KEPT)
        self._empty_trash()
        return jobs, uploads

    def _empty_trash(self) -> None:
        days = self._settings.current.limits.keep_trash_days
        if not days:
            return
        gone, kept = self._catalog.trash.empty(before=time.time() - days * DAY)
        if gone:
            log.info("Deleted %d pictures that had been in the trash for %d days.", gone, days)
        for each in kept[:3]:
            log.warning("A picture stays in the trash. %s", each)

    def _keep_house(self) -> None:
        try:
            self._catalog.trash.mend()
        except StorageError as error:
            log.warning("%s", error)
        while True:
            try:
                jobs, uploads = self.tidy()
                if jobs or uploads:
                    log.info("Forgot %d old jobs and %d uploaded pictures.", jobs, uploads)
            except StorageError as error:
                log.warning("%s", error)
            if self._closing.wait(self._period):
                return

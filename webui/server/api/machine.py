"""The machine over HTTP: its memory, the models in it, the end of the server, and what a report of a fault needs."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import psutil
from fastapi import Body
from fastapi.responses import HTMLResponse, JSONResponse

from webui.base.errors import NotFound
from webui.catalog.localizations import CATALOGUE
from webui.request.settings import setting_title
from webui.server.api import licences, sysinfo
from webui.server.api.answers import MemoryAnswer
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

LAST_WORDS = 0.2
"""Seconds in which the answer to server-kill leaves the house."""


def routes(app: App) -> Routes:
    router = Routes()
    for part in (_memory, _end, _reports):
        router.include(part(app))
    return router


def _memory(app: App) -> Routes:
    """The memory, and the models in it."""
    router = Routes()

    @router.get("/sdapi/v1/memory", "user", response_model=MemoryAnswer)
    def memory() -> dict[str, object]:
        """Memory of the machine and of the GPU, in bytes."""
        ram = psutil.virtual_memory()
        heartbeat = app.queue.models.heartbeat
        answer: dict[str, object] = {"ram": {"free": ram.available, "used": heartbeat.ram_used, "total": ram.total}}
        if not heartbeat.vram_total:
            return {**answer, "cuda": {"error": "unavailable"}}
        use = {"current": heartbeat.vram_used, "peak": heartbeat.vram_used}
        free = heartbeat.vram_total - heartbeat.vram_used
        answer["cuda"] = {
            "system": {"free": free, "used": heartbeat.vram_used, "total": heartbeat.vram_total},
            "active": use,
            "allocated": use,
            "reserved": use,
            "inactive": {"current": 0, "peak": 0},
            "events": {"retries": 0, "oom": 0},
        }
        return answer

    @router.post("/sdapi/v1/unload-checkpoint", "admin")
    def unload() -> dict[str, str]:
        """Unload all models and free their memory."""
        app.queue.unload()
        return {}

    @router.post("/sdapi/v1/reload-checkpoint", "admin")
    def reload() -> dict[str, str]:
        """Load the checkpoint that is selected in the settings."""
        app.queue.preload()
        return {}

    return router


def _end(app: App) -> Routes:
    """The end of the server, for who may ask for it."""
    router = Routes()

    def check_stoppable() -> None:
        if not app.flags.api_server_stop:
            # A1111: without the flag these addresses do not exist.
            raise NotFound("The server cannot be stopped over the API.", hint="Start it with --api-server-stop.")

    @router.post("/sdapi/v1/server-stop", "admin")
    def stop() -> str:
        """Stop the server; waiting jobs continue when it is started again. Only with `--api-server-stop`."""
        check_stoppable()
        app.stop()
        return "Stopping."

    @router.post("/sdapi/v1/server-kill", "admin")
    def kill() -> str:
        """Stop the server immediately, whatever it is doing. Only with `--api-server-stop`."""
        check_stoppable()
        threading.Timer(LAST_WORDS, os._exit, (0,)).start()
        return "Killed."

    @router.post("/sdapi/v1/server-restart", "admin")
    def restart() -> str:
        """Restart the server. Only with `--api-server-stop`; 501 if it was not started by the launcher."""
        check_stoppable()
        app.restart()
        return "Restarting."

    return router


def _reports(app: App) -> Routes:
    """What a bug report needs."""
    router = Routes()

    @router.get("/internal/quicksettings-hint", "user", include_in_schema=False)
    def settings_by_title() -> list[dict[str, str]]:
        return [{"name": key, "label": setting_title(key)} for key in app.settings.current.options()]

    @router.get("/internal/sysinfo", "admin", include_in_schema=False)
    def sysinfo_shown() -> JSONResponse:
        return JSONResponse(sysinfo.report(app.flags, app.settings.current, app.queue.models.shown))

    @router.get("/internal/sysinfo-download", "admin", include_in_schema=False)
    def sysinfo_file() -> JSONResponse:
        return JSONResponse(
            sysinfo.report(app.flags, app.settings.current, app.queue.models.shown),
            headers={"content-disposition": 'attachment; filename="sysinfo.json"'},
        )

    @router.post("/internal/sysinfo-check", "user", looks=True, include_in_schema=False)
    def sysinfo_checked(told: dict[str, object] = Body()) -> dict[str, bool]:  # noqa: B008
        return {"whole": sysinfo.is_whole(told)}

    @router.get("/internal/localization-template", "user", include_in_schema=False)
    def localization_template() -> JSONResponse:
        """A file for the folder `localizations`, with every text of the page, to be translated."""
        texts = json.loads(CATALOGUE.read_text("utf-8"))
        headers = {"content-disposition": 'attachment; filename="localization.json"'}
        return JSONResponse({text: text for text in texts}, headers=headers)

    @router.get("/internal/licences", "user", include_in_schema=False)
    def licences_shown() -> HTMLResponse:
        return HTMLResponse(licences.page())

    return router

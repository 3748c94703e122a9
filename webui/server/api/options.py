"""Settings over HTTP, under A1111's names; and the flags of this run."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Body

from webui.base.errors import NotFound
from webui.flags import WITHOUT_EFFECT, Flags, declared
from webui.request.fitting import fitted_options
from webui.request.settings import Settings
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

log = logging.getLogger(__name__)

CHECKPOINT = "sd_model_checkpoint"
SECRET = ("gradio_auth", "api_auth", "gradio_auth_path")
"""Flags that nobody reads over the network."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/sdapi/v1")

    @router.get("/options", "user")
    def options() -> dict[str, object]:
        """All settings."""
        current = app.settings.current
        found = {key: list(value) if isinstance(value, tuple) else value for key, value in current.options().items()}
        try:
            checkpoint = app.catalog.checkpoints.find(current.render.sd_model_checkpoint)
        except NotFound:
            return {**found, "sd_checkpoint_hash": ""}
        return {**found, CHECKPOINT: checkpoint.title, "sd_checkpoint_hash": checkpoint.sha256}

    @router.post("/options", "admin")
    def change(values: dict[str, object] = Body()) -> None:  # noqa: B008
        """Change these settings and save them. Unknown ones are passed over, so that a full dump can come back.

        A value that nearly fits is made to fit, and the log says so: 7.5 is 7 where a whole number is meant."""
        changes, remarks = fitted_options(values)
        for remark in remarks:
            log.warning("%s", remark)
        if CHECKPOINT in changes and changes[CHECKPOINT] != app.settings.current.render.sd_model_checkpoint:
            changes[CHECKPOINT] = app.catalog.checkpoints.find(str(changes[CHECKPOINT])).title
        before = app.settings.current.options()
        after = app.settings.change(changes, strict=False).options()
        for key, why in Settings.without_effect().items():
            if key in after and after[key] != before[key]:
                log.warning("The setting %s has no effect: %s", key, why)

    @router.get("/cmd-flags", "user")
    def cmd_flags() -> dict[str, object]:
        """The command-line flags of this run."""
        return flags_told(app.flags)

    return router


def flags_told(flags: Flags) -> dict[str, object]:
    """All flags by A1111's names, but for passwords."""
    ignored = {name.lstrip("-").replace("-", "_"): False for group in WITHOUT_EFFECT for name in group.names}
    given = {name.lstrip("-").replace("-", "_"): True for name in flags.without_effect}
    said = {
        spelt.lstrip("-").replace("-", "_"): _plain(getattr(flags, name))
        for name, (flag, _, _) in declared().items()
        if name not in SECRET
        for spelt in (*flag.others, name)
    }
    return {**ignored, **given, **said}


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value] or None
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value

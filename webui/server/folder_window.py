"""A window of the machine's own desktop that shows a folder: for whoever sits at that machine, and nobody else."""

from __future__ import annotations

import ipaddress
import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.base.text import path_named
from webui.catalog.pictures import SavedPicture
from webui.request.settings import Settings

RELAYED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via", "cf-connecting-ip")
"""Headers that proxies and tunnels add: who asks sits elsewhere, though the proxy is here."""


def is_here(request: HTTPConnection) -> bool:
    """Whether whoever asks sits at this machine, as far as can be told: the request comes from it, by a name of its
    own, and through nobody else's hands."""
    if request.client is None or any(name in request.headers for name in RELAYED):
        return False
    try:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    return _is_loopback(request.client.host) and (name == "localhost" or _is_loopback(name))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def folder_to_show(saved: SavedPicture | None, kind: str, settings: Settings, paths: Paths) -> Path:
    """The folder that the button means, as the settings say. saved: the picture that is selected; None: there is none.
    kind: of the tab.

    Raises:
        NotFound: it is not there (yet).
    """
    save = settings.save
    by_kind = {
        "txt2img": save.outdir_txt2img_samples,
        "img2img": save.outdir_img2img_samples,
        "extras": save.outdir_extras_samples,
    }
    folder = paths.data / (save.outdir_samples or by_kind.get(kind, "outputs"))
    choice = settings.ui.open_dir_button_choice
    if saved is not None and saved.path and choice != "Output Root":
        own = path_named(saved.path).parent
        if own != paths.unsaved or "temp" in choice:
            folder = own
    if not folder.is_dir() or (paths.is_private(folder) and folder != paths.unsaved):
        raise NotFound(f"There is no folder {folder}.", hint="It is created when the first picture is saved.")
    return folder


def show(folder: Path) -> None:
    """Open a window that shows a folder.

    Raises:
        UserError: the machine has nothing that could.
    """
    if sys.platform == "win32":
        os.startfile(folder)
        return
    command = ["open"] if sys.platform == "darwin" else ["xdg-open"]
    if "microsoft" in platform.release().lower() and shutil.which("wslview"):
        command = ["wslview"]
    if shutil.which(command[0]) is None:
        raise UserError(f"This machine has no program that shows folders. The pictures are in {folder}.")
    opener = subprocess.Popen(
        [*command, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    threading.Thread(target=opener.wait, daemon=True).start()  # Or it would stay as a zombie.

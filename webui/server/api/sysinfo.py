"""What a report of a fault needs to know of this installation."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

import psutil

from webui.base.files import write_atomically
from webui.base.version import NAME, VERSION
from webui.flags import Flags, spelling
from webui.request.settings import Settings
from webui.server.api.options import SECRET, flags_told

TOLD_VARIABLES = ("COMMANDLINE_ARGS", "CUDA_VISIBLE_DEVICES", "HF_HOME", "OMP_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF")
"""Environment variables in a report; others may hold secrets."""


CHECKSUM = "Checksum"


def report(flags: Flags, settings: Settings, engine: dict[str, object]) -> dict[str, object]:
    """It has A1111's titles where A1111 has one, and holds no password and no key."""
    ram = psutil.virtual_memory()
    told: dict[str, object] = {
        "Platform": platform.platform(),
        "Python": platform.python_version(),
        "Version": f"{NAME} {VERSION}",
        "Data path": str(flags.paths.data),
        "Commandline": flags_told(flags),
        "CPU": {
            "model": platform.processor(),
            "count logical": psutil.cpu_count(),
            "count physical": psutil.cpu_count(logical=False),
        },
        "RAM": {"total": ram.total, "used": ram.used, "free": ram.available},
        "Engine": engine,
        "Environment": {name: _told(os.environ[name]) for name in TOLD_VARIABLES if name in os.environ},
        "Config": settings.changed_options(),
        "Packages": sorted({f"{found.metadata['Name']}=={found.version}" for found in distributions()}, key=str.lower),
        "Executable": sys.executable,
    }
    return {**told, CHECKSUM: checksum(told)}


def checksum(told: Mapping[str, object]) -> str:
    """The sha256 of a report, whatever the order of its lines, in hex: whoever reads one can tell whether it is as it
    was written."""
    plain = {name: value for name, value in told.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def is_whole(told: Mapping[str, object]) -> bool:
    """Whether a report is as it was written."""
    return told.get(CHECKSUM) == checksum(told)


def _told(value: str) -> str:
    return "(left out: it holds a password)" if any(spelling(name) in value for name in SECRET) else value


def write(folder: Path, told: dict[str, object]) -> Path:
    """Keep a report in a folder -> its file, named after the time (UTC), as A1111's.

    Raises:
        StorageError: it cannot be written.
    """
    path = folder / time.strftime("sysinfo-%Y-%m-%d-%H-%M.json", time.gmtime())
    write_atomically(path, json.dumps(told, indent=4).encode())
    return path

"""`python -m webui bench start`: how long the page takes to come, against the import of Gradio alone."""

# ruff: noqa: T201 - the command line speaks to people

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from statistics import median

from webui.base.errors import UserError

LIMIT = 1.6
ROUNDS = 3
PATIENCE = 300.0
"""Seconds after which a server that does not answer is given up."""


def main(argv: Sequence[str]) -> int:
    """Start the server a few times, each time after a bare `import gradio` -> 1 when the median ratio is over 1.6."""
    rounds = int(argv[0]) if argv and argv[0].isdecimal() else ROUNDS
    ratios = []
    for number in range(1, rounds + 1):
        bare, page = import_seconds("gradio"), page_seconds()
        ratios.append(page / bare)
        print(
            f"start {number}: import gradio {bare:.2f} s, first page {page:.2f} s, ratio {page / bare:.2f}", flush=True
        )
    print(f"start: ratio {median(ratios):.2f} (at most {LIMIT})")
    return int(median(ratios) > LIMIT)


def import_seconds(module: str) -> float:
    """Seconds of a fresh Python that imports a module and ends."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", f"import {module}"], check=True, env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "0"}
    )
    return time.perf_counter() - began


def page_seconds() -> float:
    """Seconds from the start of a fresh server to its first whole page.

    Raises:
        UserError: it did not answer in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "webui", "--port", str(port), "--data-dir", folder, "--use-cpu", "all"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                while time.perf_counter() - began < PATIENCE:
                    if _answers(port):
                        return time.perf_counter() - began
                    time.sleep(0.02)
                raise UserError("The server did not respond.", hint="Start it by hand and read its log.")
            finally:
                server.terminate()
                server.wait(30)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status == 200 and b"txt2img" in answer.read()
    except OSError:
        return False
    finally:
        connection.close()

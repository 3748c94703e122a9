"""What the server does around such a job."""

from __future__ import annotations

from webui.jobs.txt2img.server import Server

__all__ = ["Server"]

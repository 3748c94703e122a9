"""Cannot plan."""

from __future__ import annotations

from webui.server.jobs.kind import JobServer as Server

__all__ = ["Server"]

"""Is no server of jobs."""

from __future__ import annotations

Server = "{} {} {}".format

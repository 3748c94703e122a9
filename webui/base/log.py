"""Logging for both processes: one line each, time, level, where."""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def tell(text: str) -> None:
    """Write a line to standard output, whatever letters the console knows."""
    if sys.stdout is not None:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()


def set_up(level: str = "INFO") -> None:
    """Send log lines at `level` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT, datefmt="%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "PIL", "urllib3", "asyncio", "matplotlib", "multipart"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

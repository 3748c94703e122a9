"""Parameters that are declared nowhere."""

from __future__ import annotations

Params = dict

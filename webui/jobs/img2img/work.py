"""How the engine makes such pictures."""

from __future__ import annotations

from webui.jobs.txt2img.work import work

__all__ = ["work"]

"""How long a job will take, from how long others took."""

from __future__ import annotations

from webui.request.extras import Extras
from webui.request.fields import Txt2Img
from webui.request.jobs import Errands, Request

MEMORY = 0.5
"""Weight of the newest job in the average."""
TRUSTED = 0.1
"""From this share of a job on, its own pace says more than that of others."""


def work_in(request: Request) -> float:
    """The size of a job: calls of the network times pixels."""
    if isinstance(request, Errands):
        return 1.0
    if isinstance(request, Extras):
        return float(request.picture_count)
    pixels = request.width * request.height
    work = float(request.steps * pixels)
    if isinstance(request, Txt2Img) and request.enable_hr:
        scale = request.hr_scale**2
        if request.hr_resize_x and request.hr_resize_y:
            scale = request.hr_resize_x * request.hr_resize_y / pixels
        work += (request.hr_second_pass_steps or request.steps) * pixels * scale
    return work * request.picture_count


class Pace:
    """Seconds a unit of work, by checkpoint."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def learn(self, checkpoint: str, size: float, seconds: float) -> None:
        """A job of this size with this checkpoint took so long."""
        rate = seconds / max(size, 1.0)
        known = self._seconds.get(checkpoint)
        self._seconds[checkpoint] = rate if known is None else MEMORY * rate + (1 - MEMORY) * known

    def left(self, checkpoint: str, size: float, fraction: float, seconds: float) -> float | None:
        """Seconds to go, after `fraction` of the job in `seconds`; None while nothing is known."""
        rate = self._seconds.get(checkpoint)
        before = rate * size * (1 - fraction) if rate is not None else None
        if fraction <= 0.0:
            return before
        own = seconds * (1 - fraction) / fraction
        if before is None:
            return own
        trust = min(fraction / TRUSTED, 1.0)
        return trust * own + (1 - trust) * before

"""How long a job will take, from how long others took."""

from __future__ import annotations

MEMORY = 0.5
"""Weight of the newest job in the average."""
TRUSTED = 0.1
"""From this share of a job on, its own pace says more than that of others."""


class Pace:
    """Seconds a chunk of work, by checkpoint."""

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

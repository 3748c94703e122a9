"""How much a batch asks of memory, as far as its request says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """The largest call that a batch makes."""

    width: int = 512
    """In pixels."""
    height: int = 512
    rows: int = 2
    """Pictures at once, with guidance twice as many."""
    seen: int = 0
    """Latents of each picture that the network sees in one call; 0: all."""
    weights: int = 0
    """Bytes of networks that work beside the checkpoint's."""

    @property
    def pixels(self) -> int:
        return self.width * self.height

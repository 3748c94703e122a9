"""What the engine lends to the kinds of work, and what they are for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from webui.engine.conditioning import TextCache
from webui.engine.memory import Profile, give_back
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.small_vae import SmallVaes
from webui.engine.upscalers.models import UpscalerShelf
from webui.engine.watch import Watch
from webui.request.messages import Answered, Pictured, Progress


@dataclass
class House:
    """Everything that outlives a job, and `watch` and `lean` for this one."""

    profile: Profile
    models: ModelManager
    cache: TextCache
    embeddings: EmbeddingShelf
    small_vaes: SmallVaes
    upscalers: UpscalerShelf
    watch: Watch
    lean: bool = False
    """In the way that needs the least memory: an engine ran out of it over this and was ended."""

    def clear(self) -> None:
        """Put away all networks and give their memory back."""
        self.cache.forget()
        self.upscalers.forget()
        self.models.unload()
        give_back(self.profile.device)


Work = Callable[[Any, House], Iterator[Progress | Pictured | Answered]]
"""`work(plan, house)` of a kind's folder carries out a plan of that kind, and gives out what comes of it as soon as it
is there.

Raises:
    Interrupted: the user stopped the job; what was finished has been given out.
    WebuiError: it cannot be done; the text is for the person.
"""

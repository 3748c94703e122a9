"""What the engine lends to the kinds of work, and what they are for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from webui.base.resume_points import ResumePoints
from webui.engine.conditioning import TextCache
from webui.engine.memory import Profile, give_back
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.residents import Residents
from webui.engine.small_vae import SmallVaes
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.watch import Watch
from webui.request.messages import Answered, Pictured, Progress, Saved


@dataclass
class House:
    """Everything that outlives a job, and for this one `watch`, `state`, `others_wait` and `lean`."""

    profile: Profile
    models: ModelManager
    cache: TextCache
    embeddings: EmbeddingShelf
    small_vaes: SmallVaes
    upscalers: UpscalerShelf
    watch: Watch
    state: ResumePoints
    others_wait: Callable[[], bool]
    """Whether shorter jobs wait for a long one to come to a resume point."""
    lean: bool = False
    """In the way that needs the least memory: an engine ran out of it over this and was ended."""

    def saved(self, write: Callable[[Path], None]) -> Saved:
        """Keep what the job needs to go on from here, for the work to give out at once. `write` makes the file.

        When others wait, the work is closed there (`GeneratorExit`), to be begun anew from `state.newest` in its turn.

        Raises:
            StorageError: the disk is full, or the job's folder cannot be written to.
        """
        return Saved(self.watch.job_id, self.state.save(write))

    @property
    def residents(self) -> Residents:
        """Lends models of any kind, all out of one budget."""
        return self.models.residents

    def clear(self) -> None:
        """Put away all networks and give their memory back."""
        self.cache.forget()
        self.models.unload()
        give_back(self.profile.device)


GIVEN_OUT = (Progress, Pictured, Answered, Saved)
"""What work gives out."""
WorkFunction = Callable[[object, House], Iterator[Progress | Pictured | Answered | Saved]]
"""`work(plan, house)` of a kind's folder carries out a plan of that kind, and gives out what comes of it as soon as it
is there. One that takes long begins at `house.state.newest`, the file of its last resume point, where there is one.

Raises:
    Interrupted: the user stopped the job; what was finished has been given out.
    WebuiError: it cannot be done; the text is for the person.
"""

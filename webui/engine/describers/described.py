"""A picture described in words, by whichever network the plan names."""

from __future__ import annotations

from PIL import Image

from webui.engine.describers.blip import CAPTIONER
from webui.engine.describers.deepbooru import DANBOORU
from webui.engine.describers.ranking import RANKER
from webui.engine.describers.wd14 import WD14
from webui.engine.inpaint import flattened
from webui.engine.residents import Residents
from webui.engine.watch import Watch
from webui.request.interrogators import ScoredTag, Tagging, Way
from webui.request.model_ref import ModelRef

BACKGROUND = "#ffffff"
"""Behind what is transparent."""


def described(picture: Image.Image, way: Way, residents: Residents, watch: Watch) -> str:
    """The words. picture: of any size and kind.

    Raises:
        Interrupted: the user stopped it.
        ModelError: the model's files are broken, or another model's.
        OutOfMemory: there is no room for it.
    """
    if isinstance(way, Tagging):
        return way.words(scored(picture, way, residents, watch))
    watch.enter("loading", 0.0, 0.5)
    with residents.lend(CAPTIONER, ModelRef(way.folder, "BLIP")) as captioner:
        watch.check()
        watch.enter("describing", 0.5, 1.0)
        flat = flattened(picture, BACKGROUND)
        words = captioner.sentence(flat, way)
    if way.ranking is None:
        return words
    with residents.lend(RANKER, way.ranking.model) as ranker:
        return ranker.completed(words, flat, way.ranking, watch)


def scored(picture: Image.Image, way: Tagging, residents: Residents, watch: Watch) -> tuple[ScoredTag, ...]:
    """What a tagger says of each tag that it knows. Raises as `described`."""
    watch.enter("loading", 0.0, 0.5)
    flat = flattened(picture, BACKGROUND)
    if way.by == "wd14":
        with residents.lend(WD14, way.model) as wd14:
            watch.check()
            watch.enter("describing", 0.5, 1.0)
            return wd14.scored(flat)
    with residents.lend(DANBOORU, way.model) as danbooru:
        watch.enter("describing", 0.5, 1.0)
        return danbooru.scored(flat, watch)

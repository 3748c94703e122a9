"""A picture described in words: what is asked for, and the plan of such a job."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

from webui.base.errors import UserError
from webui.request.interrogators import CLIP, InterrogatorNames, Tagging, Way, title_of, way_of
from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.params import Choice, Image
from webui.request.settings import Settings


class Interrogate(JobRequest):
    """A description of a picture, as a prompt."""

    kind: ClassVar[str] = "interrogate"

    image: Annotated[str, Image(ui="Picture")] = ""
    """The picture to describe."""
    model: Annotated[str, Choice(ui="Interrogator", source="interrogators")] = CLIP
    """The model that describes it: clip, deepdanbooru, or the name of a WD14 tagger."""
    threshold: float | None = None
    """Of a tagger: the score from which a tag counts, whatever the settings say. 0 to 1."""
    as_scores: bool = False
    """Of a tagger: the answer is a table of tags and scores in JSON, instead of a prompt."""

    @property
    def begins_with(self) -> tuple[str, ...]:
        return (self.image,) if self.image else ()

    @property
    def title(self) -> str:
        return title_of(self.model)


@dataclass(frozen=True, kw_only=True)
class InterrogatePlan(UndividedPlan):
    """Everything that the words depend on."""

    kind: ClassVar[str] = "interrogate"

    image: bytes = field(repr=False)
    """The encoded picture."""
    way: Way
    as_scores: bool = False


class InterrogateNames(InterrogatorNames, Protocol):
    """What such a plan asks of the catalog."""

    def picture(self, name: str) -> bytes:
        """The encoded bytes of a stored picture. Raises NotFound."""
        ...


def resolve_interrogate(
    request: Interrogate, settings: Settings, names: InterrogateNames, models: Path
) -> InterrogatePlan:
    """Find the picture and the model; `models` is the folder with one subfolder a kind of model.

    Raises:
        NotFound: there is no such picture, or the model is not there.
        UserError: there is no picture, or a captioner is asked for scores.
    """
    if not request.image:
        raise UserError("There is no picture to describe.", hint="Add one on the img2img tab.", field="image")
    way = way_of(request.model, settings, names, models)
    if isinstance(way, Tagging) and request.threshold is not None:
        way = replace(way, threshold=request.threshold, character_threshold=request.threshold)
    if request.as_scores and not isinstance(way, Tagging):
        raise UserError(f"{request.model} writes a sentence; it has no scores.", hint="Choose a tagger.", field="model")
    return InterrogatePlan(image=names.picture(request.image), way=way, as_scores=request.as_scores)


Request = Interrogate

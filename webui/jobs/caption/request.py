"""A folder's pictures described, each in a text file: what is asked for, and the plan of such a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from webui.request.captions import KEEP, ExistingCaption
from webui.request.interrogators import CLIP, Way
from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.params import Choice, Text


class Caption(JobRequest):
    """A text file for each picture in a folder and those below it."""

    kind: ClassVar[str] = "caption"

    input_dir: Annotated[str, Text(ui="Input directory", folder=True)] = ""
    """The folder with the pictures, on the computer that Gesso runs on."""
    output_dir: Annotated[str, Text(ui="Output directory", folder=True)] = ""
    """Where the text files go, in the same subfolders. Empty: beside the pictures."""
    model: Annotated[str, Choice(ui="Interrogator", source="interrogators")] = CLIP
    """The model that describes them: clip, deepdanbooru, wd14, or the name of a WD14 tagger."""
    existing_caption: ExistingCaption = KEEP
    """What happens to a text file that is there: Ignore replaces it, Keep leaves it, Prepend puts it before the new
    caption, Append behind it."""

    @property
    def title(self) -> str:
        return f"Captions: {Path(self.input_dir).name or self.input_dir}"


@dataclass(frozen=True)
class Captioned:
    """A picture, and its text file."""

    name: str
    """Seen from the folder."""
    picture: str
    text: str
    """Paths."""


@dataclass(frozen=True, kw_only=True)
class CaptionPlan(UndividedPlan):
    """Everything that the texts depend on."""

    kind: ClassVar[str] = "caption"

    pictures: tuple[Captioned, ...]
    way: Way
    existing: str
    most_pixels: int
    """A picture may have no more."""


Request = Caption

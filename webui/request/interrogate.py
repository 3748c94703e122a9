"""A picture described in words: what is asked for, and the plan of such a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

from webui.base.errors import NotFound, UserError
from webui.request.errands import ErrandPlan
from webui.request.params import Choice, Declared, Image
from webui.request.settings import Settings

MODELS = ("clip",)
"""A1111's names. Its "clip" writes a sentence with BLIP."""
FOLDER = "BLIP"
"""Below the folder of models: BLIP's files in the layout of transformers."""


class Interrogate(Declared):
    """A prompt for a picture."""

    image: Annotated[str, Image(ui="Picture")] = ""
    """The picture to describe."""
    model: Annotated[str, Choice(ui="Interrogator", choices=MODELS)] = MODELS[0]
    """What describes it."""

    @property
    def picture_count(self) -> int:
        """There are no pictures."""
        return 0

    @property
    def n_iter(self) -> int:
        return 1

    @property
    def prompt(self) -> str:
        """What the job does, for lists of jobs."""
        return "Interrogate CLIP"


@dataclass(frozen=True, kw_only=True)
class InterrogatePlan(ErrandPlan):
    """Everything that the words depend on."""

    image: bytes = field(repr=False)
    """The encoded picture."""
    folder: str
    """Where the model lies."""
    min_length: int = 24
    max_length: int = 48
    num_beams: int = 1


class Names(Protocol):
    """What such a plan asks of the catalog."""

    def picture(self, name: str) -> bytes:
        """The encoded bytes of a stored picture. Raises NotFound."""
        ...


def resolve_interrogate(request: Interrogate, settings: Settings, names: Names, models: Path) -> InterrogatePlan:
    """Find the picture and the model; `models` is the folder with one subfolder a kind of model.

    Raises:
        NotFound: there is no such picture, or the model is not there.
        UserError: there is no picture.
    """
    if not request.image:
        raise UserError("There is no picture to describe.", hint="Drop one into the img2img tab.", field="image")
    folder = models / FOLDER
    if not (folder / "config.json").is_file():
        raise NotFound(
            f"BLIP, which describes pictures, is not in {folder}.",
            hint="Put config.json, model.safetensors, preprocessor_config.json and the tokenizer's files of "
            "Salesforce/blip-image-captioning-base (or -large) there.",
            field="model",
        )
    chosen = settings.interrogate
    return InterrogatePlan(
        image=names.picture(request.image),
        folder=str(folder),
        min_length=chosen.interrogate_clip_min_length,
        max_length=max(chosen.interrogate_clip_max_length, chosen.interrogate_clip_min_length),
        num_beams=chosen.interrogate_clip_num_beams,
    )

"""A picture described in words: what is asked for, and the plan of such a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

from webui.base.errors import NotFound, UserError
from webui.request.jobs import JobRequest, UndividedPlan
from webui.request.model_ref import ModelRef
from webui.request.params import Choice, Image
from webui.request.settings import Settings

CLIP, DEEPBOORU = MODELS = ("clip", "deepdanbooru")
"""A1111's names. Its "clip" writes a sentence with BLIP."""
TITLES = {CLIP: "Interrogate CLIP", DEEPBOORU: "Interrogate DeepBooru"}
FOLDER = "BLIP"
"""Below the folder of models: BLIP's files in the layout of transformers."""
TAGGER = Path("torch_deepdanbooru", "model-resnet_custom_v3.pt")
"""Below the folder of models: where A1111 puts it."""


class Interrogate(JobRequest):
    """A description of a picture, as a prompt."""

    kind: ClassVar[str] = "interrogate"

    image: Annotated[str, Image(ui="Picture")] = ""
    """The picture to describe."""
    model: Annotated[str, Choice(ui="Interrogator", choices=MODELS)] = MODELS[0]
    """The model that describes it."""

    @property
    def begins_with(self) -> tuple[str, ...]:
        return (self.image,) if self.image else ()

    @property
    def title(self) -> str:
        return TITLES[self.model]


@dataclass(frozen=True)
class Captioning:
    """A sentence by BLIP. Lengths in tokens."""

    folder: str
    min_length: int = 24
    max_length: int = 48
    num_beams: int = 1


@dataclass(frozen=True)
class Tagging:
    """Tags by DeepDanbooru."""

    model: ModelRef
    threshold: float = 0.5
    sort_alpha: bool = True
    use_spaces: bool = True
    escape: bool = True
    left_out: frozenset[str] = frozenset()
    ranks: bool = False

    def words(self, probabilities: Mapping[str, float]) -> str:
        """The prompt that comes of how likely each tag is."""
        found = {
            tag: likely
            for tag, likely in probabilities.items()
            if likely >= self.threshold and not tag.startswith("rating:") and tag not in self.left_out
        }
        order = sorted(found) if self.sort_alpha else sorted(found, key=lambda tag: -found[tag])
        return ", ".join(self._word(tag, found[tag]) for tag in order)

    def _word(self, tag: str, likely: float) -> str:
        word = tag.replace("_", " ") if self.use_spaces else tag
        if self.escape:
            word = re.sub(r"([\\()])", r"\\\1", word)
        return f"({word}:{likely:.3f})" if self.ranks else word


@dataclass(frozen=True, kw_only=True)
class InterrogatePlan(UndividedPlan):
    """Everything that the words depend on."""

    kind: ClassVar[str] = "interrogate"

    image: bytes = field(repr=False)
    """The encoded picture."""
    way: Captioning | Tagging


class InterrogateNames(Protocol):
    """What such a plan asks of the catalog."""

    def picture(self, name: str) -> bytes:
        """The encoded bytes of a stored picture. Raises NotFound."""
        ...

    def known(self, ref: ModelRef) -> ModelRef:
        """It by its content, where that has been read."""
        ...


def resolve_interrogate(
    request: Interrogate, settings: Settings, names: InterrogateNames, models: Path
) -> InterrogatePlan:
    """Find the picture and the model; `models` is the folder with one subfolder a kind of model.

    Raises:
        NotFound: there is no such picture, or the model is not there.
        UserError: there is no picture.
    """
    if not request.image:
        raise UserError("There is no picture to describe.", hint="Add one on the img2img tab.", field="image")
    way = _captioning(settings, models) if request.model == CLIP else _tagging(settings, models, names)
    return InterrogatePlan(image=names.picture(request.image), way=way)


def _captioning(settings: Settings, models: Path) -> Captioning:
    folder = models / FOLDER
    if not (folder / "config.json").is_file():
        raise NotFound(
            f"The captioning model BLIP was not found in models/{FOLDER}.",
            hint="Put config.json, model.safetensors, preprocessor_config.json and the tokenizer's files of "
            "Salesforce/blip-image-captioning-base (or -large) there.",
            field="model",
        )
    chosen = settings.interrogate
    return Captioning(
        str(folder),
        min_length=chosen.interrogate_clip_min_length,
        max_length=max(chosen.interrogate_clip_max_length, chosen.interrogate_clip_min_length),
        num_beams=chosen.interrogate_clip_num_beams,
    )


def _tagging(settings: Settings, models: Path, names: InterrogateNames) -> Tagging:
    file = models / TAGGER
    if not file.is_file():
        raise NotFound(
            f"DeepDanbooru, which finds tags for pictures, is not installed: {file}.",
            hint=f"Put {TAGGER.name} of AUTOMATIC1111/TorchDeepDanbooru into {file.parent}.",
            field="model",
        )
    chosen = settings.interrogate
    return Tagging(
        names.known(ModelRef(str(file), "DeepDanbooru")),
        threshold=chosen.interrogate_deepbooru_score_threshold,
        sort_alpha=chosen.deepbooru_sort_alpha,
        use_spaces=chosen.deepbooru_use_spaces,
        escape=chosen.deepbooru_escape,
        left_out=frozenset(tag.strip().replace(" ", "_") for tag in chosen.deepbooru_filter_tags.split(",")),
        ranks=chosen.interrogate_return_ranks,
    )


Request = Interrogate

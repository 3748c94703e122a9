"""What describes pictures in words, and how it shall: chosen where files are known, carried out where networks are.

Two kinds: captioners write a sentence, taggers give each of their tags a score.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from webui.base.errors import NotFound
from webui.request.model_ref import ModelRef
from webui.request.settings import InterrogateSettings, Settings

CLIP, DEEPBOORU = BUILT_IN = ("clip", "deepdanbooru")
"""A1111's names. Its "clip" writes a sentence with BLIP. Every other name is that of a WD14 tagger's folder."""
WD14 = "wd14"
"""The tagger that the settings name."""
NAMES = {**{name: name for name in (*BUILT_IN, WD14)}, "deepbooru": DEEPBOORU}
"""What callers write -> the interrogator."""
FOLDER = "BLIP"
"""Below the folder of models: BLIP's files in the layout of transformers."""
DANBOORU = Path("torch_deepdanbooru", "model-resnet_custom_v3.pt")
"""Below the folder of models: where A1111 puts it."""

FIRST = "Automatic"
"""Instead of a tagger's name: the first one that there is."""

Group: TypeAlias = Literal["rating", "character", "general"]


@dataclass(frozen=True)
class ScoredTag:
    """A tag, and how sure a tagger is of it."""

    name: str
    """With underscores, as the tagger's list has it."""
    score: float
    """0 to 1."""
    group: Group = "general"


@dataclass(frozen=True)
class WordList:
    """Phrases of one kind, such as names of artists."""

    name: str
    top: int
    """So many of them are taken."""
    phrases: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Ranking:
    """How a sentence is completed: by the phrases of each list that CLIP finds to fit best."""

    model: ModelRef
    lists: tuple[WordList, ...]
    ranks: bool = False
    """Each has its share of its list's fit as a weight."""


@dataclass(frozen=True)
class Captioning:
    """A sentence by BLIP. Lengths in tokens."""

    folder: str
    min_length: int = 24
    max_length: int = 48
    num_beams: int = 1
    ranking: Ranking | None = None


@dataclass(frozen=True)
class Tagging:
    """Tags by DeepDanbooru or a WD14 tagger, and which of them become words."""

    model: ModelRef
    by: Literal["deepdanbooru", "wd14"] = "deepdanbooru"
    threshold: float = 0.5
    character_threshold: float = 0.85
    with_rating: bool = False
    """The surest rating stands before all tags."""
    sort_alpha: bool = True
    use_spaces: bool = True
    escape: bool = True
    left_out: frozenset[str] = frozenset()
    ranks: bool = False

    def words(self, found: Iterable[ScoredTag]) -> str:
        """The prompt that comes of how sure the tagger is of each tag."""
        tags = list(found)
        ratings = sorted((tag for tag in tags if tag.group == "rating"), key=lambda tag: -tag.score)
        kept = self.kept(tags)
        kept = sorted(kept, key=lambda tag: tag.name if self.sort_alpha else -tag.score)
        return ", ".join(self._word(tag) for tag in (*(ratings[:1] if self.with_rating else ()), *kept))

    def kept(self, tags: Sequence[ScoredTag]) -> list[ScoredTag]:
        """Those that are sure enough, without ratings and without what shall be left out; in the list's order."""
        least = {"general": self.threshold, "character": self.character_threshold}
        return [
            tag
            for tag in tags
            if tag.group != "rating" and tag.score >= least[tag.group] and tag.name.casefold() not in self.left_out
        ]

    def scores(self, found: Iterable[ScoredTag]) -> str:
        """JSON: {"rating": {name: score}, "tag": {name: score}}, all ratings and the tags kept, the surest first."""
        tags = sorted(found, key=lambda tag: -tag.score)
        groups = {"rating": [tag for tag in tags if tag.group == "rating"], "tag": self.kept(tags)}
        return json.dumps({name: {tag.name: round(tag.score, 6) for tag in group} for name, group in groups.items()})

    def _word(self, tag: ScoredTag) -> str:
        word = tag.name.replace("_", " ") if self.use_spaces and not _is_face(tag.name) else tag.name
        if self.escape:
            word = re.sub(r"([\\()])", r"\\\1", word)
        return f"({word}:{tag.score:.3f})" if self.ranks else word


def _is_face(tag: str) -> bool:
    """Whether it is drawn with letters, such as ^_^ and o_o: the underscore is a mouth."""
    left, mouth, right = tag.partition("_")
    return bool(mouth) and all(len(re.findall(r"\w", side)) < 2 for side in (left, right))


Way: TypeAlias = Captioning | Tagging


class InterrogatorNames(Protocol):
    """What the choice of an interrogator asks of the catalog."""

    def known(self, ref: ModelRef) -> ModelRef:
        """It by its content, where that has been read."""
        ...

    def ranking(self, chosen: InterrogateSettings) -> Ranking | None:
        """What completes a sentence, where there is something."""
        ...

    def tagger(self, name: str) -> ModelRef:
        """The file of a WD14 tagger; `FIRST`: of the first one. Raises NotFound."""
        ...


def title_of(name: str) -> str:
    """What asking this interrogator is called."""
    known = {CLIP: "Interrogate CLIP", DEEPBOORU: "Interrogate DeepBooru", WD14: "Interrogate WD14"}
    return known.get(name, f"Interrogate {name}")


def way_of(name: str, settings: Settings, names: InterrogatorNames, models: Path) -> Way:
    """How the interrogator of this name shall describe pictures; `models` is the folder with one subfolder a kind of
    model.

    Raises:
        NotFound: there is none, or its files are missing.
    """
    known = NAMES.get(name.strip().casefold(), "")
    if known == CLIP:
        return _captioning(settings.interrogate, models, names)
    if known == DEEPBOORU:
        return _danbooru(settings.interrogate, models, names)
    chosen = settings.interrogate
    return _tagging(
        chosen,
        names.tagger(chosen.interrogate_wd14_model if known == WD14 else name),
        by="wd14",
        threshold=chosen.interrogate_wd14_score_threshold,
        character_threshold=chosen.interrogate_wd14_character_threshold,
        with_rating=chosen.interrogate_wd14_rating,
    )


def danbooru_in(models: Path) -> bool:
    """Whether DeepDanbooru's file is there."""
    return (models / DANBOORU).is_file()


def _captioning(chosen: InterrogateSettings, models: Path, names: InterrogatorNames) -> Captioning:
    folder = models / FOLDER
    if not (folder / "config.json").is_file():
        raise NotFound(
            f"The captioning model BLIP was not found in models/{FOLDER}.",
            hint="Put config.json, model.safetensors, preprocessor_config.json and the tokenizer's files of "
            "Salesforce/blip-image-captioning-base (or -large) there.",
            field="model",
        )
    return Captioning(
        str(folder),
        min_length=chosen.interrogate_clip_min_length,
        max_length=max(chosen.interrogate_clip_max_length, chosen.interrogate_clip_min_length),
        num_beams=chosen.interrogate_clip_num_beams,
        ranking=names.ranking(chosen),
    )


def _danbooru(chosen: InterrogateSettings, models: Path, names: InterrogatorNames) -> Tagging:
    if not danbooru_in(models):
        raise NotFound(
            "DeepDanbooru, which finds tags for pictures, is not installed.",
            hint=f"Put {DANBOORU.name} of AUTOMATIC1111/TorchDeepDanbooru into models/{DANBOORU.parent.name}.",
            field="model",
        )
    ref = names.known(ModelRef(str(models / DANBOORU), "DeepDanbooru"))
    threshold = chosen.interrogate_deepbooru_score_threshold
    return _tagging(chosen, ref, by="deepdanbooru", threshold=threshold, character_threshold=threshold)


def _tagging(
    chosen: InterrogateSettings,
    model: ModelRef,
    *,
    by: Literal["deepdanbooru", "wd14"],
    threshold: float,
    character_threshold: float,
    with_rating: bool = False,
) -> Tagging:
    return Tagging(
        model,
        by,
        threshold,
        character_threshold,
        with_rating,
        sort_alpha=chosen.deepbooru_sort_alpha,
        use_spaces=chosen.deepbooru_use_spaces,
        escape=chosen.deepbooru_escape,
        left_out=frozenset(
            tag.strip().replace(" ", "_").casefold() for tag in chosen.deepbooru_filter_tags.split(",") if tag.strip()
        ),
        ranks=chosen.interrogate_return_ranks,
    )

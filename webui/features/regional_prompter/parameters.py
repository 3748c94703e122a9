"""Regional Prompter: each part of the picture follows a prompt of its own.

Names, values and their order are those of the extension sd-webui-regional-prompter, whose requests and infotexts mean
the same here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from webui.base.errors import UserError
from webui.features.drawn_regions import DrawnRegion
from webui.features.feature import FeatureParams, Touched
from webui.features.regions import regions_in
from webui.prompt.comments import strip_comments
from webui.prompt.networks import extract_networks
from webui.prompt.regions import (
    NOTHING,
    Keys,
    Layout,
    Ratios,
    is_regional,
    layout,
    layout_by_words,
    negative_parts,
    numbers_of,
    oddities,
    ratios_of,
    shares_of,
    without_and,
)
from webui.request.capabilities import Capability
from webui.request.facts import LAST_PLACE
from webui.request.infotext import spelt
from webui.request.params import Choice, Codec, DependsOn, Image, Several, Text, Toggle
from webui.request.plan import Picture, Plan, Resolving

MATRIX, MASK, PROMPT, DRAWN = MODES = ("Matrix", "Mask", "Prompt", "Drawn")
_, PROMPT_EX = PROMPT_MODES = (PROMPT, "Prompt-Ex")
COLUMNS, ROWS = SPLITTINGS = ("Columns", "Rows")
ATTENTION, LATENT = CALCULATIONS = ("Attention", "Latent")
KEEP_AND, LOHA, KEEP_BREAK, FLIP_PROMPTS, COMMENT, ONLY_HIRES, NOT_HIRES = OPTIONS = (
    "disable convert 'AND' to 'BREAK'",
    "Use LoHa or other",
    "Use BREAK to change chunks",
    "Flip prompts",
    "Comment Out `#`",
    "Enabled only in Hires Fix",
    "Disabled in Hires Fix",
)
REGIONS = "RP Regions"
LONGEST = 50_000
"""Letters of the drawn regions."""
NO_OPTIONS = "No Options"
WITHOUT_EFFECT = ("debug", "debug2", NO_OPTIONS)
BY_RATIOS, BY_MASK, BY_WORDS, BY_HAND = ((DependsOn("mode", (mode,)),) for mode in MODES)
FROM_PROMPT = (DependsOn("mode", besides=(DRAWN,)),)
"""The parts of the prompt are the regions' prompts."""
IN_PLACE = (DependsOn("mode", (MATRIX, MASK)),)
"""Where the regions lie does not depend on the prompt."""
APART = (DependsOn("calculation", (LATENT,)),)


def _written(options: Sequence[str]) -> str:
    return ", ".join(options) or NO_OPTIONS


def _read(text: str) -> object:
    return tuple(option for option in OPTIONS if option in text)


class Params(FeatureParams):
    """The prompt is parted by BREAK, ADDCOL and ADDROW, and each part holds in a region of the picture."""

    title: ClassVar[str] = "Regional Prompter"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.UNET})
    touches: ClassVar[frozenset[Touched]] = frozenset({"text", "call", "network", "guidance"})
    after: ClassVar[tuple[str, ...]] = ("LoRA", "Refiner", "ControlNet")

    mode: Annotated[
        str,
        Choice(label="RP Divide mode", place=LAST_PLACE + 1, ui="Regions by", choices=MODES, radio=True, by_fact=True),
    ] = MATRIX
    """Matrix: columns and rows by ratios; Mask: painted colors; Prompt: a region lies where the words behind the last
    comma of its text are seen, which must stand in the first part of the prompt; Drawn: regions are drawn here, each
    with a prompt of its own, and the prompt above is that of the whole picture."""
    splitting: Annotated[
        str,
        Choice(
            label="RP Matrix submode",
            ui="Main Splitting",
            choices=SPLITTINGS,
            radio=True,
            by_fact=True,
            depends=BY_RATIOS,
        ),
    ] = COLUMNS
    """Whether ratios without a semicolon stand for columns or for rows."""
    mask_mode: Annotated[
        str,
        Choice(label="RP Mask submode", ui="Mask mode", choices=("Mask",), axis=False, by_fact=True, depends=BY_MASK),
    ] = "Mask"
    """The kind of mask; there is one."""
    prompt_mode: Annotated[
        str,
        Choice(
            label="RP Prompt submode",
            ui="Prompt mode",
            choices=PROMPT_MODES,
            radio=True,
            by_fact=True,
            depends=BY_WORDS,
        ),
    ] = PROMPT
    """Regions by words: Prompt: they may overlap; Prompt-Ex: a later one takes its place from those before."""
    ratios: Annotated[
        str, Text(label="RP Ratios", ui="Divide Ratio", axis=False, by_fact=True, longest=1000, depends=BY_RATIOS)
    ] = "1,1"
    """Sizes of the regions: 1,2,1 for three columns; 1,1,1;2,1 for rows: a semicolon begins the next one, whose first
    number is its height, and the others the widths in it."""
    base_ratios: Annotated[
        str, Text(label="RP Base Ratios", ui="Base Ratio", axis=False, by_fact=True, longest=1000, depends=FROM_PROMPT)
    ] = "0.2"
    """How much of each region follows the base prompt, from 0 to 1: one number, or one for each region."""
    use_base: Annotated[bool, Toggle(label="RP Use Base", ui="Use base prompt", by_fact=True, depends=IN_PLACE)] = False
    """The first part of the prompt holds for the whole picture."""
    use_common: Annotated[
        bool, Toggle(label="RP Use Common", ui="Use common prompt", by_fact=True, depends=FROM_PROMPT)
    ] = False
    """The first part of the prompt is put before all others."""
    use_negative_common: Annotated[
        bool, Toggle(label="RP Use Ncommon", ui="Use common negative prompt", by_fact=True, depends=FROM_PROMPT)
    ] = False
    """The same for the negative prompt."""
    calculation: Annotated[
        str, Choice(label="RP Calc Mode", ui="Generation Mode", choices=CALCULATIONS, radio=True, by_fact=True)
    ] = ATTENTION
    """Attention: fast, and regions blend into one another; Latent: each region is generated by itself, which is slower
    and stricter."""
    options: Annotated[
        tuple[str, ...],
        Several(
            label="RP Options", ui="Options", choices=OPTIONS, axis=False, by_fact=True, codec=Codec(_written, _read)
        ),
    ] = ()
    """How the words of the prompt are read, and in which pass of hires fix the regions hold."""
    negative_te: Annotated[
        str,
        Text(label="RP LoRA Neg Te Ratios", ui="LoRA in negative textencoder", axis=False, by_fact=True, depends=APART),
    ] = "0"
    """With Latent: how strongly the LoRAs of regions act on the text encoder for the negative prompt."""
    negative_unet: Annotated[
        str, Text(label="RP LoRA Neg U Ratios", ui="LoRA in negative U-net", axis=False, by_fact=True, depends=APART)
    ] = "0"
    """With Latent: how strongly they act on the U-net for the negative prompt."""
    threshold: Annotated[
        str, Text(label="RP threshold", ui="threshold", axis=False, by_fact=True, depends=BY_WORDS)
    ] = "0.4"
    """Regions by words: the smaller, the larger they are; one number for all, or one for each: 0.4,0.7."""
    mask: Annotated[str, Image(ui="Mask", axis=False, depends=BY_MASK)] = ""
    """In the mode Mask: each color is a region."""
    stop_step: Annotated[str, Text(label="RP LoRA Stop Step", ui="LoRA stop step", axis=False, by_fact=True)] = "0"
    """The step after which the LoRAs of regions no longer act; 0: they act to the end."""
    stop_step_hires: Annotated[
        str, Text(label="RP LoRA Hires Stop Step", ui="LoRA Hires stop step", axis=False, by_fact=True)
    ] = "0"
    """The same in the second pass of hires fix."""
    flip: Annotated[
        bool, Toggle(label="RP Flip", ui='flip "," and ";"', axis=False, by_fact=True, depends=BY_RATIOS)
    ] = False
    """Exchanges the two signs in the ratios, so that columns become rows."""
    regions: Annotated[
        str,
        Text(
            label=REGIONS,
            ui="Drawn regions",
            axis=False,
            by_fact=True,
            absent="",
            lines=3,
            longest=LONGEST,
            depends=BY_HAND,
        ),
    ] = ""
    """In the mode Drawn: {"Region 1": {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a cat", "weight": 0.8}}. A later
    region lies over those before."""

    @classmethod
    def of_arguments(cls, given: Sequence[object]) -> object:
        """The second value is nothing that anybody sets; options are a text, a list of them, or false."""
        if not given or not given[0]:
            return None
        if len(given) == 1 and isinstance(given[0], Mapping):
            return super().of_arguments(given)
        found = dict(zip(cls.params(), given[2:], strict=False))
        asked = found.get("options")
        options = asked if isinstance(asked, list | tuple) else [asked]
        found["options"] = [each for each in options if each and each not in WITHOUT_EFFECT]
        return {name: "" if value is None else value for name, value in found.items()}

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Raises UserError: the numbers of the regions are none."""
        self.sizes  # noqa: B018 - raises
        self.shares(1)
        self.negative_ratios(self.negative_te)
        self.negative_ratios(self.negative_unet)
        for is_hires in (False, True):
            self.stops_after(is_hires=is_hires)
        if self.mode == PROMPT:
            self.thresholds(1)
        if self.mode == DRAWN:
            self.drawn  # noqa: B018 - raises
        return self

    @property
    def drawn(self) -> tuple[DrawnRegion, ...]:
        """Those of the mode Drawn that are on. Raises UserError: they are none."""
        return regions_in(self.regions, DrawnRegion, self.title)

    @property
    def keys(self) -> Keys:
        options = self.options
        return Keys(self.use_common, self.use_base, KEEP_AND in options, KEEP_BREAK in options, FLIP_PROMPTS in options)

    @property
    def sizes(self) -> Ratios | None:
        """The numbers of `ratios`; None: a mask says where the regions are. Raises UserError: they are none."""
        return ratios_of(self.ratios, flip=self.flip) if self.mode == MATRIX else None

    def shares(self, count: int) -> tuple[float, ...]:
        """How much of each of the regions is the base prompt's."""
        if self.mode == DRAWN:
            return tuple(1 - region.weight for region in self.drawn)
        return shares_of(self.base_ratios, count)

    def thresholds(self, count: int) -> tuple[float, ...]:
        """From which share of the greatest look on a place belongs to each of the regions by words.

        Raises:
            UserError: one is no number.
        """
        hint = "Write 0.4 for all regions, or one number for each: 0.4,0.7."
        found = numbers_of(self.threshold.strip() or "0.4", "threshold", "features", least=0, most=1, hint=hint)
        return (*found, *[found[0]] * count)[:count]

    def layout(self, prompt: str, *, tagged: bool = False) -> Layout | None:
        """The regions of a prompt; None: it is not parted. tagged: it still has its tags of networks.

        Raises:
            UserError: there are too many.
        """
        text = strip_comments(prompt) if COMMENT in self.options else prompt
        if self.mode == DRAWN:
            return self._layout_of_drawn(text, tagged=tagged)
        if not is_regional(text):
            return None
        if self.mode == PROMPT:
            return layout_by_words(text, self.keys)
        return layout(text, self.keys, self.sizes, by_rows=self.splitting == ROWS)

    def oddities(self, prompt: str) -> list[str]:
        """What is to be said of the regions of a prompt, in sentences."""
        text = strip_comments(prompt) if COMMENT in self.options else prompt
        found = self.layout(prompt)
        return [] if found is None else oddities(text, found, self.keys, self.sizes)

    def _layout_of_drawn(self, text: str, *, tagged: bool) -> Layout | None:
        regions = self.drawn
        if not regions:
            return None
        texts = [region.prompt if tagged else extract_networks(region.prompt)[0] for region in regions]
        base, *own = (each if self.keys.keeps_and else without_and(each) for each in (text, *texts))
        return Layout(tuple(each if each.strip() else NOTHING for each in own), (), base)

    def negative(self, prompt: str) -> tuple[str, ...]:
        """The parts of a negative prompt, which is one of the whole picture or has one for each region."""
        text = strip_comments(prompt) if COMMENT in self.options else prompt
        if self.mode == DRAWN:
            own = [region.neg_prompt for region in self.drawn]
            return tuple(f"{text}, {each}" if each else text for each in own) if any(own) else (text,)
        return negative_parts(text, has_common=self.use_negative_common)

    def negative_ratios(self, said: str) -> list[float]:
        """The numbers of `negative_te` or `negative_unet`. Raises UserError: one is none."""
        hint = "Write 0, or one number for each LoRA: 0,0.5."
        return numbers_of(said, "LoRA in negative", "features", least=-10, most=10, hint=hint)

    def stops_after(self, *, is_hires: bool) -> int:
        """The step after which LoRAs of regions no longer act in this pass; 0: there is none."""
        said = self.stop_step_hires if is_hires else self.stop_step
        hint = "Write a number of steps; 0: it acts to the end."
        return int(numbers_of(said.strip() or "0", "LoRA stop step", "features", least=0, most=10000, hint=hint)[0])

    def holds_in(self, phase: str, *, is_followed: bool) -> bool:
        """Whether the regions hold in this pass. is_followed: by that of hires fix, or it is that."""
        if phase == "hires":
            return NOT_HIRES not in self.options
        return not is_followed or ONLY_HIRES not in self.options

    def sized(self, picture: Picture, size_of: Callable[[str], tuple[int, int]]) -> Picture:
        if self.mode == DRAWN and not self.drawn:
            hint = "Draw one, or choose Matrix."
            raise UserError("Regional Prompter: no region is drawn.", hint=hint, field="features")
        if self.layout(picture.request.prompt) is None:
            return picture
        if self.mode == MASK and not self.mask:
            hint = "Give it a mask, or choose Matrix."
            raise UserError("Regional Prompter: the mask of the regions is missing.", hint=hint, field="features")
        return picture

    def facts(self, picture: Picture, plan: Plan) -> Mapping[str, str]:
        if self.layout(picture.request.prompt) is None:
            return {}
        told = {param.label: spelt(param, getattr(self, name)) for name, param in self.params().items() if param.label}
        told[REGIONS] = json.dumps(json.loads(self.regions), ensure_ascii=False) if self.mode == DRAWN else ""
        return {"RP Active": "True", **{label: text for label, text in told.items() if text or label != REGIONS}}

    def resolve(self, resolving: Resolving) -> Self:
        for region in self.drawn if self.mode == DRAWN else ():
            resolving.prompt(region.prompt)
        return self

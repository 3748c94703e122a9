"""Every parameter of a picture, once. Declaration order is the infotext's order, a published format.

The layout of the form is a matter of the tabs; the names are those of A1111's HTTP API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from webui import registry
from webui.base.errors import UserError
from webui.request.hires import SecondPass, old_first_size
from webui.request.jobs import Demand, JobRequest
from webui.request.params import (
    MISSING,
    Choice,
    Codec,
    Declared,
    Home,
    Image,
    Number,
    Param,
    Several,
    Slider,
    Text,
    Toggle,
    always,
    by_name,
    default_of,
    units_in,
    user_error,
    with_pictures,
)
from webui.request.settings import LimitSettings

SAME_CHECKPOINT = "Use same checkpoint"
SAME_SAMPLER = "Use same sampler"
SAME_SCHEDULE = "Use same scheduler"

RESIZE_MODES = ("Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)")
MASK_MODES = ("Inpaint masked", "Inpaint not masked")
MASKED_CONTENTS = ("fill", "original", "latent noise", "latent nothing")
INPAINT_AREAS = ("Whole picture", "Only masked")
RESTORED: Final = "restored"
"""Pydantic's context where a stored request is read for people to look at."""


def _index_codec(choices: tuple[str, ...]) -> Codec:
    return Codec(write=lambda value: choices[value], read=lambda text: str(choices.index(text)))


# A1111: a checkpoint is written as "stem [hash]" here, without its folder.
CHECKPOINT = Codec(
    write=lambda title: title.replace("\\", "/").rsplit("/", 1)[-1].replace(".safetensors", "").replace(".ckpt", ""),
    read=str,
)

NAME_OR_NONE = Codec(write=str, read=lambda text: text.strip().casefold() not in ("", "none", "false"))
"""A switch that infotexts name what it switches on by. A1111: "Face restoration: CodeFormer"."""


def _has_even_blur(request: Img2Img) -> bool:
    # A1111: one label for both directions, so an uneven blur is not written.
    return bool(request.mask) and request.mask_blur_x == request.mask_blur_y


DenoisingStrength = Annotated[
    float,
    Slider(
        label="Denoising strength",
        place=40,
        min=0,
        max=1,
        step=0.01,
        ge=0,
        le=1,
        when=lambda request: request.strength is not None,
    ),
]
Styled = Callable[[str, str, tuple[str, ...]], tuple[str, str]]
"""(prompt, negative prompt, names of styles) -> both prompts as they are meant."""


class Generation(JobRequest):
    """What text-to-image and image-to-image have in common."""

    kind: ClassVar[str] = ""
    is_img2img: ClassVar[bool] = False
    texts: ClassVar[Mapping[str, str]] = MappingProxyType({"prompt": "prompt", "negative_prompt": "negative"})
    """The fields that are prompts -> whether they are positive: those of one kind make the same choices of templates
    that begin alike (`webui.prompt.filling`)."""

    prompt: Annotated[str, Text(ui="Prompt", lines=3, placeholder="What the picture should show")] = ""
    """What the picture should show. (word:1.2) adds emphasis, [from:to:0.5] switches during sampling, BREAK starts a
    new chunk and AND combines prompts."""
    negative_prompt: Annotated[
        str, Text(ui="Negative prompt", lines=3, placeholder="What the picture should not show")
    ] = ""
    """What the picture should not show. Has no effect at CFG scale 1."""
    styles: Annotated[tuple[str, ...], Several(ui="Styles", source="styles")] = ()
    """Saved prompt fragments that are added to both prompts, in this order."""

    steps: Annotated[
        int,
        Slider(label="Steps", ui="Sampling steps", place=0, min=1, max=150, ge=1, le=10000, firm=True, api_default=50),
    ] = 20
    """The number of denoising steps. More is slower; beyond 30 little changes."""
    sampler_name: Annotated[str, Choice(label="Sampler", ui="Sampling method", source="samplers")] = "DPM++ 2M"
    """The sampling method that turns noise into a picture."""
    scheduler: Annotated[str, Choice(label="Schedule type", source="schedules", absent="Automatic", when=always)] = (
        "Automatic"
    )
    """How noise levels are distributed over the steps. Automatic: the one that suits the sampler."""
    cfg_scale: Annotated[float, Slider(label="CFG scale", ui="CFG Scale", min=1, max=30, step=0.5, ge=-100)] = 7.0
    """How strongly the picture follows the prompt. 1 turns off guidance and the negative prompt; values below 0
    steer away from the prompt."""
    seed: Annotated[int, Number(label="Seed", place=10, ge=-1, le=2**63 - 1)] = -1
    """The starting point of the random noise: the same seed gives the same picture. -1: a new seed each time."""
    width: Annotated[
        int,
        Slider(label="Size-1", ui="Width", axis=False, place=20, min=64, max=2048, step=8, ge=8, le=16384, firm=True),
    ] = 512
    """Width of the picture in pixels."""
    height: Annotated[
        int, Slider(label="Size-2", ui="Height", axis=False, min=64, max=2048, step=8, ge=8, le=16384, firm=True)
    ] = 512
    """Height of the picture in pixels."""

    subseed: Annotated[
        int,
        Number(
            label="Variation seed", place=36, ge=-1, le=2**63 - 1, when=lambda request: request.subseed_strength != 0
        ),
    ] = -1
    """The seed of the noise that is mixed in. -1: a new seed each time."""
    subseed_strength: Annotated[
        float,
        Slider(
            label="Variation seed strength", ui="Variation strength", absent=0.0, min=0, max=1, step=0.01, ge=0, le=1
        ),
    ] = 0.0
    """How much of the variation seed's noise is mixed in: 0 is none, 1 is only that noise."""
    seed_resize_from_w: Annotated[
        int,
        Slider(
            label="Seed resize from-1",
            ui="Resize seed from width",
            min=0,
            max=2048,
            step=8,
            ge=-1,
            absent=0,
            when=lambda request: request.seed_resize_from_w > 0 and request.seed_resize_from_h > 0,
            api_default=-1,
        ),
    ] = 0
    """Makes the noise as for a picture of this width and centers it, so that a different size gives a similar
    picture."""
    seed_resize_from_h: Annotated[
        int,
        Slider(
            label="Seed resize from-2",
            ui="Resize seed from height",
            min=0,
            max=2048,
            step=8,
            ge=-1,
            absent=0,
            when=lambda request: request.seed_resize_from_w > 0 and request.seed_resize_from_h > 0,
            api_default=-1,
        ),
    ] = 0
    """The same for the height."""

    batch_size: Annotated[int, Slider(ui="Batch size", axis=False, min=1, max=8, ge=1, le=512, firm=True)] = 1
    """The number of pictures generated at the same time: faster than one by one, but needs more memory. The seed
    increases by 1 for each."""
    n_iter: Annotated[int, Slider(ui="Batch count", axis=False, min=1, max=100, ge=1, le=100000, firm=True)] = 1
    """The number of batches generated one after another."""

    restore_faces: Annotated[
        bool,
        Toggle(
            label="Face restoration",
            ui="Restore faces",
            axis=False,
            place=15,
            by_fact=True,
            absent=False,
            codec=NAME_OR_NONE,
        ),
    ] = False
    """Restores faces in the finished picture with the model that the settings name; see Settings, Face restoration."""
    disable_extra_networks: Annotated[bool, Toggle(ui="Disable extra networks", axis=False)] = False
    """Ignores tags such as <lora:name:1> in the prompt."""
    override_settings: Annotated[dict[str, object], Param(axis=False)] = Field(default_factory=dict)
    """Settings that apply to this picture only, by their A1111 names."""
    features: dict[str, object] = Field(default_factory=dict)
    """Features without fields of their own here: name -> parameter -> value; a feature that is not listed is off. A
    feature with several units takes a list of such values, with null for a unit that is off."""
    script: str = ""
    """The title of a script that makes many requests from this one; empty: none."""
    script_values: dict[str, object] = Field(default_factory=dict)
    """The script's parameters, by name."""
    templates: dict[str, str] = Field(default_factory=dict)
    """What its prompts were made of, for the infotext: field -> template."""

    @classmethod
    def offered(cls) -> Mapping[str, Param]:
        flat = registry.flat_names(cls.kind)
        return {**cls.params(), **{name: entry.params.params()[own] for name, (entry, own) in flat.items()}}

    @classmethod
    def home(cls, name: str) -> Home:
        if name in cls.model_fields:
            return Home(cls, name)
        entry, own = registry.flat_names(cls.kind)[name]
        return Home(entry.params, own, entry.params.off.get(own, MISSING))

    @classmethod
    def unfolded(cls, values: Mapping[str, object]) -> Mapping[str, object]:
        if "features" not in values:
            return values
        asked_for = by_name(values["features"])
        features = dict(asked_for)
        found = {**values, "features": features}
        for name, (entry, own) in registry.flat_names(cls.kind).items():
            asked = asked_for.get(entry.name)
            default = default_of(cls, name) if asked is None else default_of(entry.params, own)
            found[name] = by_name(asked).get(own, default)
            features.pop(entry.name, None)
        return found

    @model_validator(mode="before")
    @classmethod
    def _folded(cls, given: object) -> object:
        """What is said by such names as `unfolded` gives becomes values of features."""
        if not isinstance(given, Mapping) or given.keys() <= cls.model_fields.keys():
            return given
        flat = {name: found for name, found in registry.flat_names(cls.kind).items() if name in given}
        features = given.get("features", {})
        if not flat or not isinstance(features, Mapping):
            return given
        folded = {entry.name if (entry := registry.feature(name)) else name: asked for name, asked in features.items()}
        for name, (entry, own) in flat.items():
            folded[entry.name] = {**(folded.get(entry.name) or entry.params.off), own: given[name]}
        return {**{name: value for name, value in given.items() if name not in flat}, "features": folded}

    @field_validator("features")
    @classmethod
    def _known(cls, given: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        """By the registry's names, and with all values; what nobody knows (an extension is gone) stays as it is."""
        found: dict[str, object] = {}
        for name, values in given.items():
            entry = registry.feature(name)
            if entry is None:
                found[name] = values
                continue
            try:
                carried = cls._asked_of(entry, values)
            except UserError as error:
                if info.context != RESTORED:
                    raise _of_feature(entry, error) from error
                carried = values
            if carried is not None:
                found[entry.name] = carried
        return found

    @classmethod
    def _asked_of(cls, entry: registry.FeatureEntry, values: object) -> object:
        """What it carries of these values of a feature. Raises UserError: one is wrong, or it cannot have any."""
        if not entry.is_for(cls.kind):
            raise UserError(f"it is available in {' and '.join(entry.kinds)} only.", field="features")
        return entry.params.carried(values)

    @classmethod
    def restored(cls, values: Mapping[str, object]) -> Self:
        """A request of an earlier day, for people to look at: features whose parameters have changed since stay as
        they are; to be carried out it must fit.

        Raises:
            UserError: something else does not fit.
        """
        try:
            return cls.model_validate(values, context=RESTORED)
        except ValidationError as error:
            raise user_error(cls, error) from error

    def with_pictures(self, keep: Callable[[str, str], str]) -> Self:
        named = super().with_pictures(keep)
        return named.changed(features=with_pictures_kept(self.features, keep)) if self.features else named

    @property
    def hires(self) -> SecondPass | None:
        """The second pass of hires fix; None: there is none."""
        return None

    @property
    def from_picture(self) -> Img2Img | None:
        """Itself, where it begins with a picture."""
        return None

    @property
    def strength(self) -> float | None:
        """How much a pass changes that begins with a picture; None: no pass does."""
        return None

    @property
    def positive_prompts(self) -> tuple[str, ...]:
        """Of its passes."""
        return (self.prompt,)

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        """Of its passes."""
        return (self.negative_prompt,)

    def named(self, styled: Styled) -> Self:
        """With the registry's names of samplers and schedules, and with its styles in its prompts.

        Raises:
            NotFound: nothing has one of the names.
        """
        sampler, schedule = registry.sampler_and_schedule(self.sampler_name, self.scheduler)
        prompt, negative = styled(self.prompt, self.negative_prompt, self.styles)
        return self.changed(
            sampler_name=sampler.name, scheduler=schedule.name, prompt=prompt, negative_prompt=negative, styles=()
        )

    def with_old_hires_size(self) -> Self:
        """With width and height as those of the first pass, where they are the finished picture's."""
        return self

    @property
    def picture_count(self) -> int:
        return self.batch_size * self.n_iter

    @property
    def batch_count(self) -> int:
        return self.n_iter

    @property
    def title(self) -> str:
        return self.prompt

    @property
    def effort(self) -> float:
        """Calls of the network times pixels."""
        second = self.hires.steps * self.hires.pixels if self.hires else 0
        return float((self.steps * self.width * self.height + second) * self.picture_count)

    @property
    def most_steps(self) -> int:
        """Of its passes, those of the longest."""
        return max(self.steps, self.hires.steps) if self.hires else self.steps

    @property
    def most_pixels(self) -> int:
        """In one picture, when it is finished."""
        return max(self.width * self.height, self.hires.pixels if self.hires else 0)

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]:
        characters = max(len(self.prompt), len(self.negative_prompt))
        megapixels = round(self.most_pixels / 1e6, 2)
        return (
            Demand(characters, limits.most_prompt_characters, "characters in a prompt", "prompt"),
            Demand(self.picture_count, limits.most_pictures, "pictures in one job", "n_iter"),
            Demand(self.batch_size, limits.most_batch_size, "pictures in one batch", "batch_size"),
            Demand(self.most_steps, limits.most_steps, "steps", "steps"),
            Demand(megapixels, limits.most_megapixels, "megapixels in one picture", "width"),
            *self._demands_of_features(limits),
        )

    def _demands_of_features(self, limits: LimitSettings) -> Iterable[Demand]:
        for entry in registry.carried(self.kind):
            carried = self.features.get(entry.name)
            for values in units_in(carried) if entry.params.units else (carried,):
                if values is not None:
                    yield from entry.params.made(**by_name(values)).demands(limits)


def _of_feature(entry: registry.FeatureEntry, error: UserError) -> UserError:
    """A complaint of a feature's values as one of the request's."""
    flat = next((name for name, own in entry.params.flat.items() if own == error.field), "")
    said = error.message if flat else f"{entry.name}: {error.message}"
    return UserError(said, hint=error.hint, field=flat or "features")


def with_pictures_kept(features: Mapping[str, object], keep: Callable[[str, str], str]) -> dict[str, object]:
    """What requests carry of features, with every picture in it put through `keep(picture, field)` -> its name.

    Raises:
        UserError: a value is wrong.
    """

    def kept(params: type[Declared], values: Mapping[str, object]) -> Mapping[str, object]:
        made = params.made(**values)

        def forgiving(picture: str, field: str) -> str:
            try:
                return keep(picture, field)
            except UserError as error:
                return made.unreadable(error)

        named = with_pictures(made, forgiving)
        return values if named is made else named.model_dump(mode="json", include=set(params.params()))

    found = dict(features)
    for name, carried in features.items():
        entry = registry.feature(name)
        if entry is None:
            continue
        if entry.params.units:
            found[name] = [None if values is None else kept(entry.params, values) for values in units_in(carried)]
        else:
            found[name] = kept(entry.params, by_name(carried))
    return found


class Txt2Img(Generation):
    """A picture made from text."""

    kind: ClassVar[str] = "txt2img"
    texts: ClassVar[Mapping[str, str]] = MappingProxyType(
        {**Generation.texts, "hr_prompt": "prompt", "hr_negative_prompt": "negative"}
    )

    denoising_strength: DenoisingStrength = 0.7
    """Denoising strength of the hires pass: 0 only enlarges the picture, 1 redraws it completely."""
    enable_hr: Annotated[bool, Toggle(ui="Hires. fix")] = False
    """Generates a small picture first, upscales it, and denoises it again at full size."""
    hr_checkpoint_name: Annotated[
        str,
        Choice(
            label="Hires checkpoint",
            place=60,
            ui="Hires checkpoint",
            source="checkpoints_or_same",
            cost=1.0,
            absent=SAME_CHECKPOINT,
            codec=CHECKPOINT,
            when=lambda r: r.enable_hr and r.hr_checkpoint_name not in ("", SAME_CHECKPOINT),
        ),
    ] = SAME_CHECKPOINT
    """The checkpoint of the second pass."""
    hr_sampler_name: Annotated[
        str,
        Choice(
            label="Hires sampler",
            ui="Hires sampling method",
            source="samplers_or_same",
            absent=SAME_SAMPLER,
            when=lambda r: r.enable_hr and r.hr_sampler_name not in ("", SAME_SAMPLER, r.sampler_name),
        ),
    ] = SAME_SAMPLER
    """The sampler of the second pass."""
    hr_prompt: Annotated[
        str,
        Text(
            label="Hires prompt", lines=3, absent="", when=lambda r: r.enable_hr and r.hr_prompt not in ("", r.prompt)
        ),
    ] = ""
    """The prompt of the second pass; empty: the same."""
    hr_negative_prompt: Annotated[
        str,
        Text(
            label="Hires negative prompt",
            lines=3,
            absent="",
            when=lambda r: r.enable_hr and r.hr_negative_prompt not in ("", r.negative_prompt),
        ),
    ] = ""
    """The negative prompt of the second pass; empty: the same."""
    hr_scheduler: Annotated[
        str,
        Choice(
            label="Hires schedule type",
            source="schedules_or_same",
            absent=SAME_SCHEDULE,
            when=lambda r: r.enable_hr and r.hr_scheduler not in ("", SAME_SCHEDULE, r.scheduler),
        ),
    ] = SAME_SCHEDULE
    """The schedule of the second pass."""
    hr_scale: Annotated[
        float,
        Slider(
            label="Hires upscale",
            ui="Upscale by",
            min=1,
            max=4,
            step=0.05,
            ge=1,
            le=16,
            switch="enable_hr",
            when=lambda r: r.enable_hr and not (r.hr_resize_x or r.hr_resize_y),
        ),
    ] = 2.0
    """The factor by which the picture is enlarged."""
    hr_resize_x: Annotated[
        int,
        Slider(
            label="Hires resize-1",
            ui="Resize width to",
            min=0,
            max=2048,
            step=8,
            ge=0,
            le=16384,
            absent=0,
            switch="enable_hr",
            when=lambda r: r.enable_hr and bool(r.hr_resize_x or r.hr_resize_y),
        ),
    ] = 0
    """The width to enlarge to; 0: by the factor, or in proportion to the height."""
    hr_resize_y: Annotated[
        int,
        Slider(
            label="Hires resize-2",
            ui="Resize height to",
            min=0,
            max=2048,
            step=8,
            ge=0,
            le=16384,
            absent=0,
            switch="enable_hr",
            when=lambda r: r.enable_hr and bool(r.hr_resize_x or r.hr_resize_y),
        ),
    ] = 0
    """The height to enlarge to; 0: by the factor, or in proportion to the width."""
    hr_second_pass_steps: Annotated[
        int,
        Slider(
            label="Hires steps",
            min=0,
            max=150,
            ge=0,
            le=10000,
            absent=0,
            when=lambda r: r.enable_hr and r.hr_second_pass_steps != 0,
        ),
    ] = 0
    """Steps of the second pass; 0: as many as the first."""
    hr_upscaler: Annotated[
        str,
        Choice(
            label="Hires upscaler",
            ui="Upscaler",
            source="hires_upscalers",
            switch="enable_hr",
            when=lambda r: r.enable_hr and bool(r.hr_upscaler),
        ),
    ] = "Latent"
    """How the small picture is enlarged: in latent space, or by one of the upscalers. Empty: Latent."""
    firstpass_image: Annotated[str, Image(ui="First pass")] = ""
    """A picture that is there already, in the place of what the first pass of hires fix would make; its size is that
    of the request. Without hires fix it is without effect."""

    @property
    def begins_with(self) -> tuple[str, ...]:
        return (self.firstpass_image,) if self.firstpass_image and self.enable_hr else ()

    @property
    def hires(self) -> SecondPass | None:
        if not self.enable_hr:
            return None
        same_sampler, same_schedule = ("", SAME_SAMPLER), ("", SAME_SCHEDULE)
        return SecondPass(
            width=self.width,
            height=self.height,
            scale=self.hr_scale,
            target_width=self.hr_resize_x,
            target_height=self.hr_resize_y,
            steps=self.hr_second_pass_steps or self.steps,
            upscaler=self.hr_upscaler or registry.LATENT_UPSCALERS[0],
            strength=self.denoising_strength,
            checkpoint="" if self.hr_checkpoint_name == SAME_CHECKPOINT else self.hr_checkpoint_name,
            sampler_name=self.sampler_name if self.hr_sampler_name in same_sampler else self.hr_sampler_name,
            scheduler=self.scheduler if self.hr_scheduler in same_schedule else self.hr_scheduler,
            prompt=self.hr_prompt or self.prompt,
            negative_prompt=self.hr_negative_prompt or self.negative_prompt,
        )

    @property
    def strength(self) -> float | None:
        return self.hires.strength if self.hires else None

    @property
    def positive_prompts(self) -> tuple[str, ...]:
        return (self.prompt, self.hires.prompt) if self.hires else (self.prompt,)

    @property
    def negative_prompts(self) -> tuple[str, ...]:
        return (self.negative_prompt, self.hires.negative_prompt) if self.hires else (self.negative_prompt,)

    def named(self, styled: Styled) -> Self:
        first = super().named(styled)
        if self.hires is None or first.hires is None:
            return first
        sampler, schedule = registry.sampler_and_schedule(first.hires.sampler_name, first.hires.scheduler)
        prompt, negative = styled(self.hires.prompt, self.hires.negative_prompt, self.styles)
        changes = {"hr_prompt": prompt, "hr_negative_prompt": negative}
        if self.hr_sampler_name not in ("", SAME_SAMPLER):
            changes["hr_sampler_name"] = sampler.name
        if self.hr_scheduler not in ("", SAME_SCHEDULE):
            changes["hr_scheduler"] = schedule.name
        return first.changed(**changes)

    def with_old_hires_size(self) -> Self:
        if not self.enable_hr:
            return self
        width, height = old_first_size(self.width, self.height)
        return self.changed(width=width, height=height, hr_resize_x=self.width, hr_resize_y=self.height)


class Img2Img(Generation):
    """A picture made from a picture and text."""

    kind: ClassVar[str] = "img2img"
    is_img2img: ClassVar[bool] = True

    image_cfg_scale: Annotated[
        float,
        Slider(
            label="Image CFG scale",
            ui="Image CFG Scale",
            place=5,
            min=0,
            max=3,
            step=0.05,
            ge=0,
            absent=1.5,
            by_fact=True,
        ),
    ] = 1.5
    """How strongly the result follows the original picture; only for InstructPix2Pix checkpoints."""
    init_images: Annotated[tuple[str, ...], Image(ui="Image")] = ()
    """The pictures to start from; each batch uses all of them."""
    mask: Annotated[str, Image(ui="Mask")] = ""
    """White areas may change; without a mask, everything may."""
    latent_mask: Annotated[str, Image(ui="Latent mask", axis=False)] = ""
    """A second mask, which alone says where latents may change, while `mask` decides what is shown of the result. It is
    neither blurred nor inverted. Without one, `mask` stands for both."""
    basename: str = ""
    """The name of the original file without its extension: [basename] in file name patterns."""
    denoising_strength: DenoisingStrength = 0.75
    """How much the picture may change: 0 is nothing, 1 everything."""
    resize_mode: Annotated[
        int, Choice(ui="Resize mode", choices=RESIZE_MODES, radio=True, by_index=True, ge=0, le=3)
    ] = 0
    """How a picture is fitted when its aspect ratio differs from the requested size."""
    inpainting_mask_invert: Annotated[
        int,
        Choice(
            label="Mask mode",
            place=80,
            choices=MASK_MODES,
            radio=True,
            by_index=True,
            ge=0,
            le=1,
            absent=0,
            codec=_index_codec(MASK_MODES),
            when=lambda r: bool(r.mask) and r.inpainting_mask_invert != 0,
        ),
    ] = 0
    """Whether the painted area is changed, or everything else."""
    mask_blur_x: Annotated[
        int,
        Slider(label="Mask blur", ui="Mask blur x", min=0, max=64, ge=0, le=512, absent=4, when=_has_even_blur),
    ] = 4
    """Horizontal blur of the mask's edge, in pixels."""
    mask_blur_y: Annotated[
        int,
        Slider(label="Mask blur", ui="Mask blur y", min=0, max=64, ge=0, le=512, absent=4, when=_has_even_blur),
    ] = 4
    """Vertical blur of the mask's edge, in pixels."""
    inpaint_full_res: Annotated[
        bool,
        Choice(
            label="Inpaint area",
            choices=INPAINT_AREAS,
            radio=True,
            by_index=True,
            absent=False,
            codec=_index_codec(INPAINT_AREAS),
            api_default=True,
            when=lambda r: bool(r.mask) and r.inpaint_full_res,
        ),
    ] = False
    """Only masked: the area around the mask is generated at full size and pasted back."""
    inpaint_full_res_padding: Annotated[
        int,
        Slider(
            label="Masked area padding",
            ui="Only masked padding, pixels",
            min=0,
            max=256,
            step=4,
            ge=0,
            le=8192,
            absent=32,
            api_default=0,
            when=lambda r: bool(r.mask) and r.inpaint_full_res,
        ),
    ] = 32
    """How much of the surroundings of the mask is included, in pixels."""
    inpainting_fill: Annotated[
        int,
        Choice(
            label="Masked content",
            choices=MASKED_CONTENTS,
            radio=True,
            by_index=True,
            ge=0,
            le=3,
            absent=1,
            codec=_index_codec(MASKED_CONTENTS),
            api_default=0,
            when=lambda r: bool(r.mask) and r.inpainting_fill != 1,
        ),
    ] = 1
    """What the masked area is filled with before denoising."""
    mask_round: Annotated[bool, Toggle(ui="Hard mask edges in latent space")] = True
    """Uses hard edges instead of a soft mask in latent space."""

    @property
    def from_picture(self) -> Img2Img:
        return self

    @property
    def begins_with(self) -> tuple[str, ...]:
        return self.init_images

    @property
    def masked_by(self) -> str:
        return self.mask

    @property
    def strength(self) -> float:
        return self.denoising_strength

    @property
    def rounds_mask(self) -> bool:
        asked = (entry for entry in registry.carried(self.kind) if entry.name in self.features)
        return self.mask_round and not any(entry.params.softens_mask for entry in asked)


REQUESTS: dict[str, type[Generation]] = {"txt2img": Txt2Img, "img2img": Img2Img}
"""The kinds of generation by the name that tabs, routes and folders have for them."""

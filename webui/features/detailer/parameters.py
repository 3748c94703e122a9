"""ADetailer: what a detector finds in the finished picture is painted anew.

Names, values and their limits are those of the extension ADetailer, whose requests and infotexts mean the same here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Annotated, ClassVar, NamedTuple, Self

from webui import registry
from webui.base.errors import UserError
from webui.features.feature import FeatureParams, Touched
from webui.request.fields import SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE, Generation, Img2Img
from webui.request.jobs import Demand
from webui.request.model_ref import ModelRef
from webui.request.params import Choice, Param, Slider, Text, Toggle, always, shortened, units_in
from webui.request.plan import Picture, Resolving
from webui.request.settings import LimitSettings, RenderSettings, UiSettings

NO_MODEL, PASSTHROUGH = "None", "Passthrough"
REFUSE, LEAVE_OUT = "Refuse", "Leave out"
AREA, CONFIDENCE = TOP_BY = ("Area", "Confidence")
NO_MERGE, MERGE, INVERT = MERGING = ("None", "Merge", "Merge and Invert")
SEPARATOR, WHOLE, SKIP = "[SEP]", "[PROMPT]", "[SKIP]"
MOST_PARTS = 64
"""Of a prompt."""
CONTROLNET = "ControlNet"
CONTROL_FIELDS = ("model", "module", "weight", "guidance_start", "guidance_end")
SEGMENT = re.compile(r"<segment:([^<>]*)>")
"""As SwarmUI has it."""
OF_THE_PAGE = frozenset({"ad_tab_enable", "is_api"})
OLD_NAMES: Mapping[str, str] = {"ad_mask_k_largest": "ad_mask_k", "ad_conf": "ad_confidence"}
"""What the extension has called its values."""
OLD_LABELS: Mapping[str, str] = {
    "ADetailer mask only top k largest": "ADetailer mask only top k",
    "ADetailer dilate/erode": "ADetailer dilate erode",
    "ADetailer mask merge/invert": "ADetailer mask merge invert",
    "ADetailer use inpaint width/height": "ADetailer use inpaint width height",
}
OWN: Mapping[str, tuple[str, ...]] = {
    "ad_use_inpaint_width_height": ("ad_inpaint_width", "ad_inpaint_height"),
    "ad_use_steps": ("ad_steps",),
    "ad_use_cfg_scale": ("ad_cfg_scale",),
    "ad_use_sampler": ("ad_sampler", "ad_scheduler"),
    "ad_use_checkpoint": ("ad_checkpoint",),
    "ad_use_vae": ("ad_vae",),
    "ad_use_clip_skip": ("ad_clip_skip",),
    "ad_use_noise_multiplier": ("ad_noise_multiplier",),
}
"""What may be otherwise than in the picture: a switch, and what it switches on."""
SWITCHES: Mapping[str, tuple[str, ...]] = {
    **OWN,
    "ad_inpaint_only_masked": ("ad_inpaint_only_masked_padding",),
    "ad_mask_k": ("ad_mask_filter_method",),
}
"""Value -> those that matter only where it is set."""


class PaintedPart(NamedTuple):
    """How one of the things that were found is painted; the last one holds for all that follow."""

    place: int
    """In `Plan.inner`."""
    is_left_out: bool = False
    """The prompt says so."""


class DetailerFields(FeatureParams):
    """By the extension's names. `Params.tells` says which of them an infotext leaves out."""

    ad_model: Annotated[str, Choice(label="ADetailer model", ui="Detector", source="detectors", when=always)] = "face"
    """What looks for things in the picture: a packaged detector, or a file in models/adetailer."""
    ad_model_classes: Annotated[
        str, Text(label="ADetailer model classes", ui="Detector classes", absent="", axis=False)
    ] = ""
    """Which of the things that the detector knows are wanted, separated by commas; empty: all."""
    ad_prompt: Annotated[
        str,
        Text(
            label="ADetailer prompt",
            ui="Prompt",
            absent="",
            lines=2,
            axis=False,
            placeholder="Empty: the prompt of the picture. [PROMPT] stands for it, [SEP] separates faces.",
        ),
    ] = ""
    """What shall be painted; empty: the prompt of the picture. [PROMPT] stands for that prompt, [SEP] separates the
    prompts of the first, second and further things, [SKIP] leaves one as it is."""
    ad_negative_prompt: Annotated[
        str,
        Text(
            label="ADetailer negative prompt",
            ui="Negative prompt",
            absent="",
            lines=2,
            axis=False,
            placeholder="Empty: the negative prompt of the picture",
        ),
    ] = ""
    """What shall not be painted; empty: the negative prompt of the picture."""
    ad_confidence: Annotated[
        float,
        Slider(
            label="ADetailer confidence",
            ui="Detection confidence",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=1,
            when=always,
        ),
    ] = 0.3
    """How sure the detector must be."""
    ad_mask_filter_method: Annotated[
        str,
        Choice(
            label="ADetailer method to decide top k masks", ui="Which of them", choices=TOP_BY, radio=True, when=always
        ),
    ] = AREA
    """Whether the largest or the surest are painted, if the number is limited."""
    ad_mask_k: Annotated[
        int, Slider(label="ADetailer mask only top k", ui="Only so many (0: all)", min=0, max=10, ge=0, absent=0)
    ] = 0
    """How many of the found things are painted; 0: all."""
    ad_mask_min_ratio: Annotated[
        float,
        Slider(label="ADetailer mask min ratio", ui="Smallest area", min=0, max=1, step=0.001, ge=0, le=1, absent=0.0),
    ] = 0.0
    """Things that take up less of the picture are left as they are."""
    ad_mask_max_ratio: Annotated[
        float,
        Slider(label="ADetailer mask max ratio", ui="Largest area", min=0, max=1, step=0.001, ge=0, le=1, absent=1.0),
    ] = 1.0
    """Things that take up more of the picture are left as they are."""
    ad_x_offset: Annotated[
        int,
        Slider(label="ADetailer x offset", ui="Move mask right", min=-200, max=200, ge=-16384, le=16384, absent=0),
    ] = 0
    """Moves the mask to the right, in pixels."""
    ad_y_offset: Annotated[
        int,
        Slider(label="ADetailer y offset", ui="Move mask up", min=-200, max=200, ge=-16384, le=16384, absent=0),
    ] = 0
    """Moves the mask up, in pixels."""
    ad_dilate_erode: Annotated[
        int,
        Slider(
            label="ADetailer dilate erode",
            ui="Grow or shrink mask",
            min=-128,
            max=128,
            step=4,
            ge=-1024,
            le=1024,
            when=always,
        ),
    ] = 4
    """Above 0, the mask grows by about half as many pixels on each side; below 0, it shrinks."""
    ad_mask_merge_invert: Annotated[
        str,
        Choice(label="ADetailer mask merge invert", ui="Merge masks", choices=MERGING, radio=True, absent=NO_MERGE),
    ] = NO_MERGE
    """Whether all that was found is painted at once, or everything else instead."""
    ad_mask_blur: Annotated[
        int, Slider(label="ADetailer mask blur", ui="Mask blur", min=0, max=64, ge=0, le=512, when=always)
    ] = 4
    """Blur of the mask's edge, in pixels."""
    ad_denoising_strength: Annotated[
        float,
        Slider(
            label="ADetailer denoising strength",
            ui="Denoising strength",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=1,
            when=always,
        ),
    ] = 0.4
    """How much may change: 0 is nothing, 1 everything."""
    ad_inpaint_only_masked: Annotated[
        bool, Toggle(label="ADetailer inpaint only masked", ui="Only masked", axis=False, when=always)
    ] = True
    """Generates the area around the mask at full size and pastes it back."""
    ad_inpaint_only_masked_padding: Annotated[
        int,
        Slider(
            label="ADetailer inpaint padding",
            ui="Only masked padding, pixels",
            min=0,
            max=256,
            step=4,
            ge=0,
            le=8192,
            when=always,
        ),
    ] = 32
    """How much of the surroundings of the mask is included, in pixels."""
    ad_use_inpaint_width_height: Annotated[
        bool, Toggle(label="ADetailer use inpaint width height", ui="Own size", axis=False, absent=False)
    ] = False
    """Paints at the size below instead of that of the picture's first pass."""
    ad_inpaint_width: Annotated[
        int,
        Slider(label="ADetailer inpaint width", ui="Width", min=64, max=2048, step=8, ge=8, le=16384, when=always),
    ] = 512
    """Width of what is painted, in pixels, before it is pasted back."""
    ad_inpaint_height: Annotated[
        int,
        Slider(label="ADetailer inpaint height", ui="Height", min=64, max=2048, step=8, ge=8, le=16384, when=always),
    ] = 512
    """The same for the height."""
    ad_use_steps: Annotated[
        bool, Toggle(label="ADetailer use separate steps", ui="Own steps", axis=False, absent=False)
    ] = False
    """Uses the number of steps below instead of the picture's."""
    ad_steps: Annotated[
        int, Slider(label="ADetailer steps", ui="Steps", min=1, max=150, ge=1, le=10000, when=always)
    ] = 28
    """The number of steps, of which the denoising strength takes its part."""
    ad_use_cfg_scale: Annotated[
        bool, Toggle(label="ADetailer use separate CFG scale", ui="Own CFG scale", axis=False, absent=False)
    ] = False
    """Uses the CFG scale below instead of the picture's."""
    ad_cfg_scale: Annotated[
        float, Slider(label="ADetailer CFG scale", ui="CFG scale", min=0, max=30, step=0.5, ge=0, when=always)
    ] = 7.0
    """How strongly the prompt is followed."""
    ad_use_checkpoint: Annotated[
        bool, Toggle(label="ADetailer use separate checkpoint", ui="Own checkpoint", axis=False, absent=False)
    ] = False
    """Uses the checkpoint below instead of the picture's."""
    ad_checkpoint: Annotated[
        str,
        Choice(label="ADetailer checkpoint", ui="Checkpoint", source="checkpoints_or_same", cost=1.0, when=always),
    ] = SAME_CHECKPOINT
    """The checkpoint that paints."""
    ad_use_vae: Annotated[bool, Toggle(label="ADetailer use separate VAE", ui="Own VAE", axis=False, absent=False)] = (
        False
    )
    """Uses the VAE below instead of the picture's."""
    ad_vae: Annotated[str, Choice(label="ADetailer VAE", ui="VAE", source="vaes", when=always)] = "Automatic"
    """The VAE that goes with what paints."""
    ad_use_sampler: Annotated[
        bool, Toggle(label="ADetailer use separate sampler", ui="Own sampler", axis=False, absent=False)
    ] = False
    """Uses the sampler below instead of the picture's."""
    ad_sampler: Annotated[
        str, Choice(label="ADetailer sampler", ui="Sampler", source="samplers_or_same", when=always)
    ] = SAME_SAMPLER
    """The sampler that paints."""
    ad_scheduler: Annotated[
        str, Choice(label="ADetailer scheduler", ui="Schedule type", source="schedules_or_same", when=always)
    ] = SAME_SCHEDULE
    """How noise levels are distributed over its steps."""
    ad_use_noise_multiplier: Annotated[
        bool,
        Toggle(label="ADetailer use separate noise multiplier", ui="Own noise multiplier", axis=False, absent=False),
    ] = False
    """Uses the noise multiplier below instead of the one in the settings."""
    ad_noise_multiplier: Annotated[
        float,
        Slider(
            label="ADetailer noise multiplier",
            ui="Noise multiplier",
            min=0.5,
            max=1.5,
            step=0.01,
            ge=0,
            le=1.5,
            when=always,
        ),
    ] = 1.0
    """How much noise is added at the beginning."""
    ad_use_clip_skip: Annotated[
        bool, Toggle(label="ADetailer use separate CLIP skip", ui="Own clip skip", axis=False, absent=False)
    ] = False
    """Uses the clip skip below instead of the picture's."""
    ad_clip_skip: Annotated[
        int, Slider(label="ADetailer CLIP skip", ui="Clip skip", min=1, max=12, ge=1, le=12, when=always)
    ] = 1
    """Which layer of the text encoder is used, counted from the end."""
    ad_restore_face: Annotated[
        bool, Toggle(label="ADetailer restore face", ui="Restore faces afterwards", axis=False, absent=False)
    ] = False
    """Lets a face restorer mend what was painted."""
    ad_controlnet_model: Annotated[
        str,
        Choice(
            label="ADetailer ControlNet model", ui="ControlNet model", source="detailer_control_networks", absent="None"
        ),
    ] = NO_MODEL
    """A control network that sees what is painted; Passthrough: the picture's own units take effect."""
    ad_controlnet_module: Annotated[
        str,
        Choice(
            label="ADetailer ControlNet module", ui="ControlNet preprocessor", source="preprocessors", absent="none"
        ),
    ] = "none"
    """Makes the map for that network."""
    ad_controlnet_weight: Annotated[
        float,
        Slider(
            label="ADetailer ControlNet weight",
            ui="Control weight",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=2,
            absent=1.0,
        ),
    ] = 1.0
    """How strongly the control network acts."""
    ad_controlnet_guidance_start: Annotated[
        float,
        Slider(
            label="ADetailer ControlNet guidance start",
            ui="Starting control step",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=1,
            absent=0.0,
        ),
    ] = 0.0
    """The fraction of the sampling after which it takes effect."""
    ad_controlnet_guidance_end: Annotated[
        float,
        Slider(
            label="ADetailer ControlNet guidance end",
            ui="Ending control step",
            min=0,
            max=1,
            step=0.01,
            ge=0,
            le=1,
            absent=1.0,
        ),
    ] = 1.0
    """The fraction of the sampling after which it no longer takes effect."""
    ad_skip_img2img: Annotated[
        bool,
        Toggle(label="ADetailer skip img2img", ui="Skip img2img", axis=False, absent=False, kinds=("img2img",)),
    ] = False
    """Looks at the given picture itself, which img2img does not change otherwise."""
    impossible: Annotated[str, Param(ui="Where it cannot act", axis=False)] = REFUSE
    """What happens if the unit cannot act: "Refuse", or "Leave out" with a remark, as A1111 does."""
    unread: Annotated[str, Param(ui="What was not understood", axis=False)] = ""
    """Names in a program's unit that are unknown here, separated by commas."""


class Params(DetailerFields):
    """One unit."""

    title: ClassVar[str] = "ADetailer"
    units: ClassVar[int] = 2
    touches: ClassVar[frozenset[Touched]] = frozenset({"picture"})
    after: ClassVar[tuple[str, ...]] = ("Hires. fix", "Face restoration", "Colour correction", "Inpainting", "Film")
    prompts: ClassVar[Mapping[str, str]] = MappingProxyType({"ad_prompt": "prompt", "ad_negative_prompt": "negative"})
    unit_of_programs: ClassVar[Mapping[str, object]] = MappingProxyType({"ad_model": NO_MODEL, "ad_tab_enable": True})

    in_prompt: bool = False
    """It stands for the units that the prompt asks for (`<segment:face,0.6>`), which take its place (`prepare`)."""
    asked: tuple[tuple[Img2Img, bool], ...] = ()
    """What each part of the prompts asks for, and whether it is left out."""
    detector: ModelRef | None = None
    parts: tuple[PaintedPart, ...] = ()
    sorted_by: str = "None"
    same_seed: bool = False
    shows_boxes: bool = False
    keeps_before: bool = False

    @classmethod
    def shown(cls, ui: UiSettings) -> int:
        return ui.ad_max_models

    @classmethod
    def units_of(cls, request: Generation, render: RenderSettings) -> Iterator[tuple[int, Self]]:
        settings = {
            "sorted_by": render.ad_bbox_sortby,
            "same_seed": render.ad_same_seed_for_each_tab,
            "shows_boxes": render.ad_save_previews,
            "keeps_before": render.ad_save_images_before,
        }
        for unit, params in super().units_of(request, render):
            yield unit, params.model_copy(update={"asked": params.requests(request), **settings})
        if SEGMENT.search(request.prompt):
            yield len(units_in(request.features.get(cls.title))), cls(in_prompt=True)

    @classmethod
    def of_arguments(cls, given: Sequence[object]) -> object:
        """[whether it is on, whether img2img makes no picture of its own, units by name]; the first two may be missing.
        Units keep their places, null for one that is off."""
        switches = [value for value in given[:2] if isinstance(value, bool)]
        if switches[:1] == [False]:
            return None
        skips = {"ad_skip_img2img": True} if switches[1:] == [True] else {}
        units = [_unit(unit) for unit in given if isinstance(unit, Mapping)]
        found = [unit if unit is None else {**unit, **skips} for unit in units]
        return found if any(unit is not None for unit in found) else None

    @classmethod
    def label_of(cls, label: str, unit: int) -> str:
        return label if unit == 0 else f"{label} {_ordinal(unit + 1)}"

    @classmethod
    def labels_in(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Those of earlier versions of the extension are today's."""
        found = dict(labels)
        for label, text in labels.items():
            for old, new in OLD_LABELS.items():
                if label.startswith(old) and label[len(old) :] in ENDINGS:
                    found.setdefault(new + label[len(old) :], text)
        return found

    def tells(self, name: str) -> bool:
        switch = next((switch for switch, names in SWITCHES.items() if name in names), "")
        return not switch or bool(getattr(self, switch))

    # ------------------------------------------------------------ what it asks for

    def demands(self, limits: LimitSettings) -> Iterator[Demand]:
        characters = max(len(self.ad_prompt), len(self.ad_negative_prompt))
        yield Demand(characters, limits.most_prompt_characters, "characters in a prompt", "features")
        if self.ad_use_steps:
            yield Demand(self.ad_steps, limits.most_steps, "steps", "features")
        if self.ad_use_inpaint_width_height:
            megapixels = round(self.ad_inpaint_width * self.ad_inpaint_height / 1e6, 2)
            yield Demand(megapixels, limits.most_megapixels, "megapixels in one picture", "features")

    def requests(self, request: Generation) -> tuple[tuple[Img2Img, bool], ...]:
        """What is asked for of each part of the prompts, and whether that part is left out.

        Raises:
            UserError: there are too many parts.
        """
        positive = _parts(self.ad_prompt, request.prompt)
        negative = _parts(self.ad_negative_prompt, request.negative_prompt)
        count = max(len(positive), len(negative))
        if count > MOST_PARTS:
            raise UserError(
                f"ADetailer: {count} prompts are too many.",
                hint=f"At most {MOST_PARTS} may be separated by {SEPARATOR}.",
                field="features",
            )
        found = []
        for at in range(count):
            prompt = positive[min(at, len(positive) - 1)]
            inner = self._request(request, prompt, negative[min(at, len(negative) - 1)])
            found.append((inner, prompt.strip() == SKIP))
        return tuple(found)

    def _request(self, request: Generation, prompt: str, negative: str) -> Img2Img:
        """As the picture was asked for, but for what the unit says otherwise."""
        own_size = self.ad_use_inpaint_width_height
        sampler, schedule = request.sampler_name, request.scheduler
        if self.ad_use_sampler and self.ad_sampler not in ("", SAME_SAMPLER):
            sampler = self.ad_sampler
        if self.ad_use_sampler and self.ad_scheduler not in ("", SAME_SCHEDULE):
            schedule = self.ad_scheduler
        return Img2Img.made(
            prompt=prompt,
            negative_prompt=negative,
            steps=self.ad_steps if self.ad_use_steps else request.steps,
            sampler_name=sampler,
            scheduler=schedule,
            cfg_scale=self.ad_cfg_scale if self.ad_use_cfg_scale else request.cfg_scale,
            width=self.ad_inpaint_width if own_size else request.width,
            height=self.ad_inpaint_height if own_size else request.height,
            seed=0,
            subseed=0,
            disable_extra_networks=request.disable_extra_networks,
            override_settings={**request.override_settings, **self._settings()},
            features=self._features(request),
            denoising_strength=self.ad_denoising_strength,
            mask_blur_x=self.ad_mask_blur,
            mask_blur_y=self.ad_mask_blur,
            inpaint_full_res=self.ad_inpaint_only_masked,
            inpaint_full_res_padding=self.ad_inpaint_only_masked_padding,
        )

    def _settings(self) -> dict[str, object]:
        """By their names in the API."""
        found: dict[str, object] = {"face_restoration": self.ad_restore_face, "overlay_inpaint": True}
        if self.ad_use_checkpoint and self.ad_checkpoint not in ("", NO_MODEL, SAME_CHECKPOINT):
            found["sd_model_checkpoint"] = self.ad_checkpoint
        if self.ad_use_vae and self.ad_vae not in ("", "Use same VAE"):
            found["sd_vae"] = self.ad_vae
        if self.ad_use_noise_multiplier:
            found["initial_noise_multiplier"] = self.ad_noise_multiplier
        if self.ad_use_clip_skip:
            found["CLIP_stop_at_last_layers"] = self.ad_clip_skip
        return found

    def _features(self, request: Generation) -> dict[str, object]:
        """Those of the picture that belong to how its model is guided, or that vary its texts; a control network of its
        own."""
        found = {}
        for name, values in request.features.items():
            entry = registry.feature(name)
            if entry is not None and entry.name != self.title and entry.is_for("img2img"):
                touched, varies = entry.params.touches, entry.params.prepare is not FeatureParams.prepare
                passes = self.ad_controlnet_model == PASSTHROUGH and entry.name == CONTROLNET
                if passes or varies or (touched and touched <= {"guidance"}):
                    found[name] = values
        if self.ad_controlnet_model not in ("", NO_MODEL, PASSTHROUGH):
            unit = {name: getattr(self, f"ad_controlnet_{name}") for name in CONTROL_FIELDS}
            unit["module"] = "none" if unit["module"] in ("", NO_MODEL) else unit["module"]
            found[CONTROLNET] = [{**unit, "save_detected_map": False, "impossible": "Leave out"}]
        return found

    def prepare(self, picture: Picture, _stream: Random) -> Picture:
        """Each `<segment:detector,strength,confidence>` of the prompt is a unit, and what follows is its prompt."""
        if not self.in_prompt:
            return picture
        request = picture.request
        first, *rest = SEGMENT.split(request.prompt)
        units = [_segment(*pair) for pair in zip(rest[::2], rest[1::2], strict=True)]
        asked = [*units_in(request.features.get(self.title)), *units]
        features = {**request.features, self.title: asked}
        return replace(picture, request=request.changed(prompt=first.strip(), features=features))

    def resolve(self, resolving: Resolving) -> Self:
        if self.unread:
            resolving.remark(f"ADetailer: {self.unread} is unknown here and was ignored.")
        try:
            return self._resolved(resolving)
        except UserError as error:
            if self.impossible != LEAVE_OUT:
                raise UserError(f"ADetailer: {error.message}", hint=error.hint, field="features") from error
            resolving.remark(f"ADetailer: {error.message} The unit was left out.")
            return self.model_copy(update={"asked": ()})

    def _resolved(self, resolving: Resolving) -> Self:
        """
        Raises:
            UserError: there is no such detector, or what it asks for cannot be done.
        """
        if self.ad_model in ("", NO_MODEL):
            raise UserError("No detector is selected.", hint="Select one, or turn the unit off.")
        detector = resolving.names.detector(self.ad_model)
        if not detector.path and detector.title != self.ad_model:
            resolving.remark(
                f"ADetailer: there is no {self.ad_model} here, so the packaged detector {detector.title!r} looked."
            )
        parts = tuple(PaintedPart(resolving.plan(inner), left_out) for inner, left_out in self.asked)
        return self.model_copy(update={"detector": detector, "parts": parts, "asked": ()})


def _parts(text: str, whole: str) -> list[str]:
    """The prompts that a text separates; `whole`: the picture's own."""
    parts = [part.strip() for part in text.split(SEPARATOR)]
    return [part.replace(WHOLE, whole) if part else whole for part in parts]


def _unit(given: Mapping[object, object]) -> dict[str, object] | None:
    """What a unit of a program says, in the names of `Params`; None: it is off."""
    said = {OLD_NAMES.get(str(name), str(name)): value for name, value in given.items() if value is not None}
    model = said.get("ad_model", NO_MODEL)
    if not said.get("ad_tab_enable", True) or not isinstance(model, str) or model.strip() in ("", NO_MODEL):
        return None
    known = Params.params()
    unread = [
        shortened(name) for name, value in said.items() if name not in known and name not in OF_THE_PAGE and value
    ]
    found = {name: value for name, value in said.items() if name in known and name not in ("impossible", "unread")}
    classes = found.get("ad_model_classes")
    if isinstance(classes, list | tuple):
        found["ad_model_classes"] = ", ".join(map(str, classes))
    return {**found, "impossible": LEAVE_OUT, "unread": ", ".join(unread)}


def _segment(told: str, prompt: str) -> dict[str, object]:
    """The unit of a tag of SwarmUI's: detector, strength and confidence, of which the last two may be missing.

    Raises:
        UserError: they are no numbers.
    """
    name, *numbers = (part.strip() for part in told.split(","))
    values = dict(zip(("ad_denoising_strength", "ad_confidence"), filter(None, numbers), strict=False))
    model = name.removeprefix("yolo-")
    return {
        "ad_model": model,
        "ad_prompt": prompt.strip(),
        "ad_denoising_strength": 0.6,
        "impossible": LEAVE_OUT,
        **values,
    }


def _ordinal(number: int) -> str:
    """2nd, 3rd, 4th."""
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}{('th', 'st', 'nd', 'rd')[last] if last < 4 else 'th'}"


ENDINGS: frozenset[str] = frozenset({"", *(f" {_ordinal(number)}" for number in range(2, 33))})
"""What stands behind a label for each unit."""

"""ControlNet: a picture says where lines, shapes or colours shall be.

Zhang et al. 2023, arXiv:2302.05543; Mou et al. 2023 (T2I-Adapter), arXiv:2302.08453. Names, values and their limits are
those of the extension sd-webui-controlnet, whose requests and infotexts mean the same here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from webui.base.errors import NotFound, UserError
from webui.features.feature import MOST_UNITS, FeatureParams, Touched
from webui.request.capabilities import Capability, Need
from webui.request.control_types import UNION_TYPES, UNKNOWN
from webui.request.model_ref import ModelRef
from webui.request.params import Choice, Image, Param, Slider, Text, Toggle, always, shortened
from webui.request.plan import Picture, Resolving
from webui.request.preprocessors import Real, preprocessor
from webui.request.settings import UiSettings

NO_MODEL = "None"
LINEAR, EASE_IN, EASE_OUT = "linear", "ease in", "ease out"
EASE_IN_OUT, REVERSE_IN_OUT = "ease in-out", "reverse in-out"
WEAK_INPUT, WEAK_MIDDLE, WEAK_OUTPUT, STRONG_MIDDLE = "weak input", "weak middle", "weak output", "strong middle"
STYLE, COMPOSITION, STRONG_STYLE = "style transfer", "composition", "strong style transfer"
WEIGHT_TYPES = (
    *(LINEAR, EASE_IN, EASE_OUT, EASE_IN_OUT, REVERSE_IN_OUT),
    *(WEAK_INPUT, WEAK_MIDDLE, WEAK_OUTPUT, STRONG_MIDDLE, STYLE, COMPOSITION, STRONG_STYLE),
)
"""How an image prompt's weight is spread over the blocks of a UNet, by the names that ComfyUI's users know."""
MODES = ("Balanced", "My prompt is more important", "ControlNet is more important")
ResizeMode = Literal["Just Resize", "Crop and Resize", "Resize and Fill"]
RESIZE_MODES: tuple[ResizeMode, ...] = ("Just Resize", "Crop and Resize", "Resize and Fill")
HR_OPTIONS = ("Both", "Low res only", "High res only")
OLD_RESIZE_MODES: Mapping[str, str] = {
    "Inner Fit (Scale to Fit)": "Crop and Resize",
    "Outer Fit (Shrink to Fit)": "Resize and Fill",
    "Scale to Fit (Inner Fit)": "Crop and Resize",
    "Envelope (Outer Fit)": "Resize and Fill",
    "Crop and resize": "Crop and Resize",
    "Resize and fill": "Resize and Fill",
    "Just resize": "Just Resize",
}
"""What the extension and its clients have called them."""
OLD_NAMES: Mapping[str, str] = {
    "input_image": "image",
    "lowvram": "low_vram",
    "guidance": "guidance_end",
    "mask_image": "mask",
}
OF_THE_PAGE = frozenset({"enabled", "is_ui", "input_mode", "use_preview_as_input", "generated_image", "loopback"})
"""What a unit says of the extension's own page, and what is looked at before all others."""
POSITIONS = (
    "enabled",
    "module",
    "model",
    "weight",
    "image",
    "resize_mode",
    "low_vram",
    "processor_res",
    "threshold_a",
    "threshold_b",
    "guidance_start",
    "guidance_end",
    "pixel_perfect",
    "control_mode",
)
"""Of the values of a unit that is a list."""
TOLD: Mapping[str, object] = MappingProxyType(
    {
        "is_ui": False,
        "input_mode": "simple",
        "batch_images": None,
        "output_dir": "",
        "loopback": False,
        "enabled": False,
        "image": None,
        "processor_res": -1,
        "advanced_weighting": None,
        "effective_region_mask": None,
        "pulid_mode": "Fidelity",
        "ipadapter_input": None,
        "mask": None,
        "batch_mask_dir": None,
        "animatediff_batch": False,
        "batch_modifiers": [],
        "batch_image_files": [],
        "batch_keyframe_idx": None,
    }
)
"""What the extension says of a unit beyond what is here, or otherwise."""
OLD_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "Preprocessor": "Module",
        "preprocessor": "Module",
        "model": "Model",
        "weight": "Weight",
        "resize mode": "Resize Mode",
        "pixel perfect": "Pixel Perfect",
        "control mode": "Control Mode",
    }
)
"""What infotexts of the extension's older versions call a unit's values -> what they are called now."""
_SINGLE = ("Preprocessor", "Model", "Weight", "Guidance Start", "Guidance End")
"""The values that its first versions wrote, each under a label of its own."""
_BRACKETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "starting/ending": ("Guidance Start", "Guidance End"),
        "preprocessor params": ("Processor Res", "Threshold A", "Threshold B"),
    }
)
"""What later ones wrote together: "starting/ending: (0, 1)"."""
REFUSE, LEAVE_OUT = "Refuse", "Leave out"
OF_FAMILIES = frozenset({"SD1", "SD2", "SDXL", "SD3", "Flux"})
"""Families that have control networks of their own."""
Size = tuple[int, int]
"""(width, height)"""


class Params(FeatureParams):
    """One unit."""

    title: ClassVar[str] = "ControlNet"
    units: ClassVar[int] = 3
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STEPS})
    touches: ClassVar[frozenset[Touched]] = frozenset({"call", "network"})
    unit_of_programs: ClassVar[Mapping[str, object]] = TOLD

    image: Annotated[str, Image(ui="Picture", axis=False)] = ""
    """The picture to follow. If it is empty in img2img, the img2img picture is used."""
    mask: Annotated[str, Image(ui="Mask", axis=False)] = ""
    """For inpainting: white marks what is to be filled."""
    module: Annotated[str, Choice(label="Module", ui="Preprocessor", source="preprocessors", when=always)] = "none"
    """Turns the picture into a map (edges, lines, colors); none: the picture is already a map."""
    model: Annotated[str, Choice(label="Model", source="control_networks", when=always)] = NO_MODEL
    """The network that understands such maps: a file in models/ControlNet."""
    weight: Annotated[
        float, Slider(label="Weight", ui="Control Weight", min=0, max=2, step=0.05, ge=0, le=2, when=always)
    ] = 1.0
    """How strongly the picture follows the map."""
    resize_mode: Annotated[
        ResizeMode, Choice(label="Resize Mode", choices=RESIZE_MODES, radio=True, axis=False, when=always)
    ] = "Crop and Resize"
    """How the picture is fitted when its aspect ratio differs from the result's."""
    processor_res: Annotated[
        Real, Slider(label="Processor Res", ui="Preprocessor resolution", min=64, max=2048, step=8, when=always)
    ] = 512
    """The length in pixels of the shorter side of the picture that the preprocessor works on."""
    threshold_a: Annotated[Real, Slider(label="Threshold A", min=-1, max=255, step=0.01, when=always)] = -1
    """The preprocessor's first value, such as the low threshold of canny; -1: its default."""
    threshold_b: Annotated[Real, Slider(label="Threshold B", min=-1, max=255, step=0.01, when=always)] = -1
    """The preprocessor's second value; -1: its default."""
    guidance_start: Annotated[
        float,
        Slider(label="Guidance Start", ui="Starting Control Step", min=0, max=1, step=0.01, ge=0, le=1, when=always),
    ] = 0.0
    """The fraction of the sampling after which the unit takes effect."""
    guidance_end: Annotated[
        float, Slider(label="Guidance End", ui="Ending Control Step", min=0, max=1, step=0.01, ge=0, le=1, when=always)
    ] = 1.0
    """The fraction of the sampling after which the unit no longer takes effect."""
    pixel_perfect: Annotated[bool, Toggle(label="Pixel Perfect", axis=False, when=always)] = False
    """Chooses the preprocessor resolution that fits the size of the result."""
    control_mode: Annotated[str, Choice(label="Control Mode", choices=MODES, radio=True, when=always)] = "Balanced"
    """Whether the prompt or the map takes precedence where they disagree."""
    hr_option: Annotated[str, Choice(ui="Hires. fix", choices=HR_OPTIONS, radio=True, axis=False)] = "Both"
    """The pass of hires fix in which the unit takes effect."""
    low_vram: Annotated[bool, Toggle(ui="Low VRAM", axis=False)] = False
    """Accepted for compatibility, without effect: memory is planned for all networks together."""
    save_detected_map: Annotated[bool, Toggle(ui="Show the map beside the picture", axis=False)] = True
    """Adds the map to the results."""
    inpaint_crop_input_image: Annotated[bool, Toggle(ui="Crop with the mask", axis=False)] = True
    """In img2img with "Only masked", crops this picture in the same way as the img2img picture."""
    effective_region_mask: Annotated[str, Image(ui="Effective region", axis=False)] = ""
    """White marks where the unit takes effect."""
    advanced_weighting: Annotated[str, Text(ui="Weights of the layers", axis=False)] = ""
    """A number for each output of the network, from the outermost to the middle, separated by commas."""
    weight_type: Annotated[str, Choice(label="Weight Type", choices=WEIGHT_TYPES, absent=LINEAR)] = LINEAR
    """For IP-Adapters: which parts of the network follow the picture, and how strongly. Style transfer and composition
    take only that from it."""
    more_images: Annotated[tuple[str, ...], Image(ui="More pictures", axis=False, many=True)] = ()
    """For IP-Adapters: further pictures, which act together with the first as their mean."""
    union_control_type: Annotated[str, Choice(ui="Kind of map", choices=UNION_TYPES, axis=False)] = UNKNOWN
    """For networks that understand several kinds (ControlNet Union); Unknown: the kind that the preprocessor makes."""
    impossible: Annotated[str, Param(ui="Where it cannot act", axis=False)] = REFUSE
    """What happens if the unit cannot act: "Refuse", or "Leave out" with a remark, as A1111 does."""

    unread: Annotated[str, Param(ui="What was not understood", axis=False)] = ""
    """Names in a program's unit that are unknown here, separated by commas."""

    network: ModelRef | None = None
    towers: tuple[ModelRef, ...] = ()
    """The image encoders that are there."""
    annotators: tuple[ModelRef, ...] = ()
    """The preprocessor's files."""

    @model_validator(mode="after")
    def _held(self) -> Self:
        """Values that the preprocessor cannot take are its defaults, as the infotext says them."""
        known = preprocessor(self.module)
        if self.guidance_start > self.guidance_end:
            raise UserError(
                f"Starting Control Step {self.guidance_start} is after Ending Control Step {self.guidance_end}.",
                field="guidance_start",
            )
        held = {
            "processor_res": known.resolution_of(self.processor_res),
            "threshold_a": known.value_of(known.a, self.threshold_a),
            "threshold_b": known.value_of(known.b, self.threshold_b),
        }
        for name, value in held.items():
            object.__setattr__(self, name, value)
        self.layer_weights  # noqa: B018 - raises
        return self

    @classmethod
    def shown(cls, ui: UiSettings) -> int:
        return ui.control_net_unit_count

    @property
    def layer_weights(self) -> tuple[float, ...] | None:
        """Those of `advanced_weighting`. Raises UserError: one is no number."""
        if not self.advanced_weighting.strip():
            return None
        try:
            return tuple(float(each) for each in self.advanced_weighting.split(","))
        except ValueError as error:
            raise UserError(
                f"{self.advanced_weighting!r} is not a list of numbers.",
                hint="Write 1, 0.8, 0.5, for example.",
                field="advanced_weighting",
            ) from error

    @classmethod
    def of_arguments(cls, given: Sequence[object]) -> object:
        """Units by name, by position, or null; those that are off are not counted, as infotexts number them."""
        units = [unit for unit in map(_unit, given) if unit is not None]
        return units or None

    @classmethod
    def labels_in(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Those of the extension's older versions, too: a label for each value, or units with values in brackets."""
        found = dict(labels)
        for unit in range(MOST_UNITS):
            together = f"{cls.title} {unit}"
            text = labels.get(together, "")
            if text.startswith("preprocessor:"):
                found[together] = _of_brackets(text)
                continue
            prefix = f"{cls.title}-{unit} " if f"{cls.title}-{unit} Enabled" in labels else f"{cls.title} "
            if together not in labels and labels.get(f"{prefix}Enabled") == "True" and (unit == 0 or "-" in prefix):
                own = {OLD_LABELS.get(name, name): labels[prefix + name] for name in _SINGLE if prefix + name in labels}
                found[together] = ", ".join(f"{name}: {value}" for name, value in own.items())
        return found

    def wanted(self) -> tuple[Need, ...]:
        """What acts without a network acts on a UNet; for what a network was made, its file tells (`fits`)."""
        needs = super().wanted()
        return (*needs, Need(Capability.UNET, f"switch {self.title} off", self.field)) if self.is_model_free else needs

    @property
    def is_model_free(self) -> bool:
        """It acts without a network."""
        return preprocessor(self.module).model_free

    @property
    def refers(self) -> bool:
        """The UNet looks at its picture before each step."""
        known = preprocessor(self.module)
        return known.model_free and not known.describes

    @property
    def revises(self) -> bool:
        """Its picture stands for the text."""
        known = preprocessor(self.module)
        return known.model_free and known.describes

    def unreadable(self, error: UserError) -> str:
        if self.impossible == REFUSE:
            raise error
        return ""

    def sized(self, picture: Picture, size_of: Callable[[str], tuple[int, int]]) -> Picture:
        """What can be known before anything is made; a program hears of it with its picture."""
        if self.impossible != REFUSE:
            return picture
        if not self.image and not self.more_images and picture.request.from_picture is None:
            raise UserError("ControlNet: there is no picture to follow.", hint="Give the unit one.", field="features")
        if self.image and self.mask and preprocessor(self.module).needs_mask:
            check_mask(size_of(self.mask), size_of(self.image))
        return picture

    def resolve(self, resolving: Resolving) -> Self:
        if self.unread:
            resolving.remark(f"ControlNet: {self.unread} is unknown here and was ignored.")
        if not preprocessor(self.module).code:
            return self._without(
                resolving,
                UserError(
                    f"ControlNet: the preprocessor {self.module} is not available in this version.",
                    hint="Choose the preprocessor none, and give the unit a map that was made elsewhere.",
                    field="features",
                ),
            )
        if self.is_model_free:
            return self.model_copy(update={"towers": resolving.names.towers()}) if self.revises else self
        if self.model in ("", NO_MODEL):
            return self._without(
                resolving,
                UserError(
                    "ControlNet: no model is selected.", hint="Select one, or turn the unit off.", field="features"
                ),
            )
        try:
            network = resolving.names.control_network(self.model)
            annotators = resolving.names.annotators(self.module) if preprocessor(self.module).weights else ()
        except (NotFound, UserError) as error:
            return self._without(resolving, error)
        family = resolving.family.family if resolving.family is not None else ""
        if network.family in OF_FAMILIES and family in OF_FAMILIES and network.family != family:
            said = (
                f"{network.title} cannot be used with this checkpoint: it was made for {network.family}, not {family}."
            )
            hint = "Choose another network, or turn the unit off."
            return self._without(resolving, UserError(said, hint=hint, field="features"))
        found = {"network": network, "towers": resolving.names.towers(), "annotators": annotators}
        return self.model_copy(update=found)

    def _without(self, resolving: Resolving, error: UserError | NotFound) -> Self:
        if self.impossible == REFUSE:
            raise UserError(error.message, hint=error.hint, field="features") from error
        resolving.remark(f"{error.message} The unit was left out.")
        return self


def check_mask(mask: Size, picture: Size) -> None:
    """Raises UserError: a unit's mask has not the size of its picture."""
    if mask != picture:
        raise UserError(
            f"ControlNet: the mask has {mask[0]}x{mask[1]} pixels, but the picture has {picture[0]}x{picture[1]}.",
            hint="Use a mask of the same size as the picture.",
            field="features",
        )


def _unit(given: object) -> dict[str, object] | None:
    """What a unit of a program says, in the names of `Params`; None: it is off."""
    if isinstance(given, list | tuple):
        given = dict(zip(POSITIONS, given, strict=False))
    if not isinstance(given, Mapping) or not given.get("enabled", False):
        return None
    if given.get("input_mode", "simple") not in ("simple", "InputMode.SIMPLE", None):
        raise UserError(
            f"ControlNet: the input mode {shortened(given['input_mode'])} is not available in this version.",
            hint="Give each unit one picture.",
            field="features",
        )
    known = Params.params()
    said = {OLD_NAMES.get(name, name): value for name, value in given.items()}
    found = {name: value for name, value in said.items() if name in known and value is not None}
    picture = found.get("image")
    if isinstance(picture, list | tuple) and any(isinstance(each, Mapping) for each in picture):
        several = [each.get("image") if isinstance(each, Mapping) else each for each in picture]
        found["more_images"] = tuple(each for each in several[1:] if each)
        picture = picture[0]
    elif isinstance(picture, list | tuple):
        picture = {"image": picture[0], "mask": picture[1] if len(picture) > 1 else None} if picture else None
    if isinstance(picture, Mapping):
        found["image"] = picture.get("image") or ""
        if picture.get("mask"):
            found.setdefault("mask", picture["mask"])
    found["resize_mode"] = OLD_RESIZE_MODES.get(
        str(found.get("resize_mode")), found.get("resize_mode", "Crop and Resize")
    )
    weights = found.get("advanced_weighting")
    if isinstance(weights, list | tuple):
        found["advanced_weighting"] = ", ".join(map(str, weights))
    for name in ("threshold_a", "threshold_b"):
        value = found.get(name)
        if isinstance(value, str | int | float):
            found[name] = _number(value, name)
    if "module" in found and found["module"] == "":
        found["module"] = "none"
    passed = OF_THE_PAGE | known.keys()
    more = {name: value for name, value in said.items() if name not in passed and value}
    unread = [shortened(name) for name, value in more.items() if value != TOLD.get(name)]
    found |= {"impossible": LEAVE_OUT, "unread": ", ".join(unread)}
    return {name: value for name, value in found.items() if value is not None}


def _number(given: str | float, name: str) -> float:
    try:
        return float(given)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{shortened(given)} is not a number.", field=name) from error


def _of_brackets(text: str) -> str:
    """A unit as older versions wrote it, in the spelling of today."""
    found: list[str] = []
    rest = text
    while rest:
        name, _, rest = rest.partition(":")
        rest = rest.lstrip()
        value, _, rest = rest[1:].partition(")") if rest.startswith("(") else rest.partition(",")
        rest, name = rest.lstrip(" ,"), name.strip()
        if name in _BRACKETS:
            found += (f"{own}: {one.strip()}" for own, one in zip(_BRACKETS[name], value.split(","), strict=False))
        elif name in OLD_LABELS:
            value = OLD_RESIZE_MODES.get(value.strip(), value.strip())
            found.append(f"{OLD_LABELS[name]}: {value}")
    return ", ".join(found)

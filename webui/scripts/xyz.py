"""X/Y/Z plot: one request becomes a table of requests that differ along up to three axes.

Titles, their order and the writing of values are A1111's, since clients send an axis as its place in the list.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, TypeAlias

from webui import registry
from webui.base.errors import UserError
from webui.features.feature import FeatureParams
from webui.request.fields import Generation
from webui.request.params import Choice, Home, Image, Slider, Text, Toggle, by_name, units_in
from webui.request.settings import RenderSettings
from webui.scripts.script import Cell, Script, Seeds, Sheets, Table, refuse_beyond

Value: TypeAlias = int | float | str | bool | tuple[str, ...]
NOTHING = "Nothing"
SEEDS = ("Seed", "Var. seed")
Kind = Literal["nothing", "int", "float", "bool", "text", "order"]
Apply: TypeAlias = Callable[[Generation, Value, Sequence[Value]], Generation]
"""(request, this value, all values of the axis) -> the request with it."""
_INT = r"\s*+([+-]?+\s*+\d++)"
_FLOAT = r"\s*+([+-]?+\s*+\d++(?:\.\d*+)?+)"
_INT_RANGE = re.compile(rf"{_INT}\s*+-{_INT}(?:\s*+\(([+-]\d++)\s*+\))?\s*+")
_INT_COUNT = re.compile(rf"{_INT}\s*+-{_INT}(?:\s*+\[(\d++)\s*+\])\s*+")
_FLOAT_RANGE = re.compile(rf"{_FLOAT}\s*+-{_FLOAT}(?:\s*+\(([+-]\d++(?:\.\d*+)?)\s*+\))?\s*+")
_FLOAT_COUNT = re.compile(rf"{_FLOAT}\s*+-{_FLOAT}(?:\s*+\[(\d++(?:\.\d*+)?)\s*+\])\s*+")


@dataclass(frozen=True)
class Axis:
    """Something that can differ from picture to picture."""

    title: str
    kind: Kind
    apply: Apply
    cost: float = 0.0
    """How much a change costs, 0 to 1: the dearest changes least often."""
    plain: bool = False
    """The legend shows the value without the title before it."""
    source: str = ""
    """The list that its values are of."""
    empty: bool = False
    """An empty value is one of its values."""

    def legend(self, value: Value) -> str:
        if self.kind == "nothing":
            return ""
        if isinstance(value, tuple):
            return ", ".join(value)
        shown = str(round(value, 8) if isinstance(value, float) else value)
        if self.title == "Checkpoint name":
            shown = shown.replace("\\", "/").rsplit("/", 1)[-1]
        return shown if self.plain else f"{self.title}: {shown}"


def _field(name: str) -> Apply:
    return lambda request, value, _all: request.changed(**{name: value})


def _settings(*names: str) -> Apply:
    return lambda request, value, _all: request.changed(
        override_settings={**request.override_settings, **dict.fromkeys(names, value)}
    )


def _in_feature(owner: type[FeatureParams], name: str) -> Apply:
    """Of a feature that may act several times at once: in its first unit."""

    def apply(request: Generation, value: Value, _all: Sequence[Value]) -> Generation:
        now = request.features.get(owner.title)
        if owner.units:
            first, *others = units_in(now) or [None]
            changed: object = [{**(first or {}), name: value}, *others]
        else:
            changed = {**by_name(now), name: value}
        return request.changed(features={**request.features, owner.title: changed})

    return apply


def _replaced(request: Generation, value: Value, values: Sequence[Value]) -> Generation:
    sought, text = str(values[0]), str(value)
    if not sought:
        raise UserError(
            "Prompt S/R: the first value is empty.",
            hint="The first value is the text that the others replace.",
            field="script_args",
        )
    if sought not in request.prompt and sought not in request.negative_prompt:
        raise UserError(
            f"Prompt S/R: {sought!r} is neither in the prompt nor in the negative prompt.",
            hint="The first value is the text that the others replace.",
            field="script_args",
        )
    return request.changed(
        prompt=request.prompt.replace(sought, text), negative_prompt=request.negative_prompt.replace(sought, text)
    )


def _ordered(request: Generation, value: Value, _values: Sequence[Value]) -> Generation:
    """The words of `value` take their places in this order; what stands between them stays."""
    words = value if isinstance(value, tuple) else (str(value),)
    missing = [word for word in words if word not in request.prompt]
    if missing:
        raise UserError(f"Prompt order: {missing[0]!r} is not in the prompt.", field="script_args")
    places = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    order = iter(words)
    left = set(words)

    def placed(found: re.Match[str]) -> str:
        if found[0] not in left:
            return found[0]
        left.discard(found[0])
        return next(order)

    return request.changed(prompt=re.sub(places, placed, request.prompt))


def _styled(request: Generation, value: Value, _values: Sequence[Value]) -> Generation:
    names = (name.strip() for name in str(value).split(","))
    return request.changed(styles=(*request.styles, *(name for name in names if name)))


def _sized(request: Generation, value: Value, _values: Sequence[Value]) -> Generation:
    sides = re.fullmatch(r"\s*+(\d++)\s*+[x×]\s*+(\d++)\s*+", str(value))
    if sides is None:
        raise UserError(
            f"Size: {value!r} is not a size.", hint="Write it as 512x768, for example.", field="script_args"
        )
    return request.changed(width=int(sides[1]), height=int(sides[2]))


def _restored(request: Generation, value: Value, _values: Sequence[Value]) -> Generation:
    """A1111: the name of a restorer, or whether there shall be one."""
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "none": False}
    wanted = known.get(str(value).lower())
    chosen = {"face_restoration": wanted} if wanted is not None else {
        "face_restoration": True, "face_restoration_model": value,
    }  # fmt: skip
    return request.changed(override_settings={**request.override_settings, **chosen})


_BY_HAND = (
    Axis(NOTHING, "nothing", lambda request, _value, _all: request),
    Axis("Prompt S/R", "text", _replaced, plain=True, empty=True),
    Axis("Prompt order", "order", _ordered),
    Axis("Eta", "float", _settings("eta_ancestral", "eta_ddim")),
    Axis("Styles", "text", _styled, source="styles", empty=True),
    Axis("Face restore", "text", _restored, plain=True),
    Axis("Size", "text", _sized),
)
"""Those that are no parameter, or more than one."""
_A1111: tuple[tuple[str, str], ...] = (
    (NOTHING, ""),
    ("Seed", "seed"),
    ("Var. seed", "subseed"),
    ("Var. strength", "subseed_strength"),
    ("Steps", "steps"),
    ("Hires steps", "hr_second_pass_steps"),
    ("CFG Scale", "cfg_scale"),
    ("Image CFG Scale", "image_cfg_scale"),
    ("Prompt S/R", ""),
    ("Prompt order", ""),
    ("Sampler", "sampler_name"),
    ("Hires sampler", "hr_sampler_name"),
    ("Checkpoint name", "sd_model_checkpoint"),
    ("Negative Guidance minimum sigma", "s_min_uncond"),
    ("Sigma Churn", "s_churn"),
    ("Sigma min", "s_tmin"),
    ("Sigma max", "s_tmax"),
    ("Sigma noise", "s_noise"),
    ("Schedule type", "scheduler"),
    ("Schedule min sigma", "sigma_min"),
    ("Schedule max sigma", "sigma_max"),
    ("Schedule rho", "rho"),
    ("Beta schedule alpha", "beta_dist_alpha"),
    ("Beta schedule beta", "beta_dist_beta"),
    ("Eta", ""),
    ("Clip skip", "clip_skip"),
    ("Denoising", "denoising_strength"),
    ("Initial noise multiplier", "initial_noise_multiplier"),
    ("Extra noise", "img2img_extra_noise"),
    ("Hires upscaler", "hr_upscaler"),
    ("Cond. Image Mask Weight", "inpainting_mask_weight"),
    ("VAE", "sd_vae"),
    ("Styles", ""),
    ("UniPC Order", "uni_pc_order"),
    ("Face restore", ""),
    ("Token merging ratio", "token_merging_ratio"),
    ("Token merging ratio high-res", "token_merging_ratio_hr"),
    ("Always discard next-to-last sigma", "always_discard_next_to_last_sigma"),
    ("SGM noise multiplier", "sgm_noise_multiplier"),
    ("Refiner checkpoint", "refiner_checkpoint"),
    ("Refiner switch at", "refiner_switch_at"),
    ("RNG source", "randn_source"),
    ("FP8 mode", "fp8_storage"),
    ("Size", ""),
    ("[Hypertile] Unet First pass Enabled", "hypertile_enable_unet"),
    ("[Hypertile] Unet Second pass Enabled", "hypertile_enable_unet_secondpass"),
    ("[Hypertile] Unet Max Depth", "hypertile_max_depth_unet"),
    ("[Hypertile] Unet Max Tile Size", "hypertile_max_tile_unet"),
    ("[Hypertile] Unet Swap Size", "hypertile_swap_size_unet"),
    ("[Hypertile] VAE Enabled", "hypertile_enable_vae"),
    ("[Hypertile] VAE Max Depth", "hypertile_max_depth_vae"),
    ("[Hypertile] VAE Max Tile Size", "hypertile_max_tile_vae"),
    ("[Hypertile] VAE Swap Size", "hypertile_swap_size_vae"),
)
"""A1111's titles in its order, since clients send an axis as its place -> the field or setting; "": one by hand."""
_PLAIN = frozenset({"sampler_name", "sd_model_checkpoint", "refiner_checkpoint"})
"""A1111: what is written beside the pictures without its title."""
_OF_IMG2IMG = frozenset({"inpainting_mask_weight"})
"""Settings of img2img alone."""
_KINDS: Mapping[object, Kind] = MappingProxyType(
    {int: "int", float: "float", int | float: "float", bool: "bool", str: "text"}
)


def axes(cls: type[Generation]) -> tuple[Axis, ...]:
    """The axes of txt2img or img2img: A1111's first, whose places clients send, then all other parameters."""
    by_hand = {axis.title: axis for axis in _BY_HAND}
    found, offered = {}, cls.offered()
    for title, name in _A1111:
        if not name:
            found[title] = by_hand[title]
        elif name in offered:
            found[title] = _derived(title, cls.home(name), plain=name in _PLAIN)
        elif name in RenderSettings.model_fields and (cls.is_img2img or name not in _OF_IMG2IMG):
            found[title] = _derived(title, Home(RenderSettings, name), plain=name in _PLAIN)
    listed = {name for _, name in _A1111}
    for name, param in offered.items():
        home = cls.home(name)
        if name not in listed and _is_axis(home):
            found.setdefault(param.title, _derived(param.title, home))
    for entry in registry.carried(cls.kind):
        for name, param in entry.params.params().items():
            home = Home(entry.params, name)
            if name not in entry.params.flat.values() and _is_axis(home):
                title = f"[{entry.name}] {param.title}"
                found[title] = _derived(title, home)
    return tuple(found.values())


def _is_axis(home: Home) -> bool:
    """Whether a grid may differ in it: it is one value of a kind that can be written in a list."""
    param, annotation = home.owner.params()[home.name], home.owner.model_fields[home.name].annotation
    return param.axis and not isinstance(param, Text | Image) and annotation in _KINDS


def _derived(title: str, home: Home, *, plain: bool = False) -> Axis:
    """The axis of a field of a request, a setting, or a parameter of a feature, as it is declared."""
    owner, name = home.owner, home.name
    param, annotation = owner.params()[name], owner.model_fields[name].annotation
    apply = _field(name)
    if issubclass(owner, RenderSettings):
        apply = _settings(param.alias or name)
    elif issubclass(owner, FeatureParams):
        apply = _in_feature(owner, name)
    source = getattr(param, "source", "")
    return Axis(
        title,
        _KINDS[annotation],
        apply,
        cost=param.cost,
        plain=plain,
        source=source.removesuffix("_or_same"),
        empty=source.endswith("_or_none"),
    )


@dataclass(frozen=True)
class Line:
    """An axis with its values."""

    axis: Axis
    text: str
    """As it was written."""
    values: tuple[Value, ...]


def values_of(axis: Axis, text: str) -> tuple[Value, ...]:
    """The values that a text lists: with commas, quotes around those that have some, and ranges of numbers.

    `1-5`, `1-10 (+2)` with a step, `1-10 [5]` so many between the two.

    Raises:
        UserError: a value is none of this axis's.
    """
    if axis.kind == "nothing":
        return ("",)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=None), skipinitialspace=True))
    except csv.Error as error:
        raise UserError(
            f"{axis.title}: these values cannot be read.",
            hint=f"Separate them with commas; each may have at most {csv.field_size_limit():,} characters.",
            field="script_args",
        ) from error
    words = [word.strip() for word in itertools.chain.from_iterable(rows)]
    words = [word for word in words if word or axis.empty]
    if not any(words):
        raise UserError(
            f"{axis.title} has no values.", hint="Enter some values, or choose Nothing.", field="script_args"
        )
    if axis.kind == "order":
        if len(words) > 6:
            raise UserError(
                f"{len(words)} words have too many possible orders.", hint="Use at most 6.", field="script_args"
            )
        return tuple(itertools.permutations(words))
    if axis.kind == "text":
        return tuple(words)
    try:
        return tuple(itertools.chain.from_iterable(_numbers(axis.kind, word) for word in words))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise UserError(
            f"{axis.title}: {text!r} is not a list of valid values.",
            hint="true, false" if axis.kind == "bool" else "Write 1, 2, 5 or 1-5 or 1-10 (+2) or 1-10 [5].",
            field="script_args",
        ) from error


MOST_VALUES = 10_000


def _numbers(kind: Kind, word: str) -> Sequence[Value]:
    """The numbers that one word stands for."""
    if kind == "bool":
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if word.lower() not in known:
            raise ValueError(word)
        return [known[word.lower()]]
    whole = kind == "int"
    spaced = (_INT_COUNT if whole else _FLOAT_COUNT).fullmatch(word)
    if spaced:
        low, high, count = _number(spaced[1]), _number(spaced[2]), int(float(spaced[3]))
        _few(count)
        points = [low + (high - low) * index / max(count - 1, 1) for index in range(count)]
        return [int(point) for point in points] if whole else points
    stepped = (_INT_RANGE if whole else _FLOAT_RANGE).fullmatch(word)
    if stepped:
        low, high, step = _number(stepped[1]), _number(stepped[2]), float(stepped[3] or 1)
        # A1111: a range of whole numbers ends before high + 1, so downwards it does not reach the last one.
        count = math.ceil((high + (1 if whole else step) - low) / step - 1e-9)
        _few(count)
        points = [low + step * index for index in range(count)]
        return [int(point) for point in points] if whole else points
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(word)
    return [int(word)] if whole else [number]


def _number(text: str) -> float:
    return float(text.replace(" ", ""))


def _few(count: int) -> None:
    if not 1 <= count <= MOST_VALUES:
        raise ValueError(count)


class XyzPlot(Script):
    """Values for up to three axes: each combination is a picture."""

    title: ClassVar[str] = "X/Y/Z plot"
    first_alone: ClassVar[bool] = True

    x_type: Annotated[str, Choice(ui="X type", source="axes")] = "Seed"
    """The parameter that varies from column to column."""
    x_values: Annotated[str, Text(ui="X values")] = ""
    """Separated by commas. Ranges: 1-5, 1-10 (+2) with a step, 1-10 [5] with a number of values."""
    y_type: Annotated[str, Choice(ui="Y type", source="axes")] = NOTHING
    """The parameter that varies from row to row."""
    y_values: Annotated[str, Text(ui="Y values")] = ""
    """Same format as for X."""
    z_type: Annotated[str, Choice(ui="Z type", source="axes")] = NOTHING
    """The parameter that varies from grid to grid."""
    z_values: Annotated[str, Text(ui="Z values")] = ""
    """Same format as for X."""
    draw_legend: Annotated[bool, Toggle(ui="Draw legend")] = True
    """Writes the values next to the pictures."""
    include_lone_images: Annotated[bool, Toggle(ui="Include Sub Images")] = False
    """Includes the single pictures in API responses; the page always shows them."""
    include_sub_grids: Annotated[bool, Toggle(ui="Include Sub Grids")] = False
    """Adds a separate grid for each value of Z."""
    no_fixed_seeds: Annotated[bool, Toggle(ui="Keep -1 for seeds")] = False
    """If the seed is -1, each picture gets a different random seed."""
    vary_seeds_x: Annotated[bool, Toggle(ui="Vary seeds for X")] = False
    """The seed increases by 1 from column to column."""
    vary_seeds_y: Annotated[bool, Toggle(ui="Vary seeds for Y")] = False
    """The seed increases by 1 from row to row."""
    vary_seeds_z: Annotated[bool, Toggle(ui="Vary seeds for Z")] = False
    """The seed increases by 1 from grid to grid."""
    margin_size: Annotated[int, Slider(ui="Grid margins (px)", min=0, max=500, step=2, ge=0, le=500)] = 0
    """Space between pictures in pixels, when the legend is drawn."""

    @property
    def shows_pictures(self) -> bool:
        return self.include_lone_images

    def expand(self, request: Generation, seeds: Seeds, most: int) -> Table:
        x, y, z = lines = self._lines(type(request))
        refuse_beyond(math.prod(len(line.values) for line in lines) * request.picture_count, most)
        if not self.no_fixed_seeds:
            request = seeds.fixed(request)
            x, y, z = lines = (_fixed(x, seeds), _fixed(y, seeds), _fixed(z, seeds))
        places = [
            (i, j, k) for k in range(len(z.values)) for j in range(len(y.values)) for i in range(len(x.values))
        ]  # fmt: skip
        dearest = sorted((index for index in range(3) if lines[index].axis.cost), key=lambda at: -lines[at].axis.cost)
        places.sort(key=lambda place: tuple(place[index] for index in dearest))
        cells = tuple(Cell(place, seeds.anew(self._at(request, lines, place))) for place in places)
        titles = (self._titles(x), self._titles(y), self._titles(z))
        # A1111: the margins are drawn with the legend.
        margin = self.margin_size if self.draw_legend else 0
        sheets = Sheets(titles, "xyz_grid", self._labels(lines), margin, self.include_sub_grids)
        return Table(cells, sheets)

    def _lines(self, cls: type[Generation]) -> tuple[Line, Line, Line]:
        x, y, z = ((getattr(self, f"{name}_type"), getattr(self, f"{name}_values")) for name in "xyz")
        return _line(cls, *x), _line(cls, *y), _line(cls, *z)

    def _at(self, request: Generation, lines: tuple[Line, Line, Line], place: tuple[int, int, int]) -> Generation:
        for line, index in zip(lines, place, strict=True):
            request = line.axis.apply(request, line.values[index], line.values)
        vary = (self.vary_seeds_x, self.vary_seeds_y, self.vary_seeds_z)
        offset, stride = 0, 1
        for line, index, varied in zip(lines, place, vary, strict=True):
            if varied:
                offset += index * stride
                stride *= len(line.values)
        return request.changed(seed=request.seed + offset) if offset and request.seed >= 0 else request

    def _titles(self, line: Line) -> tuple[str, ...]:
        return tuple(line.axis.legend(value) if self.draw_legend else "" for value in line.values)

    def _labels(self, lines: tuple[Line, Line, Line]) -> tuple[tuple[str, str], ...]:
        """What the sheet's infotext says beyond that of its first picture."""
        found = [("Script", self.title)]
        for name, line in zip("XYZ", lines, strict=True):
            if line.axis.kind != "nothing":
                found += [(f"{name} Type", line.axis.title), (f"{name} Values", line.text)]
                if line.axis.title in SEEDS and not self.no_fixed_seeds:
                    found.append((f"Fixed {name} Values", ", ".join(str(value) for value in line.values)))
        return tuple(found)

    @classmethod
    def of_arguments(cls, request: type[Generation], arguments: Sequence[object]) -> dict[str, object]:
        """Three times (place of the axis, text, list), then the other fields, and whether lists are text."""
        options = list(cls.params())[6:]
        if len(arguments) != 9 + len(options) + 1:
            raise UserError(
                f"{cls.title} takes {9 + len(options) + 1} values; {len(arguments)} came.",
                hint="/sdapi/v1/script-info lists them.",
                field="script_args",
            )
        given = dict(zip(options, arguments[9:], strict=False))
        for at, name in enumerate("xyz"):
            place, text, chosen = arguments[3 * at : 3 * at + 3]
            given[f"{name}_type"] = _title_at(request, place)
            given[f"{name}_values"] = _written(text, chosen)
        return given

    @classmethod
    def arguments(cls, request: type[Generation]) -> list[dict[str, object]]:
        own = super().arguments(request)
        titles = [axis.title for axis in axes(request)]
        found: list[dict[str, object]] = []
        for number in range(3):
            kind, values = own[2 * number : 2 * number + 2]
            found += [{**kind, "choices": titles}, values, {**values, "value": None, "choices": []}]
        behind = {**own[6], "label": "Use text inputs instead of dropdowns", "value": False}
        return [*found, *own[6:], behind]


def _title_at(cls: type[Generation], place: object) -> str:
    known = axes(cls)
    if isinstance(place, float) and place.is_integer():
        place = int(place)
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(known):
        raise UserError(
            f"There is no axis {place!r}.", hint=f"They are counted from 0 to {len(known) - 1}.", field="script_args"
        )
    return known[place].title


def _written(text: object, chosen: object) -> str:
    """A1111: what was chosen from a list comes as a list."""
    text = text if isinstance(text, str) else ""
    return quoted(chosen) if not text.strip() and isinstance(chosen, list) and chosen else text


def quoted(values: Sequence[object]) -> str:
    """Values as a text that `values_of` reads."""
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(values)
    return written.getvalue()


def _line(cls: type[Generation], title: str, text: str) -> Line:
    axis = next((axis for axis in axes(cls) if axis.title == title), None)
    if axis is None:
        raise UserError(f"There is no axis {title!r}.", hint="/sdapi/v1/script-info lists them.", field="script_args")
    return Line(axis, text, values_of(axis, text))


def _fixed(line: Line, seeds: Seeds) -> Line:
    if line.axis.title not in SEEDS:
        return line
    return Line(
        line.axis,
        line.text,
        tuple(seeds.more() if isinstance(value, int) and value < 0 else value for value in line.values),
    )

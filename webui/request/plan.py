"""From a request to a plan: seeds fixed, names resolved, settings frozen in. Below this line nobody reads settings.

A `Plan` is plain data and determines the pictures: the same plan gives the same bits on the same machine.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import NamedTuple, Protocol

from webui import registry
from webui.base.errors import NotFound, UserError
from webui.base.fence import fenced
from webui.entry_points import expected, problem_with
from webui.features.feature import FeatureParams
from webui.prompt.comments import strip_comments
from webui.prompt.filling import Lines
from webui.prompt.lora_blocks import ARGUMENT
from webui.prompt.networks import HYPERNETWORK, LORA_KINDS, NetworkTag, extract_networks
from webui.registry import FeatureEntry
from webui.request.capabilities import AFTER_HIRES, Capabilities, Role, check, check_partner, of_family
from webui.request.cutting import Cutting, Edge
from webui.request.fields import Generation, Img2Img
from webui.request.model_ref import ModelRef
from webui.request.params import pictures_in
from webui.request.settings import RenderSettings, Settings
from webui.request.templates import filled_in

log = logging.getLogger(__name__)

AUTOMATIC_VAE = "Automatic"
LARGEST_RANDOM_SEED = 4294967294
"""Exclusive. A1111: random seeds fit in 32 bits."""
GIVEN, GIVEN_MASK = "<given>", "<given mask>"
"""What inner plans call the picture that they begin with, and its mask: they are there when the plan is carried out."""
DEEPEST = 3
"""Plans within plans."""


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint or VAE file, known by name and contents; `path` is where the local engine finds it."""

    path: str
    title: str
    """What people see: `folder/name.safetensors [6ce0161689]`."""
    name: str
    """The file's stem."""
    sha256: str = ""
    """Empty while it is not computed yet."""
    config: str = ""
    """Path of the yaml file beside it, or ""."""
    stamp: tuple[int, int] = (0, 0)
    """(mtime in ns, size in bytes): a file that changed is another model."""
    family: str = ""
    """As `webui.request.capabilities` names it; "" where only the engine can tell."""

    @property
    def short_hash(self) -> str:
        """First ten hex digits of the sha256, or ""."""
        return self.sha256[:10]

    @property
    def short_title(self) -> str:
        """As infotexts name it beside the picture's own: `name [6ce0161689]`."""
        return f"{self.name} [{self.short_hash}]" if self.sha256 else self.name


@dataclass(frozen=True)
class NetworkRef:
    """A LoRA or hypernetwork file; `path` is where the local engine finds it."""

    path: str
    name: str
    """As the prompt has it."""
    sha256: str = ""
    """Of a LoRA, as its author wrote it into the file, else of its tensors."""
    presets: tuple[tuple[str, str], ...] = ()
    """Of a LoRA: (name, list of weights) of what its tags call the weights of blocks."""

    @property
    def short_hash(self) -> str:
        """First twelve hex digits, as infotexts name it, or ""."""
        return self.sha256[:12]


@dataclass(frozen=True)
class UpscalerRef:
    """A way to enlarge pictures; `path` is the model's file where the local engine finds it, or ""."""

    name: str
    path: str = ""
    stamp: tuple[int, int] = (0, 0)
    """(mtime in ns, size in bytes): a file that changed is another model."""
    sha256: str = ""
    """Of the file, as in `ModelRef`."""
    instead_of: str = ""
    """What was asked for, and is not there, so that this one answers; "": this one was asked for."""

    @property
    def remark(self) -> str:
        """What a person is to know of it, in a sentence, or ""."""
        if not self.instead_of:
            return ""
        return f"There is no {self.instead_of} here, so {self.name}, which is like it, enlarged the picture."

    @property
    def model(self) -> ModelRef:
        """Of one that has a file."""
        return ModelRef(self.path, self.name, self.sha256, self.stamp)


class Names(Protocol):
    """What the plan asks of the catalog: names to things on disk."""

    def checkpoint(self, name: str) -> CheckpointRef:
        """The checkpoint of this title, name, stem or hash; "" is the first. Raises NotFound."""
        ...

    def vae(self, name: str, checkpoint: CheckpointRef, *, overrides: bool = True) -> CheckpointRef | None:
        """The external VAE for this setting ("Automatic", "None", a file name), or None for the checkpoint's own.

        Without `overrides` the one that the checkpoint's card names goes before the setting.
        """
        ...

    def styled(self, prompt: str, negative: str, styles: tuple[str, ...]) -> tuple[str, str]:
        """Both prompts with the styles applied."""
        ...

    def wildcard(self, name: str) -> Lines:
        """The lines that `__name__` in a prompt means; none: there is no such wildcard."""
        ...

    def picture(self, name: str) -> bytes:
        """The encoded bytes of a stored picture. Raises NotFound."""
        ...

    def picture_size(self, name: str) -> tuple[int, int]:
        """(width, height) of a stored picture as it is seen. Raises NotFound; UserError: it is no picture."""
        ...

    def network(self, kind: str, name: str) -> NetworkRef | None:
        """The file that a tag `<kind:name>` of a prompt means, or None."""
        ...

    def block_weights(self, name: str) -> str:
        """The list of weights by block that a LoRA's tag calls by this name; "": there is none."""
        ...

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        """The upscaler of this name; `field` asked for it. Raises NotFound."""
        ...

    def control_network(self, name: str) -> ModelRef:
        """The control network of this name. Raises NotFound."""
        ...

    def towers(self) -> tuple[ModelRef, ...]:
        """The image encoders that are there."""
        ...

    def annotators(self, module: str) -> tuple[ModelRef, ...]:
        """The files of a preprocessor, in the order of its line in the table. Raises NotFound."""
        ...

    def detector(self, name: str) -> ModelRef:
        """The detector of this name; without a path where it is a packaged one. Raises NotFound."""
        ...

    def cutting(self, name: str, edge: Edge | None = None, field: str = "") -> Cutting:
        """By the network for backgrounds of this name; "" is the packaged one. Raises NotFound."""
        ...

    def restorer(self, name: str, field: str = "") -> ModelRef:
        """The face restorer of this name, "" is the first; without a path where an installed package adds it. Raises
        NotFound."""
        ...


class Wish(NamedTuple):
    """What is asked of a feature."""

    feature: str
    """Its name in the registry."""
    unit: int
    """Of a feature that may act several times at once, from 0."""
    params: FeatureParams
    """The names in it are resolved."""


@dataclass(frozen=True)
class Picture:
    """One picture to make: everything that its pixels depend on, but the networks' weights."""

    request: Generation
    """Resolved: prompts with styles, canonical sampler and schedule names, this picture's own seeds."""
    render: RenderSettings
    seed: int
    subseed: int
    position: int
    """Rank within the job, from 0."""
    init_image: str = ""
    """Key in `Plan.images`, for img2img."""
    wishes: tuple[Wish, ...] = ()
    """In the order in which features act."""


@dataclass(frozen=True)
class Plan:
    """A job for the engine. Each batch is denoised together; its pictures differ only in seeds and prompts."""

    batches: tuple[tuple[Picture, ...], ...]
    checkpoint: CheckpointRef
    vae: CheckpointRef | None = None
    hires_checkpoint: CheckpointRef | None = None
    partners: tuple[CheckpointRef, ...] = ()
    """Checkpoints that features let enter a pass (`Resolving.partner`)."""
    images: Mapping[str, bytes] = field(default_factory=dict)
    """Encoded pictures that the requests and their features refer to."""
    inner: tuple[Plan, ...] = ()
    """What features make of a picture, or of a part of it, by plans of their own (`Resolving.plan`)."""
    embeddings: tuple[str, ...] = ()
    """Folders with textual inversion embeddings."""
    networks: Mapping[tuple[str, str], NetworkRef] = field(default_factory=dict)
    """(kind, name) of the tags in the prompts -> file; those that nobody knows are not here."""
    upscalers: Mapping[str, UpscalerRef] = field(default_factory=dict)
    """By the names in the requests; those that work on latents are not here."""
    remarks: tuple[str, ...] = ()
    """What could not be as it was set, for the person to know."""

    @property
    def count(self) -> int:
        return sum(len(batch) for batch in self.batches)

    @property
    def kind(self) -> str:
        return self.batches[0][0].request.kind

    @property
    def model(self) -> str:
        """Path of the checkpoint."""
        return self.checkpoint.path

    @property
    def parts(self) -> tuple[Plan, ...]:
        return (self,)

    def only(self, positions: Iterable[int], /) -> Plan:
        """The part of the plan with the pictures at these positions."""
        wanted = frozenset(positions)
        kept = (tuple(picture for picture in batch if picture.position in wanted) for batch in self.batches)
        return replace(self, batches=tuple(batch for batch in kept if batch))

    def at(self, position: int, /) -> Picture:
        """The picture at this position. Raises StopIteration: there is none."""
        return next(picture for batch in self.batches for picture in batch if picture.position == position)

    def moved(self, by: int, /) -> Plan:
        """The plan with its positions counted from there on."""
        batches = tuple(
            tuple(replace(picture, position=picture.position + by) for picture in batch) for batch in self.batches
        )
        return replace(self, batches=batches)

    def without(self, done: frozenset[int]) -> Plan:
        """The plan with the pictures at these positions left out: what remains after a crash, seeds unchanged."""
        kept = (tuple(picture for picture in batch if picture.position not in done) for batch in self.batches)
        return replace(self, batches=tuple(batch for batch in kept if batch))


@dataclass(frozen=True)
class Plans:
    """Several plans as one job, in the order in which they are made. Positions count through all of them."""

    parts: tuple[Plan, ...]
    requests: tuple[Generation, ...]
    """What each of them was asked for."""

    @property
    def kind(self) -> str:
        return self.parts[0].kind

    @property
    def batches(self) -> tuple[tuple[Picture, ...], ...]:
        return tuple(batch for part in self.parts for batch in part.batches)

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Those of all parts, each once."""
        return tuple(dict.fromkeys(remark for part in self.parts for remark in part.remarks))

    @property
    def model(self) -> str:
        """Path of the first checkpoint."""
        return self.parts[0].model

    def moved(self, by: int, /) -> Plans:
        return replace(self, parts=tuple(part.moved(by) for part in self.parts))

    def number_of(self, position: int) -> int:
        """Which part has the picture at this position. Raises StopIteration: none."""
        return next(
            number
            for number, part in enumerate(self.parts)
            if any(picture.position == position for batch in part.batches for picture in batch)
        )

    def only(self, positions: Iterable[int], /) -> Plan:
        """The pictures at these positions, which are of one part."""
        wanted = frozenset(positions)
        return self.parts[self.number_of(min(wanted))].only(wanted)

    def at(self, position: int, /) -> Picture:
        """The picture at this position. Raises StopIteration: there is none."""
        return self.parts[self.number_of(position)].at(position)


@dataclass
class Resolving:
    """What a feature may ask for while a request becomes a plan."""

    names: Names
    remark: Callable[[str], None]
    """Something for the person to know."""
    planned: Callable[[Img2Img], Plan]
    family: Capabilities | None = None
    """Of the checkpoint, where it is known."""
    most_pixels: int = 64_000_000
    """A picture may have no more."""
    inner: list[Plan] = field(default_factory=list)
    partners: list[CheckpointRef] = field(default_factory=list)
    upscalers: dict[str, UpscalerRef] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)

    def prompt(self, text: str) -> None:
        """Its tags will name networks, whose files shall be known (`Services.networks`)."""
        self.prompts.append(text)

    def lines(self, name: str) -> Lines:
        """Those of a wildcard."""
        return self.names.wildcard(name)

    def upscaler(self, name: str) -> None:
        """It will enlarge pictures (`Services.enlargers`). Raises NotFound: there is none of this name."""
        self.upscalers[name] = self.names.upscaler(name, "features")

    def partner(self, name: str, role: Role) -> int:
        """Another checkpoint that will enter a pass (`PassContext.enter`) -> its place in `Plan.partners`.

        Raises:
            NotFound, UserError: there is none of this name, or it cannot go on with what the first one has begun.
        """
        found = self.names.checkpoint(name)
        if self.family is not None and (other := of_family(found.family)) is not None:
            check_partner(self.family, other, role)
        if found not in self.partners:
            self.partners.append(found)
        return self.partners.index(found)

    def plan(self, request: Img2Img) -> int:
        """A plan that the feature will carry out by itself (`Services.made`) -> its place in `Plan.inner`.

        Its picture and its mask are given then. It has one picture.

        Raises:
            NotFound, UserError: as `resolve`.
        """
        given = {"init_images": (GIVEN,), "mask": GIVEN_MASK, "n_iter": 1, "batch_size": 1}
        self.inner.append(self.planned(request.changed(**given)))
        return len(self.inner) - 1


def resolve(
    request: Generation,
    settings: Settings,
    names: Names,
    random_seed: Callable[[], int],
    embeddings: tuple[str, ...] = (),
    *,
    depth: int = 0,
) -> Plan:
    """Fix every choice that the request leaves open.

    `random_seed` gives the numbers for seeds of -1, below `LARGEST_RANDOM_SEED`. `depth`: of plans within plans.

    A name that the request itself gives must be somebody's. One that stands in the settings may have lost its file
    since: then the picture is made without, with a remark.

    Raises:
        NotFound: no sampler, schedule, checkpoint, VAE, style or picture has the name asked for, or there is no
            checkpoint at all.
        UserError: an override setting's value is wrong, img2img has no picture, a feature refuses, or the checkpoint's
            family cannot bear what is asked for.
    """
    if depth > DEEPEST:
        raise UserError("Features that make pictures of their own are nested too deeply.", field="features")
    render = settings.with_options(request.override_settings, strict=False).render
    request = request.named(partial(_styled, names, comments=render.enable_prompt_comments))
    request = _with_hypernetwork(request, render, names)
    if render.use_old_hires_fix_width_height:
        request = request.with_old_hires_size()
    remarks = [f"The feature {name!r} is not installed; it was ignored." for name in _unknown(request)]
    checkpoint, vae = chosen_models(render, names, remarks.append, asked=request.override_settings)
    render = render.changed(sd_model_checkpoint=checkpoint.title)
    resolving = Resolving(
        names,
        lambda sentence: None if sentence in remarks else remarks.append(sentence),
        lambda own: resolve(own, settings, names, random_seed, embeddings, depth=depth + 1),
        of_family(checkpoint.family),
        int(settings.limits.most_megapixels * 1e6),
    )
    pictures = _pictures(request, render, random_seed)
    _check_family(request, pictures, checkpoint, None)
    pictures = _wishing(pictures, resolving)
    hires = names.checkpoint(request.hires.checkpoint) if request.hires and request.hires.checkpoint else None
    _check_family(request, pictures, checkpoint, hires)
    enlargers = {**_upscalers(request, names), **resolving.upscalers}
    remarks += [ref.remark for ref in enlargers.values() if ref.remark and ref.remark not in remarks]
    return Plan(
        batches=_batches(pictures, request.batch_size),
        checkpoint=checkpoint,
        vae=vae,
        hires_checkpoint=hires,
        partners=tuple(resolving.partners),
        images={name: names.picture(name) for name in _picture_names(request, pictures)},
        embeddings=embeddings,
        networks=_networks(pictures, resolving.prompts, render, names),
        upscalers=enlargers,
        remarks=tuple(remarks),
        inner=tuple(resolving.inner),
    )


def _unknown(request: Generation) -> list[str]:
    return [name for name in request.features if registry.feature(name) is None]


def _pictures(request: Generation, render: RenderSettings, random_seed: Callable[[], int]) -> tuple[Picture, ...]:
    """All pictures of a request, each with its own seeds."""
    seed = request.seed if request.seed >= 0 else random_seed()
    subseed = request.subseed if request.subseed >= 0 else random_seed()
    inits = _init_images(request)
    wishes = wished(request, render)
    made = []
    for position in range(request.picture_count):
        # A1111: with a variation, all pictures share the seed and the variation seeds count up.
        own_seed = seed if request.subseed_strength else seed + position
        made.append(
            Picture(
                request=request.changed(seed=own_seed, subseed=subseed + position),
                render=render,
                seed=own_seed,
                subseed=subseed + position,
                position=position,
                init_image=inits[position % request.batch_size % len(inits)] if inits else "",
                wishes=wishes,
            )
        )
    return tuple(made)


def wished(request: Generation, render: RenderSettings) -> tuple[Wish, ...]:
    """What a request and its settings ask of the features, in the order in which they act; names are not resolved.

    Raises:
        UserError: a value is wrong.
    """
    found: list[Wish] = []
    for entry in (each for each in registry.features() if each.is_for(request.kind)):
        if not entry.origin or entry.name in request.features:
            found += (Wish(entry.name, unit, params) for unit, params in entry.params.units_of(request, render))
            continue
        # One of a package that cannot even say whether it is asked for, and which nobody has asked for by name.
        with fenced(partial(_note_broken, entry)):
            found += [Wish(entry.name, unit, params) for unit, params in entry.params.units_of(request, render)]
    return tuple(found)


def _note_broken(entry: FeatureEntry, error: Exception) -> None:
    log.warning("%s", problem_with(entry.origin, entry.name, error))


def _wishing(pictures: tuple[Picture, ...], resolving: Resolving) -> tuple[Picture, ...]:
    """The pictures as their features prepare them, with the names in these features' wishes resolved.

    Equal wishes are resolved once, so that a batch of equal pictures shares them.
    """
    known: list[tuple[tuple[Wish, ...], tuple[Wish, ...]]] = []

    def resolved(wishes: tuple[Wish, ...]) -> tuple[Wish, ...]:
        for asked, answer in known:
            if asked is wishes or asked == wishes:
                return answer
        answer = tuple(wish._replace(params=_resolved_params(wish.params, resolving)) for wish in wishes)
        known.append((wishes, answer))
        return answer

    found = []
    for given in pictures:
        picture = given
        for wish in given.wishes:
            if type(wish.params).prepare is not FeatureParams.prepare:
                stream = random.Random(f"{wish.feature}/{wish.unit}/{picture.seed}/{picture.subseed}")
                picture = expected(wish.params.prepare(picture, stream), Picture, wish.params, "prepare")
        if picture.render.dynamic_prompts:
            texts = filled_in(picture.request, resolving.lines, picture.seed, resolving.remark)
            picture = picture if texts is picture.request else replace(picture, request=texts)
        for wish in given.wishes:
            if type(wish.params).sized is not FeatureParams.sized:
                picture = expected(
                    wish.params.sized(picture, resolving.names.picture_size), Picture, wish.params, "sized"
                )
        asked = given.wishes if picture is given else wished(picture.request, picture.render)
        found.append(replace(picture, wishes=resolved(asked)))
    return tuple(found)


def _resolved_params(params: FeatureParams, resolving: Resolving) -> FeatureParams:
    return expected(params.resolve(resolving), type(params), params, "resolve")


def _batches(pictures: tuple[Picture, ...], size: int) -> tuple[tuple[Picture, ...], ...]:
    """Pictures that are made together: `size` of them, but not such as have other networks or want other features."""
    found = []
    for start in range(0, len(pictures), size):
        batch = pictures[start : start + size]
        first = batch[0]
        prompts = first.request.positive_prompts
        if all(each.request.positive_prompts == prompts and each.wishes is first.wishes for each in batch):
            found.append(batch)
        else:
            runs = groupby(batch, lambda each: (_tags(each), id(each.wishes)))
            found += [tuple(alike) for _, alike in runs]
    return tuple(found)


def _tags(picture: Picture) -> tuple[NetworkTag, ...]:
    return tuple(tag for prompt in picture.request.positive_prompts for tag in extract_networks(prompt)[1])


def chosen_models(
    render: RenderSettings, names: Names, remark: Callable[[str], None], *, asked: Container[str] = ()
) -> tuple[CheckpointRef, CheckpointRef | None]:
    """The checkpoint and the external VAE of these settings. Where one is gone, the first checkpoint and the automatic
    VAE stand in (A1111), with a remark; unless its key is among those that were `asked` for.

    Raises:
        NotFound: one that was asked for is not there, or there is no checkpoint at all.
    """
    try:
        checkpoint = names.checkpoint(render.sd_model_checkpoint)
    except NotFound as error:
        if "sd_model_checkpoint" in asked or not render.sd_model_checkpoint:
            raise
        checkpoint = names.checkpoint("")
        remark(f"{error.message} {checkpoint.title} is used instead.")
    try:
        overrides = render.sd_vae_overrides_per_model_preferences
        return checkpoint, names.vae(render.sd_vae, checkpoint, overrides=overrides)
    except NotFound as error:
        if "sd_vae" in asked:
            raise
        remark(f"{error.message} It is chosen automatically instead.")
    try:
        return checkpoint, names.vae(AUTOMATIC_VAE, checkpoint)
    except NotFound:
        return checkpoint, None  # The one that goes with the checkpoint has gone as well: its own.


def _check_family(
    request: Generation,
    pictures: Iterable[Picture],
    checkpoint: CheckpointRef,
    hires: CheckpointRef | None,
) -> None:
    """Whether the checkpoints can do what is asked for, as far as their families are known here.

    Raises:
        UserError: they cannot.
    """
    base = of_family(checkpoint.family)
    if base is None:
        return
    asked = dict.fromkeys(need for each in pictures for wish in each.wishes for need in wish.params.wanted())
    check(base, asked)
    if hires is not None and request.hires and (other := of_family(hires.family)) is not None:
        latents = request.hires.upscaler in registry.LATENT_UPSCALERS
        check_partner(base, other, AFTER_HIRES, latents=latents)


def _upscalers(request: Generation, names: Names) -> dict[str, UpscalerRef]:
    """What enlarges pixels between the passes."""
    name = request.hires.upscaler if request.hires else registry.LATENT_UPSCALERS[0]
    return {} if name in registry.LATENT_UPSCALERS else {name: names.upscaler(name, "hr_upscaler")}


def _networks(
    pictures: Iterable[Picture], more: Iterable[str], render: RenderSettings, names: Names
) -> dict[tuple[str, str], NetworkRef]:
    """The files of the tags in all prompts and `more`, and of those that the settings add."""
    prompts = [prompt for picture in pictures for prompt in picture.request.positive_prompts]
    asked = [(tag.kind, tag.name) for prompt in dict.fromkeys([*prompts, *more]) for tag in extract_networks(prompt)[1]]
    asked += [(tag.kind, tag.name) for tag in added_networks(render)]
    found = {key: names.network(*key) for key in dict.fromkeys(asked) if key[0] in (*LORA_KINDS, HYPERNETWORK)}
    known = {key: ref for key, ref in found.items() if ref is not None}
    called = {tag.get(ARGUMENT) for prompt in dict.fromkeys([*prompts, *more]) for tag in extract_networks(prompt)[1]}
    if presets := tuple((name, names.block_weights(name)) for name in sorted(called) if name and "," not in name):
        own = tuple((name, weights) for name, weights in presets if weights)
        known = {key: replace(ref, presets=own) if key[0] in LORA_KINDS else ref for key, ref in known.items()}
    return known


def _with_hypernetwork(request: Generation, render: RenderSettings, names: Names) -> Generation:
    """A1111: the hypernetwork of the settings becomes part of the prompt, and so of the infotext; the LoRA does not."""
    tags = [tag for tag in added_networks(render) if tag.kind == HYPERNETWORK]
    named = {(tag.kind, tag.name) for tag in extract_networks(request.prompt)[1]}
    new = [tag for tag in tags if (tag.kind, tag.name) not in named and names.network(tag.kind, tag.name)]
    return request.changed(prompt=request.prompt + "".join(f"<{tag.kind}:{':'.join(tag.positional)}>" for tag in new))


def added_networks(render: RenderSettings) -> list[NetworkTag]:
    """The tags that the settings add to every prompt which has none for the same file."""
    strength = str(render.extra_networks_default_multiplier)
    added = ((HYPERNETWORK, render.sd_hypernetwork), (LORA_KINDS[0], render.sd_lora))
    return [NetworkTag(kind, (name, strength), ()) for kind, name in added if name not in ("", "None")]


def _styled(names: Names, prompt: str, negative: str, styles: tuple[str, ...], *, comments: bool) -> tuple[str, str]:
    """Both prompts with the styles applied. comments: whether the prompts have comments, which are left out (A1111: in
    the infotext, too)."""
    prompt, negative = names.styled(prompt, negative, styles)
    return (strip_comments(prompt), strip_comments(negative)) if comments else (prompt, negative)


def _init_images(request: Generation) -> tuple[str, ...]:
    if request.is_img2img and not request.begins_with:
        raise UserError("There is no picture to start from.", hint="Add one on the img2img tab.", field="init_images")
    return request.begins_with


def _picture_names(request: Generation, pictures: Iterable[Picture]) -> tuple[str, ...]:
    """All that the request and the features refer to, but what inner plans are given."""
    named = list(pictures_in(request))
    for wishes in {id(picture.wishes): picture.wishes for picture in pictures}.values():
        named += [name for wish in wishes for name in pictures_in(wish.params)]
    return tuple(name for name in dict.fromkeys(named) if name not in (GIVEN, GIVEN_MASK))

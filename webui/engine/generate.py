"""From a plan to pictures: the page to read first.

A plan's batches are made one after the other. A batch walks from noise to latents (`passes.denoised`), its latents are
decoded one by one, and each picture leaves as soon as it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from types import NoneType
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from webui.base.errors import Interrupted, UserError
from webui.base.resume_points import ResumePoints
from webui.catalog import image_files
from webui.engine.approximate import Approximations
from webui.engine.batch import Batch, Denoised, Lent, Loaded, Pass, Services, stepwise
from webui.engine.conditioning import TextCache
from webui.engine.families.family import Model
from webui.engine.feature import FinishedPicture, Further
from webui.engine.finished import DecodedPicture, begun, finish, pictured
from webui.engine.house import House
from webui.engine.levels import picture_of
from webui.engine.memory_plan import Use
from webui.engine.networks.embeddings import Embedding, EmbeddingShelf
from webui.engine.passes import Features, denoised, features_of, shaped
from webui.engine.picture_points import ENGINES, PicturePoints
from webui.engine.planned import planned
from webui.engine.previews import Decoders, as_chosen, in_full_size, pixels_of
from webui.engine.residents import Residents
from webui.engine.sampling.sigma_schedule import img2img_steps
from webui.engine.small_vae import SmallVaes
from webui.engine.start import (
    Beginning,
    Beginnings,
    blank_conditioning,
    encoded_png,
    from_picture,
    made_before,
)
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.upscalers.resize import Enlarge, plain
from webui.engine.vae import decoded, encoded
from webui.engine.watch import HALFWAY, Skipped, Watch
from webui.engine.whole import whole_pictures
from webui.entry_points import expected
from webui.request.capabilities import Role, check_partner
from webui.request.messages import Pictured
from webui.request.plan import GIVEN, GIVEN_MASK, CheckpointRef, Picture, Plan
from webui.request.settings import RenderSettings
from webui.request.tiles import tiles_of
from webui.request.workload import Workload

NOTHING = torch.empty(0)
"""The latents of a picture that no pass has made."""


class Lender(Protocol):
    """Who lends models: `ModelManager`."""

    def lend(
        self, checkpoint: CheckpointRef, vae: CheckpointRef | None, use: Use
    ) -> AbstractContextManager[Lent[Model]]: ...


@dataclass(frozen=True, eq=False)
class Tools:
    """What pictures are made with, whichever they are."""

    models: Lender
    cache: TextCache
    shelf: EmbeddingShelf
    watch: Watch
    upscalers: UpscalerShelf | None = None
    small_vaes: SmallVaes = field(default_factory=SmallVaes)
    residents: Residents | None = None
    points: ResumePoints | None = None
    """Where pictures are kept before features make pictures within them."""


def tools_of(house: House) -> Tools:
    """All that a kind of work is lent."""
    return Tools(
        house.models,
        house.cache,
        house.embeddings,
        house.watch,
        house.upscalers,
        house.small_vaes,
        house.residents,
        house.state,
    )


def pictures(plan: Plan, tools: Tools) -> Iterator[Pictured]:
    """Every picture of the plan, in order, as soon as it is finished.

    Raises:
        Interrupted: the user stopped the job; what was finished has been given out.
        WebuiError: it cannot be done; the text is for the person.
    """
    watch = tools.watch
    embeddings, beginnings = tools.shelf.read(plan.embeddings), Beginnings(plan.images, watch)
    for number, together in enumerate(plan.batches):
        if watch.cancel.ends_now:
            watch.cancel.check()
            return
        watch.begin_batch(number)
        try:
            yield from _batch_pictures(together, plan, embeddings, beginnings, tools)
        except Skipped:
            continue


def _batch_pictures(
    together: tuple[Picture, ...],
    plan: Plan,
    embeddings: Mapping[str, Embedding],
    beginnings: Beginnings,
    tools: Tools,
) -> Iterator[Pictured]:
    """The pictures of one batch."""
    watch = tools.watch
    batch, features = Batch(together), features_of(together[0])
    for cause in tools.shelf.missed(prompts_of(together)):
        watch.remark(f"An embedding was left out: {cause}")
    with ExitStack() as loans:
        small, render = tools.small_vaes, batch.render
        around = partial(small.around, loans=loans, render=render, note=batch.facts.note, remark=watch.remark)
        lending = _Lending(loans, tools.models, plan.vae, use_of(together, features), around, features)
        approximate = Approximations(small.models, small.residents).lent
        decoders = Decoders(partial(small.lent, side="decoder"), approximate, watch.remark)
        services = Services(
            watch,
            tools.cache,
            embeddings,
            previewer=partial(as_chosen, viewing=watch.viewing, decoders=decoders),
            sketched=partial(pixels_of, viewing=watch.viewing, decoders=decoders),
            plan=plan,
            lend=lending.partner,
            networks=plan.networks,
            made=partial(made_within, replace(tools, points=None)),
            residents=tools.residents,
            enlargers=_enlargers(plan, tools.upscalers, render, watch),
        )
        make = partial(_made, features, batch, lending, plan, beginnings, services)
        first = next((at for at, feature in enumerate(features) if feature.borrows), len(features))
        before, within = features[:first], features[first:]
        if not within:
            for picture, (finished, whole) in zip(together, _finished(before, make(), batch, services), strict=True):
                yield pictured(picture, finished, half_done=not whole)
            return
        points = PicturePoints(tools.points, plan, together, watch)
        ready = [(finished, True) for finished in points.found(batch, services)]
        if not ready:
            with watch.within():
                decoded = list(make())
            loans.close()
            ready = list(_finished(before, decoded, batch, services))
            if all(whole for _, whole in ready):
                points.keep([finished for finished, _ in ready])
        yield from _with_pictures_within(together, within, ready, points)


def _finished(
    features: Features, made: Iterable[DecodedPicture], batch: Batch, services: Services
) -> Iterator[tuple[FinishedPicture, bool]]:
    """Each picture as the features leave it, and whether nothing of it is missing."""
    for index, each in enumerate(made):
        yield finish(features, begun(each, index, batch, services), whole=each.whole)


def _with_pictures_within(
    together: tuple[Picture, ...],
    features: Features,
    ready: Sequence[tuple[FinishedPicture, bool]],
    points: PicturePoints,
) -> Iterator[Pictured]:
    """The pictures of a batch whose models have been given back, after features that make pictures within them."""
    stopped = False
    for index, (picture, (finished, whole)) in enumerate(zip(together, ready, strict=True)):
        on = features
        if not points.may_begin(index):
            on = [feature for feature in features if not feature.borrows]
            names = ", ".join(dict.fromkeys(feature.params.title for feature in features if feature.borrows))
            finished.watch.remark(f"{names}: the engine ended {ENGINES} times over it. The picture is as before.")
        finished, whole = finish(on, finished, whole=whole, stopped=stopped)
        stopped = stopped or not whole
        yield pictured(picture, finished, half_done=not whole)
    points.forget()


def made_within(tools: Tools, inner: Plan, picture: Image.Image, mask: Image.Image | None, seed: int) -> Image.Image:
    """For `Services.made`, and for kinds of jobs that are about something else.

    Raises:
        Interrupted, Skipped: somebody stopped it.
        WebuiError: it cannot be done; the text is for the person.
    """
    images = {**inner.images, GIVEN: encoded_png(picture, compress_level=0)}
    if mask is not None:
        images[GIVEN_MASK] = encoded_png(mask, compress_level=0)
    asked = inner.batches[0][0]
    request = asked.request.changed(seed=seed, **({} if mask is not None else {"mask": ""}))
    plan = replace(inner, batches=((replace(asked, request=request, seed=seed),),), images=images)
    with tools.watch.within(), tools.watch.cancel.whole_or_not_at_all():
        embeddings, beginnings = tools.shelf.read(plan.embeddings), Beginnings(images, tools.watch)
        (made,) = _batch_pictures(plan.batches[0], plan, embeddings, beginnings, tools)
    return image_files.picture_of(made.width, made.height, made.rgb, made.alpha)


@dataclass(eq=False)
class _Lending:
    """Lends the models of a batch, each as the batch's features and settings want it."""

    loans: ExitStack
    models: Lender
    vae: CheckpointRef | None
    use: Use
    around: Callable[[Loaded], Loaded]
    features: Features
    _base: Model | None = None

    def first(self, checkpoint: CheckpointRef) -> Lent[Model]:
        """The model that the batch begins with."""
        lent = self._lent(checkpoint)
        self._base = lent.model
        return lent

    def loaded_from(self, lent: Lent[Model]) -> Loaded:
        """Raises UserError: it is run as a whole."""
        loaded = stepwise(lent)
        if "vae" in loaded.model.parts:
            for feature in self.features:
                patched = feature.patch_vae(loaded.model.parts["vae"])
                self.loans.enter_context(expected(patched, AbstractContextManager, feature, "patch_vae"))
        return self.around(loaded)

    def partner(self, checkpoint: CheckpointRef, role: Role, *, latents: bool = True) -> Loaded:
        """See `LendPartner`."""
        lent = self._lent(checkpoint)
        if self._base is not None:
            check_partner(self._base.family.capabilities, lent.model.family.capabilities, role, latents=latents)
            if latents:
                check_formats(self._base, lent.model, role)
        return self.loaded_from(lent)

    def _lent(self, checkpoint: CheckpointRef) -> Lent[Model]:
        return self.loans.enter_context(self.models.lend(checkpoint, self.vae, self.use))


def check_formats(base: Model, other: Model, role: Role) -> None:
    """Whether the latents of two files lie alike, which files of one family may not.

    Raises:
        UserError: they do not.
    """
    if base.picture_maker is None or other.picture_maker is None:
        return
    ours, theirs = base.picture_maker.latent, other.picture_maker.latent
    if (ours.channels, ours.factor) != (theirs.channels, theirs.factor):
        mine, its = (f"{form.channels} channels for {form.factor}x{form.factor} pixels" for form in (ours, theirs))
        raise UserError(
            f"This checkpoint works on latents of {its}, the first one on {mine}: it cannot be {role.title} here.",
            hint=f"Choose a checkpoint of the same kind{role.otherwise}.",
            field=role.field,
        )


def prompts_of(pictures: tuple[Picture, ...]) -> Iterator[str]:
    """Everything that is read as a prompt."""
    for picture in pictures:
        request = picture.request
        yield from (*request.positive_prompts, *request.negative_prompts)


def use_of(pictures: tuple[Picture, ...], features: Features) -> Use:
    """What a batch needs its models for."""
    request, render = pictures[0].request, pictures[0].render
    rows = len(pictures) * (1 if request.cfg_scale == 1.0 or not render.batch_cond_uncond else 2)
    work = Workload(request.width, request.height, rows)
    for feature in features:
        work = expected(feature.params.cost(work), Workload, feature, "cost")
    needs = tuple(need for feature in features for need in feature.params.wanted())
    return Use(work, render.fp8_storage, render.cache_fp16_weight, needs)


def _enlargers(plan: Plan, shelf: UpscalerShelf | None, render: RenderSettings, watch: Watch) -> dict[str, Enlarge]:
    """What enlarges pixels, by the name in the request."""
    if shelf is None:
        return plain()
    return shelf.enlargers(plan.upscalers, tiles_of(render), lambda _done, _of: watch.check())


def _made(
    features: Features, batch: Batch, lending: _Lending, plan: Plan, beginnings: Beginnings, services: Services
) -> Iterator[DecodedPicture]:
    """The pictures of a batch as they are decoded. Nothing holds on to the models when they are."""
    watch = services.watch
    if batch.request.is_img2img and any(feature.keeps_given for feature in features):
        for given in beginnings.whole(batch):
            yield DecodedPicture(given, NOTHING, None)
        return
    first = lending.first(plan.checkpoint)
    if (whole := first.model.whole_maker) is not None:
        yield from whole_pictures(batch, whole, beginnings, watch)
        return
    loaded = lending.loaded_from(first)
    beginning: Beginning | None = None
    if batch.request.is_img2img:
        beginning = beginnings.of(batch, loaded.model, partial(_given, features, services))
        last = image_pass(features, batch, loaded, beginning, services)
    else:
        last = first_pass(features, batch, loaded, services)
    watch.enter("decoding", last.until, 1.0)
    for index, latent in enumerate(last.latents):
        try:
            watch.check()
            made = _seen(last, latent, batch, services)
        except Interrupted as wish:
            if not watch.cancel.taken(wish):
                raise
            made = _seen(last, latent, batch, services)
        watch.step(index + 1, len(batch.pictures))
        yield DecodedPicture(made, latent, beginning, last.whole)


def _seen(last: Denoised, latent: Tensor, batch: Batch, services: Services) -> Image.Image:
    """The picture that this latent (c, h, w) stands for; one that was stopped halfway as previews show it, where that
    is wanted."""
    model, watch = last.loaded.model, services.watch
    if last.whole or services.sketched is None or not watch.viewing.wish.fast_interrupt:
        return picture_of(decoded(model, latent[None], batch.render, watch))
    pixels = services.sketched(model)(latent[None])
    return picture_of(in_full_size(pixels, latent, model.latent.factor))


def _given(features: Features, services: Services, picture: Image.Image) -> Image.Image:
    """The picture that img2img begins with, as the features want it."""
    for feature in features:
        picture = expected(feature.given(picture, services), Image.Image, feature, "given")
    return picture


# ---------------------------------------------------------------- passes


def first_pass(features: Features, batch: Batch, loaded: Loaded, services: Services) -> Denoised:
    """Text to latents (b, c, h, w)."""
    this = shaped(features, planned(batch), loaded)
    if services.plan is not None and (there := made_before(batch, services.plan.images)):
        model, watch = loaded.model, services.watch
        pixels = [from_picture(picture, model) for picture in there]
        latents = torch.cat([encoded(model, each, batch.render, watch) for each in pixels])
        return followed(features, batch, this, Denoised(latents, loaded, True, this.share[1]), services)
    beside = partial(blank_conditioning, batch=batch, size=this.size, watch=services.watch)
    return passed(features, batch, replace(this, beside=beside), loaded, services)


def image_pass(features: Features, batch: Batch, loaded: Loaded, beginning: Beginning, services: Services) -> Denoised:
    """Picture and text to latents (b, c, h, w)."""
    request, start = batch.request, beginning.start
    steps, t_enc = img2img_steps(request.steps, beginning.strength, fix=batch.render.img2img_fix_steps)
    this = replace(planned(batch), steps=steps, t_enc=t_enc, start=start, beside=beginning.beside)
    return passed(features, batch, shaped(features, this, loaded), loaded, services)


def passed(features: Features, batch: Batch, this: Pass, loaded: Loaded, services: Services) -> Denoised:
    """A pass, and those that features make of its result, one after the other.

    Where somebody stops it between two passes and wants what is half done, that is what the last one has made.
    """
    return followed(features, batch, this, denoised(features, batch, this, loaded, services), services, loaded)


def followed(
    features: Features, batch: Batch, this: Pass, last: Denoised, services: Services, loaded: Loaded | None = None
) -> Denoised:
    """The passes that features make of what one has made. loaded: the model that began it; None: that which made it."""
    loaded = loaded or last.loaded
    for feature in features:
        if not last.whole:
            break
        try:
            further = expected(feature.then(last, this, loaded, batch, services), (Further, NoneType), feature, "then")
            if further is not None:
                loaded = further.loaded
                this = shaped(features, further.this, loaded)
                last = denoised(features, batch, this, loaded, services)
        except (Interrupted, Skipped) as wish:
            if not services.watch.cancel.taken(wish):
                raise
            services.watch.remark(HALFWAY)
            last = last._replace(whole=False)
    return last

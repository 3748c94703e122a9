"""Denoisers, one wrapped around the other: the network, guidance, what changes guidance, observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import NamedTuple

import torch
from torch import Tensor

from webui.base.errors import UserError
from webui.engine.conditioning import Prompts, Row, Side, Stacked
from webui.engine.families.family import Conditioning, PictureMaker
from webui.engine.previews import Previewer
from webui.engine.sampling.process import Diffusion, Process
from webui.engine.sampling.types import Denoiser, denoiser
from webui.engine.watch import Watch


@dataclass
class Clock:
    """The only thing that changes while a pass runs: how often the denoiser was asked."""

    total: int
    """Calls that the pass will make, as A1111 counts: steps times calls per step."""
    calls: int = 0
    per_step: int = 1

    def told(self, number: int) -> int:
        """The steps that are done at a call, counted from 0, as A1111 tells them to its extensions: when they are over,
        so that the first two calls count alike."""
        step, second = divmod(number, self.per_step)
        return step if second else max(step - 1, 0)


class Window(NamedTuple):
    """A part of the latents, which is looked at by itself."""

    top: int
    left: int
    height: int
    width: int

    def of(self, x: Tensor, scale: int = 1) -> Tensor:
        """The same part of (..., h, w), which goes on beyond an edge on the other side; scale: of its pixels along a
        side of one of the latents'."""
        top, left, height, width = (each * scale for each in self)
        if top + height > x.shape[-2] or left + width > x.shape[-1]:
            return x.roll((-top, -left), (-2, -1))[..., :height, :width]
        return x[..., top : top + height, left : left + width]

    def at(self, x: Tensor) -> tuple[EllipsisType, Tensor, Tensor]:
        """The index of the same part of (..., h, w): to be written to."""
        rows = (torch.arange(self.height, device=x.device) + self.top) % x.shape[-2]
        columns = (torch.arange(self.width, device=x.device) + self.left) % x.shape[-1]
        return ..., rows[:, None], columns


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the network, as a feature sees it that wraps it."""

    x: Tensor
    """(rows, c, h, w)"""
    sigma: Tensor
    """(rows,)"""
    rows: tuple[Row, ...]
    conditioning: Conditioning
    number: int
    """Of the denoiser's calls in this pass, from 0, as A1111 counts; calls of one number belong together."""
    clock: Clock
    windows: tuple[Window, ...] = ()
    """Parts of the latents, all of one size: an equal share of the rows, in this order, sees each of them; (): they
    see all. Masks and hints are cut alike (`cut`)."""

    @property
    def total(self) -> int:
        """Calls that the pass will make."""
        return self.clock.total

    @property
    def step(self) -> int:
        """Steps that are done, from 0, of `steps`."""
        return self.number // self.clock.per_step

    @property
    def steps(self) -> int:
        return max(self.clock.total // self.clock.per_step, 1)

    def cut(self, whole: Tensor, scale: int = 1) -> Tensor:
        """What the rows see of (1, c, h, w), as large as all latents: (1, c, h, w) where that is the same for all of
        them, else (rows, c, h, w). scale: of its pixels along a side of one of the latents'."""
        parts = [window.of(whole, scale) for window in self.windows]
        return self.spread(parts) if parts else whole

    def spread(self, parts: Sequence[Tensor]) -> Tensor:
        """What belongs to each of the windows, (1, ...), as the rows need it: (1, ...) or (rows, ...)."""
        if len(parts) == 1:
            return parts[0]
        each = len(self.x) // len(parts)
        return torch.cat([part.expand(each, *part.shape[1:]) for part in parts])

    def told(self, rows: Sequence[int], tokens: Tensor, vector: Tensor | None) -> Call:
        """Some of its rows alone, with other texts; it sees all."""
        at = list(rows)
        told = self.conditioning
        concat = None if told.concat is None else told.concat[at]
        inner = replace(told, tokens=tokens, vector=vector, concat=concat)
        kept = tuple(self.rows[row] for row in at)
        return replace(self, x=self.x[at], sigma=self.sigma[at], rows=kept, conditioning=inner)

    def through(self, *windows: Window) -> Call:
        """The same call for parts of what it sees, from where they count; it sees all, or one part. Its rows are there
        once for each of them."""
        told, times = self.conditioning, len(windows)
        seen = windows
        if self.windows:
            (whole,) = self.windows
            seen = tuple(each._replace(top=whole.top + each.top, left=whole.left + each.left) for each in windows)
        inner = replace(
            told,
            tokens=told.tokens.repeat(times, 1, 1),
            vector=None if told.vector is None else told.vector.repeat(times, 1),
            concat=None if told.concat is None else torch.cat([window.of(told.concat) for window in windows]),
        )
        x = torch.cat([window.of(self.x) for window in windows])
        return replace(
            self, x=x, sigma=self.sigma.repeat(times), rows=self.rows * times, conditioning=inner, windows=seen
        )


Ask = Callable[[Call], Tensor]
"""A call of the network -> x0: (rows, c, h, w)."""


@dataclass(frozen=True, eq=False)
class Prompted:
    """A network with its texts: (x, sigma, rows of text) -> x0."""

    model: PictureMaker
    process: Process
    prompts: Prompts
    watch: Watch
    concat: Tensor | None = None
    """(b, c', h, w): what inpainting checkpoints see beside x."""
    image_scale: float | None = None
    """InstructPix2Pix: how strongly the given picture guides. Brooks et al. 2022, arXiv:2211.09800, eq. 3."""
    empty: Callable[[], Tensor] | None = None
    """Tokens of an empty text: (n, width)."""
    areas: Sequence[Tensor | None] = ()
    """One a picture: where each of its prompt's parts guides, (parts, h, w) from 0 to 1; None, or no picture at all:
    all of them guide everywhere."""
    wrapped: Callable[[Stacked, Tensor, Tensor, Conditioning], Tensor] | None = None
    """What features make of a call of the network; None: no feature has a say in it."""

    def __call__(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """x: (rows, c, h, w), sigma: (rows,) -> x0."""
        with self.watch.stopwatch.running():
            output = self.model.predict(self.process.to_input(x, sigma), self.process.timestep(sigma), conditioning)
        return self.process.to_x0(x, sigma, output)

    def asked(self, x: Tensor, sigma: Tensor, rows: Stacked, *, blind: bool = False) -> Tensor:
        """x0 for rows of text, each at its picture of the batch. blind: without what the network sees beside x."""
        concat = self.concat
        if rows.images != tuple(range(len(x))):
            index = torch.tensor(rows.images, device=x.device)
            x, sigma = x[index], sigma[index]
            concat = concat[index] if concat is not None else None
        if blind and concat is not None:
            concat = torch.zeros_like(concat)
        conditioning = Conditioning(rows.tokens, rows.vector, concat)
        return self(x, sigma, conditioning) if self.wrapped is None else self.wrapped(rows, x, sigma, conditioning)

    def wrapped_by(self, wrappers: Sequence[Callable[[Ask], Ask]], clock: Clock) -> Prompted:
        """The same network, each call of which goes through the wrappers; without any it is itself."""
        if not wrappers:
            return self
        ask: Ask = lambda call: self(call.x, call.sigma, call.conditioning)  # noqa: E731
        for wrapper in wrappers:
            ask = wrapper(ask)

        def wrapped(rows: Stacked, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
            return ask(Call(x, sigma, rows.rows, conditioning, max(clock.calls - 1, 0), clock))

        return replace(self, wrapped=wrapped)


Source = Callable[[Tensor], Prompted]
"""sigma: (b,) -> the network that answers at this noise level."""


def on_device(process: Process, device: torch.device) -> Process:
    """The process with its table where the network is."""
    return process.to(device) if isinstance(process, Diffusion) else process


# ---------------------------------------------------------------- guidance


@dataclass(frozen=True)
class Guidance:
    """How prompt and negative prompt are brought together."""

    scale: float
    skip_below: float = 0.0
    """"Negative guidance minimum sigma": below it every other call leaves the negative prompt out."""
    skip_all: bool = False
    """Every call below it."""
    by_timestep: bool = False
    """It is compared with the timestep, not with the noise level."""
    skip_early: float = 0.0
    """The share of the first calls without the negative prompt."""
    pad: bool = False
    """Lengthen the shorter of prompt and negative prompt with empty text."""
    pad_old: bool = False
    """Fit the negative prompt to the prompt by repeating its last token, or cutting it."""
    together: bool = True
    """Both in one call of the network."""


Note = Callable[[str, object], None]
"""note(infotext label, value)."""


def guided(source: Source, process: Process, guidance: Guidance, clock: Clock, watch: Watch, note: Note) -> Denoiser:
    """Classifier-free guidance: x0 = u + sum of w scale (c - u) over the parts c between AND.

    Ho and Salimans 2022, arXiv:2207.12598; Liu et al. 2022, arXiv:2206.01714.
    """

    def answers(x: Tensor, sigma: Tensor, *, both: bool) -> tuple[Tensor, Tensor | None]:
        watch.check()
        network = source(sigma)
        call = clock.calls
        clock.calls += 1
        positive = network.prompts.positive_at(call)
        single = positive.images == tuple(range(len(x))) and set(positive.weights) == {1.0}
        if _skips(guidance, process, clock, call, sigma, note):
            conditional = network.asked(x, sigma, positive)
            first = _first_rows(conditional, positive, len(x))
            _show_prompts(watch, conditional, None, positive, len(x))
            return _combined(conditional, first, positive, 1.0, network.areas), None
        if guidance.scale == 1.0 and single and not both:
            conditional = network.asked(x, sigma, positive)
            _show_prompts(watch, conditional, None, positive, len(x))
            return conditional, None
        negative = network.prompts.negative_at(call)
        if network.image_scale is not None:
            return _edited(network, x, sigma, positive, negative, guidance.scale, network.image_scale), None
        positive, negative = _padded(positive, negative, guidance, network, note)
        if positive.tokens.shape[1] == negative.tokens.shape[1] and guidance.together:
            answer = network.asked(x, sigma, _joined(positive, negative))
            conditional, unconditional = answer[: -len(x)], answer[-len(x) :]
        else:
            conditional = network.asked(x, sigma, positive)
            unconditional = network.asked(x, sigma, negative)
        _show_prompts(watch, conditional, unconditional, positive, len(x))
        return _combined(conditional, unconditional, positive, guidance.scale, network.areas), unconditional

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        return answers(x, sigma, both=False)[0]

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0, unconditional = answers(x, sigma, both=True)
        return x0, x0 if unconditional is None else unconditional

    return denoiser(process, answer, both)


def _show_prompts(
    watch: Watch, conditional: Tensor, unconditional: Tensor | None, positive: Stacked, count: int
) -> None:
    """Keep what each prompt alone leads to, where previews show that: of the parts between AND the first."""
    if watch.shows_prompts:
        watch.note_prompts(_first_rows(conditional, positive, count), unconditional)


def _edited(
    network: Prompted, x: Tensor, sigma: Tensor, positive: Stacked, negative: Stacked, scale: float, image_scale: float
) -> Tensor:
    """u + image_scale (i - u) + scale (c - i): i sees the picture and the negative text, u the negative text alone."""
    if len(positive.images) != len(x):
        raise UserError("AND cannot be used with this checkpoint.", hint="Set Image CFG scale to 1, or leave AND out.")
    conditional = network.asked(x, sigma, positive)
    with_image = network.asked(x, sigma, negative)
    unconditional = network.asked(x, sigma, negative, blind=True)
    return unconditional + scale * (conditional - with_image) + image_scale * (with_image - unconditional)


def _skips(guidance: Guidance, process: Process, clock: Clock, call: int, sigma: Tensor, note: Note) -> bool:
    """Whether this call leaves the negative prompt out."""
    if guidance.skip_early and call / clock.total <= guidance.skip_early:
        note("Skip Early CFG", guidance.skip_early)
        return True
    if guidance.skip_below <= 0 or not (call % 2 or guidance.skip_all):
        return False
    # A1111: samplers that walk along timesteps compare these, so that only the last calls are below any such level
    level = process.timestep(sigma[:1]) if guidance.by_timestep else sigma[:1]
    if float(level) < guidance.skip_below:
        note("NGMS", guidance.skip_below)
        if guidance.skip_all:
            note("NGMS all steps", guidance.skip_all)
        return True
    return False


def _combined(
    conditional: Tensor,
    unconditional: Tensor,
    positive: Stacked,
    scale: float,
    areas: Sequence[Tensor | None] = (),
) -> Tensor:
    """u + sum of w scale (c - u); conditional: (rows, c, h, w), unconditional: (b, c, h, w).

    areas: see `Prompted`; where one has no part of its own for a row, that guides everywhere.
    """
    if positive.images == tuple(range(len(unconditional))) and set(positive.weights) == {1.0}:
        return unconditional + (conditional - unconditional) * scale
    x0 = unconditional.clone()
    for answer, (image, _, part, weight, _) in zip(conditional, positive.rows, strict=True):
        apart = (answer - unconditional[image]) * (weight * scale)
        own = areas[image] if areas else None
        x0[image] += apart if own is None or part >= len(own) else apart * own[part].to(apart)
    return x0


def _first_rows(conditional: Tensor, positive: Stacked, count: int) -> Tensor:
    """The first part's answer of each picture, in the place of the answer to the negative prompt."""
    return torch.stack([conditional[positive.images.index(image)] for image in range(count)])


def _joined(positive: Stacked, negative: Stacked) -> Stacked:
    vector = None
    if positive.vector is not None and negative.vector is not None:
        vector = torch.cat([positive.vector, negative.vector])
    return Stacked(
        torch.cat([positive.tokens, negative.tokens]),
        vector,
        positive.images + negative.images,
        positive.weights + negative.weights,
        positive.sides + negative.sides,
        positive.ends + negative.ends,
    )


def _padded(
    positive: Stacked, negative: Stacked, guidance: Guidance, network: Prompted, note: Note
) -> tuple[Stacked, Stacked]:
    """Both of one length, where the settings say so."""
    wanted, given = positive.tokens.shape[1], negative.tokens.shape[1]
    if wanted == given:
        return positive, negative
    if guidance.pad_old:
        note("Pad conds v0", True)
        tokens = negative.tokens[:, :wanted]
        last = tokens[:, -1:].expand(-1, wanted - tokens.shape[1], -1)
        return positive, replace(negative, tokens=torch.cat([tokens, last], dim=1))
    if guidance.pad and network.empty is not None:
        note("Pad conds", True)
        empty = network.empty()
        if wanted < given:
            return _lengthened(positive, (given - wanted) // len(empty), empty), negative
        return positive, _lengthened(negative, (wanted - given) // len(empty), empty)
    return positive, negative


def _lengthened(rows: Stacked, times: int, empty: Tensor) -> Stacked:
    more = empty.repeat(len(rows.tokens), times, 1).to(rows.tokens)
    return replace(rows, tokens=torch.cat([rows.tokens, more], dim=1))


# ---------------------------------------------------------------- what changes guidance


Patch = Callable[[PictureMaker], AbstractContextManager[None]]
"""Patches a model's network within a block."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A guided prediction and what it was made of, all (b, c, h, w) but sigma (b,)."""

    x: Tensor
    sigma: Tensor
    conditional: Tensor
    """The sum over the parts between AND."""
    unconditional: Tensor
    x0: Tensor
    """What guidance and the changes before have made of the two."""
    ask: Callable[[Prediction, Patch, Tensor, Side], Tensor] | None = None

    def again(self, patch: Patch, *, x: Tensor | None = None, side: Side = "positive") -> Tensor:
        """What the network says to the texts of this call once more, under a patch, to this x or another."""
        assert self.ask is not None
        return self.ask(self, patch, self.x if x is None else x, side)


Change = Callable[[Prediction], Tensor]
"""A guided prediction -> x0 in the place of its own."""


def asking_again(source: Source, clock: Clock) -> Callable[[Prediction, Patch, Tensor, Side], Tensor]:
    """For `Prediction.ask`."""

    def ask(prediction: Prediction, patch: Patch, x: Tensor, side: Side) -> Tensor:
        network = source(prediction.sigma)
        call = max(clock.calls - 1, 0)
        with patch(network.model):
            if side == "negative":
                return network.asked(x, prediction.sigma, network.prompts.negative_at(call))
            positive = network.prompts.positive_at(call)
            conditional = network.asked(x, prediction.sigma, positive)
        return _combined(conditional, prediction.unconditional, positive, 1.0, network.areas)

    return ask


def changed(
    denoise: Denoiser,
    scale: float,
    changes: Sequence[Change],
    ask: Callable[[Prediction, Patch, Tensor, Side], Tensor] | None = None,
) -> Denoiser:
    """The guided denoiser with these changes, one after the other; without any it is itself.

    All act on the predicted picture x0, so that eps, v and flow models are alike to them. Where the negative prompt is
    left out (CFG scale 1, "Skip Early CFG", NGMS) there is no guidance to change.

    scale: of its classifier-free guidance x0 = u + scale (c - u), from which c is known.
    """
    if not changes:
        return denoise

    def applied(x: Tensor, sigma: Tensor, x0: Tensor, unconditional: Tensor) -> Tensor:
        conditional = unconditional + (x0 - unconditional) / scale if scale not in (0.0, 1.0) else x0
        for change in changes:
            x0 = change(Prediction(x, sigma, conditional, unconditional, x0, ask))
        return x0

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        if scale == 1.0:
            x0 = denoise(x, sigma)
            return applied(x, sigma, x0, x0)
        return applied(x, sigma, *denoise.both(x, sigma))

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0, unconditional = denoise.both(x, sigma)
        return applied(x, sigma, x0, unconditional), unconditional

    return denoiser(denoise.process, answer, both)


# ---------------------------------------------------------------- observation


def remembered(denoise: Denoiser) -> tuple[Denoiser, Callable[[], Tensor | None]]:
    """The denoiser, and what it answered last; None before its first answer."""
    last: Tensor | None = None

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal last
        last = denoise(x, sigma)
        return last

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal last
        last, unconditional = denoise.both(x, sigma)
        return last, unconditional

    return denoiser(denoise.process, answer, both), lambda: last


def observed(denoise: Denoiser, clock: Clock, calls_per_step: int, previewer: Previewer, watch: Watch) -> Denoiser:
    """Tells how far it is and shows what is seen so far."""
    steps = max(clock.total // calls_per_step, 1)

    def seen(x0: Tensor) -> None:
        step = clock.calls // calls_per_step
        watch.step(step, steps)
        if watch.wants_preview(step, steps):
            watch.show(*previewer(watch.subject(x0)))

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        x0 = denoise(x, sigma)
        seen(x0)
        return x0

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0, unconditional = denoise.both(x, sigma)
        seen(x0)
        return x0, unconditional

    return denoiser(denoise.process, answer, both)

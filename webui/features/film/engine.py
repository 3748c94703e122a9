"""The film strip: what the network takes the picture for at each step, from noise to the end.

The predictions are seen by the family's RGB factors (`previews.rgb_of`), a pixel for each of the latent's: no network
is asked, and nothing waits for the device before the picture is finished.
"""

from __future__ import annotations

import io
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from webui.engine.families.family import LatentFormat
from webui.engine.feature import FeatureEngine, FinishedPicture, PassContext, PassFeature
from webui.engine.previews import levels_of, rgb_of
from webui.engine.sampling.types import Denoiser, denoiser
from webui.features.film.parameters import Params
from webui.request.messages import ExtraPicture

LONGEST = 64
"""Steps of a pass that are kept; of more, every second, third ... is."""
CELL = 128
"""Most pixels of the longer side of a picture on the sheet."""
SCREEN = 192
"""Of the animation."""
ENLARGED = 4
"""More pixels than this for one of the latent's would show nothing more."""
CAPTION = 30
"""Height of the two lines under each picture of the sheet."""
GAP = 6
PAPER, INK, PALE = (24, 24, 27), (244, 244, 245), (161, 161, 170)
STILL, PAUSE = 120, 1500
"""Milliseconds of a step, and of the end."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What is seen at one moment of a batch."""

    label: str
    sigma: Tensor
    """Without dimensions, on the device."""
    levels: Tensor
    """(b, h, w, 3) uint8, on the device."""


@dataclass(eq=False)
class Film:
    """All that is recorded while one batch is made."""

    frames: list[Frame] = field(default_factory=list)

    def record(self, label: str, sigma: Tensor, latents: Tensor, form: LatentFormat) -> None:
        """latents: (b, c, h, w), sigma: (b,)."""
        self.frames.append(Frame(label, sigma[0], levels_of(rgb_of(latents, form)).permute(0, 2, 3, 1)))

    def developed(self, index: int, finished: Image.Image) -> tuple[ExtraPicture, ...]:
        """The sheet and the animation of one picture of the batch; none where nothing was recorded."""
        if not self.frames:
            return ()
        stills = [Image.fromarray(frame.levels[index].cpu().contiguous().numpy()) for frame in self.frames]
        captions = [(frame.label, f"sigma {float(frame.sigma):.3g}") for frame in self.frames]
        longest = ENLARGED * max(max(still.size) for still in stills)
        with ThreadPoolExecutor(2) as hands:  # the encoders let go of the interpreter
            sheet = hands.submit(
                _sheet, [*stills, finished], [*captions, ("Finished", "decoded")], min(CELL, max(longest, 72))
            )
            film = hands.submit(_animation, [*stills, finished], min(SCREEN, longest))
            return ExtraPicture("film-strip", "png", sheet.result()), ExtraPicture("film", "webp", film.result())


def filmed(denoise: Denoiser, film: Film, form: LatentFormat, called: str, steps: int, calls_per_step: int) -> Denoiser:
    """Records the first x of the pass, and the prediction of each step's first call. called: the pass, "" or a word."""
    calls = 0
    every = max(math.ceil(steps / LONGEST), 1)

    def seen(x: Tensor, sigma: Tensor, x0: Tensor) -> None:
        nonlocal calls
        step, within = divmod(calls, calls_per_step)
        if calls == 0:
            film.record(f"{called} start".strip().capitalize(), sigma, denoise.process.to_input(x, sigma), form)
        if within == 0 and step % every == 0:
            film.record(f"{called} step {step + 1}".strip().capitalize(), sigma, x0, form)
        calls += 1

    def answer(x: Tensor, sigma: Tensor) -> Tensor:
        x0 = denoise(x, sigma)
        seen(x, sigma, x0)
        return x0

    def both(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        x0, unconditional = denoise.both(x, sigma)
        seen(x, sigma, x0)
        return x0, unconditional

    return denoiser(denoise.process, answer, both)


class Filming(PassFeature):
    """A pass that is recorded."""

    def __init__(self, film: Film, context: PassContext) -> None:
        self.film, self.context = film, context

    def denoise(self, denoise: Denoiser) -> Denoiser:
        this, form = self.context.this, self.context.loaded.model.latent
        called = "hires" if this.phase == "hires" else ""
        return filmed(denoise, self.film, form, called, this.walked, this.sampler.calls_per_step)


class Engine(FeatureEngine[Params]):
    """One film a batch, over all its passes."""

    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self.film = Film()

    def begin(self, context: PassContext) -> PassFeature | None:
        return Filming(self.film, context)

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        return replace(finished, extras=(*finished.extras, *self.film.developed(finished.index, finished.decoded)))


def _sheet(pictures: list[Image.Image], captions: list[tuple[str, str]], longest: int) -> bytes:
    """All pictures in rows, with their captions, as PNG."""
    width, height = _within(pictures[-1].size, longest)
    columns = math.ceil(math.sqrt(len(pictures) * (height + CAPTION) / width))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + CAPTION + GAP) + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (picture, (label, level)) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(place, columns)
        left, top = GAP + column * (width + GAP), GAP + row * (height + CAPTION + GAP)
        sheet.paste(picture.resize((width, height), Image.Resampling.BICUBIC), (left, top))
        pen.text((left + 1, top + height + 1), label, INK, font)
        pen.text((left + 1, top + height + 14), level, PALE, font)
    stream = io.BytesIO()
    sheet.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _animation(pictures: list[Image.Image], longest: int) -> bytes:
    """One after the other, without end, as WebP."""
    size = _within(pictures[-1].size, longest)
    first, *others = [picture.resize(size, Image.Resampling.BICUBIC) for picture in pictures]
    stream = io.BytesIO()
    first.save(
        stream,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=[STILL] * len(others) + [PAUSE],
        loop=0,
        quality=75,
        method=0,
    )
    return stream.getvalue()


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    scale = longest / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)

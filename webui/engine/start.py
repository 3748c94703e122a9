"""What a batch begins with besides noise: given pictures in latent space, masks, what inpainting checkpoints see."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate, pad

from webui.base.errors import UserError
from webui.catalog.image_files import pixels_of
from webui.engine.batch import Batch, Beside, InitPicture, Start, noise_of, nothing_beside
from webui.engine.families.depth import between
from webui.engine.families.family import PictureMaker
from webui.engine.inpaint import (
    Masking,
    blurred,
    filled,
    flattened,
    latent_mask,
    mask_of,
    masking,
    overlay_of,
)
from webui.engine.sampling.process import Edm
from webui.engine.upscalers.resize import FILL, STRETCH, fitted
from webui.engine.vae import encoded
from webui.engine.watch import Watch
from webui.request.fields import Img2Img
from webui.request.messages import ExtraPicture
from webui.request.settings import RenderSettings

LATENT_RESIZE = 3
"""The resize mode that enlarges latents instead of pixels."""
FILL_FILL, FILL_ORIGINAL, FILL_NOISE, FILL_NOTHING = range(4)
"""Contents of the masked part before it is denoised."""

INPAINTING, EDITING, DEPTH = 9, 8, 5
"""Input channels of the networks that see a masked picture beside the latents, of InstructPix2Pix, and of SD2's that
sees how near things are."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """All that an img2img batch begins with."""

    start: Start
    givens: tuple[InitPicture, ...]
    """One a picture of the batch."""
    strength: float
    """How much may change: 0 is nothing, 1 everything."""
    beside: Beside = nothing_beside


Change = Callable[[Image.Image], Image.Image]
"""Of a given picture, RGB."""


def unchanged(picture: Image.Image) -> Image.Image:
    """For `Change`."""
    return picture


@dataclass
class Beginnings:
    """Makes what the batches of one job begin with; equal ones are made once."""

    images: Mapping[str, bytes]
    watch: Watch
    _encoded: dict[tuple[object, ...], tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    """Latents, and where their generator stood afterwards."""

    def of(self, batch: Batch, model: PictureMaker, change: Change = unchanged) -> Beginning:
        """For an img2img batch. change: what is made of a picture that is given and seen whole.

        Raises:
            UserError: a picture cannot be read.
        """
        request, render = _img2img(batch), batch.render
        masked = self._masking(request)
        names = [picture.init_image for picture in batch.pictures]
        background = render.img2img_background_color
        givens = {name: self._given(name, request, masked, background, change) for name in set(names)}
        latents = torch.cat(
            [
                self._latents(name, givens[name], request, model, render, posterior)
                for name, posterior in zip(names, batch.posteriors, strict=True)
            ]
        )
        mask = None
        if masked is not None:
            height, width = latents.shape[2:]
            mask = torch.from_numpy(latent_mask(masked.latent, width, height, rounded=request.rounds_mask))
            mask = mask.to(latents.device)[None, None]
            if request.inpainting_fill == FILL_NOISE:
                latents = latents * (1 - mask) + _fill_noise(batch, latents) * mask
                for posterior in batch.posteriors:
                    if posterior is not None:
                        posterior.manual_seed(posterior.initial_seed())  # A1111: as any first noise does
            elif request.inpainting_fill == FILL_NOTHING:
                latents = latents * (1 - mask)
        each = tuple(givens[name] for name in names)
        hidden, size, watch = masked.shown if masked else None, tuple(latents.shape[-2:]), self.watch

        def beside(other: PictureMaker) -> Tensor | None:
            if other.input_channels <= other.latent.channels:
                return None
            seen = torch.cat([from_picture(given.picture, other) for given in each])
            return conditioning(other, seen, size, hidden, batch, watch, rounded=request.rounds_mask)

        return Beginning(Start(latents, mask, each), each, request.denoising_strength, beside)

    def pixels(self, batch: Batch) -> tuple[Beginning, Image.Image | None]:
        """The same for a model that takes pixels: no latents, and the mask at the generation's size, white where the
        picture may change.

        Raises:
            UserError: a picture cannot be read.
        """
        request, render = _img2img(batch), batch.render
        masked = self._masking(request)
        givens = tuple(
            self._given(picture.init_image, request, masked, render.img2img_background_color)
            for picture in batch.pictures
        )
        return Beginning(Start(torch.empty(0)), givens, request.denoising_strength), masked.latent if masked else None

    def whole(self, batch: Batch) -> Iterator[Image.Image]:
        """The given pictures as they are, RGB or, where something in them is transparent, RGBA.

        Raises:
            UserError: one cannot be read.
        """
        for picture in batch.pictures:
            given = opened(self.images[picture.init_image])
            has_alpha = given.mode in ("RGBA", "LA", "PA") or "transparency" in given.info
            yield given.convert("RGBA" if has_alpha else "RGB")

    def _masking(self, request: Img2Img) -> Masking | None:
        if not request.mask:
            return None
        mask = mask_of(opened(self.images[request.mask]), rounded=request.rounds_mask)
        if request.inpainting_mask_invert:
            mask = ImageOps.invert(mask)
        mask = blurred(mask, request.mask_blur_x, request.mask_blur_y)
        found = masking(
            mask,
            request.width,
            request.height,
            resize_mode=request.resize_mode,
            only_masked=request.inpaint_full_res,
            padding=request.inpaint_full_res_padding,
        )
        if found is None:
            self.watch.remark("The mask is blank, so the whole picture was redrawn.")
            return None
        if request.latent_mask:
            own = mask_of(opened(self.images[request.latent_mask]), rounded=request.rounds_mask)
            inner = own if found.box is None else own.crop(found.box)
            found = replace(found, latent=fitted(inner, request.width, request.height, request.resize_mode))
        return found

    def _given(
        self, name: str, request: Img2Img, masked: Masking | None, background: str, change: Change = unchanged
    ) -> InitPicture:
        picture = flattened(opened(self.images[name]), background)
        box = masked.box if masked else None
        if box is None:
            picture = change(picture)
        if box is None and request.resize_mode != LATENT_RESIZE:
            picture = fitted(picture, request.width, request.height, request.resize_mode)
        overlay, whole, over = None, picture, None
        if masked is not None:
            over = masked.overlay
            if over.size != picture.size:
                over = fitted(over, picture.width, picture.height, request.resize_mode)
            overlay = overlay_of(picture, over, box)
        if box is not None:
            picture = fitted(picture.crop(box), request.width, request.height, FILL)
        if masked is not None and request.inpainting_fill != FILL_ORIGINAL:
            under = masked.latent
            picture = filled(picture, under if under.size == picture.size else under.resize(picture.size))
        return InitPicture(picture, overlay, whole, box, over)

    def _latents(
        self,
        name: str,
        given: InitPicture,
        request: Img2Img,
        model: PictureMaker,
        render: RenderSettings,
        posterior: torch.Generator | None,
    ) -> Tensor:
        """(1, c, h, w)"""
        key = (name, id(model), posterior.initial_seed() if posterior is not None else None)
        if key not in self._encoded:
            made = encoded(model, from_picture(given.picture, model), render, self.watch, posterior=posterior)
            self._encoded[key] = (made, posterior.get_state() if posterior is not None else None)
        latents, state = self._encoded[key]
        if posterior is not None and state is not None:
            posterior.set_state(state)
        if request.resize_mode == LATENT_RESIZE:
            factor = model.latent.factor
            size = (request.height // factor, request.width // factor)
            latents = interpolate(latents, size=size, mode="bilinear")
        return latents


def _img2img(batch: Batch) -> Img2Img:
    given = batch.request.from_picture
    if given is None:
        raise TypeError("Only img2img begins with a picture.")
    return given


def opened(content: bytes) -> Image.Image:
    """A picture file's pixels, upright.

    Raises:
        UserError: it is no picture.
    """
    try:
        return pixels_of(content)
    except UserError as error:
        raise UserError(f"An input picture: {error.message}", hint=error.hint, field="init_images") from error


def copy(name: str, picture: Image.Image, *, shown: bool = False, saved: bool = True) -> ExtraPicture:
    """A picture that goes with a result, as it is now."""
    return ExtraPicture(name, "png", encoded_png(picture), shown, saved)


def encoded_png(picture: Image.Image, **options: int) -> bytes:
    """A whole file. options: of Pillow's writer."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", **options)
    return stream.getvalue()


def from_picture(picture: Image.Image, model: PictureMaker) -> Tensor:
    """RGB -> (1, 3, h, w) in -1..1 on the model's device."""
    levels = torch.from_numpy(np.array(picture.convert("RGB")))
    return from_levels(levels[None], model)


def made_before(batch: Batch, images: Mapping[str, bytes]) -> tuple[Image.Image, ...]:
    """What is given in the place of what the first pass of hires fix would make, one a picture of the batch, RGB at the
    request's size; (): nothing is.

    Raises:
        UserError: it cannot be read.
    """
    request = batch.request
    names = [picture.init_image for picture in batch.pictures]
    if request.is_img2img or not all(names):
        return ()
    background = batch.render.img2img_background_color
    return tuple(
        fitted(flattened(opened(images[name]), background), request.width, request.height, STRETCH) for name in names
    )


def from_levels(levels: Tensor, model: PictureMaker) -> Tensor:
    """(b, h, w, 3) uint8 -> (b, 3, h, w) in -1..1 on the model's device."""
    return (levels.permute(0, 3, 1, 2).float() / 255.0 * 2.0 - 1.0).to(model.device)


def _fill_noise(batch: Batch, latents: Tensor) -> Tensor:
    """Noise of the seeds alone, without variation."""
    request = batch.request
    # A1111: of the job's first batch, whichever this is
    seeds = tuple(
        p.seed if request.subseed_strength else p.seed - p.position + p.position % request.batch_size
        for p in batch.pictures
    )
    _, channels, height, width = latents.shape
    plain = noise_of(batch, (channels, height, width), latents.device, seeds=seeds, varied=False)
    return plain.first()


# ---------------------------------------------------------------- networks with more input channels


def conditioning(
    model: PictureMaker,
    pixels: Tensor,
    size: tuple[int, ...],
    mask: Image.Image | None,
    batch: Batch,
    watch: Watch,
    *,
    rounded: bool = True,
) -> Tensor:
    """What the network sees beside x: (b, 5, h, w) for inpainting, (b, 4, h, w) for InstructPix2Pix, (b, 1, h, w) for
    depth.

    pixels: (b, 3, h, w) in -1..1. size: of the latents. mask: white where the picture may change; None: everywhere.
    """
    render = batch.render
    if model.input_channels == EDITING:
        scaled = isinstance(model.process, Edm)  # CosXL was trained on scaled ones
        return torch.cat([encoded(model, picture[None], render, watch, scaled=scaled) for picture in pixels])
    if model.input_channels == DEPTH:
        return between(model.depth(pixels), tuple(size))
    batch.facts.note("Conditional mask weight", render.inpainting_mask_weight)
    where = torch.ones(1, 1, *pixels.shape[-2:], device=pixels.device)
    if mask is not None:
        levels = np.array(mask.convert("L"), dtype=np.float32) / 255.0
        where = torch.from_numpy(np.round(levels) if rounded else levels)[None, None].to(pixels.device)
    hidden = torch.lerp(pixels, pixels * (1.0 - where), render.inpainting_mask_weight)
    latents = torch.cat(
        [
            encoded(model, picture[None], render, watch, posterior=posterior)
            for picture, posterior in zip(hidden, batch.posteriors, strict=True)
        ]
    )
    small = interpolate(where, size=tuple(size)).expand(len(latents), -1, -1, -1)
    return torch.cat([small, latents], dim=1)


def blank_conditioning(model: PictureMaker, *, batch: Batch, size: tuple[int, int], watch: Watch) -> Tensor | None:
    """For text to image: all may change, and nothing is seen. None where the network has no such channels.

    size: (width, height) in pixels.
    """
    more = model.input_channels - model.latent.channels
    if more <= 0:
        return None
    width, height = size
    factor, posteriors = model.latent.factor, batch.posteriors
    batch.facts.note("Conditional mask weight", batch.render.inpainting_mask_weight)
    if model.input_channels != INPAINTING:
        return torch.zeros(len(posteriors), more, height // factor, width // factor, device=model.device)
    grey = torch.zeros(1, 3, height // factor * factor, width // factor * factor, device=model.device)
    latents = torch.cat([encoded(model, grey, batch.render, watch, posterior=posterior) for posterior in posteriors])
    return pad(latents, (0, 0, 0, 0, 1, 0), value=1.0)

"""Which picture a unit follows, and what its preprocessor makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from webui.base.errors import UserError
from webui.catalog.image_files import pixels_of
from webui.engine.batch import InitPicture, Services
from webui.engine.control.hints import Hint, perfect_resolution
from webui.engine.feature import PassContext
from webui.engine.inpaint import blurred
from webui.engine.preprocessors.picture import Bytes, Options, mapped, whole
from webui.engine.upscalers.resize import FILL, fitted
from webui.features.controlnet.parameters import RESIZE_MODES, Params, ResizeMode, check_mask
from webui.request.fields import Img2Img
from webui.request.preprocessors import preprocessor

NEARLY_EMPTY, NEARLY_FULL = 5, 250
"""A mask all of whose levels are up to the first or from the second on says nothing; any other is what was drawn."""


def hint_of(wish: Params, context: PassContext) -> Hint:
    """What a unit follows in a pass, of the pass's size.

    Raises:
        UserError: there is no picture, it cannot be read, or its mask has another size.
    """
    factor = context.loaded.model.latent.factor
    size = (context.this.size[0] // factor * factor, context.this.size[1] // factor * factor)
    hint, mode = _chosen(wish, context)
    picture, known = hint.picture, preprocessor(wish.module)
    resolution = int(wish.processor_res)
    if wish.pixel_perfect:
        resolution = perfect_resolution((picture.shape[1], picture.shape[0]), size, mode)
    residents = context.services.residents
    options = Options(resolution, wish.threshold_a, wish.threshold_b, _seed(context), residents, wish.annotators)
    made = mapped(known.code, picture, options)
    for sentence in made.remarks:
        context.services.watch.remark(f"{known.title}: {sentence}")
    return replace(hint, picture=whole(made.pixels)).sized(size, mode)


def _chosen(wish: Params, context: PassContext) -> tuple[Hint, ResizeMode]:
    """The unit's own picture, or the one that img2img begins with; and how it is brought to the result's size."""
    given = context.batch.request.from_picture
    hint, mode = _own(wish, context), wish.resize_mode
    if hint is None and given is not None:
        hint = _init(wish, given, context)
        mode = RESIZE_MODES[given.resize_mode] if given.resize_mode < len(RESIZE_MODES) else RESIZE_MODES[0]
    if hint is None:
        raise UserError("ControlNet: there is no picture to follow.", hint="Give the unit one.", field="features")
    box = _box(wish, context)
    if box is None:
        return hint, mode
    mask = None if hint.mask is None else _cropped(hint.mask, box, mode, context.this.size)
    return Hint(_cropped(hint.picture, box, mode, context.this.size), mask), mode


def pictures_of(wish: Params, context: PassContext) -> list[Bytes]:
    """The pictures that stand for a prompt, each of its own size; in img2img without any, what it begins with.

    Raises:
        UserError: there is none, or one cannot be read.
    """
    images = images_of(context.services)
    names = [name for name in (wish.image, *wish.more_images) if name in images]
    if not names and context.batch.request.from_picture is not None:
        names = [name for name in (context.batch.pictures[0].init_image,) if name in images]
    if not names:
        raise UserError("ControlNet: there is no picture to follow.", hint="Give the unit one.", field="features")
    return [on_white(pixels_of(images[name])) for name in names]


def _own(wish: Params, context: PassContext) -> Hint | None:
    """The unit's own picture; a mask that is painted in part stands in its place, where its preprocessor knows none."""
    images = images_of(context.services)
    if wish.image not in images:
        return None
    picture, drawn = on_white(pixels_of(images[wish.image])), None
    if wish.mask in images:
        levels = np.array(pixels_of(images[wish.mask]).convert("RGB"))[..., 0]
        drawn = levels if levels.max() > NEARLY_EMPTY and levels.min() < NEARLY_FULL else None
    if preprocessor(wish.module).needs_mask:
        if drawn is not None:
            check_mask((drawn.shape[1], drawn.shape[0]), (picture.shape[1], picture.shape[0]))
        return Hint(picture, _fitting(drawn, picture))
    if drawn is not None and not context.batch.render.controlnet_ignore_noninpaint_mask:
        picture = whole(drawn)
    return Hint(picture)


def _init(wish: Params, given: Img2Img, context: PassContext) -> Hint | None:
    """The picture that img2img begins with, and its mask where the preprocessor wants one."""
    images, name = images_of(context.services), context.batch.pictures[0].init_image
    if name not in images:
        return None
    picture = on_white(pixels_of(images[name]))
    if not preprocessor(wish.module).needs_mask:
        return Hint(picture)
    mask = None
    if given.mask:
        grey = pixels_of(images[given.mask]).convert("L")
        grey = ImageOps.invert(grey) if given.inpainting_mask_invert else grey
        mask = np.array(blurred(grey, given.mask_blur_x, given.mask_blur_y))
    return Hint(picture, _fitting(mask, picture))


def _fitting(mask: Bytes | None, picture: Bytes) -> Bytes:
    """The mask at the picture's size; black where there is none."""
    if mask is None:
        return np.zeros(picture.shape[:2], np.uint8)
    if mask.shape == picture.shape[:2]:
        return mask
    return np.array(Image.fromarray(mask).resize((picture.shape[1], picture.shape[0]), Image.Resampling.BILINEAR))


def _box(wish: Params, context: PassContext) -> InitPicture | None:
    """ "Only masked": what says which part is made anew; None: the unit is not cropped."""
    start = context.this.start
    given = start.givens[0] if start is not None and start.givens else None
    if given is None or given.box is None or given.whole is None:
        return None
    return given if wish.inpaint_crop_input_image and not preprocessor(wish.module).model_free else None


def _cropped(picture: Bytes, given: InitPicture, mode: ResizeMode, size: tuple[int, int]) -> Bytes:
    """The part of a picture that lies over the part that is made anew: (h, w) or (h, w, 3)."""
    assert given.whole is not None and given.box is not None
    placed = fitted(Image.fromarray(picture), *given.whole.size, RESIZE_MODES.index(mode))
    found = np.array(fitted(placed.crop(given.box), *size, FILL))
    return found if picture.ndim == 3 else found[..., 0] if found.ndim == 3 else found


def region_of(wish: Params, context: PassContext) -> Bytes | None:
    """Where the unit acts, (h, w), or None: everywhere. "Only masked": cropped as its picture is.

    Raises:
        UserError: it cannot be read.
    """
    images, name = images_of(context.services), wish.effective_region_mask
    if not name or name not in images:
        return None
    drawn = np.array(pixels_of(images[name]).convert("RGB"))[..., 0]
    box = _box(wish, context)
    return drawn if box is None else _cropped(drawn, box, wish.resize_mode, context.this.size)


def is_grey(wish: Params, context: PassContext) -> bool:
    """Whether the region is a picture of one channel."""
    images, name = images_of(context.services), wish.effective_region_mask
    return name in images and len(pixels_of(images[name]).getbands()) == 1


def _seed(context: PassContext) -> int:
    """For preprocessors that draw: the sum of the job's first seeds; without variation the seed counts twice."""
    plan = context.services.plan
    first = plan.batches[0][0] if plan is not None else context.batch.pictures[0]
    return (first.seed + (first.subseed if first.request.subseed_strength else first.seed)) & 0xFFFFFFFF


def images_of(services: Services) -> dict[str, bytes]:
    return dict(services.plan.images) if services.plan is not None else {}


def on_white(picture: Image.Image) -> Bytes:
    """RGB: what is transparent shows white paper."""
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return np.array(picture.convert("RGB"))
    levels = np.array(picture.convert("RGBA")).astype(np.float32)
    alpha = levels[..., 3:] / 255
    return (levels[..., :3] * alpha + 255 * (1 - alpha)).clip(0, 255).astype(np.uint8)

"""Fitting a picture to a size: stretched, cut, or with filled borders."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PIL import Image

from webui import registry
from webui.base.errors import NotFound, did_you_mean
from webui.entry_points import expected
from webui.registry import UpscalerEntry
from webui.request.enlarged import enlarged_size

Picture = Image.Image
Enlarge = Callable[[Picture, float], Picture]
"""(picture, factor) -> about so many times larger."""

STRETCH, CROP, FILL = 0, 1, 2


def fitted(picture: Picture, width: int, height: int, mode: int, upscaler: str = "None") -> Picture:
    """The picture at exactly width x height. mode: `STRETCH`, `CROP` (fill the frame, cut what stands out) or `FILL`
    (show it whole, continue its edges).

    Raises:
        NotFound: there is no such upscaler.
    """
    if mode == STRETCH:
        return scaled(picture, width, height, upscaler)
    wider = width / height > picture.width / picture.height
    by_width = wider if mode == CROP else not wider
    inner_width = width if by_width else picture.width * height // picture.height
    inner_height = picture.height * width // picture.width if by_width else height
    inner = scaled(picture, inner_width, inner_height, upscaler)
    left, top = width // 2 - inner_width // 2, height // 2 - inner_height // 2
    frame = Image.new("RGB", (width, height))
    frame.paste(inner, (left, top))
    if mode == FILL:
        _continue_edges(frame, inner, left, top)
    return frame


def _continue_edges(frame: Picture, inner: Picture, left: int, top: int) -> None:
    """Stretch the outermost rows or columns over the borders that are left."""
    width, height = frame.size
    if top > 0:
        frame.paste(inner.resize((width, top), box=(0, 0, width, 0)), (0, 0))
        last = inner.height
        frame.paste(inner.resize((width, top), box=(0, last, width, last)), (0, top + last))
    elif left > 0:
        frame.paste(inner.resize((left, height), box=(0, 0, 0, height)), (0, 0))
        last = inner.width
        frame.paste(inner.resize((left, height), box=(last, 0, last, height)), (left + last, 0))


def scaled(
    picture: Picture,
    width: int,
    height: int,
    upscaler: str = "None",
    enlargers: Mapping[str, Enlarge] | None = None,
) -> Picture:
    """Stretched to exactly width x height: enlarged by the upscaler (one of `enlargers`), the rest by Lanczos.

    Raises:
        NotFound: there is no such upscaler.
    """
    width, height = max(width, 1), max(height, 1)
    factor = max(width / picture.width, height / picture.height)
    if upscaler not in ("", "None") and picture.mode != "L" and factor > 1:
        picture = enlarged(picture, factor, upscaler, enlargers)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def enlarged(picture: Picture, factor: float, upscaler: str, enlargers: Mapping[str, Enlarge] | None = None) -> Picture:
    """`factor` times as large, both sides cut down to multiples of 8. `enlargers`: what there is, by name.

    Raises:
        NotFound: there is no such upscaler.
    """
    enlargers = plain() if enlargers is None else enlargers
    if upscaler not in enlargers:
        raise NotFound(f"There is no upscaler named {upscaler!r}.", hint=did_you_mean(upscaler, enlargers))
    target = enlarged_size(picture.size, factor)
    enlarge = enlargers[upscaler]
    for turn in range(3):  # a model that enlarges by less than the factor is asked again
        before = picture.size
        # A1111: at factor 1 a model still cleans the picture up.
        if before[0] >= target[0] and before[1] >= target[1] and (turn > 0 or factor != 1):
            break
        picture = enlarge(picture, factor)
        if picture.size == before:
            break
    return picture if picture.size == target else picture.resize(target, Image.Resampling.LANCZOS)


def _resample(method: Image.Resampling) -> Enlarge:
    def enlarge(picture: Picture, factor: float) -> Picture:
        return picture.resize((int(picture.width * factor), int(picture.height * factor)), method)

    return enlarge


def plain() -> dict[str, Enlarge]:
    """What enlarges without a model's file, by name. The code of installed packages is imported when it is used."""

    def added(entry: UpscalerEntry) -> Enlarge:
        return lambda picture, factor: expected(
            registry.resolved(entry.code)(picture, factor), Picture, entry, entry.name
        )

    return {**UPSCALERS, **{entry.name: added(entry) for entry in registry.upscalers()}}


UPSCALERS: Mapping[str, Enlarge] = {
    "Lanczos": _resample(Image.Resampling.LANCZOS),
    "Nearest": _resample(Image.Resampling.NEAREST),
}

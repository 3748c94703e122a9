"""Pictures that are transparent somewhere, for what sees colours alone."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from webui.engine.upscalers.resize import Enlarge, enlarged


def apart(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """RGB, and the opacity of one that is RGBA.

    What cannot be seen has the colours of what can be seen around it, so that no others come in at the edge when it is
    made larger.
    """
    if picture.mode != "RGBA":
        return picture, None
    alpha = picture.getchannel("A")
    ground = _continued(picture.convert("RGBa"))
    seen = picture.convert("RGB")
    seen.paste(ground, mask=alpha.point(lambda level: 0 if level else 255))
    return seen, alpha


def _continued(weighted: Image.Image) -> Image.Image:
    """RGB: the colours of an RGBa picture, continued to where it has none: from ever smaller ones, upwards."""
    smaller = [weighted]
    while max(smaller[-1].size) > 1:
        smaller.append(smaller[-1].reduce(2))
    ground = smaller[-1].convert("RGBA").convert("RGB").convert("RGBA")
    for each in reversed(smaller):
        ground = ground.resize(each.size, Image.Resampling.BILINEAR)
        ground.alpha_composite(each.convert("RGBA"))
    return ground.convert("RGB")


def enlarged_with_alpha(
    picture: Image.Image, factor: float, upscaler: str, enlargers: Mapping[str, Enlarge]
) -> Image.Image:
    """The picture, RGB or RGBA, made larger: its colours by the upscaler, its opacity in the usual way, since a model
    sees colours alone. enlargers: by the names that requests have."""
    rgb, alpha = apart(picture)
    large = enlarged(rgb, factor, upscaler, enlargers)
    if alpha is not None:
        large.putalpha(enlarged(alpha, factor, upscaler if upscaler == "Nearest" else "Lanczos"))
    return large

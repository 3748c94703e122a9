"""A picture without its background."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from webui.engine.detectors.matting import matted
from webui.engine.detectors.subject import subject_mask
from webui.engine.residents import Residents
from webui.engine.upscalers.transparency import apart
from webui.request.cutting import Cutting


def cut_out(picture: Image.Image, cutting: Cutting, residents: Residents) -> Image.Image:
    """RGBA: what stands out. What was transparent stays so.

    Raises:
        ModelError: the network was not fetched (the hint says how to), or cannot be opened.
        OutOfMemory: there is no room for it.
    """
    rgb, alpha = apart(picture)
    levels = np.array(rgb.convert("RGB"))
    mask = subject_mask(cutting.network, residents, levels)
    if cutting.edge is not None:
        levels, mask = matted(levels, mask, cutting.edge)
    found, opacity = Image.fromarray(levels), Image.fromarray(mask)
    found.putalpha(opacity if alpha is None else ImageChops.multiply(opacity, alpha))
    return found

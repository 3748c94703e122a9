"""Which of the things that were found are painted, in which order, and where exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageChops

from webui.engine.detectors.found import Detection
from webui.features.detailer.parameters import CONFIDENCE, INVERT, NO_MERGE, Params

Size = tuple[int, int]
"""(width, height)"""


def area(found: Detection) -> int:
    """Of its box, in pixels."""
    left, top, right, bottom = found.box
    return (right - left) * (bottom - top)


def _from_centre(found: Detection, size: Size) -> float:
    left, top, right, bottom = found.box
    across, down = (left + right - size[0]) / 2, (top + bottom - size[1]) / 2
    return across * across + down * down


ORDERS: Mapping[str, Callable[[Detection, Size], float]] = {
    "Position (left to right)": lambda found, _size: found.box[0],
    "Position (center to edge)": _from_centre,
    "Area (large to small)": lambda found, _size: -area(found),
}
"""By the names of the setting."""


def chosen(found: Sequence[Detection], wish: Params, size: Size) -> list[Detection]:
    """Those that a unit wants, in its order."""
    classes = {name.strip().casefold() for name in wish.ad_model_classes.split(",") if name.strip()}
    whole = size[0] * size[1]
    kept = [
        each
        for each in found
        if each.score >= wish.ad_confidence
        and (not classes or each.label.casefold() in classes)
        and wish.ad_mask_min_ratio <= area(each) / whole <= wish.ad_mask_max_ratio
    ]
    if wish.ad_mask_k:
        by = (lambda each: -each.score) if wish.ad_mask_filter_method == CONFIDENCE else (lambda each: -area(each))
        best = sorted(kept, key=by)[: wish.ad_mask_k]
        kept = [each for each in kept if any(each is one for one in best)]
    order = ORDERS.get(wish.sorted_by)
    return sorted(kept, key=lambda each: order(each, size)) if order is not None else kept


def masks(found: Sequence[Detection], wish: Params, size: Size, within: Image.Image | None) -> list[Image.Image]:
    """White where the picture is painted, one after the other; none that is black.

    within: white where it may change at all; None: everywhere.
    """
    made = [placed(each.mask(size), wish) for each in found]
    made = [mask for mask in made if mask.getbbox()]
    if made and wish.ad_mask_merge_invert != NO_MERGE:
        whole = made[0]
        for mask in made[1:]:
            whole = ImageChops.lighter(whole, mask)
        made = [ImageChops.invert(whole) if wish.ad_mask_merge_invert == INVERT else whole]
    if within is not None:
        made = [ImageChops.darker(mask, within) for mask in made]
    return [mask for mask in made if mask.getbbox()]


def placed(mask: Image.Image, wish: Params) -> Image.Image:
    """The mask moved, and grown or shrunk, as the unit says."""
    if wish.ad_x_offset or wish.ad_y_offset:
        moved = Image.new("L", mask.size, 0)
        moved.paste(mask, (wish.ad_x_offset, -wish.ad_y_offset))
        mask = moved
    side = abs(wish.ad_dilate_erode)
    if not side:
        return mask
    change = cv2.dilate if wish.ad_dilate_erode > 0 else cv2.erode
    return Image.fromarray(np.asarray(change(np.asarray(mask), np.ones((side, side), np.uint8)), np.uint8))

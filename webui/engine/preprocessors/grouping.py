"""Who the parts in OpenPose's maps belong to.

Cao et al. 2018, arXiv:1812.08008, section 3: each map's peaks are parts; two of them are a limb where the field between
them points along it (the mean of its product with the limb's direction, equation 11); limbs are taken greedily, the
surest first, and people are what limbs hold together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.engine.detectors.detectors import MOST

Floats = NDArray[np.float32]
PARTS = 18
PART, ALONG = 0.1, 0.05
"""From how much on a peak is a part, and a point of a field speaks for a limb."""
SAMPLES, SHARE = 10, 0.8
"""Points looked at along a limb; more of them than this must speak for it."""
SMOOTH = 3.0
"""Pixels: the deviation of the bell that a map is smoothed with before its peaks are looked for."""
LONGEST = 0.5
"""Of the picture's height: longer limbs count less."""
FEWEST, MEAN = 4, 0.4
"""Parts of a person; what they and their limbs are worth, for each of them."""
FIELDS = (
    *((1, 2, 12), (1, 5, 20), (2, 3, 14), (3, 4, 16), (5, 6, 22), (6, 7, 24), (1, 8, 0), (8, 9, 2), (9, 10, 4)),
    *((1, 11, 6), (11, 12, 8), (12, 13, 10), (1, 0, 28), (0, 14, 30), (14, 16, 34), (0, 15, 32), (15, 17, 36)),
    *((2, 16, 18), (5, 17, 26)),
)
"""Both parts of a limb, and the first of its two planes among the fields, for x and y."""
FOUNDING = 17
"""So many limbs found a person; the last, from the shoulders to the ears, only hold parts together."""


@dataclass
class Grouped:
    """A person, as limbs put them together."""

    parts: dict[int, int] = field(default_factory=dict)
    """Number of the part -> which of its peaks."""
    worth: float = 0.0


def peaks_in(plane: Floats) -> tuple[NDArray[np.intp], Floats]:
    """(h, w) -> (n, 2) columns and rows of its peaks, the highest first; (n,) how high, at most `MOST`."""
    smooth = np.asarray(cv2.GaussianBlur(plane, (0, 0), SMOOTH), np.float32)
    around = np.pad(smooth, 1)
    is_peak = smooth > PART
    is_peak &= (smooth > around[:-2, 1:-1]) & (smooth > around[1:-1, :-2])  # of equals side by side, the first
    is_peak &= (smooth >= around[2:, 1:-1]) & (smooth >= around[1:-1, 2:])
    rows, columns = np.nonzero(is_peak)
    order = np.argsort(-plane[rows, columns], kind="stable")[:MOST]
    places = np.stack([columns[order], rows[order]], axis=1)
    return places, plane[rows[order], columns[order]]


def along(field_x: Floats, field_y: Floats, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Floats:
    """(a, 2) and (b, 2) places -> (a, b): how much a field speaks for a limb from each to each; 0: it does not."""
    way = (ends[None] - starts[:, None]).astype(np.float32)
    length = np.maximum(np.linalg.norm(way, axis=-1), 1e-3)
    steps = np.linspace(0.0, 1.0, SAMPLES, dtype=np.float32)[:, None]
    places = np.rint(starts[:, None, None] + steps * way[:, :, None]).astype(np.intp)
    columns, rows = places[..., 0], places[..., 1]
    direction = (way / length[..., None])[:, :, None]
    spoken = field_x[rows, columns] * direction[..., 0] + field_y[rows, columns] * direction[..., 1]
    worth = spoken.mean(-1) + np.minimum(LONGEST * field_x.shape[0] / length - 1, 0)
    speaks = (spoken > ALONG).mean(-1) > SHARE
    return np.where(speaks & (worth > 0), worth, 0).astype(np.float32)


def pairs(worth: Floats) -> list[tuple[int, int, float]]:
    """The limbs among (a, b) of which none has an end in common with a surer one."""
    found: list[tuple[int, int, float]] = []
    left = worth.copy()
    while left.size and left.max() > 0:
        start, end = (int(each) for each in np.unravel_index(int(left.argmax()), left.shape))
        found.append((start, end, float(left[start, end])))
        left[start], left[:, end] = 0, 0
    return found


def grouped(limbs: Sequence[Sequence[tuple[int, int, float]]], heights: Sequence[Floats]) -> list[Grouped]:
    """limbs: for each of `FIELDS`; heights: of each part's peaks. The surest first, at most `MOST`."""
    people: list[Grouped] = []
    for number, ((first, second, _), found) in enumerate(zip(FIELDS, limbs, strict=True)):
        for start, end, worth in found:
            ends = {first: start, second: end}
            theirs = [each for each in people if any(each.parts.get(part) == at for part, at in ends.items())]
            if len(theirs) == 2 and not theirs[0].parts.keys() & theirs[1].parts.keys():
                theirs[0].parts |= theirs[1].parts
                theirs[0].worth += theirs[1].worth + worth
                people.remove(theirs[1])
            elif theirs:
                _join(theirs[0], ends, worth, heights)
            elif number < FOUNDING:
                people.append(Grouped())
                _join(people[-1], ends, worth, heights)
    sure = [each for each in people if len(each.parts) >= FEWEST and each.worth / len(each.parts) >= MEAN]
    return sorted(sure, key=lambda each: -each.worth / len(each.parts))[:MOST]


def _join(person: Grouped, ends: dict[int, int], worth: float, heights: Sequence[Floats]) -> None:
    new = {part: at for part, at in ends.items() if part not in person.parts}
    if new:
        person.parts |= new
        person.worth += worth + sum(float(heights[part][at]) for part, at in new.items())

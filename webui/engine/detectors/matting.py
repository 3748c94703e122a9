"""How opaque each pixel at the edge of a subject is, hair by hair, and the colour that it has without what lies behind.

The opacity: Levin, Lischinski, Weiss 2008, "A Closed-Form Solution to Natural Image Matting", IEEE TPAMI 30(2), solved
where the mask is unsure, on a small copy of a large picture; from there it is carried over by local linear models, as
He and Sun 2015, "Fast Guided Filter", arXiv:1505.00996. The colours: Forte 2021, "Approximate Fast Foreground Colour
Estimation", ICIP.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import cg

from webui.engine.detectors.regions import Bytes
from webui.request.cutting import Edge

Floats: TypeAlias = NDArray[np.float64]

LARGEST = 512
"""Pixels of the longer side at which the opacity is solved for."""
WINDOW = 9
"""Pixels of 3x3."""
SMOOTH = 1e-7
"""How little the colours of a window may differ to be told apart: epsilon of Levin et al., section 3.1."""
EXACT, MOST_STEPS = 1e-5, 800
"""When solving ends."""
REACH, GUIDED = 2, 1e-4
"""Radius in small pixels, and epsilon, of the local linear models."""
AROUND = (90, 6)
"""Pixels over which colours are averaged, first far, then near: Forte 2021, section 3."""


def matted(picture: Bytes, mask: Bytes, edge: Edge) -> tuple[Bytes, Bytes]:
    """(colours (h, w, 3), opacity (h, w)) of the subject of a picture, (h, w, 3), RGB, by a mask of it, (h, w).

    Where the mask is sure of nothing, or of everything, both are returned as they are.
    """
    scale = min(LARGEST / max(mask.shape), 1.0)
    small, rough = _resized(picture, scale), _resized(mask, scale)
    sure, open_ = _trimap(rough, edge, max(round(edge.erode * scale), 1) if edge.erode else 0)
    if min(rough.shape) < 3 or not open_.any() or open_.all() or not (sure > 0).any():
        return picture, mask
    levels = small.astype(np.float64) / 255
    alpha = _solved(levels, sure, open_, rough / 255.0)
    if scale < 1:
        known, unknown = _trimap(mask, edge, edge.erode)
        alpha = np.where(unknown, _carried_over(levels, alpha, picture), known)
    opacity = alpha.clip(0, 1)
    return _colours(picture, opacity), (opacity * 255).round().astype(np.uint8)


def _resized(levels: Bytes, scale: float) -> Bytes:
    if scale >= 1:
        return levels
    size = (max(round(levels.shape[1] * scale), 1), max(round(levels.shape[0] * scale), 1))
    return np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _trimap(mask: Bytes, edge: Edge, erode: int) -> tuple[Floats, NDArray[np.bool_]]:
    """(1 where the subject is for sure, else 0; where neither is sure)"""
    front, back = (mask > edge.foreground).astype(np.uint8), (mask < edge.background).astype(np.uint8)
    if erode:
        kernel = np.ones((erode, erode), np.uint8)
        # The edge of the picture is none of the subject's.
        front = np.asarray(cv2.erode(front, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)
        back = np.asarray(cv2.erode(back, kernel, borderType=cv2.BORDER_REPLICATE), np.uint8)
    return front.astype(np.float64), (front == 0) & (back == 0)


def _solved(levels: Floats, sure: Floats, open_: NDArray[np.bool_], first: Floats) -> Floats:
    """(h, w): the opacity, `sure` but where it is open. first: what solving begins with."""
    laplacian = _laplacian(levels, open_)
    unknown = np.flatnonzero(open_)
    rows = laplacian[unknown]
    matrix = rows[:, unknown]
    given = sure.ravel().copy()
    given[unknown] = 0
    scales = matrix.diagonal()
    found, _ = cg(
        matrix,
        -(rows @ given),
        x0=first.ravel()[unknown],
        rtol=EXACT,
        maxiter=MOST_STEPS,
        M=diags(1 / np.maximum(scales, EXACT)),
    )
    given[unknown] = found
    return given.reshape(sure.shape)


def _laplacian(levels: Floats, open_: NDArray[np.bool_]) -> csr_matrix:
    """(h * w, h * w): the matting Laplacian of the windows that see an open pixel. Levin et al., equation 12."""
    height, width = open_.shape
    near = cv2.dilate(open_.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    down, across = np.nonzero(near)
    corners = down * width + across
    steps = (np.arange(3)[:, None] * width + np.arange(3)).ravel()
    places = corners[:, None] + steps
    colours = levels.reshape(-1, 3)[places]
    apart = colours - colours.mean(1, keepdims=True)
    spread = apart.transpose(0, 2, 1) @ apart / WINDOW + np.eye(3) * (SMOOTH / WINDOW)
    values = np.eye(WINDOW) - (1 + apart @ np.linalg.solve(spread, apart.transpose(0, 2, 1))) / WINDOW
    rows = np.broadcast_to(places[:, :, None], values.shape).ravel()
    columns = np.broadcast_to(places[:, None, :], values.shape).ravel()
    return coo_matrix((values.ravel(), (rows, columns)), shape=(height * width,) * 2).tocsr()


def _carried_over(levels: Floats, alpha: Floats, picture: Bytes) -> Floats:
    """The opacity of the large picture: around each place it is linear in the colours, as it is in the small one."""
    guide = levels.astype(np.float32)
    own = alpha.astype(np.float32)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        side = 2 * REACH + 1
        return np.asarray(cv2.blur(values, (side, side)), np.float32)

    middle, level = mean(guide), mean(own)
    both = np.stack([mean(guide[..., each] * own) for each in range(3)], -1) - middle * level[..., None]
    spread = np.empty((*own.shape, 3, 3), np.float32)
    for first in range(3):
        for second in range(first, 3):
            values = mean(guide[..., first] * guide[..., second]) - middle[..., first] * middle[..., second]
            spread[..., first, second] = spread[..., second, first] = values
    slopes = np.linalg.solve(spread + np.eye(3, dtype=np.float32) * GUIDED, both[..., None])[..., 0]
    offset = level - (slopes * middle).sum(-1)
    size = (picture.shape[1], picture.shape[0])
    large = cv2.resize(mean(slopes), size, interpolation=cv2.INTER_LINEAR)
    moved = cv2.resize(mean(offset), size, interpolation=cv2.INTER_LINEAR)
    found: Floats = (large * (picture.astype(np.float32) / 255)).sum(-1) + moved
    return found.astype(np.float64)


def _colours(picture: Bytes, opacity: Floats) -> Bytes:
    """(h, w, 3): the subject's own colours, which what lies behind has mixed into where it is not opaque."""
    seen = picture.astype(np.float32)
    alpha = opacity.astype(np.float32)[..., None]
    front = back = seen
    for side in AROUND:
        front, back = _fused(seen, front, back, alpha, side)
    kept = np.where(alpha >= 1, seen, front)
    return kept.round().clip(0, 255).astype(np.uint8)


def _fused(
    seen: NDArray[np.float32],
    front: NDArray[np.float32],
    back: NDArray[np.float32],
    alpha: NDArray[np.float32],
    side: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Averages of both around each pixel, moved so that together they make what is seen. Forte 2021, algorithm 1."""

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred = np.asarray(cv2.blur(values, (side, side)), np.float32)
        return blurred[..., None] if blurred.ndim == 2 else blurred

    part = mean(alpha)
    fronts = mean(front * alpha) / (part + 1e-5)
    backs = mean(back * (1 - alpha)) / (1 - part + 1e-5)
    moved = fronts + alpha * (seen - alpha * fronts - (1 - alpha) * backs)
    return moved.clip(0, 255), backs

"""Noise that looks like a picture: what outpainting begins with where nothing is yet.

The picture's amplitudes in the Fourier domain, windowed by where it is known, shape noise whose spectrum falls off from
the middle; its phases are kept, so that structures go on; its levels take the histogram of what is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SEED = 0
"""Of the noise: the same for every picture, so that the sampler's seed alone decides."""
UNKNOWN, KNOWN = 1e-6, 1e-3
"""A pixel whose mask is over the first is filled; one below the second gives its levels."""


def matched_noise(picture: Array, mask: Array, *, falloff: float, colour_variation: float) -> Array:
    """The picture with its masked part filled.

    picture: (height, width, 3), 0 to 1. mask: (height, width), 1 where nothing is known. falloff: the exponent of the
    picture's amplitudes, the lower, the finer the details. colour_variation: 0 grey noise, 1 three independent ones.
    -> (height, width, 3), 0 to 1.
    """
    unknown = mask[..., None]
    known = picture * (1 - unknown)
    top = known.max()
    # What is masked takes the average colour: the edge of a black area would be the picture's strongest feature.
    windowed = (known / top if top > 0 else known) + picture.mean() * unknown
    spectrum = _spectrum(windowed)
    amplitude = np.abs(spectrum)
    phase = np.divide(spectrum, amplitude, out=np.zeros_like(spectrum), where=amplitude > 0)
    noise = np.random.default_rng(SEED).random(picture.shape)
    noise = noise * colour_variation + noise.mean(axis=2, keepdims=True) * (1 - colour_variation)
    height, width = mask.shape
    soft = np.real(_signal(_spectrum(noise) * _window(height, width)[..., None]))
    shaped = np.real(_signal(phase * np.abs(_spectrum(soft)) ** 2 * amplitude**falloff))
    shaped -= shaped.min()
    shaped /= max(shaped.max(), np.finfo(float).tiny)
    filled, reference = mask > UNKNOWN, mask < KNOWN
    if reference.any():
        for channel in range(picture.shape[2]):
            levels = picture[..., channel][reference]
            shaped[..., channel][filled] = with_histogram(shaped[..., channel][filled], levels)
    return np.clip(picture * (1 - unknown) + shaped * unknown, 0, 1)


def with_histogram(values: Array, of: Array) -> Array:
    """The values moved, in their order, to the distribution of others. Both: (n,)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    levels, their_counts = np.unique(of, return_counts=True)
    share, their_share = np.cumsum(counts) / values.size, np.cumsum(their_counts) / of.size
    moved: Array = np.interp(share, their_share, levels)[place]
    return moved


def _spectrum(signal: Array) -> NDArray[np.complex128]:
    """(height, width, channels), its lowest frequency in the middle."""
    axes = (0, 1)
    found: NDArray[np.complex128] = np.fft.ifftshift(
        np.fft.fft2(np.fft.fftshift(signal, axes=axes), axes=axes, norm="ortho"), axes=axes
    )
    return found


def _signal(spectrum: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The inverse of `_spectrum`."""
    axes = (0, 1)
    found: NDArray[np.complex128] = np.fft.ifftshift(
        np.fft.ifft2(np.fft.fftshift(spectrum, axes=axes), axes=axes, norm="ortho"), axes=axes
    )
    return found


def _window(height: int, width: int) -> Array:
    """How much of each frequency the noise has: 1 in the middle, 1 / ((1 + x^2) (1 + y^2)) around it, where 1 is half
    the shorter side. (height, width)"""
    short = min(height, width)
    down = (np.arange(height) / height * 2 - 1) * (height / short)
    across = (np.arange(width) / width * 2 - 1) * (width / short)
    window: Array = 1 / np.outer(down**2 + 1, across**2 + 1)
    return window

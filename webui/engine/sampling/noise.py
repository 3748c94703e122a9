"""One generator of noise per picture, so that a picture does not depend on its neighbours in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from webui.engine.sampling.philox import Philox
from webui.engine.sampling.types import GeneratorKind

Shape = tuple[int, int, int]
"""(channels, height, width) of one picture's latent."""


class Generator(Protocol):
    """A stream of standard normal numbers."""

    def normal(self, shape: Sequence[int]) -> Tensor: ...


class TorchGenerator:
    """The stream of torch's own generator on the CPU, moved to the device: the same on every machine."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.stream = torch.Generator("cpu").manual_seed(seed)
        self.device = device

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(tuple(shape), generator=self.stream, dtype=torch.float32).to(self.device)


def generator(kind: GeneratorKind, seed: int, device: torch.device | str = "cpu") -> Generator:
    return Philox(seed, device) if kind == "NV" else TorchGenerator(seed, device)


class ImageNoise:
    """The noise of a batch: the first draw with variation, the next ones plain.

    seeds: one per picture. subseeds: the variations' seeds, missing ones count as 0; at strength 0 they are not used.
    resize_from: (height, width) in latent pixels of the picture whose composition is to be kept. ensd: added to the
    seeds for all draws after the first. All draws: (b, c, h, w), float32, on `device`.
    """

    def __init__(
        self,
        kind: GeneratorKind,
        seeds: Sequence[int],
        shape: Shape,
        *,
        subseeds: Sequence[int] = (),
        subseed_strength: float = 0.0,
        resize_from: tuple[int, int] | None = None,
        ensd: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.kind, self.seeds, self.shape, self.device = kind, tuple(seeds), shape, device
        self.subseeds, self.subseed_strength = tuple(subseeds), subseed_strength
        self.first_shape = (shape[0], *resize_from) if resize_from else shape
        self.ensd = ensd
        self.generators = [self._generator(seed) for seed in self.seeds]

    def first(self) -> Tensor:
        """The noise that the pictures begin with; call it once, before `next`."""
        first = torch.stack([self._first(i) for i in range(len(self.seeds))])
        if self.ensd:
            self.generators = [self._generator(seed + self.ensd) for seed in self.seeds]
        return first

    def next(self) -> Tensor:
        return torch.stack([stream.normal(self.shape) for stream in self.generators])

    def __call__(self, sigma: Tensor | float, to: Tensor | float) -> Tensor:  # noqa: ARG002 -- it is a `Noise`
        return self.next()

    def _generator(self, seed: int) -> Generator:
        return generator(self.kind, seed, self.device)

    def _first(self, i: int) -> Tensor:
        resized = self.first_shape != self.shape
        stream = self._generator(self.seeds[i]) if resized else self.generators[i]
        noise = stream.normal(self.first_shape)
        if self.subseed_strength:
            subseed = self.subseeds[i] if i < len(self.subseeds) else 0
            noise = slerp(self.subseed_strength, noise, self._generator(subseed).normal(self.first_shape))
        return pasted(self.generators[i].normal(self.shape), noise) if resized else noise


def slerp(share: float, low: Tensor, high: Tensor) -> Tensor:
    """Between two noises on the sphere, row by row. Shoemake 1985, doi:10.1145/325165.325242.  (c, h, w) each."""
    # A1111: the angle is that of columns of pixels (dim 1), not of the whole noise.
    dot = (low / low.norm(dim=1, keepdim=True) * (high / high.norm(dim=1, keepdim=True))).sum(1)
    if dot.mean() > 0.9995:
        return low * share + high * (1 - share)  # A1111: the ends are swapped here
    omega = torch.acos(dot)
    so = torch.sin(omega)
    return (torch.sin((1.0 - share) * omega) / so).unsqueeze(1) * low + (torch.sin(share * omega) / so).unsqueeze(
        1
    ) * high


def pasted(ground: Tensor, noise: Tensor) -> Tensor:
    """`noise` in the middle of `ground`, cut or leaving a border as their sizes differ.  (c, h, w) each."""
    places = []
    for size, own in zip(ground.shape[1:], noise.shape[1:], strict=True):
        margin = (size - own) // 2  # A1111: rounded down when negative too
        length = own if margin >= 0 else own + 2 * margin
        places.append(
            (slice(max(margin, 0), max(margin, 0) + length), slice(max(-margin, 0), max(-margin, 0) + length))
        )
    (to_y, from_y), (to_x, from_x) = places
    ground = ground.clone()
    ground[:, to_y, to_x] = noise[:, from_y, from_x]
    return ground

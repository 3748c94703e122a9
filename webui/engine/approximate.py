"""Approx NN: a handful of convolutions that make a small picture of latents, for previews.

Their files lie in `models/VAE-approx` under A1111's names, and hold `conv1.weight`, `conv1.bias`, `conv2.weight`, ...
of a network that sees the latents at twice their size, padded by zeros as far as its kernels reach together, and has a
leaky ReLU of slope 0.1 behind each convolution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad

from webui.engine.families.family import PictureMaker
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.memory import bytes_of
from webui.engine.residents import ResidentKind, Residents
from webui.engine.small_vae import ENDINGS, has_usual_latents
from webui.request.model_ref import ModelRef

FOLDERS = ("VAE-approx", "vae_approx")
STEMS: Mapping[str, str] = {"SD1": "model", "SD2": "model", "SDXL": "vaeapprox-sdxl", "SD3": "vaeapprox-sd3"}
"""Family -> the name of its file."""
SLOPE = 0.1
MOST_LAYERS, MOST_CHANNELS, LARGEST_KERNEL = 16, 512, 15
_NAME = re.compile(r"conv(\d{1,2})\.weight")


class Approximation(nn.Module):
    """Latents (b, c, h, w) -> pictures (b, 3, 2h, 2w) about -1..1."""

    def __init__(self, weights: list[Tensor], biases: list[Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(weight, requires_grad=False) for weight in weights)
        self.biases = nn.ParameterList(nn.Parameter(bias, requires_grad=False) for bias in biases)
        self._reach = sum(weight.shape[-1] // 2 for weight in weights)

    def forward(self, latents: Tensor) -> Tensor:
        x = pad(interpolate(latents.to(self.weights[0]), scale_factor=2.0), (self._reach,) * 4)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = leaky_relu(torch.conv2d(x, weight, bias), SLOPE)
        return x


def opened(path: Path) -> Approximation:
    """The network of a file.

    Raises:
        ModelError: it cannot be read, or is something else.
    """
    file = open_weights(path)
    layers = sorted((int(match[1]), name) for name in file.shapes if (match := _NAME.fullmatch(name)))
    _check(file, [file.shapes[name] for _, name in layers])
    weights = [file.tensor(name).float() for _, name in layers]
    biases = [file.tensor(name.replace(".weight", ".bias")).float() for _, name in layers]
    return Approximation(weights, biases).eval()


def _check(file: WeightsFile, shapes: list[tuple[int, ...]]) -> None:
    """Whether these are the layers of such a network. Raises ModelError."""
    fits = (
        0 < len(shapes) <= MOST_LAYERS
        and all(len(shape) == 4 and shape[2] == shape[3] for shape in shapes)
        and all(max(shape[:2]) <= MOST_CHANNELS and 1 <= shape[3] <= LARGEST_KERNEL for shape in shapes)
        and all(shape[3] % 2 for shape in shapes)
        and all(before[0] == after[1] for before, after in pairwise(shapes))
        and shapes[-1][0] == 3
        and all(file.shapes.get(f"conv{at}.bias") == (shape[0],) for at, shape in enumerate(shapes, 1))
    )
    if not fits:
        raise file.error("it is not a network for Approx NN", "Choose another live preview method, or replace it.")


KIND: ResidentKind[nn.Module] = ResidentKind(
    "preview network", open=lambda path, profile: opened(path).to(profile.device), size=bytes_of
)


@dataclass(frozen=True)
class Approximations:
    """The networks of an installation, opened when they are asked for."""

    models: Path | None = None
    """The folder of models; None: there are none."""
    residents: Residents | None = None

    @contextmanager
    def lent(self, model: PictureMaker) -> Iterator[nn.Module | None]:
        """That for a model, on the device; None where there is no file. Raises ModelError."""
        stem = STEMS.get(model.family.name.removesuffix(" refiner"), "") if has_usual_latents(model) else ""
        path = self._file(stem) if stem else None
        if path is None or self.residents is None:
            yield None
            return
        with self.residents.lend(KIND, ModelRef(str(path), path.stem)) as network:
            yield network

    def _file(self, stem: str) -> Path | None:
        if self.models is None:
            return None
        paths = (self.models / folder / f"{stem}{ending}" for folder in FOLDERS for ending in ENDINGS)
        return next((path for path in paths if path.is_file()), None)

"""Networks that make maps: built for the tensors of a file under its own names, filled, and lent like every other."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from webui.base.errors import WebuiError
from webui.engine.families import ldm
from webui.engine.families.weights import WeightsFile, broken, open_weights
from webui.engine.memory import Profile, is_out_of_memory
from webui.engine.preprocessors.picture import Bytes
from webui.engine.residents import ResidentKind

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours."""
WRAPPED = ("model.module.", "module.")
"""What training programs put before names."""
Build = Callable[[WeightsFile], nn.Module]
"""The network for the shapes of a file, unfilled, its parameters under the file's names. Raises KeyError, ValueError,
StopIteration, IndexError and others: it is none of the kind."""
Rename = Callable[[WeightsFile], WeightsFile]
"""The same file under the names of a network that others have written. Raises KeyError, ValueError: as `Build`."""


@dataclass(frozen=True, eq=False)
class MapNetwork:
    """A network in memory."""

    module: nn.Module
    device: torch.device
    dtype: torch.dtype
    unused: tuple[str, ...]
    """Names in its file that it has no use for."""
    path: Path

    def __call__(self, planes: Tensor) -> Tensor:
        """(1, channels, height, width) -> what the network gives, float32, on the CPU.

        Raises:
            ModelError: the file's layers do not fit behind each other.
        """
        try:
            with torch.inference_mode():
                found: Tensor = self.module(planes.to(self.device, self.dtype))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            cause = str(error).splitlines()[0][:150]
            raise broken(self.path, f"its layers do not fit together ({cause})", "Download it again.") from error
        return found.float().cpu()


class BatchNorm(nn.Module):
    """As it is after training: without the count of batches, which not all files have."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.epsilon)


def network_kind(
    name: str, build: Build, *, exact: bool = False, renamed: Rename | None = None
) -> ResidentKind[MapNetwork]:
    """exact: its numbers become too large for half precision."""

    def placed(path: Path, profile: Profile) -> MapNetwork:
        halved = profile.device.type == "cuda" and not exact
        return opened(path, build, name, profile.device, profile.half if halved else torch.float32, renamed)

    return ResidentKind(name, open=placed, size=lambda network: ldm.parameter_bytes(network.module))


def opened(
    path: Path, build: Build, name: str, device: torch.device, dtype: torch.dtype, renamed: Rename | None = None
) -> MapNetwork:
    """
    Raises:
        ModelError: it is of another kind, or damaged.
    """
    file = open_weights(path)
    full = {_bare(name): name for name in file.shapes}
    own = {bare: file.shapes[name] for bare, name in full.items()}
    given = WeightsFile(file.path, own, {}, lambda name: file.tensor(full[name]))
    try:
        seen = renamed(given) if renamed is not None else given
        with ldm.unfilled():
            module = build(seen)
    except (WebuiError, MemoryError):
        raise
    except Exception as error:  # sizes that say nonsense, and nobody knows all the ways to
        raise file.error(
            f"it is no {name} (no {error})" if str(error) else f"it is no {name}",
            "If it is another kind of model, move it away.",
        ) from error
    names = {name: name for name in seen.shapes}
    ldm.check_complete(module, names, seen, name)
    ldm.fill(module, names, seen, device, dtype)
    parts = module.state_dict()
    unused = tuple(each for each in names if each not in parts and not each.endswith("num_batches_tracked"))
    return MapNetwork(module, device, dtype, unused, file.path)


def _bare(name: str) -> str:
    for wrapping in WRAPPED:
        if name.startswith(wrapping):
            return name.removeprefix(wrapping)
    return name


# ---------------------------------------------------------------- pictures and planes


def planes_of(picture: Bytes, scale: float = 1 / 255) -> Tensor:
    """(h, w, 3) -> (1, 3, h, w), times `scale`."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float()[None] * scale


def normal_planes_of(picture: Bytes) -> Tensor:
    """(h, w, 3) -> (1, 3, h, w), as networks trained on ImageNet want it."""
    return (planes_of(picture) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


def map_of(found: NDArray[np.floating]) -> Bytes:
    """From 0..1."""
    return (np.asarray(found, np.float32) * 255.0).clip(0, 255).astype(np.uint8)


def spread(found: NDArray[np.float32]) -> Bytes:
    """(h, w) of any range: its least is black, its greatest white; all black where there is but one."""
    low, high = float(found.min()), float(found.max())
    return map_of((found - low) / max(high - low, 1e-12)) if high > low else np.zeros(found.shape, np.uint8)


def count_of(file: WeightsFile, pattern: str) -> int:
    """One more than the largest number that names have there.

    Raises:
        ValueError: none has, or there are not so many tensors.
    """
    found = (re.match(pattern, name) for name in file.shapes)
    count = 1 + max(int(match[1][:9]) for match in found if match)
    if count > len(file.shapes):
        raise ValueError(f"{count} layers")
    return count

"""How near what a picture shows is: a depth network of transformers, in a folder beside the checkpoints.

Ranftl et al. 2021, arXiv:2103.13413. SD2's depth checkpoint is shown its map beside the latents.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import interpolate

from webui.base.errors import ModelError

MEAN = STD = (0.5, 0.5, 0.5)
"""Of pixels in 0..1, where the folder says nothing."""
SIDE = 384
"""Of the picture that the network sees, where its configuration says nothing."""


class DepthNetwork:
    """Read when it is asked for the first time; it computes on the CPU, once a picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, pixels: Tensor) -> Tensor:
        """(b, 3, h, w) in -1..1 -> (b, 1, h', w'), larger where it is nearer. Raises ModelError."""
        network = self._network
        said = self._said("preprocessor_config.json")
        mean, std = (torch.tensor(said.get(key, usual)) for key, usual in (("image_mean", MEAN), ("image_std", STD)))
        config: object = network.config
        side = getattr(config, "image_size", None)
        side = side if isinstance(side, int) else SIDE
        seen = interpolate(pixels.float().cpu(), size=(side, side), mode="bicubic").clamp(-1, 1)
        seen = ((seen + 1) / 2 - mean[:, None, None]) / std[:, None, None]
        found: Tensor = network(pixel_values=seen).predicted_depth
        return found[:, None].to(pixels.device)

    @cached_property
    def _network(self) -> nn.Module:
        from transformers import AutoModelForDepthEstimation  # imports all models of transformers

        try:
            network: nn.Module = AutoModelForDepthEstimation.from_pretrained(
                str(self.folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise ModelError(f"The depth network {self.folder.name} cannot be loaded: {cause}") from error
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.data = tensor.data.clone()  # never the mapped file itself
        return network.requires_grad_(False).eval()

    def _said(self, name: str) -> dict[str, object]:
        try:
            found = json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def between(depth: Tensor, size: tuple[int, ...]) -> Tensor:
    """(b, 1, h', w') -> (b, 1, *size) in -1..1, each picture's farthest at -1 and its nearest at 1."""
    small = interpolate(depth, size=size, mode="bicubic")
    low, high = (bound(small, dim=(1, 2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
    return 2 * (small - low) / (high - low).clamp_min(1e-6) - 1

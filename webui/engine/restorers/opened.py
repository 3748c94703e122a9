"""Files of face restorers: of which network they are, and whether they are all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from webui.base.errors import ModelError
from webui.engine.families.tried import filled
from webui.engine.families.weights import reading
from webui.engine.families.wrapped import bare_tensors
from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind
from webui.engine.restorers import gfpgan
from webui.engine.restorers.codeformer import CodeFormer, codeformer_of
from webui.engine.restorers.gfpgan import Gfpgan, gfpgan_of
from webui.engine.restorers.restoreformer import RestoreFormer, own_names, restoreformer_of

SIDES = range(64, 2049)
"""Pixels that a face may have for a network."""
LIKES_PICTURE = 0.5
"""How much CodeFormer keeps to the picture, unless somebody says otherwise."""


@dataclass(frozen=True, eq=False)
class FaceRestorer:
    """A network that makes faces whole."""

    network: nn.Module
    """(b, 3, side, side) in -1..1, RGB, and how much it keeps to the picture (0 to 1) -> the same"""
    side: int
    weighed: bool = False
    """Whether the network listens to how much it keeps to the picture."""


def opened(path: Path, profile: Profile) -> FaceRestorer:
    """The network in a file, in 32 bits: halves are too few for its generator.

    Raises:
        ModelError: the file is broken, unsafe, or of another kind.
    """
    with reading(path):
        state = own_names(bare_tensors(path))
        state = {name: tensor for name, tensor in state.items() if not name.startswith(gfpgan.UNUSED)}
        found = (
            filled(gfpgan_of, state, _works)
            or filled(codeformer_of, state, _works)
            or filled(restoreformer_of, state, _works)
        )
        if found is not None:
            placed = found.eval().requires_grad_(False).to(profile.device, torch.float32)
            return FaceRestorer(placed, found.side, isinstance(found, CodeFormer))
        old = any(name.endswith(".kernel") or ".conv1.0." in name for name in state)
        raise ModelError(
            f"{path.name} is of no kind of face restorer that is known.",
            hint="GFPGAN's first version is not supported; use GFPGANv1.4.pth."
            if old
            else "GFPGAN 1.2 to 1.4, CodeFormer and RestoreFormer can be opened.",
        )


def _works(network: Gfpgan | CodeFormer | RestoreFormer) -> bool:
    if network.side not in SIDES:
        return False
    face = torch.empty(1, 3, network.side, network.side)
    return bool(network(face, LIKES_PICTURE).shape == face.shape)


RESTORER = ResidentKind("face restorer", open=opened, size=lambda restorer: bytes_of(restorer.network))

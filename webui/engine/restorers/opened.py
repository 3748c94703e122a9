"""Files of face restorers: of which network they are, and whether they are all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from webui.base.errors import ModelError
from webui.engine.families.weights import reading
from webui.engine.families.wrapped import bare_tensors
from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind
from webui.engine.restorers import gfpgan
from webui.engine.restorers.codeformer import CodeFormer, codeformer_of
from webui.engine.restorers.gfpgan import gfpgan_of
from webui.engine.restorers.restoreformer import own_names, restoreformer_of

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
        for kind in (gfpgan_of, codeformer_of, restoreformer_of):
            found = _filled(kind, state)
            if found is not None:
                network, side = found
                placed = network.eval().requires_grad_(False).to(profile.device, torch.float32)
                return FaceRestorer(placed, side, isinstance(network, CodeFormer))
        old = any(name.endswith(".kernel") or ".conv1.0." in name for name in state)
        raise ModelError(
            f"{path.name} is of no kind of face restorer that is known.",
            hint="GFPGAN's first version is not supported; use GFPGANv1.4.pth."
            if old
            else "GFPGAN 1.2 to 1.4, CodeFormer and RestoreFormer can be opened.",
        )


def _filled(
    kind: Callable[[Mapping[str, Tensor]], nn.Module | None], state: Mapping[str, Tensor]
) -> tuple[nn.Module, int] | None:
    """The network with its weights, and its side; None where names or shapes are not the network's.

    It is made, and tried, without numbers first: what a file says of itself takes no memory.
    """
    with torch.device("meta"):
        network = kind(state)
        if network is None:
            return None
        side = int(getattr(network, "side", 0))
        wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
        if side not in SIDES or any(name not in state or state[name].shape != wanted[name] for name in wanted):
            return None
        try:
            given = torch.empty(1, 3, side, side)
            if network(given, LIKES_PICTURE).shape != given.shape:
                return None
        except (RuntimeError, IndexError):
            return None
    network.load_state_dict({name: state[name] for name in wanted}, assign=True)
    return network, side


RESTORER = ResidentKind("face restorer", open=opened, size=lambda restorer: bytes_of(restorer.network))

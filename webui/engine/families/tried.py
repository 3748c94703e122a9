"""Networks that are made as the shapes of a file's tensors say, and tried before they are filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


def filled(
    kind: Callable[[Mapping[str, Tensor]], N | None], state: Mapping[str, Tensor], works: Callable[[N], bool]
) -> N | None:
    """The network with its weights; None where names or shapes are not the network's, or it does not work.

    It is made, and tried, without numbers first: what a file says of itself takes no memory. Tensors that the network
    has no place for are left out.

    works: calls it with something of the right shape; a RuntimeError or an IndexError says no, too.
    """
    with torch.device("meta"):
        network = kind(state)
        if network is None:
            return None
        wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
        if any(name not in state or state[name].shape != shape for name, shape in wanted.items()):
            return None
        try:
            if not works(network):
                return None
        except (RuntimeError, IndexError):
            return None
    network.load_state_dict({name: state[name] for name in wanted}, assign=True)
    return network

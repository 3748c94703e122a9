"""Where the parts of a model are: all on the device, only the one in use, or the network's blocks or layers in turn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers.hooks import HookRegistry, apply_group_offloading
from torch import nn

from webui.engine.families.family import Placement

IN_TURN = {"low": "block_level", "leaf": "leaf_level"}
"""Kinds of offloading in which the network comes piece by piece, by diffusers' names."""
_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")
_MARK = "gesso_offload"


class Staging:
    """Brings the part in use to the device. With nothing to save, everything lies there and this does nothing."""

    def __init__(self, parts: Mapping[str, nn.Module], placement: Placement) -> None:
        self.device = placement.device
        self.parts = dict(parts)
        self.offload = "none"
        self.arrange(placement.offload)

    def arrange(self, offload: str) -> None:
        """From now on the parts wait so: "none", "medium", "low" or "leaf"."""
        network = self.parts.get("unet")
        self.offload = offload
        if network is not None and offload_of(network) != (offload if offload in IN_TURN else ""):
            _remove(network)
            if offload in IN_TURN:
                _apply(network, offload, self.device)
        if offload == "none":
            self._bring(*self.parts)

    def use(self, *names: str) -> None:
        """The parts are on the device afterwards; with turns, the others are not."""
        if self.offload == "none":
            return
        for other, module in self.parts.items():
            if other not in names and _is_on(module, self.device) and not offload_of(module):
                module.to("cpu")
        self._bring(*names)

    def _bring(self, *names: str) -> None:
        for name in names:
            if name in self.parts and not offload_of(self.parts[name]):
                self.parts[name].to(self.device)


def offload_of(module: nn.Module) -> str:
    """ "low" or "leaf" where the module's pieces come in turn, else ""."""
    return str(getattr(module, _MARK, ""))


def _apply(network: nn.Module, offload: str, device: torch.device) -> None:
    """The pieces come to the device one by one; where it has streams, the next one while one computes."""
    network.to("cpu")
    apply_group_offloading(
        network,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type=IN_TURN[offload],
        num_blocks_per_group=1,
        use_stream=device.type in ("cuda", "xpu"),
    )
    setattr(network, _MARK, offload)


def _remove(network: nn.Module) -> None:
    """The network is whole again, in the host's memory."""
    registry = HookRegistry.check_if_exists_or_initialize(network)
    for name in _HOOKS:
        registry.remove_hook(name, recurse=True)
    network.to("cpu")
    setattr(network, _MARK, "")


def _is_on(module: nn.Module, device: torch.device) -> bool:
    parameter = next(module.parameters(), None)
    return parameter is not None and parameter.device.type == device.type

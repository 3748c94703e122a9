"""Where the parts of a model are: all on the device, or only the one in use (`--medvram`, `--lowvram`)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from webui.engine.families.family import Placement


class Staging:
    """Brings the part in use to the device. With nothing to save, everything lies there and this does nothing."""

    def __init__(self, parts: Mapping[str, nn.Module], placement: Placement) -> None:
        self.device = placement.device
        self.parts = dict(parts)
        self.takes_turns = placement.offload != "none"
        if placement.offload == "low":
            self._offload_by_leaf(self.parts.pop("unet"))

    def _offload_by_leaf(self, unet: nn.Module) -> None:
        """The UNet's layers come one by one, the next while one computes."""
        unet.enable_group_offload(  # type: ignore[operator]
            onload_device=self.device, offload_device=torch.device("cpu"), offload_type="leaf_level", use_stream=True
        )

    def use(self, *names: str) -> None:
        """The parts are on the device afterwards; with turns, the others are not."""
        if not self.takes_turns:
            return
        for other, module in self.parts.items():
            if other not in names and _is_on(module, self.device):
                module.to("cpu")
        for name in names:
            if name in self.parts:
                self.parts[name].to(self.device)


def _is_on(module: nn.Module, device: torch.device) -> bool:
    parameter = next(module.parameters(), None)
    return parameter is not None and parameter.device.type == device.type

"""Weights kept in 8 bits, and widened layer by layer while they compute: half the memory, a little less exact.

Micikevicius et al. 2022, arXiv:2209.05433: the format E4M3. Unlike diffusers' layerwise casting the stored weights are
kept as they are, not cast back after each call, so that networks merged into them can be taken off bit for bit.
"""

from __future__ import annotations

import torch
from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor, nn

NARROW = torch.float8_e4m3fn
_NAME = "gesso_storage"


class _Widened(ModelHook):
    """A layer whose weight and bias are stored but while it computes."""

    def __init__(self, wide: torch.dtype, *, exact: bool) -> None:
        super().__init__()
        self.wide, self.keeps_exact = wide, exact
        self.exact: dict[str, Tensor] = {}
        self.stored: list[tuple[nn.Parameter, Tensor]] = []

    def initialize_hook(self, module: nn.Module) -> nn.Module:
        for name, parameter in module.named_parameters(recurse=False):
            if self.keeps_exact:
                self.exact[name] = parameter.detach().to("cpu", copy=True)
            parameter.data = parameter.data.to(NARROW)
        return module

    def pre_forward(
        self, module: nn.Module, *args: object, **kwargs: object
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        self._put_back()  # a call that failed has left them wide
        self.stored = [(parameter, parameter.data) for parameter in module.parameters(recurse=False)]
        for parameter, stored in self.stored:
            parameter.data = stored.to(self.wide)
        return args, kwargs

    def post_forward(self, module: nn.Module, output: object) -> object:  # noqa: ARG002
        self._put_back()
        return output

    def _put_back(self) -> None:
        for parameter, stored in self.stored:
            parameter.data = stored
        self.stored = []


def stored_in_fp8(network: nn.Module, wide: torch.dtype, *, exact: bool = False) -> None:
    """Keep the weights of the network's blocks in 8 bits from now on; norms and what stands outside blocks stay as
    they are, as few numbers hang on much there.

    wide: in what the layers compute. exact: keep the weights as they were in the host's memory, for `exact_weights`.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and "block" in name and "norm" not in name:
            registry = HookRegistry.check_if_exists_or_initialize(layer)
            if registry.get_hook(_NAME) is None:
                registry.register_hook(_Widened(wide, exact=exact), _NAME)


def exact_weights(layer: nn.Module) -> dict[str, Tensor]:
    """The weights of such a layer before they were; {} where they were not kept."""
    registry = getattr(layer, "_diffusers_hook", None)
    hook = registry.get_hook(_NAME) if registry is not None else None
    return dict(hook.exact) if isinstance(hook, _Widened) else {}

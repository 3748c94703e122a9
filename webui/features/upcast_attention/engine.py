"""Attention in 32 bits, whatever the precision of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from webui.engine.batch import Loaded
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.upcast_attention.parameters import Params


class InFullPrecision(TorchFunctionMode):
    """While it is on, torch's attention computes in 32 bits, and answers in the precision that it was asked in."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is not scaled_dot_product_attention:
            return func(*args, **kwargs)
        asked = args[0] if args else kwargs["query"]
        answer: Tensor = func(*map(_full, args), **{name: _full(value) for name, value in kwargs.items()})
        return answer.to(asked.dtype)


def _full(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


@contextmanager
def upcast(network: nn.Module) -> Iterator[None]:
    """Within the block this network's attention computes in 32 bits, also where it is computed piece by piece;
    afterwards all is as before. Compiled blocks run as they are written."""
    pieces: list[Any] = [layer for layer in network.modules() if isinstance(layer, Attention)]
    before = [layer.upcast_attention for layer in pieces]
    with ExitStack() as patches:
        patches.enter_context(torch.compiler.set_stance("force_eager"))
        patches.enter_context(InFullPrecision())
        try:
            for layer in pieces:
                layer.upcast_attention = True
            yield
        finally:
            for layer, was in zip(pieces, before, strict=True):
                layer.upcast_attention = was


class Upcast(PassFeature):
    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        return nullcontext() if unet is None else upcast(unet)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        return Upcast()

"""Self-attention that sees no structure, for perturbed-attention guidance. Ahn et al. 2024, arXiv:2403.17377."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from webui.base.errors import UserError


@contextmanager
def without_structure(unet: nn.Module) -> Iterator[None]:
    """Within the block self-attention in the UNet's middle has the identity for its map: each token sees itself.

    Raises UserError: the middle has no attention, or there is none.

    The middle block is the paper's choice for Stable Diffusion (section 5). Compiled blocks run as they are written.
    """
    middle = dict(unet.named_children()).get("mid_block", nn.Module())
    found = [block.attn1 for block in middle.modules() if isinstance(block, BasicTransformerBlock) and block.attn1]
    if not found:
        raise UserError(
            "Perturbed-attention guidance changes the attention in the middle of a UNet, and this checkpoint has none.",
            hint="Switch it off (pag_scale 0).",
            field="pag_scale",
        )
    with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
        for attention in found:
            hooks.callback(attention.register_forward_hook(_own_value).remove)
        yield


def _own_value(attention: nn.Module, args: tuple[Any, ...], _output: Tensor) -> Tensor:
    """What an identity map gives: the values, through the last layers."""
    answer: Tensor = attention.get_submodule("to_v")(args[0])
    for layer in attention.get_submodule("to_out").children():
        answer = layer(answer)
    return answer

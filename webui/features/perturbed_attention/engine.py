"""Perturbed-attention guidance: away from what the network says when its self-attention sees no structure.

Ahn et al. 2024, arXiv:2403.17377.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from webui.base.errors import UserError
from webui.engine.denoisers import Change, Prediction
from webui.engine.families.family import PictureMaker
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.perturbed_attention.parameters import Params


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
            hint="Turn it off (set pag_scale to 0).",
            field="pag_scale",
        )
    with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
        for attention in found:
            hooks.callback(attention.register_forward_hook(_own_value).remove)
        yield


def _own_value(attention: nn.Module, args: tuple[object, ...], _output: Tensor) -> Tensor:
    """What an identity map gives: the values, through the last layers."""
    answer: Tensor = attention.get_submodule("to_v")(args[0])
    for layer in attention.get_submodule("to_out").children():
        answer = layer(answer)
    return answer


def perturbed(ask: Callable[[Prediction], Tensor], scale: float) -> Change:
    """Eq. 16. ask: the perturbed prediction for the prompt, one more call of the network."""
    return lambda prediction: prediction.x0 + scale * (prediction.conditional - ask(prediction))


@contextmanager
def _perturbed_model(model: PictureMaker) -> Iterator[None]:
    """Raises UserError where the network is no UNet."""
    unet = model.parts.get("unet")
    if unet is None:
        raise UserError(
            f"Perturbed-attention guidance needs a UNet, and {model.family.name} has none.",
            hint="Set Perturbed attention to 0.",
            field="pag_scale",
        )
    with without_structure(unet):
        yield


class Perturbing(PassFeature):
    def __init__(self, scale: float) -> None:
        self._change = perturbed(lambda prediction: prediction.again(_perturbed_model), scale)

    def guide(self, prediction: Prediction) -> Tensor:
        return self._change(prediction)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        return Perturbing(self.params.scale) if context.guidance.scale else None

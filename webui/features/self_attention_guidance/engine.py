"""Self-attention guidance. Hong et al. 2022, arXiv:2210.00939, algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from webui.engine.batch import Loaded
from webui.engine.denoisers import Ask, Call, Prediction
from webui.engine.families.family import PictureMaker
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.sampling.process import Process, append_dims
from webui.features.self_attention_guidance.parameters import Params


class Attended:
    """How much each token of the middle block is looked at, of the rows of the last call."""

    def __init__(self) -> None:
        self.rows: Tensor | None = None
        """(rows, tokens): the mean over heads, summed over those that look."""
        self.records = False

    def heard(self, attention: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        if not self.records:
            return
        x = args[0]
        heads = int(attention.heads)  # type: ignore[arg-type]
        q, k = (attention.get_submodule(name)(x) for name in ("to_q", "to_k"))
        q, k = (each.unflatten(-1, (heads, -1)).transpose(1, 2).float() for each in (q, k))
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        self.rows = scores.softmax(dim=-1).mean(dim=1).sum(dim=1)


@contextmanager
def watched(unet: nn.Module, looks: Attended) -> Iterator[None]:
    """Within the block the first self-attention of the UNet's middle tells what it looks at."""
    middle = dict(unet.named_children()).get("mid_block", nn.Module())
    found = [block.attn1 for block in middle.modules() if isinstance(block, BasicTransformerBlock) and block.attn1]
    with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
        for attention in found[:1]:
            hooks.callback(attention.register_forward_hook(looks.heard).remove)
        yield


def mask_of(looks: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """1 where a token is looked at more than `threshold` times the average: (rows, tokens) -> (rows, 1, h, w)."""
    count, (height, width) = looks.shape[-1], size
    down = max(round(math.sqrt(height * width / count)), 1)
    rows, columns = math.ceil(height / down), math.ceil(width / down)
    if rows * columns != count:  # an odd size that was halved some other way
        return torch.zeros(len(looks), 1, height, width, device=looks.device)
    small = (looks > threshold).float().reshape(-1, 1, rows, columns)
    return interpolate(small, size=(height, width), mode="nearest")


def blurred(x: Tensor, sigma: float) -> Tensor:
    """(b, c, h, w) under a Gaussian of 9 x 9 at most; the edges are mirrored."""
    reach = min(4, x.shape[-2] - 1, x.shape[-1] - 1)
    if sigma <= 0 or reach < 1:
        return x
    along = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32)
    bell = torch.exp(-0.5 * (along / sigma) ** 2)
    kernel = torch.outer(bell / bell.sum(), bell / bell.sum()).to(x.dtype)
    channels = x.shape[1]
    return conv2d(pad(x, (reach,) * 4, mode="reflect"), kernel.expand(channels, 1, -1, -1), groups=channels)


def degraded(prediction: Prediction, mask: Tensor, sigma: float, process: Process) -> tuple[Tensor, Tensor]:
    """(the predicted picture, blurred within the mask; x that shows it under the noise that x has)."""
    alpha = process.alpha(append_dims(prediction.sigma, prediction.x))
    seen = prediction.unconditional
    blurry = seen * (1 - mask) + blurred(seen, sigma) * mask
    return blurry, prediction.x + alpha * (blurry - seen)


class Blurring(PassFeature):
    def __init__(self, params: Params, context: PassContext) -> None:
        self.params, self.process, self.remark = params, context.process, context.services.watch.remark
        self.looks = Attended()
        self.unconditional: Tensor | None = None

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        return nullcontext() if unet is None else watched(unet, self.looks)

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            if call.windows:  # what a part looks at most says nothing of the whole
                self.remark(f"{self.params.title} did nothing: it looks at whole pictures, and this one was tiled.")
                return ask(call)
            negative = [place for place, row in enumerate(call.rows) if row.side == "negative"]
            self.looks.records = bool(negative)
            answer = ask(call)
            if negative and self.looks.rows is not None:
                self.unconditional = self.looks.rows[negative]
            return answer

        return asked

    def guide(self, prediction: Prediction) -> Tensor:
        """Eq. 16, in pictures instead of noise: x0 + scale (what was blurred - what the network makes of that)."""
        looks, self.unconditional = self.unconditional, None
        if looks is None or len(looks) != len(prediction.x):
            return prediction.x0
        height, width = prediction.x.shape[-2:]
        mask = mask_of(looks, (height, width), self.params.threshold).to(prediction.x.dtype)
        blurry, x = degraded(prediction, mask, self.params.blur_sigma, self.process)
        worse = prediction.again(_as_it_is, x=x, side="negative")
        self.unconditional = None
        return prediction.x0 + self.params.scale * (blurry - worse)


def _as_it_is(_model: PictureMaker) -> AbstractContextManager[None]:
    return nullcontext()


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        if context.guidance.scale in (0.0, 1.0) or not self.params.scale:
            return None
        return Blurring(self.params, context)

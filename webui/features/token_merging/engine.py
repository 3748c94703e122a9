"""Token merging: like tokens of self-attention are averaged, for speed. Bolya and Hoffman 2023, arXiv:2303.17604.

As A1111 has it: in the attention of the highest resolution alone, one target per 2 x 2 tokens, nothing random.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from webui.engine.batch import Loaded
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.token_merging.parameters import Params

STRIDE = 2
"""Of every STRIDE x STRIDE tokens the first is a target that others may be merged into."""


class TokenMerge:
    """Which tokens of x (b, h * w, c) become one: the `share` of all that is most like some target."""

    def __init__(self, x: Tensor, height: int, width: int, share: float) -> None:
        count = height * width
        grid = torch.arange(count, device=x.device).reshape(height, width)
        is_target = torch.zeros(height, width, dtype=torch.bool, device=x.device)
        is_target[: height // STRIDE * STRIDE : STRIDE, : width // STRIDE * STRIDE : STRIDE] = True
        self.targets, self.sources = grid[is_target], grid[~is_target]
        unit = x / x.norm(dim=-1, keepdim=True)
        likeness, nearest = (unit[:, self.sources] @ unit[:, self.targets].transpose(1, 2)).max(dim=-1)
        order = likeness.argsort(dim=-1, descending=True)
        merged = min(int(count * share), len(self.sources))
        self.merged, self.kept = order[:, :merged], order[:, merged:]
        self.into = nearest.gather(1, self.merged)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h * w, c) -> (b, fewer, c): the kept sources, then the targets with what was merged into them."""
        sources, targets = x[:, self.sources], x[:, self.targets]
        joined = targets.scatter_reduce(1, _wide(self.into, x), _rows(sources, self.merged), reduce="mean")
        return torch.cat([_rows(sources, self.kept), joined], dim=1)

    def undone(self, x: Tensor) -> Tensor:
        """(b, fewer, c) -> (b, h * w, c): every merged token gets its target's value."""
        kept, targets = x[:, : self.kept.shape[1]], x[:, self.kept.shape[1] :]
        whole = x.new_empty(x.shape[0], len(self.targets) + len(self.sources), x.shape[2])
        whole[:, self.targets] = targets
        whole.scatter_(1, _wide(self.sources[self.kept], x), kept)
        whole.scatter_(1, _wide(self.sources[self.merged], x), _rows(targets, self.into))
        return whole


def _wide(index: Tensor, like: Tensor) -> Tensor:
    return index[..., None].expand(-1, -1, like.shape[-1])


def _rows(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, _wide(index, x))


class _Block:
    """Bends one transformer block: merges before its self-attention, unmerges after."""

    def __init__(self, block: BasicTransformerBlock, share: float, size: list[int]) -> None:
        self.share, self.size = share, size
        self.inputs: Tensor | None = None
        self.merge: TokenMerge | None = None
        self.handles = [
            block.register_forward_pre_hook(self._before_block),
            block.attn1.register_forward_pre_hook(self._before_attention, with_kwargs=True),
            block.attn1.register_forward_hook(self._after_attention),
        ]

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _before_block(self, _module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.inputs = args[0]

    def _before_attention(
        self, _module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[Tensor, ...], dict[str, object]] | None:
        inputs, self.inputs, self.merge = self.inputs, None, None
        height, width = self.size
        if inputs is None or inputs.shape[1] != height * width:
            return None
        self.merge = TokenMerge(inputs, height, width, self.share)
        return (self.merge(args[0]), *args[1:]), kwargs

    def _after_attention(self, _module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output if self.merge is None else self.merge.undone(output)


@contextmanager
def merging(unet: nn.Module, share: float) -> Iterator[None]:
    """Within the block this share of the UNet's tokens is merged; afterwards all is as before. 0 does nothing."""
    with ExitStack() as patches:
        if share > 0:
            size = [0, 0]

            def note_size(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
                size[:] = args[0].shape[-2:]

            patches.callback(unet.register_forward_pre_hook(note_size).remove)
            for block in unet.modules():
                if isinstance(block, BasicTransformerBlock):
                    patches.callback(_Block(block, share, size).remove)
        yield


class Merging(PassFeature):
    """A pass in which this share of tokens is merged."""

    def __init__(self, share: float) -> None:
        self.share = share

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        return nullcontext() if unet is None else merging(unet, self.share)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        share = self.params.hires_share if context.this.phase == "hires" else self.params.share
        return Merging(share) if share > 0 else None

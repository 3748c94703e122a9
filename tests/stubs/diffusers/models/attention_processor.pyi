from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

class AttnProcessor2_0:
    def __call__(self, attn: Attention, hidden_states: Tensor, *given: Any, **named: Any) -> Tensor: ...

class Attention(nn.Module):
    heads: int
    inner_dim: int
    is_cross_attention: bool
    fused_projections: bool
    scale: float
    to_q: nn.Linear
    to_k: nn.Linear
    to_v: nn.Linear
    to_out: tuple[nn.Linear, nn.Dropout]
    group_norm: nn.GroupNorm | None
    spatial_norm: nn.Module | None
    norm_q: nn.Module | None
    norm_k: nn.Module | None
    norm_cross: nn.Module | None
    residual_connection: bool
    rescale_output_factor: float
    processor: Callable[..., Tensor]
    def set_processor(self, processor: object) -> None: ...
    def fuse_projections(self, fuse: bool = True) -> None: ...
    def prepare_attention_mask(self, *given: Any) -> Tensor | None: ...
    def head_to_batch_dim(self, tensor: Tensor) -> Tensor: ...
    def batch_to_head_dim(self, tensor: Tensor) -> Tensor: ...
    def get_attention_scores(self, query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor: ...

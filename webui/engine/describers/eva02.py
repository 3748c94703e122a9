"""EVA-02 (Fang et al. 2023, arXiv:2303.11331) under timm's names: a transformer whose queries and keys are turned by
where their patches lie (RoFormer, arXiv:2104.09864, along both sides), with gates in its layers (arXiv:2002.05202)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from webui.engine.describers.timm_config import HEAD_WIDTH, TimmConfig, count
from webui.engine.families.weights import WeightsFile

EPSILON = 1e-6
SLOWEST = 10_000.0
"""The longest wave length, over 2 pi, in patches."""


def turns(side: int, places: int, width: int) -> tuple[Tensor, Tensor]:
    """The sine and the cosine of the angle by which each pair of a head's numbers is turned, (side^2, width) each, the
    first half of them by the row and the second by the column.

    places: how many patches there were in the first training: others lie between those.
    """
    bands = SLOWEST ** -(torch.arange(width // 4, dtype=torch.float32) / (width // 4))
    angles = torch.arange(side, dtype=torch.float32)[:, None] * places / side * bands
    rows = angles[:, None].expand(-1, side, -1)
    both = torch.cat((rows, rows.transpose(0, 1)), -1).flatten(0, 1).repeat_interleave(2, -1)
    return both.sin(), both.cos()


def turned(x: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
    """x: (..., n, width), each two neighbouring numbers a point in the plane."""
    first, second = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    across = torch.stack((-second, first), -1).flatten(-2)
    return (x.float() * cosine + across * sine).to(x.dtype)


class EvaAttention(nn.Module):
    def __init__(self, width: int, *, is_normed: bool) -> None:
        super().__init__()
        self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, EPSILON) if is_normed else nn.Identity()
        self.proj = nn.Linear(width, width)
        self.heads = max(width // HEAD_WIDTH, 1)

    def forward(self, x: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
        """x: (b, n, width); sine and cosine of the last patches of them: tokens before have no place."""
        q, k, v = (
            each(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for each in (self.q_proj, self.k_proj, self.v_proj)
        )
        begins = x.shape[1] - len(sine)
        q, k = (torch.cat((each[:, :, :begins], turned(each[:, :, begins:], sine, cosine)), 2) for each in (q, k))
        seen = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.proj(self.norm(seen))
        return out


class Gated(nn.Module):
    """Two layers, of which the first lets through as much as another one beside it says."""

    def __init__(self, width: int, inner: int, *, is_normed: bool) -> None:
        super().__init__()
        self.fc1_g, self.fc1_x = nn.Linear(width, inner), nn.Linear(width, inner)
        self.norm = nn.LayerNorm(inner, EPSILON) if is_normed else nn.Identity()
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, n, width) -> the same."""
        out: Tensor = self.fc2(self.norm(silu(self.fc1_g(x)) * self.fc1_x(x)))
        return out


class EvaBlock(nn.Module):
    """Attention and the gated layers, each beside what it was given."""

    def __init__(self, file: WeightsFile, number: int) -> None:
        super().__init__()
        shapes, at = file.shapes, f"blocks.{number}"
        inner, width = shapes[f"{at}.mlp.fc1_g.weight"]
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.attn = EvaAttention(width, is_normed=f"{at}.attn.norm.weight" in shapes)
        self.mlp = Gated(width, inner, is_normed=f"{at}.mlp.norm.weight" in shapes)

    def forward(self, x: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
        """x: (b, n, width) -> the same."""
        x = x + self.attn(self.norm1(x), sine, cosine)
        inner: Tensor = self.mlp(self.norm2(x))
        return x + inner


class Eva02(nn.Module):
    """The network: the mean of what it says of all patches, or what it says in its own token, gives the scores."""

    def __init__(self, file: WeightsFile, config: TimmConfig) -> None:
        """
        Raises:
            KeyError, ValueError: these are not the tensors of one.
        """
        super().__init__()
        shapes = file.shapes
        width, channels, patch, _ = shapes["patch_embed.proj.weight"]
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(channels, width, patch, patch)})
        self.has_token = "cls_token" in shapes
        if self.has_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(shapes["pos_embed"]))
        self.blocks = nn.ModuleList(EvaBlock(file, at) for at in range(count(file, r"blocks\.(\d+)\.norm1\.weight")))
        self.is_mean_normed = "fc_norm.weight" in shapes
        last = nn.LayerNorm(width, EPSILON)
        if self.is_mean_normed:
            self.fc_norm = last
        else:
            self.norm = last
        self.head = nn.Linear(width, shapes["head.weight"][0])
        self.places, self.head_width = config.places, width // max(width // HEAD_WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, 3, side, side) -> (b, tags), from minus to plus infinity."""
        x = self.patch_embed["proj"](x)
        sine, cosine = (each.to(x.device) for each in turns(x.shape[2], self.places, self.head_width))
        x = x.flatten(2).transpose(1, 2)
        if self.has_token:
            x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), 1)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x, sine, cosine)
        patches = x[:, int(self.has_token) :]
        if self.is_mean_normed:
            last = self.fc_norm(patches.mean(1))
        else:
            normed = self.norm(x)
            last = normed[:, 0] if self.has_token else normed.mean(1)
        scores: Tensor = self.head(last)
        return scores

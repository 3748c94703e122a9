"""timm's networks, read from safetensors files under timm's names: the vision transformer (Dosovitskiy et al.
2020, arXiv:2010.11929) and ConvNeXt (Liu et al. 2022, arXiv:2201.03545); SwinV2 and EVA-02 have modules of their own.
Widths and depths are what the file has; the activation, which is in no shape, stands in the `config.json` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from webui.engine.describers.eva02 import Eva02
from webui.engine.describers.swin_v2 import SwinV2
from webui.engine.describers.timm_config import HEAD_WIDTH, TO_ONNX, Activation, TimmConfig, config_of, count
from webui.engine.families import ldm
from webui.engine.families.weights import WeightsFile

EPSILON = 1e-6
TABLES = (".relative_coords_table", ".relative_position_index", ".attn_mask", ".k_bias", "rope.bands", "rope.pos_embed")
"""What older versions of timm have written down although it follows from sizes."""


class TaggerBlock(nn.Module):
    """Attention and two layers, each beside what it was given."""

    def __init__(self, width: int, inner: int, activation: Activation, *, has_scales: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.ls1, self.ls2 = (_Scale(width) if has_scales else nn.Identity() for _ in range(2))
        self.heads, self.activation = max(width // HEAD_WIDTH, 1), activation

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, n, width) -> the same."""
        qkv = self.attn["qkv"](self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(*qkv.unbind()).transpose(1, 2).flatten(2)
        x = x + self.ls1(self.attn["proj"](seen))
        inner: Tensor = self.mlp["fc2"](self.activation(self.mlp["fc1"](self.norm2(x))))
        return x + cast("Tensor", self.ls2(inner))


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class TimmViT(nn.Module):
    """The transformer: the mean of what it says of all patches, or what it says in its own token, gives the scores."""

    def __init__(self, file: WeightsFile, config: TimmConfig) -> None:
        """
        Raises:
            KeyError, ValueError: these are not the tensors of one.
        """
        super().__init__()
        shapes = file.shapes
        width, channels, patch, _ = shapes["patch_embed.proj.weight"]
        inner = shapes["blocks.0.mlp.fc1.weight"][0]
        has_scales = "blocks.0.ls1.gamma" in shapes
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(channels, width, patch, patch)})
        self.pos_embed = nn.Parameter(torch.empty(shapes["pos_embed"]))
        self.has_token = "cls_token" in shapes
        if self.has_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        depth = count(file, r"blocks\.(\d+)\.norm1\.weight")
        self.blocks = nn.ModuleList(
            TaggerBlock(width, inner, config.activation, has_scales=has_scales) for _ in range(depth)
        )
        self.is_mean_normed = "fc_norm.weight" in shapes
        """The mean goes through the last normalisation, not each token before it."""
        last = nn.LayerNorm(width, EPSILON)
        if self.is_mean_normed:
            self.fc_norm = last
        else:
            self.norm = last
        self.head = nn.Linear(width, shapes["head.weight"][0])

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, 3, side, side) -> (b, tags), from minus to plus infinity."""
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        begins = 0
        if self.has_token:
            token = self.cls_token.expand(len(x), -1, -1)
            if self.pos_embed.shape[1] == x.shape[1]:  # the token has no place
                x = torch.cat((token, x + self.pos_embed), dim=1)
            else:
                x = torch.cat((token, x), dim=1) + self.pos_embed
            begins = 1
        else:
            x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        if self.is_mean_normed:
            last = self.fc_norm(x[:, begins:].mean(1))
        else:
            normed = self.norm(x)
            last = normed[:, 0] if self.has_token else normed.mean(1)
        scores: Tensor = self.head(last)
        return scores


class ConvNextBlock(nn.Module):
    """A wide convolution of each channel by itself, then two layers of all channels, beside what it was given."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.gamma = nn.Parameter(torch.ones(width))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, width, h, w) -> the same."""
        y = self.norm(self.conv_dw(x).permute(0, 2, 3, 1))
        inner: Tensor = self.mlp["fc2"](self.activation(self.mlp["fc1"](y)))
        return x + (inner * self.gamma).permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """A normalisation over the channels of (b, width, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        y = layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.permute(0, 3, 1, 2)


class TimmConvNext(nn.Module):
    """The stages, each of which but the first halves the sides; the mean over the picture gives the scores."""

    def __init__(self, file: WeightsFile, config: TimmConfig) -> None:
        """
        Raises:
            KeyError, ValueError: these are not the tensors of one.
        """
        super().__init__()
        shapes = file.shapes
        width, channels, patch, _ = shapes["stem.0.weight"]
        self.stem = nn.Sequential(nn.Conv2d(channels, width, patch, patch), ChannelNorm(width, EPSILON))
        self.stages = nn.ModuleList()
        for stage in range(count(file, r"stages\.(\d+)\.blocks\.0\.gamma")):
            inner, wide = shapes[f"stages.{stage}.blocks.0.mlp.fc1.weight"]
            coarser = nn.Sequential(ChannelNorm(width, EPSILON), nn.Conv2d(width, wide, 2, 2)) if stage else None
            depth = count(file, rf"stages\.{stage}\.blocks\.(\d+)\.gamma")
            blocks = nn.Sequential(*(ConvNextBlock(wide, inner, config.activation) for _ in range(depth)))
            self.stages.append(nn.ModuleDict({"blocks": blocks} | ({"downsample": coarser} if coarser else {})))
            width = wide
        self.head = nn.ModuleDict(
            {"norm": nn.LayerNorm(width, EPSILON), "fc": nn.Linear(width, shapes["head.fc.weight"][0])}
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (b, 3, side, side) -> (b, tags), from minus to plus infinity."""
        x = self.stem(x)
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleDict)
            x = stage["blocks"](stage["downsample"](x) if "downsample" in stage else x)
        scores: Tensor = self.head["fc"](self.head["norm"](x.mean((2, 3))))
        return scores


def network_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> tuple[nn.Module, TimmConfig]:
    """The network of a file, with its weights on `device`, and what its pictures have to be like.

    Raises:
        ModelError: it is another network, or its tensors are not complete or contain no numbers.
    """
    config = config_of(file)
    known: Mapping[str, type[TimmViT] | type[TimmConvNext] | type[SwinV2] | type[Eva02]] = {
        "layers.0.blocks.0.attn.logit_scale": SwinV2,
        "blocks.0.attn.q_proj.weight": Eva02,
        "patch_embed.proj.weight": TimmViT,
        "stem.0.weight": TimmConvNext,
    }
    kind = next((made for name, made in known.items() if name in file.shapes), None)
    if kind is None:
        raise _unknown(file)
    try:
        with ldm.unfilled():
            model: nn.Module = kind(file, config)
    except (KeyError, ValueError, RuntimeError) as error:
        raise _unknown(file) from error
    names = {name: name for name in model.state_dict()}
    if other := [name for name in file.shapes if name not in names and not name.endswith(TABLES)]:
        raise _unknown(file, f"{other[0]} belongs to another network")
    ldm.check_complete(model, names, file, "tagger")
    ldm.fill(model, names, file, device, dtype)
    return model.to(device), config


def _unknown(file: WeightsFile, said: str = "") -> Exception:
    known = "it is no ViT, ConvNeXt, SwinV2 or EVA-02 of timm's"
    return file.error(f"{known} ({said})" if said else known, TO_ONNX)

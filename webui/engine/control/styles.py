"""The style T2I-Adapter: what an image encoder says of a picture becomes a few tokens behind the text.

Mou et al. 2023, arXiv:2302.08453, section 3.5, and their repository's `StyleAdapter`.
"""

from __future__ import annotations

import re

import torch
from diffusers.models.controlnets.controlnet_union import ResidualAttentionBlock
from torch import Tensor, nn

from webui.catalog.control_kinds import Shapes
from webui.engine.control.vision import Tower, Vision
from webui.engine.families import ldm
from webui.engine.families.weights import WeightsFile

HEADS = 8
"""In no shape."""


class StyleAdapter(nn.Module):
    """The network, built of a file's shapes."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        _, tokens, width = shapes["style_embedding"]
        depth = len({match[1] for name in shapes if (match := re.match(r"transformer_layes\.(\d+)\.", name))})
        self.tower = Tower(width=width)
        self.style_embedding = nn.Parameter(torch.empty(1, tokens, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer_layes = nn.Sequential(*(ResidualAttentionBlock(width, HEADS) for _ in range(depth)))
        self.proj = nn.Parameter(torch.empty(width, shapes["proj"][1]))

    def told(self, vision: Vision) -> Tensor:
        """(1, tokens, text width)"""
        like = self.style_embedding
        x = torch.cat([vision.last.to(like.device, like.dtype), like], dim=1)
        x = self.transformer_layes(self.ln_pre(x).transpose(0, 1)).transpose(0, 1)
        tokens: Tensor = self.ln_post(x[:, -like.shape[1] :]) @ self.proj
        return tokens


def style_adapter_of(file: WeightsFile, device: torch.device, dtype: torch.dtype) -> StyleAdapter:
    """
    Raises:
        ModelError: tensors are missing.
    """
    names = {name.removeprefix("adapter."): name for name in file.shapes}
    try:
        with ldm.unfilled():
            network = StyleAdapter({name: file.shapes[full] for name, full in names.items()})
    except (KeyError, ValueError, AssertionError) as error:
        raise file.error(f"its T2I-Adapter is not complete ({error})", "Download it again.") from error
    ldm.check_complete(network, names, file, "T2I-Adapter")
    ldm.fill(network, names, file, device, dtype)
    return network

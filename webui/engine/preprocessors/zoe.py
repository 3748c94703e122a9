"""ZoeDepth: how far away each thing is, in metres, by a vision transformer and bins of depths.

Bhat et al. 2023, arXiv:2302.12288, over BEiT (Bao et al. 2021, arXiv:2106.08254). The network is that of transformers;
the file is ZoeD_M12_N.pt, whose names become theirs.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from webui.engine.families.views import View
from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.network import MapNetwork, count_of, map_of, network_kind, planes_of
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution

if TYPE_CHECKING:
    from transformers import ZoeDepthForDepthEstimation

HIGH, WIDE, MULTIPLE = 384, 512, 32
"""Pixels of the picture as the network sees it, one of both; of what the sides are multiples."""
AROUND = 3.0
"""How much is added at each side, mirrored: times the root of half its length."""
NEAREST, FARTHEST = 2, 85
"""Percent of a picture that are nearer than white, and nearer than black."""
PREFIX = "depth."
"""Of transformers' network in ours."""
_MODEL, _LAYER = r"core\.core\.pretrained\.model\.", r"backbone.beit.layers.\1."
_NAMES = (
    (_MODEL + r"(cls_token)", r"backbone.beit.embeddings.\1"),
    (_MODEL + r"patch_embed\.proj", "backbone.beit.embeddings.patch_embeddings.projection"),
    (_MODEL + r"blocks\.(\d+)\.norm1", _LAYER + "layernorm_before"),
    (_MODEL + r"blocks\.(\d+)\.norm2", _LAYER + "layernorm_after"),
    (_MODEL + r"blocks\.(\d+)\.gamma_", _LAYER + "lambda_"),
    (_MODEL + r"blocks\.(\d+)\.attn\.proj", _LAYER + "attention.o_proj"),
    (_MODEL + r"blocks\.(\d+)\.attn\.([qv])_bias", _LAYER + r"attention.\2_proj.bias"),
    (_MODEL + r"blocks\.(\d+)\.attn\.(relative_position_bias_table)", _LAYER + r"relative_position_bias.\2"),
    (_MODEL + r"blocks\.(\d+)\.mlp", _LAYER + "mlp"),
    (r"core\.core\.scratch\.layer(\d)_rn", lambda m: f"neck.convs.{int(m[1]) - 1}"),
    (r"core\.core\.scratch\.refinenet(\d)", lambda m: f"neck.fusion_stage.layers.{4 - int(m[1])}"),
    (r"\.resConfUnit(\d)\.conv", r".residual_layer\1.convolution"),
    (r"\.out_conv\.", ".projection."),
    (r"core\.core\.scratch\.output_conv\.(\d)", lambda m: f"relative_head.conv{int(m[1]) // 2 + 1}"),
    (
        r"core\.core\.pretrained\.act_postprocess(\d)\.0\.project",
        lambda m: f"neck.reassemble_stage.readout_projects.{int(m[1]) - 1}",
    ),
    (
        r"core\.core\.pretrained\.act_postprocess(\d)\.([34])",
        lambda m: f"neck.reassemble_stage.layers.{int(m[1]) - 1}.{'projection' if m[2] == '3' else 'resize'}",
    ),
    (r"\._net\.(\d)", lambda m: f".conv{int(m[1]) // 2 + 1}"),
    (
        r"^(conv2|seed_bin_regressor|seed_projector|projectors|attractors|conditional_log_binomial)\.",
        r"metric_head.\1.",
    ),
)
"""What stands in published names -> in those of transformers, one after the other."""
_QKV = re.compile(_MODEL + r"blocks\.(\d+)\.attn\.qkv\.weight")


def renamed(file: WeightsFile) -> WeightsFile:
    """A published file under the names of transformers."""
    view = View(file)
    for name, full in file.under("model.", "").items():
        if match := _QKV.fullmatch(name):
            parts = [f"{PREFIX}backbone.beit.layers.{match[1]}.attention.{part}_proj.weight" for part in "qkv"]
            view.split(parts, full, file.shapes[full][0] // 3)
            continue
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        view.add(PREFIX + name, full)
    return view.result()


class ZoeDepth(nn.Module):
    """(1, 3, h, w) in -1..1 -> (1, 1, h, w) in metres. Sides are multiples of 32."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.depth = _network(file)

    def forward(self, picture: Tensor) -> Tensor:
        bins = self.depth.metric_head.conditional_log_binomial.log_binomial_transform
        if bins.k_idx.device != picture.device:  # they are in no file
            bins.k_idx = torch.arange(bins.k, device=picture.device).view(1, -1, 1, 1)
            bins.k_minus_1 = torch.full((1, 1, 1, 1), bins.k - 1, device=picture.device)
        found: Tensor = self.depth(picture).predicted_depth
        return found[:, None]


def _network(file: WeightsFile) -> ZoeDepthForDepthEstimation:
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation  # imports much

    shapes = {name.removeprefix(PREFIX): shape for name, shape in file.shapes.items()}
    layers = count_of(file, PREFIX + r"backbone\.beit\.layers\.(\d+)\.")
    patch = shapes["backbone.beit.embeddings.patch_embeddings.projection.weight"][-1]
    places, heads = shapes["backbone.beit.layers.0.relative_position_bias.relative_position_bias_table"]
    if layers % 4:
        raise ValueError(f"{layers} layers")
    inner, width = shapes["backbone.beit.layers.0.mlp.fc1.weight"]
    backbone = BeitConfig(
        image_size=patch * ((math.isqrt(places - 3) + 1) // 2),
        patch_size=patch,
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=inner,
        num_attention_heads=heads,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=[f"stage{number * layers // 4}" for number in (1, 2, 3, 4)],
    )
    head = "metric_head"
    settings: dict[str, Any] = {
        "neck_hidden_sizes": [shapes[f"neck.convs.{number}.weight"][1] for number in range(4)],
        "fusion_hidden_size": shapes["neck.convs.0.weight"][0],
        "bottleneck_features": shapes[f"{head}.conv2.weight"][0],
        "bin_embedding_dim": shapes[f"{head}.seed_projector.conv2.weight"][0],
        "num_attractors": [shapes[f"{head}.attractors.{number}.conv2.weight"][0] for number in range(4)],
        "num_relative_features": shapes["relative_head.conv2.weight"][0],
        "bin_configurations": [
            {"n_bins": shapes[f"{head}.seed_bin_regressor.conv2.weight"][0], "min_depth": 1e-3, "max_depth": 10.0}
        ],
    }
    return ZoeDepthForDepthEstimation(ZoeDepthConfig(backbone_config=backbone, **settings))


ZOE = network_kind("ZoeDepth network", ZoeDepth, exact=True, renamed=renamed)


def depth_zoe(picture: Bytes, options: Options) -> Bytes:
    """The nearest is white."""
    with options.network(ZOE) as network:

        def look(seen: Bytes) -> Bytes:
            planes = planes_of(seen)
            mirrored = depths_in(network, planes.flip(-1)).flip(-1)
            found = np.asarray((depths_in(network, planes) + mirrored)[0, 0] / 2, np.float32)
            near, far = np.percentile(found, [NEAREST, FARTHEST])
            return map_of(1 - (found - near) / max(far - near, 1e-6))

        return at_resolution(picture, options.resolution, look)


def depths_in(network: MapNetwork, planes: Tensor) -> Tensor:
    """(1, 3, h, w) in 0..1 -> (1, 1, h, w) in metres: with its own mirror image around the picture, whose edges the
    network would misjudge."""
    high, wide = planes.shape[-2:]
    down, across = (int(AROUND * math.sqrt(side / 2)) for side in (high, wide))
    padded = pad(planes, (across, across, down, down), mode="reflect")
    sides = padded.shape[-2:]
    factor = min((HIGH / sides[0], WIDE / sides[1]), key=lambda each: abs(1 - each))
    size = [max(round(side * factor / MULTIPLE), 1) * MULTIPLE for side in sides]
    given = interpolate(padded, size=size, mode="bilinear", align_corners=True)
    found = interpolate(network(given * 2 - 1), size=sides, mode="bicubic")
    return found[..., down : down + high, across : across + wide]

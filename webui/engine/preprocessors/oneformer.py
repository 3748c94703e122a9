"""OneFormer: what is where in a picture, of the classes of ADE20K or COCO.

Jain et al. 2023, arXiv:2211.06220, over Swin (Liu et al. 2021, arXiv:2103.14030) and deformable attention (Zhu et al.
2021, arXiv:2010.04159). The network is that of transformers; the files are 250_16_swin_l_oneformer_ade20k_160k.pth and
150_16_swin_l_oneformer_coco_100ep.pth, whose names, those of detectron2, become theirs.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import cv2
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from webui.engine.families.views import View
from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.network import count_of, network_kind, normal_planes_of
from webui.engine.preprocessors.palettes import ADE20K, COCO
from webui.engine.preprocessors.picture import Bytes, Options, at_resolution, levels
from webui.engine.preprocessors.segments import segmented
from webui.prompt.tokens import END, START, clip_tokenizer

if TYPE_CHECKING:
    from transformers import OneFormerModel

PREFIX = "model."
"""Of transformers' network in ours."""
TASK = "the task is semantic"
MULTIPLE, POINTS = 32, 3 * 4
"""Of what sides are multiples; how many places a head of the deformable attention looks at."""
LARGEST_WINDOW = 32
"""Places along a side of Swin's windows: all pairs of them are counted."""
AT_ONCE = 25
"""Masks that are made as large as the picture at a time."""
SEEN_ADE20K, SEEN_COCO = (640, 2560), (800, 1333)
"""Pixels of the picture's sides as the networks see it: the shorter one, the longer one at most."""
_SWIN, _DECODER = "pixel_level_module.encoder.", "transformer_module.decoder."
_BLOCK = r"^backbone\.layers\.(\d+)\.blocks\.(\d+)\."
_IN_BLOCK = _SWIN + r"swin.encoder.layers.\1.blocks.\2."
_PIXELS, _PREDICTOR = r"^sem_seg_head\.pixel_decoder\.", r"^sem_seg_head\.predictor\."
_NAMES = (
    (r"^backbone\.patch_embed\.proj\.", _SWIN + "swin.embeddings.patch_embeddings.projection."),
    (r"^backbone\.patch_embed\.norm\.", _SWIN + "swin.embeddings.norm."),
    (_BLOCK + r"norm1\.", _IN_BLOCK + "layernorm_before."),
    (_BLOCK + r"norm2\.", _IN_BLOCK + "layernorm_after."),
    (_BLOCK + r"attn\.proj\.", _IN_BLOCK + "attention.o_proj."),
    (
        _BLOCK + r"attn\.relative_position_bias_table",
        _IN_BLOCK + "attention.relative_position_bias.relative_position_bias_table",
    ),
    (_BLOCK + r"mlp\.", _IN_BLOCK + "mlp."),
    (r"^backbone\.layers\.(\d+)\.downsample\.", _SWIN + r"swin.encoder.layers.\1.downsample."),
    (r"^backbone\.norm(\d)\.", lambda m: f"{_SWIN}hidden_states_norms.stage{int(m[1]) + 1}."),
    (_PIXELS + r"(adapter_1|layer_1)\.norm\.", r"pixel_level_module.decoder.\1.1."),
    (_PIXELS + r"(adapter_1|layer_1)\.weight", r"pixel_level_module.decoder.\1.0.weight"),
    (_PIXELS + r"input_proj\.", "pixel_level_module.decoder.input_projections."),
    (_PIXELS + r"mask_features\.", "pixel_level_module.decoder.mask_projection."),
    (_PIXELS + r"transformer\.level_embed", "pixel_level_module.decoder.level_embed"),
    (_PIXELS + r"transformer\.encoder\.layers\.(\d+)\.linear", r"pixel_level_module.decoder.encoder.layers.\1.fc"),
    (
        _PIXELS + r"transformer\.encoder\.layers\.(\d+)\.norm1\.",
        r"pixel_level_module.decoder.encoder.layers.\1.self_attn_layer_norm.",
    ),
    (
        _PIXELS + r"transformer\.encoder\.layers\.(\d+)\.norm2\.",
        r"pixel_level_module.decoder.encoder.layers.\1.final_layer_norm.",
    ),
    (_PIXELS + r"transformer\.encoder\.", "pixel_level_module.decoder.encoder."),
    (_PREDICTOR + r"query_embed\.", "transformer_module.queries_embedder."),
    (_PREDICTOR + r"level_embed\.", "transformer_module.level_embed."),
    (_PREDICTOR + r"class_input_proj\.", _DECODER + "query_input_projection."),
    (_PREDICTOR + r"mask_embed\.layers\.(\d)\.", _DECODER + r"mask_embed.layers.\1.0."),
    (_PREDICTOR + r"class_transformer\.", _DECODER + "query_transformer."),
    (_PREDICTOR + r"transformer_(cross|self)_attention_layers\.(\d+)\.", _DECODER + r"layers.\2.\1_attn."),
    (_PREDICTOR + r"transformer_ffn_layers\.(\d+)\.", _DECODER + r"layers.\1.ffn."),
    (_PREDICTOR + r"(decoder_norm|class_embed)\.", _DECODER + r"\1."),
    (r"^task_mlp\.layers\.(\d)\.", r"task_encoder.task_mlp.layers.\1.0."),
)
"""What stands in published names -> in those of transformers, one after the other."""
_QKV = re.compile(_BLOCK + r"attn\.qkv\.(weight|bias)")
_OWN = re.compile(_PREDICTOR + r"transformer_self_attention_layers\.(\d+)\.self_attn\.in_proj_(weight|bias)")


def renamed(file: WeightsFile) -> WeightsFile:
    """A published file under the names of transformers."""
    view = View(file)
    for name, full in file.under("model.", "").items():
        if match := _QKV.fullmatch(name):
            own = f"{PREFIX}{_SWIN}swin.encoder.layers.{match[1]}.blocks.{match[2]}.attention."
            view.split([f"{own}{part}_proj.{match[3]}" for part in "qkv"], full, file.shapes[full][0] // 3)
            continue
        if match := _OWN.fullmatch(name):
            own = f"{PREFIX}{_DECODER}layers.{match[1]}.self_attn.self_attn."
            view.split([f"{own}{part}_proj.{match[2]}" for part in "qkv"], full, file.shapes[full][0] // 3)
            continue
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        view.add(PREFIX + name, full)
    return view.result()


class OneFormer(nn.Module):
    """(1, 3, h, w) -> (1, classes, h, w), how sure it is of each. Sides are multiples of 32."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self.model = _network(file)
        swin = self.model.pixel_level_module.encoder.swin
        swin.layernorm = nn.Identity()  # of other uses of Swin
        self.windows = [part for part in swin.modules() if hasattr(part, "relative_position_index")]
        for part in self.windows:
            part.relative_position_index = places_in(part.window_size[0])  # they are in no file

    def forward(self, picture: Tensor) -> Tensor:
        for part in self.windows:
            part.relative_position_index = part.relative_position_index.to(picture.device)
        tokens = [START, *clip_tokenizer().encode(TASK), END]
        length = self.model.config.task_seq_len
        task = torch.tensor([tokens + [0] * (length - len(tokens))], device=picture.device)
        told = self.model(picture, task)
        classes = told.transformer_decoder_class_predictions[0].softmax(-1)[:, :-1]
        masks = told.transformer_decoder_mask_predictions
        sure = torch.zeros(1, classes.shape[1], *picture.shape[-2:], device=picture.device)
        for first in range(0, len(classes), AT_ONCE):
            large = interpolate(masks[:, first : first + AT_ONCE], size=picture.shape[-2:], mode="bilinear")
            sure += torch.einsum("qc,bqhw->bchw", classes[first : first + AT_ONCE], large.sigmoid())
        return sure


def places_in(side: int) -> Tensor:
    """(side**4,): for each two places of a window, which row of the table of biases is theirs."""
    with torch.device("cpu"):
        place = torch.cartesian_prod(torch.arange(side), torch.arange(side))
        apart = place[:, None] - place[None] + side - 1
        return (apart[..., 0] * (2 * side - 1) + apart[..., 1]).flatten()


def _network(file: WeightsFile) -> OneFormerModel:
    from transformers import OneFormerConfig, OneFormerModel, SwinConfig  # imports much

    shapes = {name.removeprefix(PREFIX): shape for name, shape in file.shapes.items()}
    stage = f"{_SWIN}swin.encoder.layers"
    depths = [count_of(file, rf"{re.escape(PREFIX + stage)}\.{at}\.blocks\.(\d+)\.") for at in range(4)]
    table = "attention.relative_position_bias.relative_position_bias_table"
    inner, width = shapes[f"{stage}.0.blocks.0.mlp.fc1.weight"]
    windows = {shapes[f"{stage}.{at}.blocks.0.{table}"][0] for at in range(4)}
    side = (math.isqrt(max(windows)) + 1) // 2
    if side > LARGEST_WINDOW:
        raise ValueError(f"windows of {side} places")
    backbone = SwinConfig(
        image_size=384,
        patch_size=shapes[f"{_SWIN}swin.embeddings.patch_embeddings.projection.weight"][-1],
        embed_dim=width,
        depths=depths,
        num_heads=[shapes[f"{stage}.{at}.blocks.0.{table}"][1] for at in range(4)],
        window_size=side,
        mlp_ratio=inner / width,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    pixels, predictor = "pixel_level_module.decoder", "transformer_module"
    attended = shapes[f"{pixels}.encoder.layers.0.self_attn.attention_weights.weight"][0]
    classes, hidden = shapes[f"{_DECODER}class_embed.weight"]
    config = OneFormerConfig(
        backbone_config=backbone,
        num_labels=classes - 1,
        num_queries=shapes[f"{predictor}.queries_embedder.weight"][0],
        conv_dim=shapes[f"{pixels}.adapter_1.0.weight"][0],
        mask_dim=shapes[f"{pixels}.mask_projection.weight"][0],
        hidden_dim=hidden,
        encoder_layers=count_of(file, rf"{PREFIX}{pixels}\.encoder\.layers\.(\d+)\."),
        encoder_feedforward_dim=shapes[f"{pixels}.encoder.layers.0.fc1.weight"][0],
        decoder_layers=count_of(file, rf"{PREFIX}{_DECODER}layers\.(\d+)\.") + 1,
        dim_feedforward=shapes[f"{_DECODER}layers.0.ffn.linear1.weight"][0],
        query_dec_layers=count_of(file, rf"{PREFIX}{_DECODER}query_transformer\.decoder\.layers\.(\d+)\."),
        num_attention_heads=attended // POINTS,
        task_seq_len=shapes["task_encoder.task_mlp.layers.0.0.weight"][1],
        is_training=False,
    )
    return OneFormerModel(config)


ONEFORMER = network_kind("OneFormer network", OneFormer, exact=True, renamed=renamed)


def oneformer_ade20k(picture: Bytes, options: Options) -> Bytes:
    """A colour for each class of ADE20K."""
    return _mapped(picture, options, SEEN_ADE20K, ADE20K)


def oneformer_coco(picture: Bytes, options: Options) -> Bytes:
    """A colour for each class of COCO."""
    return _mapped(picture, options, SEEN_COCO, COCO)


def _mapped(picture: Bytes, options: Options, limits: tuple[int, int], palette: Bytes) -> Bytes:
    short, long = limits
    with options.network(ONEFORMER) as network:

        def look(seen: Bytes) -> Bytes:
            high, wide = seen.shape[:2]
            factor = min(short / min(high, wide), long / max(high, wide))
            own_wide, own_high = (max(round(side * factor), MULTIPLE) for side in (wide, high))
            planes = normal_planes_of(levels(cv2.resize(seen, (own_wide, own_high), interpolation=cv2.INTER_LINEAR)))
            told = network(pad(planes, (0, -own_wide % MULTIPLE, 0, -own_high % MULTIPLE)))
            return segmented(told[..., :own_high, :own_wide], (high, wide), palette)

        return at_resolution(picture, options.resolution, look)

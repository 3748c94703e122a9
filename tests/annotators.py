"""Small files of the preprocessors' networks: random numbers under the names that the published files have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from webui.base import protobuf
from webui.catalog.onnx_file import FLOAT, INTEGER, IR, OPSET, _value
from webui.engine.preprocessors import oneformer as oneformer_code
from webui.engine.preprocessors import zoe as zoe_code

Tensors = dict[str, Tensor]


class Named:
    """Tensors that are drawn as they are named; the same ones for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self.found: Tensors = {}
        self._random = torch.Generator().manual_seed(seed)

    def add(self, name: str, *shape: int) -> None:
        fan = max(torch.Size(shape[1:]).numel(), 1) if len(shape) > 1 else 100
        self.found[name] = torch.randn(shape, generator=self._random) / fan**0.5

    def layer(self, name: str, *shape: int, bias: bool = True) -> None:
        """A convolution's or a matrix's weight, (out, in, ...)."""
        self.add(f"{name}.weight", *shape)
        if bias:
            self.add(f"{name}.bias", shape[0])

    def norm(self, name: str, width: int, *, running: bool = False) -> None:
        self.layer(name, width)
        self.found[f"{name}.weight"] += 1
        if running:
            self.add(f"{name}.running_mean", width)
            self.found[f"{name}.running_var"] = torch.ones(width)
            self.found[f"{name}.num_batches_tracked"] = torch.tensor(3)

    def transformer(self, name: str, width: int, *, scaled: bool) -> None:
        self.norm(f"{name}.norm1", width)
        self.layer(f"{name}.attn.qkv", 3 * width, width)
        self.layer(f"{name}.attn.proj", width, width)
        self.norm(f"{name}.norm2", width)
        self.layer(f"{name}.mlp.fc1", 2 * width, width)
        self.layer(f"{name}.mlp.fc2", width, 2 * width)
        for scale in ("ls1", "ls2") if scaled else ():
            self.add(f"{name}.{scale}.gamma", width)

    def scratch(self, name: str, widths: tuple[int, ...], joined: int) -> None:
        for number, width in enumerate(widths, 1):
            self.layer(f"{name}.layer{number}_rn", joined, width, 3, 3, bias=False)
            for unit in (1, 2):
                for convolution in (1, 2):
                    own = f"{name}.refinenet{number}.resConfUnit{unit}.conv{convolution}"
                    self.layer(own, joined, joined, 3, 3)
            self.layer(f"{name}.refinenet{number}.out_conv", joined, joined, 1, 1)


def depth_anything(layers: int = 12, patches: int = 5, width: int = 128) -> Tensors:
    """Of the first version and the second: LiheYoung/Depth-Anything."""
    made = Named()
    made.add("pretrained.cls_token", 1, 1, width)
    made.add("pretrained.pos_embed", 1, patches**2 + 1, width)
    made.add("pretrained.mask_token", 1, width)
    made.layer("pretrained.patch_embed.proj", width, 3, 14, 14)
    for number in range(layers):
        made.transformer(f"pretrained.blocks.{number}", width, scaled=True)
    made.norm("pretrained.norm", width)
    outer = (8, 12, 16, 20)
    for number, out in enumerate(outer):
        made.layer(f"depth_head.projects.{number}", out, width, 1, 1)
    made.layer("depth_head.resize_layers.0", outer[0], outer[0], 4, 4)
    made.layer("depth_head.resize_layers.1", outer[1], outer[1], 2, 2)
    made.layer("depth_head.resize_layers.3", outer[3], outer[3], 3, 3)
    made.scratch("depth_head.scratch", outer, 16)
    made.layer("depth_head.scratch.output_conv1", 8, 16, 3, 3)
    made.layer("depth_head.scratch.output_conv2.0", 32, 8, 3, 3)
    made.layer("depth_head.scratch.output_conv2.2", 1, 32, 1, 1)
    made.found["depth_head.scratch.output_conv2.2.bias"] += 1  # else all may be below zero, and cut off
    return made.found


def midas(layers: int = 4, patches: int = 4, width: int = 128) -> Tensors:
    """dpt_hybrid-midas-501f0c75.pt: isl-org/DPT."""
    made = Named()
    model, stages = "pretrained.model", (128, 256, 512)
    made.add(f"{model}.cls_token", 1, 1, width)
    made.add(f"{model}.pos_embed", 1, patches**2 + 1, width)
    made.layer(f"{model}.patch_embed.backbone.stem.conv", 64, 3, 7, 7, bias=False)
    made.norm(f"{model}.patch_embed.backbone.stem.norm", 64)
    given = 64
    for number, out in enumerate(stages):
        for block in range(2):
            name, inner = f"{model}.patch_embed.backbone.stages.{number}.blocks.{block}", out // 4
            for at, shape in enumerate(((inner, given, 1, 1), (inner, inner, 3, 3), (out, inner, 1, 1)), 1):
                made.layer(f"{name}.conv{at}", *shape, bias=False)
                made.norm(f"{name}.norm{at}", shape[0])
            if not block:
                made.layer(f"{name}.downsample.conv", out, given, 1, 1, bias=False)
                made.norm(f"{name}.downsample.norm", out)
            given = out
    made.layer(f"{model}.patch_embed.proj", width, given, 1, 1)
    for number in range(layers):
        made.transformer(f"{model}.blocks.{number}", width, scaled=False)
    made.norm(f"{model}.norm", width)
    made.layer(f"{model}.head", 10, width)
    for number in (3, 4):
        made.layer(f"pretrained.act_postprocess{number}.0.project.0", width, 2 * width)
        made.layer(f"pretrained.act_postprocess{number}.3", width, width, 1, 1)
    made.layer("pretrained.act_postprocess4.4", width, width, 3, 3)
    made.scratch("scratch", (*stages[:2], width, width), 32)
    made.layer("scratch.output_conv.0", 16, 32, 3, 3)
    made.layer("scratch.output_conv.2", 32, 16, 3, 3)
    made.layer("scratch.output_conv.4", 1, 32, 1, 1)
    made.found["scratch.output_conv.4.bias"] += 1
    return made.found


def zoe(layers: int = 4, patches: int = 4, width: int = 32) -> dict[str, Tensors]:
    """ZoeD_M12_N.pt: isl-org/ZoeDepth, over a small BEiT."""
    made = Named()
    model, heads = "core.core.pretrained.model", 2
    made.add(f"{model}.cls_token", 1, 1, width)
    made.layer(f"{model}.patch_embed.proj", width, 3, 16, 16)
    for number in range(layers):
        name = f"{model}.blocks.{number}"
        for own in ("gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias"):
            made.add(f"{name}.{own}", width)
        made.norm(f"{name}.norm1", width)
        made.norm(f"{name}.norm2", width)
        made.add(f"{name}.attn.relative_position_bias_table", (2 * patches - 1) ** 2 + 3, heads)
        made.found[f"{name}.attn.relative_position_index"] = torch.zeros((patches**2 + 1,) * 2, dtype=torch.int64)
        made.layer(f"{name}.attn.qkv", 3 * width, width, bias=False)
        made.layer(f"{name}.attn.proj", width, width)
        made.layer(f"{name}.mlp.fc1", 2 * width, width)
        made.layer(f"{name}.mlp.fc2", width, 2 * width)
    made.norm(f"{model}.fc_norm", width)
    made.layer(f"{model}.head", 10, width)
    outer = (8, 12, 16, 20)
    for number, out in enumerate(outer, 1):
        name = f"core.core.pretrained.act_postprocess{number}"
        made.layer(f"{name}.0.project.0", width, 2 * width)
        made.layer(f"{name}.3", out, width, 1, 1)
        if number != 3:
            side = {1: 4, 2: 2, 4: 3}[number]
            made.layer(f"{name}.4", out, out, side, side)
    made.scratch("core.core.scratch", outer, 16)
    for at, (out, given, side) in {0: (8, 16, 3), 2: (6, 8, 3), 4: (1, 6, 1)}.items():
        made.layer(f"core.core.scratch.output_conv.{at}", out, given, side, side)
    made.found["conditional_log_binomial.log_binomial_transform.k_idx"] = torch.arange(64).view(1, -1, 1, 1)
    made.found["conditional_log_binomial.log_binomial_transform.K_minus_1"] = torch.full((1, 1, 1, 1), 63)
    made.layer("conv2", 16, 16, 1, 1)
    bins = 12
    nets = {"seed_bin_regressor": (256, 16, 64), "seed_projector": (128, 16, bins)}
    nets |= {f"projectors.{at}": (128, 16, bins) for at in range(4)}
    nets |= {f"attractors.{at}": (bins, bins, count) for at, count in enumerate((16, 8, 4, 1))}
    for name, (inner, given, out) in nets.items():
        made.layer(f"{name}._net.0", inner, given, 1, 1)
        made.layer(f"{name}._net.2", out, inner, 1, 1)
    joined = bins + 6 + 1
    made.layer("conditional_log_binomial.mlp.0", joined // 2, joined, 1, 1)
    made.layer("conditional_log_binomial.mlp.2", 4, joined // 2, 1, 1)
    return {"model": made.found}


def leres(width: int = 8, joined: int = 6) -> dict[str, Tensors]:
    """res101.pth: aim-uofa/AdelaiDepth, over a small ResNeXt of four groups."""
    made = Named()
    encoder, decoder = "module.depth_model.encoder_modules.encoder", "module.depth_model.decoder_modules"

    def even(name: str, norm: str, *shape: int) -> None:
        made.layer(name, *shape, bias=False)
        made.norm(norm, shape[0], running=True)

    def transferred(name: str, given: int) -> None:
        made.layer(f"{name}.conv1", joined, given, 3, 3)
        made.layer(f"{name}.conv_branch.1", joined, joined, 3, 3)
        made.norm(f"{name}.conv_branch.2", joined, running=True)
        made.layer(f"{name}.conv_branch.4", joined, joined, 3, 3)

    even(f"{encoder}.conv1", f"{encoder}.bn1", width, 3, 7, 7)
    given, widths = width, [2 * width * 2**level for level in range(4)]
    for level, out in enumerate(widths, 1):
        for at in range(2):
            name, inner = f"{encoder}.layer{level}.{at}", out // 4
            even(f"{name}.conv1", f"{name}.bn1", inner, given, 1, 1)
            even(f"{name}.conv2", f"{name}.bn2", inner, inner // 4, 3, 3)
            even(f"{name}.conv3", f"{name}.bn3", out, inner, 1, 1)
            if not at:
                even(f"{name}.downsample.0", f"{name}.downsample.1", out, given, 1, 1)
            given = out
    transferred(f"{decoder}.conv", widths[-1])
    made.layer(f"{decoder}.conv1", joined, joined, 3, 3)
    for at in (2, 1, 0):
        transferred(f"{decoder}.ffm{at}.ftb1", widths[at])
        transferred(f"{decoder}.ffm{at}.ftb2", joined)
    made.layer(f"{decoder}.outconv.adapt_conv.0", joined // 2, joined, 3, 3)
    made.norm(f"{decoder}.outconv.adapt_conv.1", joined // 2, running=True)
    made.layer(f"{decoder}.outconv.adapt_conv.3", 1, joined // 2, 3, 3)
    return {"depth_model": made.found}


def hed() -> Tensors:
    """ControlNetHED.pth: lllyasviel/Annotators."""
    made = Named()
    made.add("norm", 1, 3, 1, 1)
    given = 3
    for number, (width, convolutions) in enumerate(((8, 2), (12, 2), (16, 3), (16, 3), (16, 3)), 1):
        for at in range(convolutions):
            made.layer(f"block{number}.convs.{at}", width, given, 3, 3)
            given = width
        made.layer(f"block{number}.projection", 1, width, 1, 1)
    return made.found


def teed() -> Tensors:
    """7_model.pth: xavysp/TEED, with its own widths."""
    made = Named()
    for name, given, width in (("block_1", 3, 16), ("block_2", 16, 32)):
        made.layer(f"{name}.conv1", width, given, 3, 3)
        made.layer(f"{name}.conv2", width, width, 3, 3)
    made.found["block_1.conv1.weight"] /= 5  # pictures have 256 levels
    made.layer("dblock_3.denselayer1.conv1", 48, 32, 3, 3)
    made.layer("dblock_3.denselayer1.conv2", 48, 48, 3, 3)
    made.layer("side_1.conv", 32, 16, 1, 1)
    made.layer("pre_dense_3.conv", 48, 32, 1, 1)
    for name, given, times in (("up_block_1", 16, 1), ("up_block_2", 32, 1), ("up_block_3", 48, 2)):
        for at in range(times):
            width = 1 if at == times - 1 else 16
            made.layer(f"{name}.features.{3 * at}", width, given, 1, 1)
            made.layer(f"{name}.features.{3 * at + 2}", width, width, 2**times, 2**times)
            given = width
    for name in ("up_block_1.features.2", "up_block_2.features.2", "up_block_3.features.5"):
        made.found[f"{name}.weight"] *= 20  # sure of itself
    made.layer("block_cat.DWconv1", 24, 1, 3, 3)
    made.layer("block_cat.DWconv2", 24, 1, 3, 3)
    return made.found


def pidinet(width: int = 6) -> dict[str, Tensors]:
    """table5_pidinet.pth: hellozhuo/pidinet."""
    made = Named()
    made.add("init_block.weight", width, 3, 3, 3)
    given = width
    for scale, blocks, out in ((1, 3, width), (2, 4, 2 * width), (3, 4, 4 * width), (4, 4, 4 * width)):
        for at in range(1, blocks + 1):
            name = f"block{scale}_{at}"
            made.add(f"{name}.conv1.weight", given, 1, 3, 3)
            made.add(f"{name}.conv2.weight", out, given, 1, 1)
            if scale > 1 and at == 1:
                made.layer(f"{name}.shortcut", out, given, 1, 1)
            given = out
        place = scale - 1
        made.layer(f"dilations.{place}.conv1", 5, out, 1, 1)
        for at in range(1, 5):
            made.add(f"dilations.{place}.conv2_{at}.weight", 5, 5, 3, 3)
        made.layer(f"attentions.{place}.conv1", 4, 5, 1, 1)
        made.add(f"attentions.{place}.conv2.weight", 1, 4, 3, 3)
        made.layer(f"conv_reduces.{place}.conv", 1, 5, 1, 1)
    made.layer("classifier", 1, 4, 1, 1)
    made.found["classifier.weight"] *= 8  # sure of itself
    return {"state_dict": {f"module.{name}": tensor for name, tensor in made.found.items()}}


def lineart(width: int = 8) -> Tensors:
    """sk_model.pth and sk_model2.pth: carolineec/informative-drawings."""
    made = Named()
    made.layer("model0.1", width, 3, 7, 7)
    made.layer("model1.0", 2 * width, width, 3, 3)
    made.layer("model1.3", 4 * width, 2 * width, 3, 3)
    for block in range(3):
        for at in (1, 5):
            made.layer(f"model2.{block}.conv_block.{at}", 4 * width, 4 * width, 3, 3)
    for at, wide in ((0, 4 * width), (3, 2 * width)):
        made.add(f"model3.{at}.weight", wide, wide // 2, 3, 3)
        made.add(f"model3.{at}.bias", wide // 2)
    made.layer("model4.1", 1, width, 7, 7)
    return made.found


def lineart_anime(width: int = 4) -> Tensors:
    """netG.pth: Mukosame/Anime2Sketch, eight levels deep."""
    made = Named()
    widths = [3, width, 2 * width, 4 * width, *[8 * width] * 5]
    name = "model.model"
    for level in range(8):
        given, inner = widths[level], widths[level + 1]
        is_last = level == 7
        down, up, out = (1, 3 if is_last else 5, given) if level else (0, 3, 1)
        made.layer(f"{name}.{down}", inner, given, 4, 4)
        made.add(f"{name}.{up}.weight", inner if is_last else 2 * inner, out, 4, 4)
        made.add(f"{name}.{up}.bias", out)
        name += f".{3 if level else 1}.model"
    return {f"module.{name}": tensor for name, tensor in made.found.items()}


def mlsd() -> Tensors:
    """mlsd_large_512_fp32.pth: navervision/mlsd, in lhwcv/mlsd_pytorch's form."""
    made = Named()

    def normed(name: str, *shape: int, bias: bool = False) -> None:
        made.layer(f"{name}.0", *shape, bias=bias)
        made.norm(f"{name}.1", shape[0], running=True)

    normed("backbone.features.0", 32, 4, 3, 3)
    given, number = 32, 1
    for wider, out, count in ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3)):
        for _ in range(count):
            name, inner, at = f"backbone.features.{number}.conv", given * wider, 0
            if wider > 1:
                normed(f"{name}.0", inner, given, 1, 1)
                at = 1
            normed(f"{name}.{at}", inner, 1, 3, 3)
            made.layer(f"{name}.{at + 1}", out, inner, 1, 1, bias=False)
            made.norm(f"{name}.{at + 2}", out, running=True)
            given, number = out, number + 1
    for block, fine, coarse in ((15, 64, 96), (17, 32, 64), (19, 24, 64), (21, 16, 64)):
        normed(f"block{block}.conv1", 64, coarse, 1, 1, bias=True)
        normed(f"block{block}.conv2", 64, fine, 1, 1, bias=True)
        normed(f"block{block + 1}.conv1", 128, 128, 3, 3, bias=True)
        normed(f"block{block + 1}.conv2", 64, 128, 3, 3, bias=True)
    normed("block23.conv1", 64, 64, 3, 3, bias=True)
    normed("block23.conv2", 64, 64, 3, 3, bias=True)
    made.layer("block23.conv3", 16, 64, 1, 1)
    made.found["block23.conv3.weight"][8:] *= 20  # long lines
    return made.found


def normal_bae() -> dict[str, Tensors]:
    """scannet.pt: baegwangbin/surface_normal_uncertainty, over a small EfficientNet."""
    made = Named()
    root = "encoder.original_model"

    def convolution(name: str, norm: str, *shape: int) -> None:
        made.layer(name, *shape, bias=False)
        made.norm(norm, shape[0], running=True)

    convolution(f"{root}.conv_stem", f"{root}.bn1", 8, 3, 3, 3)
    given = 8
    for stage, (out, side) in enumerate(((4, 3), (6, 3), (8, 5), (10, 3), (12, 5), (14, 5), (16, 3))):
        for block in range(2):
            name, inner = f"{root}.blocks.{stage}.{block}", given * (3 if stage else 1)
            if stage:
                convolution(f"{name}.conv_pw", f"{name}.bn1", inner, given, 1, 1)
            convolution(f"{name}.conv_dw", f"{name}.bn{2 if stage else 1}", inner, 1, side, side)
            made.layer(f"{name}.se.conv_reduce", 2, inner, 1, 1)
            made.layer(f"{name}.se.conv_expand", inner, 2, 1, 1)
            last = "conv_pwl" if stage else "conv_pw"
            convolution(f"{name}.{last}", f"{name}.bn{3 if stage else 2}", out, inner, 1, 1)
            given = out
    convolution(f"{root}.conv_head", f"{root}.bn2", 32, given, 1, 1)
    made.layer("decoder.conv2", 32, 32, 1, 1)
    coarse = 32
    for number, (fine, out) in enumerate(((12, 24), (8, 16), (6, 12), (4, 8)), 1):
        for at, wide in ((0, coarse + fine), (3, out)):
            made.layer(f"decoder.up{number}._net.{at}", out, wide, 3, 3)
            made.norm(f"decoder.up{number}._net.{at + 1}", out, running=True)
        coarse = out
    made.layer("decoder.out_conv_res8", 4, 16, 3, 3)
    for part, wide in ((4, 16), (2, 12), (1, 8)):
        for at, (out, into) in zip((0, 2, 4, 6), ((9, wide + 4), (9, 9), (9, 9), (4, 9)), strict=True):
            made.layer(f"decoder.out_conv_res{part}.{at}", out, into, 1)
    return {"model": {f"module.{name}": tensor for name, tensor in made.found.items()}}


def uniformer(widths: tuple[int, ...] = (8, 12, 128, 64), joined: int = 16) -> dict[str, object]:
    """upernet_global_small.pth: Sense-X/UniFormer under mmsegmentation's UPerNet."""
    made = Named()
    given = 3
    for stage, width in enumerate(widths, 1):
        side = 4 if stage == 1 else 2
        made.layer(f"backbone.patch_embed{stage}.proj", width, given, side, side)
        made.norm(f"backbone.patch_embed{stage}.norm", width)
        for at in range(2):
            name = f"backbone.blocks{stage}.{at}"
            made.layer(f"{name}.pos_embed", width, 1, 3, 3)
            if stage < 3:
                for part in ("norm1", "norm2"):
                    made.norm(f"{name}.{part}", width, running=True)
                made.layer(f"{name}.conv1", width, width, 1, 1)
                made.layer(f"{name}.conv2", width, width, 1, 1)
                made.layer(f"{name}.attn", width, 1, 5, 5)
                made.layer(f"{name}.mlp.fc1", 2 * width, width, 1, 1)
                made.layer(f"{name}.mlp.fc2", width, 2 * width, 1, 1)
            else:
                made.transformer(name, width, scaled=False)
        made.norm(f"backbone.norm{stage}", width)
        given = width

    def evened(name: str, *shape: int) -> None:
        made.layer(f"{name}.conv", *shape, bias=False)
        made.norm(f"{name}.bn", shape[0], running=True)

    head = "decode_head"
    made.layer("auxiliary_head.conv_seg", 150, 8, 1, 1)
    made.layer(f"{head}.conv_seg", 150, joined, 1, 1)
    for at in range(4):
        evened(f"{head}.psp_modules.{at}.1", joined, widths[-1], 1, 1)
    evened(f"{head}.bottleneck", joined, widths[-1] + 4 * joined, 3, 3)
    for at, width in enumerate(widths[:-1]):
        evened(f"{head}.lateral_convs.{at}", joined, width, 1, 1)
        evened(f"{head}.fpn_convs.{at}", joined, joined, 3, 3)
    evened(f"{head}.fpn_bottleneck", joined, 4 * joined, 3, 3)
    return {"state_dict": made.found, "meta": {"CLASSES": ["wall"], "epoch": 1}}


def oneformer(classes: int = 150, width: int = 8, hidden: int = 32) -> dict[str, Tensors]:
    """250_16_swin_l_oneformer_ade20k_160k.pth: SHI-Labs/OneFormer over a small Swin."""
    made = Named()
    made.layer("backbone.patch_embed.proj", width, 3, 4, 4)
    made.norm("backbone.patch_embed.norm", width)
    for stage, heads in enumerate((1, 1, 2, 2)):
        own = width * 2**stage
        for at in range(2):
            name = f"backbone.layers.{stage}.blocks.{at}"
            made.transformer(name, own, scaled=False)
            made.add(f"{name}.attn.relative_position_bias_table", 25, heads)
            made.found[f"{name}.attn.relative_position_index"] = torch.zeros(9, 9, dtype=torch.int64)
        if stage < 3:
            made.layer(f"backbone.layers.{stage}.downsample.reduction", 2 * own, 4 * own, bias=False)
            made.norm(f"backbone.layers.{stage}.downsample.norm", 4 * own)
        made.norm(f"backbone.norm{stage}", own)
    _pixel_decoder(made, width, hidden)
    _predictor(made, classes, hidden)
    made.layer("task_mlp.layers.0", hidden, 77)
    made.layer("task_mlp.layers.1", hidden, hidden)
    made.layer("sem_seg_head.predictor.class_embed", classes + 1, hidden)
    made.found["sem_seg_head.predictor.class_embed.weight"] *= 8  # sure of itself
    made.found["sem_seg_head.predictor.mask_embed.layers.2.weight"] *= 8
    return {"model": made.found}


def _pixel_decoder(made: Named, width: int, hidden: int, heads: int = 2) -> None:
    name = "sem_seg_head.pixel_decoder"
    for at, own in enumerate((8 * width, 4 * width, 2 * width)):
        made.layer(f"{name}.input_proj.{at}.0", hidden, own, 1, 1)
        made.norm(f"{name}.input_proj.{at}.1", hidden)
    made.add(f"{name}.transformer.level_embed", 3, hidden)
    for at in range(2):
        layer = f"{name}.transformer.encoder.layers.{at}"
        made.layer(f"{layer}.self_attn.sampling_offsets", heads * 24, hidden)
        made.layer(f"{layer}.self_attn.attention_weights", heads * 12, hidden)
        made.layer(f"{layer}.self_attn.value_proj", hidden, hidden)
        made.layer(f"{layer}.self_attn.output_proj", hidden, hidden)
        made.norm(f"{layer}.norm1", hidden)
        made.layer(f"{layer}.linear1", 40, hidden)
        made.layer(f"{layer}.linear2", hidden, 40)
        made.norm(f"{layer}.norm2", hidden)
    made.layer(f"{name}.mask_features", hidden, hidden, 1, 1)
    for part, own, side in (("adapter_1", width, 1), ("layer_1", hidden, 3)):
        made.layer(f"{name}.{part}", hidden, own, side, side, bias=False)
        made.norm(f"{name}.{part}.norm", hidden)


def _predictor(made: Named, classes: int, hidden: int) -> None:
    name = "sem_seg_head.predictor"

    def attention(own: str) -> None:
        made.add(f"{own}.in_proj_weight", 3 * hidden, hidden)
        made.add(f"{own}.in_proj_bias", 3 * hidden)
        made.layer(f"{own}.out_proj", hidden, hidden)

    def narrowed(own: str) -> None:
        made.layer(f"{own}.linear1", 48, hidden)
        made.layer(f"{own}.linear2", hidden, 48)

    layer = f"{name}.class_transformer.decoder.layers.0"
    attention(f"{layer}.self_attn")
    attention(f"{layer}.multihead_attn")
    narrowed(layer)
    for part in ("norm1", "norm2", "norm3"):
        made.norm(f"{layer}.{part}", hidden)
    made.norm(f"{name}.class_transformer.decoder.norm", hidden)
    for at in range(2):
        for kind, own in (("self", "self_attn"), ("cross", "multihead_attn")):
            attention(f"{name}.transformer_{kind}_attention_layers.{at}.{own}")
            made.norm(f"{name}.transformer_{kind}_attention_layers.{at}.norm", hidden)
        narrowed(f"{name}.transformer_ffn_layers.{at}")
        made.norm(f"{name}.transformer_ffn_layers.{at}.norm", hidden)
    made.norm(f"{name}.decoder_norm", hidden)
    made.add(f"{name}.query_embed.weight", 7, hidden)
    made.add(f"{name}.level_embed.weight", 3, hidden)
    made.layer(f"{name}.class_input_proj", hidden, hidden, 1, 1)
    for at in range(3):
        made.layer(f"{name}.mask_embed.layers.{at}", hidden, hidden)


def small_depth_anything() -> Tensors:
    return depth_anything(layers=4, width=64)


def _chain(made: Named, layers: Sequence[tuple[str, int]], width: int, given: int, last: int | None = None) -> int:
    """layers: names and sides of the kernels, one behind the other; the last gives `last` planes."""
    for number, (name, side) in enumerate(layers, 1):
        out = last if last is not None and number == len(layers) else width
        made.layer(name, out, given, side, side)
        given = out
    return given


_START = [(f"conv{block}_{at}", 3) for block, count in ((1, 2), (2, 2), (3, 4), (4, 2)) for at in range(1, count + 1)]


def body_pose(width: int = 4) -> Tensors:
    """body_pose_model.pth: CMU's OpenPose, in lllyasviel/Annotators' form."""
    made = Named()
    trunk = _chain(made, [*_START, ("conv4_3_CPM", 3), ("conv4_4_CPM", 3)], width, 3)
    for stage in range(1, 7):
        for branch, planes in (("L1", 38), ("L2", 19)):
            if stage == 1:
                layers = [(f"conv5_{at}_CPM_{branch}", 3 if at < 4 else 1) for at in range(1, 6)]
            else:
                layers = [(f"Mconv{at}_stage{stage}_{branch}", 7 if at < 6 else 1) for at in range(1, 8)]
            _chain(made, layers, width, trunk if stage == 1 else trunk + 57, planes)
    return made.found


def part_pose(planes: int, width: int = 4) -> Tensors:
    """hand_pose_model.pth (22 planes), facenet.pth (71)."""
    made = Named()
    names = ("conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3_CPM")
    trunk = _chain(made, [*_START, *((name, 3) for name in names)], width, 3)
    _chain(made, [("conv6_1_CPM", 1), ("conv6_2_CPM", 1)], width, trunk, planes)
    for stage in range(2, 7):
        layers = [(f"Mconv{at}_stage{stage}", 7 if at < 6 else 1) for at in range(1, 8)]
        _chain(made, layers, width, trunk + planes, planes)
    return made.found


# ---------------------------------------------------------------- ONNX


def constant_onnx(size: tuple[int, int], outputs: Mapping[str, NDArray[np.float32]]) -> bytes:
    """A network for pictures of (width, height), which answers so to each: the mean of the picture, times nothing, is
    added."""
    weights = {"nothing": np.zeros((1, 3, 1, 1), np.float32), "flat": np.array([1, 1, 1], np.int64), **outputs}
    nodes = [
        ("GlobalAveragePool", ("picture",), "mean"),
        ("Conv", ("mean", "nothing"), "zero"),
        ("Reshape", ("zero", "flat"), "number"),
        *(("Add", (f"{name}_weights", "number"), name) for name in outputs),
    ]
    graph = b""
    part, text = protobuf.part, protobuf.text
    for kind, inputs, output in nodes:
        given = b"".join(text(1, each) for each in inputs)
        graph += part(1, given + text(2, output) + text(3, f"{kind}_{output}") + text(4, kind))
    graph += text(2, "network")
    for name, numbers in weights.items():
        own = f"{name}_weights" if name in outputs else name
        dims = b"".join(protobuf.number(1, side) for side in numbers.shape)
        kind_number = FLOAT if numbers.dtype == np.float32 else INTEGER
        graph += part(5, dims + protobuf.number(2, kind_number) + text(8, own) + part(9, numbers.tobytes()))
    graph += part(11, _value("picture", (1, 3, size[1], size[0])))
    graph += b"".join(part(12, _value(name, numbers.shape)) for name, numbers in outputs.items())
    return protobuf.number(1, IR) + part(8, text(1, "") + protobuf.number(2, OPSET)) + part(7, graph)


def yolox(persons: Sequence[tuple[int, int, float, float]]) -> bytes:
    """yolox_l.onnx. persons: column and row of a cell of 8 pixels, in whose middle one is, and its width and height in
    pixels of the 640 of a side."""
    told = np.zeros((1, 8400, 85), np.float32)
    for column, row, width, height in persons:
        told[0, 80 * row + column, :6] = (0.5, 0.5, np.log(width / 8), np.log(height / 8), 0.9, 0.9)
    return constant_onnx((640, 640), {"output": told})


def dwpose(points: Mapping[int, tuple[int, int]]) -> bytes:
    """dw-ll_ucoco_384.onnx. points: number -> its place in the 288x384 pixels around a person."""
    across, down = np.zeros((1, 133, 576), np.float32), np.zeros((1, 133, 768), np.float32)
    for number, (x, y) in points.items():
        across[0, number, 2 * x] = down[0, number, 2 * y] = 0.8
    return constant_onnx((288, 384), {"simcc_x": across, "simcc_y": down})


FILES: Mapping[str, tuple[str, str, Callable[[], object]]] = {
    "depth": ("midas", "dpt_hybrid-midas-501f0c75.pt", midas),
    "depth_anything": ("depth_anything", "depth_anything_vitl14.pth", small_depth_anything),
    "depth_leres": ("leres", "res101.pth", leres),
    "depth_zoe": ("zoedepth", "ZoeD_M12_N.pt", zoe),
    **dict.fromkeys(("hed", "hed_safe", "scribble_hed"), ("hed", "ControlNetHED.pth", hed)),
    **dict.fromkeys(
        ("pidinet", "pidinet_safe", "pidinet_scribble", "pidinet_sketch"), ("pidinet", "table5_pidinet.pth", pidinet)
    ),
    "softedge_teed": ("TEED", "7_model.pth", teed),
    "lineart": ("lineart", "sk_model.pth", lineart),
    "lineart_coarse": ("lineart", "sk_model2.pth", lineart),
    "lineart_anime": ("lineart_anime", "netG.pth", lineart_anime),
    "normal_bae": ("normal_bae", "scannet.pt", normal_bae),
    "mlsd": ("mlsd", "mlsd_large_512_fp32.pth", mlsd),
    "segmentation": ("uniformer", "upernet_global_small.pth", uniformer),
    "oneformer_ade20k": ("oneformer", "250_16_swin_l_oneformer_ade20k_160k.pth", oneformer),
    "oneformer_coco": ("oneformer", "150_16_swin_l_oneformer_coco_100ep.pth", lambda: oneformer(133)),
    "depth_anything_v2": ("depth_anything_v2", "depth_anything_v2_vitl.pth", small_depth_anything),
}
"""Preprocessor -> the folder and the name of its file, and what it holds."""
OPENPOSE: Mapping[str, Callable[[], Tensors]] = {
    "body_pose_model.pth": body_pose,
    "hand_pose_model.pth": lambda: part_pose(22),
    "facenet.pth": lambda: part_pose(71),
}
"""OpenPose's own files, which its preprocessors can do without."""


def seen_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that see pictures at a large size, whatever it is, see them at a smaller one."""
    monkeypatch.setattr(zoe_code, "HIGH", 96)
    monkeypatch.setattr(zoe_code, "WIDE", 128)
    monkeypatch.setattr(oneformer_code, "SEEN_ADE20K", (128, 256))
    monkeypatch.setattr(oneformer_code, "SEEN_COCO", (96, 160))


def written(module: str, place: Path) -> Path:
    """The preprocessor's file below a folder of annotators."""
    folder, name, make = FILES[module]
    path = place / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        torch.save(make(), path)
    return path

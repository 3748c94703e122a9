"""Names and shapes of checkpoints as they are published, from the numbers of their configurations; no weights.

The full sizes stand for real files in tests of detection; small ones are filled with random numbers and make pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from webui.engine.families.weights import WeightsFile

Shape = tuple[int, ...]
Shapes = dict[str, Shape]


@dataclass(frozen=True)
class Unet:
    """In LDM's numbers; a depth of 0 means no transformer after that block."""

    widths: tuple[int, ...]
    down: tuple[tuple[int, ...], ...]
    """Depths of the transformers, per level and block, from the highest resolution."""
    up: tuple[tuple[int, ...], ...]
    """Per level and block (one more than down), from the lowest resolution."""
    middle: int | None
    """0: one block without attention; None: no middle at all."""
    context: int
    inputs: int = 4
    told: int = 0
    linear: bool = True

    def shapes(self) -> Shapes:
        first, prefix = self.widths[0], "model.diffusion_model."
        wide = 4 * first
        out: Shapes = {}
        _linear(out, "time_embed.0", first, wide)
        _linear(out, "time_embed.2", wide, wide)
        if self.told:
            _linear(out, "label_emb.0.0", self.told, wide)
            _linear(out, "label_emb.0.2", wide, wide)
        _convolution(out, "input_blocks.0.0", self.inputs, first)
        index, here, passed = 1, first, [first]
        for level, (width, depths) in enumerate(zip(self.widths, self.down, strict=True)):
            for depth in depths:
                self._block(out, f"input_blocks.{index}", here, width, depth)
                here, index = width, index + 1
                passed.append(width)
            if level < len(self.widths) - 1:
                _convolution(out, f"input_blocks.{index}.0.op", width, width)
                index += 1
                passed.append(width)
        if self.middle is not None:
            self._residual(out, "middle_block.0", here, here)
            if self.middle:
                self._transformer(out, "middle_block.1", here, self.middle)
                self._residual(out, "middle_block.2", here, here)
        index = 0
        for level, (width, depths) in enumerate(zip(reversed(self.widths), self.up, strict=True)):
            for rank, depth in enumerate(depths):
                self._block(out, f"output_blocks.{index}", here + passed.pop(), width, depth)
                if rank == len(depths) - 1 and level < len(self.widths) - 1:
                    _convolution(out, f"output_blocks.{index}.{2 if depth else 1}.conv", width, width)
                here, index = width, index + 1
        _norm(out, "out.0", first)
        _convolution(out, "out.2", first, 4)
        return {prefix + name: shape for name, shape in out.items()}

    def _block(self, out: Shapes, name: str, inside: int, width: int, depth: int) -> None:
        self._residual(out, f"{name}.0", inside, width)
        if depth:
            self._transformer(out, f"{name}.1", width, depth)

    def _residual(self, out: Shapes, name: str, inside: int, width: int) -> None:
        _norm(out, f"{name}.in_layers.0", inside)
        _convolution(out, f"{name}.in_layers.2", inside, width)
        _linear(out, f"{name}.emb_layers.1", 4 * self.widths[0], width)
        _norm(out, f"{name}.out_layers.0", width)
        _convolution(out, f"{name}.out_layers.3", width, width)
        if inside != width:
            _convolution(out, f"{name}.skip_connection", inside, width, kernel=1)

    def _transformer(self, out: Shapes, name: str, width: int, depth: int) -> None:
        _norm(out, f"{name}.norm", width)
        for end in ("proj_in", "proj_out"):
            if self.linear:
                _linear(out, f"{name}.{end}", width, width)
            else:
                _convolution(out, f"{name}.{end}", width, width, kernel=1)
        for rank in range(depth):
            block = f"{name}.transformer_blocks.{rank}"
            for attention, source in (("attn1", width), ("attn2", self.context)):
                out[f"{block}.{attention}.to_q.weight"] = (width, width)
                out[f"{block}.{attention}.to_k.weight"] = (width, source)
                out[f"{block}.{attention}.to_v.weight"] = (width, source)
                _linear(out, f"{block}.{attention}.to_out.0", width, width)
            _linear(out, f"{block}.ff.net.0.proj", width, 8 * width)
            _linear(out, f"{block}.ff.net.2", 4 * width, width)
            for norm in ("norm1", "norm2", "norm3"):
                _norm(out, f"{block}.{norm}", width)


def _linear(out: Shapes, name: str, inside: int, outside: int) -> None:
    out[f"{name}.weight"], out[f"{name}.bias"] = (outside, inside), (outside,)


def _norm(out: Shapes, name: str, width: int) -> None:
    out[f"{name}.weight"], out[f"{name}.bias"] = (width,), (width,)


def _convolution(out: Shapes, name: str, inside: int, outside: int, kernel: int = 3) -> None:
    out[f"{name}.weight"], out[f"{name}.bias"] = (outside, inside, kernel, kernel), (outside,)


def clip(prefix: str, width: int, layers: int) -> Shapes:
    """A tower in transformers' names."""
    out: Shapes = {
        "embeddings.token_embedding.weight": (49408, width),
        "embeddings.position_embedding.weight": (77, width),
    }
    for layer in range(layers):
        name = f"encoder.layers.{layer}"
        for part in "qkv":
            _linear(out, f"{name}.self_attn.{part}_proj", width, width)
        _linear(out, f"{name}.self_attn.out_proj", width, width)
        _norm(out, f"{name}.layer_norm1", width)
        _linear(out, f"{name}.mlp.fc1", width, 4 * width)
        _linear(out, f"{name}.mlp.fc2", 4 * width, width)
        _norm(out, f"{name}.layer_norm2", width)
    _norm(out, "final_layer_norm", width)
    return {f"{prefix}transformer.text_model.{name}": shape for name, shape in out.items()}


def open_clip(prefix: str, width: int, layers: int) -> Shapes:
    """A tower in OpenCLIP's names."""
    out: Shapes = {
        "positional_embedding": (77, width),
        "text_projection": (width, width),
        "token_embedding.weight": (49408, width),
        "logit_scale": (),
    }
    for layer in range(layers):
        name = f"transformer.resblocks.{layer}"
        out[f"{name}.attn.in_proj_weight"], out[f"{name}.attn.in_proj_bias"] = (3 * width, width), (3 * width,)
        _linear(out, f"{name}.attn.out_proj", width, width)
        _norm(out, f"{name}.ln_1", width)
        _linear(out, f"{name}.mlp.c_fc", width, 4 * width)
        _linear(out, f"{name}.mlp.c_proj", 4 * width, width)
        _norm(out, f"{name}.ln_2", width)
    _norm(out, "ln_final", width)
    return {f"{prefix}model.{name}": shape for name, shape in out.items()}


def vae(widths: tuple[int, ...] = (128, 256, 512, 512), layers: int = 2, channels: int = 4) -> Shapes:
    """An autoencoder in LDM's names."""
    out: Shapes = {}

    def residual(name: str, inside: int, width: int) -> None:
        _norm(out, f"{name}.norm1", inside)
        _convolution(out, f"{name}.conv1", inside, width)
        _norm(out, f"{name}.norm2", width)
        _convolution(out, f"{name}.conv2", width, width)
        if inside != width:
            _convolution(out, f"{name}.nin_shortcut", inside, width, kernel=1)

    def middle(name: str) -> None:
        residual(f"{name}.mid.block_1", widths[-1], widths[-1])
        _norm(out, f"{name}.mid.attn_1.norm", widths[-1])
        for part in ("q", "k", "v", "proj_out"):
            _convolution(out, f"{name}.mid.attn_1.{part}", widths[-1], widths[-1], kernel=1)
        residual(f"{name}.mid.block_2", widths[-1], widths[-1])

    _convolution(out, "encoder.conv_in", 3, widths[0])
    here = widths[0]
    for level, width in enumerate(widths):
        for block in range(layers):
            residual(f"encoder.down.{level}.block.{block}", here, width)
            here = width
        if level < len(widths) - 1:
            _convolution(out, f"encoder.down.{level}.downsample.conv", width, width)
    middle("encoder")
    _norm(out, "encoder.norm_out", here)
    _convolution(out, "encoder.conv_out", here, 2 * channels)
    _convolution(out, "decoder.conv_in", channels, here)
    middle("decoder")
    for level, width in reversed(list(enumerate(widths))):
        for block in range(layers + 1):
            residual(f"decoder.up.{level}.block.{block}", here, width)
            here = width
        if level:
            _convolution(out, f"decoder.up.{level}.upsample.conv", width, width)
    _norm(out, "decoder.norm_out", here)
    _convolution(out, "decoder.conv_out", here, 3)
    _convolution(out, "quant_conv", 2 * channels, 2 * channels, kernel=1)
    _convolution(out, "post_quant_conv", channels, channels, kernel=1)
    return {f"first_stage_model.{name}": shape for name, shape in out.items()}


# ---------------------------------------------------------------- published configurations


def _even(depth: int, levels: int, blocks: int, bare: int | None = None) -> tuple[tuple[int, ...], ...]:
    """All levels alike; level `bare` without transformers."""
    return tuple((0 if level == bare else depth,) * blocks for level in range(levels))


SD1 = Unet((320, 640, 1280, 1280), _even(1, 4, 2, 3), _even(1, 4, 3, 0), 1, 768, linear=False)
SD2 = replace(SD1, context=1024, linear=True)
BK_SMALL = Unet((320, 640, 1280, 1280), _even(1, 4, 1, 3), _even(1, 4, 2, 0), None, 768, linear=False)
BK_TINY = Unet((320, 640, 1280), _even(1, 3, 1), _even(1, 3, 2), None, 768, linear=False)
SDXL = Unet((320, 640, 1280), ((0, 0), (2, 2), (10, 10)), ((10,) * 3, (2,) * 3, (0,) * 3), 10, 2048, told=2816)
SSD_1B = Unet((320, 640, 1280), ((0, 0), (2, 2), (4, 4)), ((4, 4, 10), (2, 1, 1), (0,) * 3), 0, 2048, told=2816)
VEGA = Unet((320, 640, 1280), ((0, 0), (1, 1), (2, 2)), ((2,) * 3, (1,) * 3, (0,) * 3), 0, 2048, told=2816)
REFINER = Unet(
    (384, 768, 1536, 1536),
    ((0, 0), (4, 4), (4, 4), (0, 0)),
    ((0,) * 3, (4,) * 3, (4,) * 3, (0,) * 3),
    4,
    1280,
    told=2560,
)


def _towers(kind: str, widths: tuple[int, int], layers: tuple[int, int]) -> Shapes:
    left, right = widths
    match kind:
        case "sd1":
            return clip("cond_stage_model.", left, layers[0])
        case "sd2":
            return open_clip("cond_stage_model.", right, layers[1])
        case "refiner":
            return open_clip("conditioner.embedders.0.", right, layers[1])
        case _:
            first = clip("conditioner.embedders.0.", left, layers[0])
            return {**first, **open_clip("conditioner.embedders.1.", right, layers[1])}


PUBLISHED: Mapping[str, tuple[str, Unet]] = {
    "SD 1.5": ("sd1", SD1),
    "SD 1.5 inpainting": ("sd1", replace(SD1, inputs=9)),
    "InstructPix2Pix": ("sd1", replace(SD1, inputs=8)),
    "BK-SDM-Small": ("sd1", BK_SMALL),
    "BK-SDM-Tiny": ("sd1", BK_TINY),
    "SD 2.1": ("sd2", SD2),
    "SD 2 depth": ("sd2", replace(SD2, inputs=5)),
    "SD 2 inpainting": ("sd2", replace(SD2, inputs=9)),
    "SDXL": ("sdxl", SDXL),
    "SDXL inpainting": ("sdxl", replace(SDXL, inputs=9)),
    "SDXL refiner": ("refiner", REFINER),
    "SSD-1B": ("sdxl", SSD_1B),
    "Segmind Vega": ("sdxl", VEGA),
}


def stripped(name: str) -> WeightsFile:
    """The published checkpoint: all names and shapes, and no tensor."""
    kind, unet = PUBLISHED[name]
    layers = (12, 24) if kind == "sd2" else (12, 32)
    towers = _towers(kind, (768, 1024 if kind == "sd2" else 1280), layers)
    return _file({**unet.shapes(), **towers, **vae()})


def _file(shapes: Shapes) -> WeightsFile:
    def tensor(name: str) -> Tensor:
        raise AssertionError(f"{name} is read, where names and shapes shall do")

    return WeightsFile(Path("stripped.safetensors"), shapes, {}, tensor)


def small(name: str, path: Path) -> Path:
    """A file of the same build with narrow layers, at most two transformers deep, and random weights."""
    kind, unet = PUBLISHED[name]

    def shallow(depths: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(min(depth, 2) for depth in level) for level in depths)

    context = {"sdxl": 128}.get(kind, 64)
    numbers = {"sdxl": 6, "refiner": 5}.get(kind, 0)
    narrow = replace(
        unet,
        widths=tuple(64 if width > min(unet.widths) else 32 for width in unet.widths),
        down=shallow(unet.down),
        up=shallow(unet.up),
        middle=min(unet.middle, 2) if unet.middle is not None else None,
        context=context,
        told=64 + 256 * numbers if numbers else 0,
    )
    shapes = {**narrow.shapes(), **_towers(kind, (64, 64), (3, 3)), **vae((32, 32, 32, 32), layers=1)}
    return written(shapes, path)


# ---------------------------------------------------------------- flows


def flux(width: int, head: int, double: int, single: int, text: int, pooled: int, *, guided: bool) -> Shapes:
    """Flux's transformer in its own names, without prefix."""
    out: Shapes = {}
    _linear(out, "img_in", 64, width)
    _linear(out, "txt_in", text, width)
    for name, inside in (("time_in", 256), ("vector_in", pooled), *((("guidance_in", 256),) if guided else ())):
        _linear(out, f"{name}.in_layer", inside, width)
        _linear(out, f"{name}.out_layer", width, width)
    for block in range(double):
        for side in ("img", "txt"):
            name = f"double_blocks.{block}.{side}"
            _linear(out, f"{name}_mod.lin", width, 6 * width)
            _linear(out, f"{name}_attn.qkv", width, 3 * width)
            _linear(out, f"{name}_attn.proj", width, width)
            _linear(out, f"{name}_mlp.0", width, 4 * width)
            _linear(out, f"{name}_mlp.2", 4 * width, width)
            for part in ("query", "key"):
                out[f"{name}_attn.norm.{part}_norm.scale"] = (head,)
    for block in range(single):
        name = f"single_blocks.{block}"
        _linear(out, f"{name}.linear1", width, 7 * width)
        _linear(out, f"{name}.linear2", 5 * width, width)
        _linear(out, f"{name}.modulation.lin", width, 3 * width)
        for part in ("query", "key"):
            out[f"{name}.norm.{part}_norm.scale"] = (head,)
    _linear(out, "final_layer.linear", width, 64)
    _linear(out, "final_layer.adaLN_modulation.1", width, 2 * width)
    return out


def sd3(
    width: int, blocks: int, side: int, text: int, pooled: int, *, head: int = 64, normed: bool = False, dual: int = 0
) -> Shapes:
    """SD3's transformer in its own names, without prefix. normed, dual: as in SD3.5 large, and medium."""
    out: Shapes = {"pos_embed": (1, side * side, width)}
    _convolution(out, "x_embedder.proj", 16, width, kernel=2)
    _linear(out, "context_embedder", text, width)
    for name, inside in (("t_embedder", 256), ("y_embedder", pooled)):
        _linear(out, f"{name}.mlp.0", inside, width)
        _linear(out, f"{name}.mlp.2", width, width)
    for block in range(blocks):
        for kind in ("x", "context"):
            name, ends = f"joint_blocks.{block}.{kind}_block", kind == "context" and block == blocks - 1
            twice = kind == "x" and block < dual
            _linear(out, f"{name}.adaLN_modulation.1", width, (2 if ends else 9 if twice else 6) * width)
            for attention in ("attn", "attn2") if twice else ("attn",):
                _linear(out, f"{name}.{attention}.qkv", width, 3 * width)
                if not ends:
                    _linear(out, f"{name}.{attention}.proj", width, width)
                if normed:
                    out[f"{name}.{attention}.ln_q.weight"] = out[f"{name}.{attention}.ln_k.weight"] = (head,)
            if not ends:
                _linear(out, f"{name}.mlp.fc1", width, 4 * width)
                _linear(out, f"{name}.mlp.fc2", 4 * width, width)
    _linear(out, "final_layer.linear", width, 64)
    _linear(out, "final_layer.adaLN_modulation.1", width, 2 * width)
    return out


def t5(width: int, inner: int, forward: int, blocks: int, heads: int, words: int) -> Shapes:
    out: Shapes = {"shared.weight": (words, width), "encoder.final_layer_norm.weight": (width,)}
    for block in range(blocks):
        name = f"encoder.block.{block}.layer"
        for part in "qkv":
            out[f"{name}.0.SelfAttention.{part}.weight"] = (inner, width)
        out[f"{name}.0.SelfAttention.o.weight"] = (width, inner)
        out[f"{name}.0.layer_norm.weight"] = out[f"{name}.1.layer_norm.weight"] = (width,)
        out[f"{name}.1.DenseReluDense.wi_0.weight"] = out[f"{name}.1.DenseReluDense.wi_1.weight"] = (forward, width)
        out[f"{name}.1.DenseReluDense.wo.weight"] = (width, forward)
    out["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, heads)
    return out


def clip_alone(width: int, layers: int, projected: int = 0) -> Shapes:
    """A tower in a file of its own."""
    out = {name.removeprefix("transformer."): shape for name, shape in clip("", width, layers).items()}
    return {**out, **({"text_projection.weight": (projected, width)} if projected else {})}


def flow_vae(widths: tuple[int, ...] = (128, 256, 512, 512), layers: int = 2) -> Shapes:
    """Of 16 channels, without the convolutions about the latents, in a file of its own."""
    whole = vae(widths, layers, channels=16)
    return {name.removeprefix("first_stage_model."): shape for name, shape in whole.items() if "quant" not in name}


def under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def stand_in(shapes: Shapes) -> WeightsFile:
    """A file with these names and shapes, and no tensor."""
    return _file(shapes)


def written(shapes: Shapes, path: Path) -> Path:
    """A file with these names and shapes, and random numbers."""
    generator = torch.Generator().manual_seed(len(shapes))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: _random(name, shape, generator) for name, shape in shapes.items()}, path)
    return path


def _random(name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return (0.1 * drawn if name.endswith("bias") else 1 + 0.1 * drawn).half()
    return (drawn / math.sqrt(max(math.prod(shape[1:]), 1))).half()

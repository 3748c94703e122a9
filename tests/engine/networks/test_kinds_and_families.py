"""Every kind of network file on every family: all of it is applied, to the layers that it names, and comes off."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from webui.base.errors import UserError
from webui.engine.networks.adapter import split_name
from webui.engine.networks.deltas import kind_of, weight_change
from webui.engine.networks.patches import Patches, WantedNetwork
from webui.engine.networks.targets import Targets
from webui.request.plan import NetworkRef

FC = "text_model_encoder_layers_0_mlp_fc1"
ATTENTION = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
RESNET = "lora_unet_mid_block_resnets_0_conv1"
NORM = "lora_unet_mid_block_resnets_0_norm1"


@dataclass(frozen=True)
class Family:
    """As much of a family as networks need, and what files for it call some layers."""

    name: str
    network: Callable[[], nn.Module]
    linear: tuple[str, ...]
    conv: tuple[str, ...]
    norm: tuple[str, ...]
    texts: int = 1
    base: str = ""
    """What a trainer writes into a file's metadata."""


@dataclass
class Model:
    family: Family
    parts: dict[str, nn.Module]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def weights(self) -> dict[tuple[str, str], Tensor]:
        return {
            (part, name): tensor.clone()
            for part, module in self.parts.items()
            for name, tensor in module.state_dict().items()
        }


def unet(**more: object) -> nn.Module:
    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **more,
    )


def sdxl() -> nn.Module:
    return unet(
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=32,
    )


def sd3() -> nn.Module:
    return SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=2,
        joint_attention_dim=8,
        caption_projection_dim=8,
        pooled_projection_dim=8,
        out_channels=4,
        pos_embed_max_size=8,
        qk_norm="rms_norm",
    )


def flux() -> nn.Module:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=4,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(0, 2, 2),
    )


FAMILIES = {
    family.name: family
    for family in (
        Family("SD1", unet, (ATTENTION, f"lora_te_{FC}"), (RESNET,), (NORM,), base="sd_v1"),
        Family(
            "SD2",
            lambda: unet(use_linear_projection=True),
            (ATTENTION, "lora_unet_mid_block_attentions_0_proj_in", f"lora_te_{FC}"),
            (RESNET,),
            (NORM,),
            base="sd_v2_v",
        ),
        Family(
            "SDXL",
            sdxl,
            ("lora_unet_input_blocks_3_1_transformer_blocks_1_attn2_to_k", f"lora_te1_{FC}", f"lora_te2_{FC}"),
            ("lora_unet_input_blocks_2_0_op",),
            (NORM,),
            texts=2,
            base="sdxl_base_v1-0",
        ),
        Family(
            "SD3",
            sd3,
            ("lora_unet_joint_blocks_0_x_block_attn_qkv", f"lora_te1_{FC}", f"lora_te2_{FC}"),
            ("lora_unet_x_embedder_proj",),
            ("lora_unet_transformer_blocks_0_attn_norm_q",),
            texts=2,
            base="sd3m",
        ),
        Family(
            "Flux",
            flux,
            ("lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_single_blocks_0_linear1", f"lora_te1_{FC}"),
            (),
            ("lora_unet_transformer_blocks_0_attn_norm_q",),
            base="flux1",
        ),
    )
}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    torch.manual_seed(3)
    made = {}
    for name, family in FAMILIES.items():
        small = CLIPTextConfig(
            vocab_size=8, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
        texts = {f"text_{n}" if n > 1 else "text": CLIPTextModel(small) for n in range(1, family.texts + 1)}
        parts = {"unet" if name.startswith("SD") and name != "SD3" else "transformer": family.network(), **texts}
        made[name] = Model(family, {part: module.requires_grad_(False) for part, module in parts.items()})
    return made


def low(rows: int, *columns: int) -> Tensor:
    return torch.randn(rows, *columns) * 0.1


KINDS: dict[str, Callable[[torch.Size], dict[str, Tensor]]] = {
    "LoRA": lambda s: {"lora_up.weight": low(s[0], 2), "lora_down.weight": low(2, *s[1:]), "alpha": torch.tensor(1.0)},
    "DoRA": lambda s: {**KINDS["LoRA"](s), "dora_scale": low(1, s[1], *[1] * (len(s) - 2)) + 1},
    "LoHa": lambda s: {
        name: low(s[0], 2) if name.endswith("a") else low(2, math.prod(s[1:]))
        for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    },
    "LoKr": lambda s: {"lokr_w1": low(2, 2), "lokr_w2": low(s[0] // 2, s[1] // 2, *s[2:])},
    "LoKr of parts": lambda s: {
        "lokr_w1": low(2, 2),
        "lokr_w2_a": low(s[0] // 2, 1),
        "lokr_w2_b": low(1, s[1] // 2 * math.prod(s[2:])),
    },
    "IA3": lambda s: {"weight": low(s[0], 1), "on_input": torch.tensor(False)},
    "GLoRA": lambda s: {
        "a1.weight": low(2, math.prod(s[1:])),
        "a2.weight": low(math.prod(s[1:]), 2),
        "b1.weight": low(2, math.prod(s[1:])),
        "b2.weight": low(s[0], 2),
    },
    "GLoRA of today": lambda s: {
        "a1.weight": low(s[1], 2),
        "a2.weight": low(2, *s[1:2], *[1] * (len(s) - 2)),
        "b1.weight": low(s[0], 2, *[1] * (len(s) - 2)),
        "b2.weight": low(2, *s[1:]),
    },
    "OFT": lambda s: {"oft_blocks": low(2, s[0] // 2, s[0] // 2)},
    "BOFT": lambda s: {"oft_blocks": low(2, s[0] // 4, 4, 4)},
    "full": lambda s: {"diff": low(*s), "diff_b": low(s[0])},
}
TUCKER: dict[str, Callable[[torch.Size], dict[str, Tensor]]] = {
    "LoCon": KINDS["LoRA"],
    "LoCon, Tucker": lambda s: {
        "lora_up.weight": low(s[0], 2, 1, 1),
        "lora_mid.weight": low(2, 2, *s[2:]),
        "lora_down.weight": low(2, s[1], 1, 1),
    },
    "LoHa, Tucker": lambda s: {
        **{f"hada_w{n}_{side}": low(2, width) for n in (1, 2) for side, width in (("a", s[0]), ("b", s[1]))},
        **{f"hada_t{n}": low(2, 2, *s[2:]) for n in (1, 2)},
    },
    "LoKr, Tucker": lambda s: {
        "lokr_w1": low(2, 2),
        "lokr_w2_a": low(2, s[0] // 2),
        "lokr_w2_b": low(2, s[1] // 2),
        "lokr_t2": low(2, 2, *s[2:]),
    },
    "IA3": KINDS["IA3"],
    "GLoRA of today": KINDS["GLoRA of today"],
    "OFT": KINDS["OFT"],
    "full": KINDS["full"],
}
NORMS: dict[str, Callable[[torch.Size], dict[str, Tensor]]] = {"norm": lambda s: {"w_norm": low(*s), "b_norm": low(*s)}}
CASES = [
    *((family, kind, "linear", make) for family in FAMILIES for kind, make in KINDS.items()),
    *((name, kind, "conv", make) for name, family in FAMILIES.items() if family.conv for kind, make in TUCKER.items()),
    *((family, kind, "norm", make) for family in FAMILIES for kind, make in NORMS.items()),
]


@pytest.mark.parametrize(
    ("family", "kind", "place", "make"), CASES, ids=[f"{name}-{kind}-{place}" for name, kind, place, _ in CASES]
)
def test_all_of_the_file_is_applied_and_comes_off_bit_for_bit(
    models: dict[str, Any], tmp_path: Path, family: str, kind: str, place: str, make: Any
) -> None:
    model, path = models[family], tmp_path / "x.safetensors"
    before, targets = model.weights(), Targets.of(model.parts)
    tensors: dict[str, Tensor] = {}
    expected = dict(before)
    torch.manual_seed(5)
    for layer in getattr(model.family, place):
        target = targets.find(layer)
        assert target is not None, layer
        keys = [(part.part, f"{part.module}.weight") for part in target]
        weight = torch.cat([before[key] for key in keys])
        made = make(weight.shape)
        tensors |= {f"{layer}.{name}": tensor.contiguous() for name, tensor in made.items()}
        named = {split[1]: tensor for name, tensor in made.items() if (split := split_name(f"{layer}.{name}"))}
        assert named.keys() and len(named) == len(made)
        found = kind_of(named)
        assert found is not None
        change = weight_change(found, named, weight, None)
        assert change.any()
        rows = [before[key].shape[0] for key in keys]
        for key, part in zip(keys, change.split(rows), strict=True):
            expected[key] = before[key] + 0.5 * part
    save_file(tensors, path)
    patches = Patches()
    patches.apply_networks(model, [WantedNetwork(NetworkRef(str(path), "x"), 0.5, 0.5)])
    assert (patches.fit[0].applied, patches.fit[0].total) == (len(getattr(model.family, place)),) * 2
    for key, tensor in model.weights().items():
        if key[1].endswith(".weight"):
            assert torch.allclose(tensor, expected[key], atol=1e-5), key
    patches.apply_networks(model, [])
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.weights().items())


@pytest.mark.parametrize("made_for", FAMILIES)
def test_every_other_family_refuses_it_by_name(models: dict[str, Any], tmp_path: Path, made_for: str) -> None:
    family, path = FAMILIES[made_for], tmp_path / "painter.safetensors"
    layers = [layer for layer in family.linear if "_te" not in layer]
    targets = Targets.of(models[made_for].parts)
    tensors = {}
    for layer in layers:
        target = targets.find(layer)
        assert target is not None
        shapes = [models[made_for].weights()[part.part, f"{part.module}.weight"].shape for part in target]
        whole = torch.Size((sum(shape[0] for shape in shapes), shapes[0][1]))
        tensors |= {f"{layer}.{name}": tensor for name, tensor in KINDS["LoRA"](whole).items()}
    save_file(tensors, path, {"ss_base_model_version": family.base})
    for name, model in models.items():
        before, wanted = model.weights(), [WantedNetwork(NetworkRef(str(path), "painter"))]
        if name == made_for:
            patches = Patches()
            patches.apply_networks(model, wanted)
            assert patches.fit[0].applied == len(layers)
            patches.apply_networks(model, [])
            continue
        with pytest.raises(UserError, match=f"painter was made for {made_for}, but the checkpoint is {name}"):
            Patches().apply_networks(model, wanted)
        assert all(torch.equal(tensor, before[key]) for key, tensor in model.weights().items())

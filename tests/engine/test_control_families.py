"""For which models a control network is made is told by its tensors, whatever its file is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from webui.catalog.control_kinds import told
from webui.engine.control.networks import fits, opened

CPU = torch.device("cpu")
SD1: dict[str, Any] = {
    "block_out_channels": (32, 64, 128, 128),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 48,
    "attention_head_dim": 4,
}
SDXL: dict[str, Any] = {
    "block_out_channels": (32, 64, 128),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 96,
    "attention_head_dim": 4,
    "use_linear_projection": True,
}
CONFIGS = {"SD1": SD1, "SDXL": SDXL}


@pytest.fixture(scope="module")
def unets() -> dict[str, UNet2DConditionModel]:
    return {family: UNet2DConditionModel(**config) for family, config in CONFIGS.items()}


def controlnet(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    return dict(ControlNetModel.from_unet(unet).state_dict())


def adapter(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    widths = [*unet.config.block_out_channels, unet.config.block_out_channels[-1]][:4]
    is_xl = len(unet.config.block_out_channels) == 3
    network = T2IAdapter(3, widths, 2, 16 if is_xl else 8, "full_adapter_xl" if is_xl else "full_adapter")
    return dict(network.state_dict())


def lllite(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    block = 4 if len(unet.config.block_out_channels) == 3 else 1
    width = unet.config.cross_attention_dim
    at = f"lllite_unet_input_blocks_{block}_1_transformer_blocks_0_attn2_to_k"
    shapes = {"conditioning1.0": (8, 3, 4, 4), "conditioning1.2": (8, 8, 2, 2), "down.0": (16, width)}
    shapes |= {"mid.0": (16, 24), "up.0": (width, 16)}
    found: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        found |= {f"{at}.{name}.weight": torch.zeros(shape), f"{at}.{name}.bias": torch.zeros(shape[0])}
    return found


def image_prompt(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    text = unet.config.cross_attention_dim
    found = {"image_proj.proj.weight": torch.zeros(4 * text, 8), "image_proj.proj.bias": torch.zeros(4 * text)}
    found |= {"image_proj.norm.weight": torch.zeros(text), "image_proj.norm.bias": torch.zeros(text)}
    layers = [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]
    for place, name in enumerate(layers):
        weight = unet.get_submodule(f"{name}.to_k").weight
        found |= {f"ip_adapter.{2 * place + 1}.to_{letter}_ip.weight": torch.zeros(weight.shape) for letter in "kv"}
    return found


KINDS = (controlnet, adapter, lllite, image_prompt)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(("family", "name"), [("SD1", "for_sdxl_xl.safetensors"), ("SDXL", "for_sd15.safetensors")])
def test_family_is_read_from_the_keys_before_names(
    make: Any, family: str, name: str, unets: dict[str, UNet2DConditionModel], tmp_path: Path
) -> None:
    save_file({key: tensor.contiguous() for key, tensor in make(unets[family]).items()}, tmp_path / name)
    network = opened(tmp_path / name, CPU, torch.float32)
    assert [other for other, unet in unets.items() if fits(network, unet)] == [family]


@pytest.mark.parametrize(("width", "family"), [(768, "SD1"), (1024, "SD2"), (2048, "SDXL"), (5, "")])
def test_the_catalog_tells_families_apart_by_the_width_of_their_text(width: int, family: str) -> None:
    for name in ("ip_adapter.1.to_k_ip.weight", "down_blocks.1.attentions.0.attn2.processor.to_k_ip.0.weight"):
        found = told({name: (320, width), "image_proj.latents": (1, 16, 768)})
        assert found is not None and (found.kind.value, found.family) == ("IP-Adapter", family)

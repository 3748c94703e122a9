"""The exported file is an SD1 file: diffusers' own conversion of such files gives the trained networks back."""

from __future__ import annotations

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors import safe_open
from torch import nn

from webui.engine.training.config import Networks
from webui.engine.training.export import sd1_tensors, write_checkpoint
from webui.engine.training.networks import build_text_tower, build_unet, build_vae

SMALL = {
    "three levels, text in the last": Networks((32, 32, 32, 32), 1, (32, 32, 64), (False, False, True), 1, 64, 1),
    "two levels, two blocks, text in both": Networks((32, 64), 2, (32, 64), (True, True), 2, 64, 2),
    "SD1's plan: text in all but the last": Networks((32, 32, 32, 64), 1, (32, 32, 64), (True, True, False), 2, 64, 1),
}


@pytest.fixture(params=SMALL.values(), ids=SMALL.keys())
def networks(request: pytest.FixtureRequest) -> Networks:
    torch.manual_seed(0)
    small: Networks = request.param
    return small


def same_after_half(converted: dict[str, torch.Tensor], module: nn.Module) -> None:
    own = {name: tensor for name, tensor in module.state_dict().items() if not name.endswith("position_ids")}
    assert converted.keys() == own.keys()
    for name, tensor in own.items():
        assert torch.equal(converted[name], tensor.half()), name


def test_diffusers_converts_the_file_back_into_the_trained_networks(networks: Networks) -> None:
    unet, vae, text = build_unet(networks), build_vae(networks), build_text_tower(networks)
    tensors = sd1_tensors(unet, vae, text)
    same_after_half(convert_ldm_unet_checkpoint(dict(tensors), dict(unet.config)), unet)
    same_after_half(convert_ldm_vae_checkpoint(dict(tensors), dict(vae.config)), vae)
    clip = convert_ldm_clip_checkpoint(dict(tensors))
    same_after_half({name.removeprefix("text_model."): tensor for name, tensor in clip.items()}, _bare(text))


def _bare(text: nn.Module) -> nn.Module:
    """The tower without the wrapper that some versions of transformers put around it."""
    inner = getattr(text, "text_model", text)
    assert isinstance(inner, nn.Module)
    return inner


def test_the_names_are_those_of_sd1(networks: Networks) -> None:
    names = sd1_tensors(build_unet(networks), build_vae(networks), build_text_tower(networks)).keys()
    for name in (
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.time_embed.2.bias",
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.out.2.weight",
        "first_stage_model.encoder.down.0.block.0.conv1.weight",
        "first_stage_model.decoder.mid.attn_1.proj_out.weight",
        "first_stage_model.quant_conv.weight",
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
        "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    ):
        assert name in names


def test_the_file_says_what_it_is(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_checkpoint(tmp_path / "a.safetensors", {"x": torch.zeros(2, dtype=torch.float16)}, 128)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata()["modelspec.architecture"] == "stable-diffusion-v1"
        assert file.metadata()["modelspec.resolution"] == "128x128"

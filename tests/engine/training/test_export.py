"""The exported file is an SD1 file: diffusers' own conversion of such files gives the trained networks back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from diffusers.models.autoencoders.vae import DecoderOutput
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from webui.base.errors import ModelError
from webui.engine.families import ldm, sd1
from webui.engine.families.weights import open_weights
from webui.engine.training.config import LATENT_SCALE, Networks
from webui.engine.training.export import preview_factors, read_checkpoint, sd1_tensors, write_checkpoint
from webui.engine.training.networks import build_text_tower, build_unet, build_vae

SMALL = {
    "the demo's plan, small": Networks((16, 16, 16, 16, 32), 1, 16, (32, 32, 64), (False, True, True), 1, 64, 1),
    "three levels, text in the last": Networks((32, 32, 32, 32), 1, 4, (32, 32, 64), (False, False, True), 1, 64, 1),
    "two levels, two blocks, text in both": Networks((32, 64), 2, 4, (32, 64), (True, True), 2, 64, 2),
    "SD1's: text in all but the last": Networks((32, 32, 32, 64), 1, 4, (32, 32, 64), (True, True, False), 2, 64, 1),
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


def test_training_goes_on_from_a_file(networks: Networks, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    written = (build_unet(networks), build_vae(networks), build_text_tower(networks))
    write_checkpoint(path, sd1_tensors(*written), 256)
    read = (build_unet(networks), build_vae(networks), build_text_tower(networks))
    read_checkpoint(path, *read)
    for ours, theirs in zip(read, written, strict=True):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name].half().to(tensor.dtype)), name
    wider = build_unet(replace(networks, unet_widths=tuple(2 * width for width in networks.unet_widths)))
    with pytest.raises(ModelError, match="has the shape"):
        read_checkpoint(path, wider, read[1], read[2])


def test_the_file_says_what_it_is(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_checkpoint(tmp_path / "a.safetensors", {"x": torch.zeros(2, dtype=torch.float16)}, 128)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata()["modelspec.architecture"] == "stable-diffusion-v1"
        assert file.metadata()["modelspec.resolution"] == "128x128"


def test_a_preview_has_the_colours_of_the_files_own_vae(tmp_path: Path) -> None:
    """A VAE that shows its first three channels plainly is found out, and its file says so to whoever loads it."""
    latents = torch.rand(40, 4, 2, 2) * 2 * LATENT_SCALE - LATENT_SCALE

    class Plain(nn.Module):
        def decode(self, latent: torch.Tensor) -> DecoderOutput:
            return DecoderOutput(latent[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3) * 0.5 + 0.25)

    factors = preview_factors(cast("AutoencoderKL", Plain()), latents)
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"x": torch.zeros(2)}, 128, factors)
    rows, bias = ldm.preview_of(open_weights(path), sd1.PREVIEW, 4)
    shown = torch.einsum("bchw,cr->brhw", latents, torch.tensor(rows)) + torch.tensor(bias)[:, None, None]
    assert torch.allclose(shown, latents[:, :3] / LATENT_SCALE * 0.5 + 0.25, atol=1e-3)


@pytest.mark.parametrize("said", ["[[1, 2, 3]]", "[[1, 2], [3, 4]]", "red", "[1, 2, 3, 4, 5]"])
def test_damaged_preview_colours_are_an_error(said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(2)}, path, {"gesso.preview_rgb": said})
    with pytest.raises(ModelError, match="odd"):
        ldm.preview_of(open_weights(path), sd1.PREVIEW, 4)

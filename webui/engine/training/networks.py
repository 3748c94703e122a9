"""The three networks of the demo model, built of the same classes that run any user's SD1 file."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from webui.engine.training.config import (
    END_TOKEN,
    LATENT_SCALE,
    START_TOKEN,
    TEXT_HEAD_WIDTH,
    TOKENS,
    UNET_HEADS,
    VOCABULARY,
    Networks,
    groups,
)


def build_vae(networks: Networks) -> AutoencoderKL:
    """SD1's autoencoder, with a level more than SD1's where there are five widths.

    It begins as the mean colour of each block that a latent stands for, see `_begin_with_colours`.
    """
    levels = len(networks.vae_widths)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=networks.vae_widths,
        layers_per_block=networks.vae_depth,
        latent_channels=networks.latent_channels,
        norm_num_groups=groups(networks.vae_widths),
        scaling_factor=LATENT_SCALE,
    )
    _begin_with_colours(vae)
    return vae


_CARRIED = 12
"""Channels that carry the picture through the new autoencoder: for red, green and blue the value, its negative, 1, -1.

A value, its negative and two constants leave a group norm almost as they came, and silu(x) - silu(-x) = x.
"""


@torch.no_grad()
def _begin_with_colours(vae: AutoencoderKL) -> None:
    """Set weights so that the first three latents are mean colours, and decode to them; the rest is left to chance.

    From random weights the colours of flat surfaces are learned very late. Residual blocks and attention begin as
    identities, latents with little noise.
    """
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
            if module.conv_shortcut is not None:
                _carry(module.conv_shortcut)
        elif isinstance(module, Attention):
            nn.init.zeros_(module.to_out[0].weight)
        elif isinstance(module, Downsample2D):
            _carry(module.conv, ((0, 0), (0, 1), (1, 0), (1, 1)))
        elif isinstance(module, Upsample2D):
            _carry(module.conv, ((1, 1),))
    for entry in (vae.encoder.conv_in, vae.decoder.conv_in):
        entry.weight[:_CARRIED] = 0
        for channel in range(_CARRIED):
            sign = 1.0 - 2.0 * (channel % 2)
            if channel % 4 < 2:
                entry.weight[channel, channel // 4, 1, 1] = sign
            entry.bias[channel] = sign if channel % 4 >= 2 else 0.0
    for end in (vae.encoder.conv_out, vae.decoder.conv_out):
        end.weight *= 0.1
        for colour in range(3):
            end.weight[colour] = 0
            end.weight[colour, 4 * colour, 1, 1] = 1.0
            end.weight[colour, 4 * colour + 1, 1, 1] = -1.0
        nn.init.zeros_(end.bias)
    latents = len(vae.post_quant_conv.weight)
    vae.encoder.conv_out.weight[3:latents] *= 10
    for middle in (vae.quant_conv, vae.post_quant_conv):
        nn.init.zeros_(middle.bias)
        middle.weight[:, :, 0, 0] = torch.eye(len(middle.weight))
    vae.quant_conv.weight[latents:] = 0
    vae.quant_conv.bias[latents:] = -5.0


def _carry(conv: nn.Conv2d, taps: tuple[tuple[int, int], ...] = ((0, 0),)) -> None:
    """Let a convolution pass the first channels on unchanged, as the mean of the taps of its kernel."""
    conv.weight[:_CARRIED] = 0
    if conv.bias is not None:
        conv.bias[:_CARRIED] = 0
    for channel in range(_CARRIED):
        for row, column in taps:
            conv.weight[channel, channel, row, column] = 1 / len(taps)


def build_unet(networks: Networks) -> UNet2DConditionModel:
    """SD1's UNet, with spatial transformers in the levels of `unet_attention` and in the middle."""
    attention = networks.unet_attention
    return UNet2DConditionModel(
        in_channels=networks.latent_channels,
        out_channels=networks.latent_channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)),
        block_out_channels=networks.unet_widths,
        layers_per_block=networks.unet_depth,
        cross_attention_dim=networks.text_width,
        attention_head_dim=UNET_HEADS,  # diffusers' name for the number of heads
        norm_num_groups=groups(networks.unet_widths),
    )


def build_text_tower(networks: Networks) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=networks.text_width,
            intermediate_size=networks.text_widening * networks.text_width,
            num_hidden_layers=networks.text_layers,
            num_attention_heads=networks.text_width // TEXT_HEAD_WIDTH,
            max_position_embeddings=TOKENS,
            hidden_act="quick_gelu",
            bos_token_id=START_TOKEN,
            eos_token_id=END_TOKEN,
            pad_token_id=END_TOKEN,
        )
    )

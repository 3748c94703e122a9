"""Small pipelines of diffusers with random weights, saved as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model, T5Config, T5EncoderModel, T5Tokenizer

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def _vae(channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 32),
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )


def z_image(folder: Path) -> Path:
    """Has img2img and inpaint; its text encoder is a language model."""
    torch.manual_seed(0)
    words = {chr(letter): letter - 97 for letter in range(97, 123)} | {"Ġ": 26, "<|endoftext|>": 27}
    tokenizer = Qwen2Tokenizer(vocab=words, merges=[])
    tokenizer.chat_template = TEMPLATE
    transformer = ZImageTransformer2DModel(
        in_channels=16,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    with torch.no_grad():
        for token in (transformer.x_pad_token, transformer.cap_pad_token):  # made without values
            token.normal_()
    encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=28,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            bos_token_id=27,
            eos_token_id=27,
        )
    )
    return _saved(ZImagePipeline(FlowMatchEulerDiscreteScheduler(), _vae(16), encoder, tokenizer, transformer), folder)


def pixart(folder: Path) -> Path:
    """Knows text to image alone, and calls back in the old way."""
    torch.manual_seed(0)
    letters = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((chr(n), -3.0) for n in range(97, 123))]
    transformer = PixArtTransformer2DModel(
        sample_size=32,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        cross_attention_dim=16,
        caption_channels=16,
        in_channels=4,
        out_channels=8,
    )
    encoder = T5EncoderModel(T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    scheduler = DDIMScheduler()
    tokenizer = T5Tokenizer(vocab=letters, extra_ids=0)
    return _saved(PixArtSigmaPipeline(tokenizer, encoder, _vae(4), transformer, scheduler), folder)


def _saved(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder

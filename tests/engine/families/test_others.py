"""Files that nobody here can open are called by their names."""

from __future__ import annotations

import pytest

from tests.engine.families.published import PUBLISHED, flux, sd3, stand_in, stripped
from webui.base.errors import ModelError
from webui.engine.families.family import family_of
from webui.engine.families.others import described, not_ours, piece

UNET = "model.diffusion_model."
SD1 = {
    f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3),
    f"{UNET}out.2.weight": (4, 320, 3, 3),
    "cond_stage_model.transformer.text_model.final_layer_norm.weight": (768,),
}
SD2 = {**SD1, "cond_stage_model.model.ln_final.weight": (1024,)}
FLUX = flux(64, 32, 1, 1, 48, 32, guided=False)
NF4 = ".quant_state.bitsandbytes__nf4"
KINDS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "NF4": ({**FLUX, f"double_blocks.0.img_attn.qkv.weight{NF4}": (100,)}, "packed its weights into 4 bits"),
    "FP4": ({**SD1, f"{UNET}out.2.weight.quant_state.bitsandbytes__fp4": (9,)}, "packed its weights into 4 bits"),
    "SVDQuant": (
        {"transformer_blocks.0.attn.to_qkv.qweight": (8, 8), "transformer_blocks.0.attn.to_qkv.smooth_factor": (8,)},
        "SVDQuant",
    ),
    "unCLIP": ({**SD2, "embedder.model.visual.proj": (8, 8), "noise_augmentor.data_mean": (1, 8)}, "Stable unCLIP"),
    "SVD": ({f"{UNET}input_blocks.1.0.time_stack.emb_layers.1.bias": (8,), **SD2}, "Stable Video Diffusion"),
    "x4": ({**SD2, f"{UNET}label_emb.weight": (1000, 8)}, "4x upscaler of Stable Diffusion"),
    "a strange UNet": ({**SD2, f"{UNET}input_blocks.0.0.weight": (320, 7, 3, 3)}, "sees 7 channels and makes 4"),
    "Zero123": ({**SD1, "cc_projection.weight": (8, 8)}, "Zero123"),
    "AnimateDiff": ({"down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": (8,)}, "AnimateDiff"),
    "Kolors": ({"encoder_hid_proj.weight": (8, 8), "down_blocks.0.resnets.0.conv1.weight": (8, 8)}, "Kolors"),
    "HunyuanVideo": (
        {**FLUX, "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias": (8,)},
        "HunyuanVideo",
    ),
    "HunyuanImage": ({**FLUX, "byt5_in.fc1.weight": (8, 8)}, "HunyuanImage"),
    "HunyuanDiT": ({"mlp_t5.0.weight": (8, 8)}, "HunyuanDiT"),
    "PixArt": (
        {
            "t_block.1.weight": (8, 8),
            "blocks.0.mlp.fc1.weight": (8, 8),
            **{f"blocks.0.cross_attn.{part}": (8,) for part in ("q_linear.weight", "kv_linear.weight")},
        },
        "PixArt",
    ),
    "Wan": ({f"{UNET}head.modulation": (1, 2, 8), f"{UNET}patch_embedding.weight": (8, 4, 1, 2, 2)}, "Wan"),
    "LTX": ({f"{UNET}patchify_proj.weight": (8, 8)}, "LTX-Video"),
    "Mochi": ({"blocks.0.attn.qkv_x.weight": (8, 8)}, "Mochi"),
    "Cosmos": ({"net.x_embedder.proj.1.weight": (8, 68)}, "Cosmos"),
    "Cascade C": ({"clip_txt_mapper.weight": (8, 8)}, "Stable Cascade"),
    "Cascade B": ({"down_blocks.1.0.channelwise.0.weight": (8, 8)}, "Stable Cascade"),
    "Kandinsky 2": (
        {"add_embedding.image_proj.weight": (8, 8), "down_blocks.0.resnets.0.conv1.weight": (8,)},
        "Kandinsky",
    ),
    "Kandinsky 5": ({"visual_transformer_blocks.0.x.weight": (8, 8)}, "Kandinsky 5"),
    "Qwen-Image": ({"txt_norm.weight": (8,), "transformer_blocks.0.attn.add_q_proj.weight": (8, 8)}, "Qwen-Image"),
    "OmniGen2": ({"time_caption_embed.caption_embedder.0.weight": (8,)}, "OmniGen2"),
    "Stable Audio": ({"transformer.rotary_pos_emb.inv_freq": (8,)}, "Stable Audio"),
    "ControlNet": (
        {"controlnet_cond_embedding.conv_in.weight": (8,), "down_blocks.0.resnets.0.x": (8,)},
        "a ControlNet",
    ),
    "Control-LoRA": ({"lora_controlnet": (0,), "input_blocks.0.0.weight": (8, 4, 3, 3)}, "a ControlNet"),
    "IP-Adapter": ({"image_proj.proj.weight": (8, 8), "ip_adapter.1.to_k_ip.weight": (8, 8)}, "an IP-Adapter"),
    "T2I-Adapter": ({"adapter.body.0.block1.weight": (8, 8)}, "a T2I-Adapter"),
    "LoHa": ({"lora_unet_x.hada_w1_a": (8, 8)}, "a LoRA"),
    "LoKr": ({"lycoris_x.lokr_w1": (8, 8)}, "a kin of LoRA"),
    "CLIP vision": ({"vision_model.embeddings.class_embedding": (8,)}, "CLIP vision"),
    "ESRGAN": ({"model.1.sub.0.RDB1.conv1.0.weight": (8, 8, 3, 3)}, "an upscaler"),
    "a UNet of diffusers": ({"down_blocks.0.resnets.0.conv1.weight": (8, 8, 3, 3)}, "out of a folder of diffusers"),
    "a Flux of diffusers": ({"single_transformer_blocks.0.attn.to_q.weight": (8, 8)}, "out of a folder of diffusers"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_called_by_its_name(kind: str) -> None:
    shapes, said = KINDS[kind]
    with pytest.raises(ModelError, match=said):
        family_of(stand_in(shapes))


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_checkpoint_that_can_be_opened_is_taken_for_one_of_them(name: str) -> None:
    file = stripped(name)
    assert not_ours(file) is described(file) is piece(file) is None


@pytest.mark.parametrize("shapes", [FLUX, sd3(64, 2, 8, 96, 96, head=32, normed=True, dual=1)])
def test_nor_are_flux_and_sd3(shapes: dict[str, tuple[int, ...]]) -> None:
    assert not_ours(stand_in(shapes)) is described(stand_in(shapes)) is None

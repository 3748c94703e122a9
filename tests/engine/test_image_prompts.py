"""IP-Adapters: what a picture says is looked at beside the text, as in diffusers; files are known by their keys."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from tests.engine.conftest import OPTIONS, Engine, Names, most_apart, reference
from tests.engine.families.published import small
from tests.engine.test_generate import GRADIENT, png, request
from webui.base.errors import ModelError, UserError
from webui.engine.control.image_prompts import Acting, ImageTokens, blocks, image_prompt_of
from webui.engine.control.networks import opened
from webui.engine.control.vision import Tower, chosen, framed
from webui.engine.control.vision import opened as opened_tower
from webui.engine.families.weights import open_weights
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.features.controlnet.parameters import WEIGHT_TYPES, Params
from webui.features.controlnet.prompting import share
from webui.features.controlnet.telling import pooled_width
from webui.request.fields import Img2Img, Txt2Img
from webui.request.model_ref import ModelRef
from webui.request.plan import Plan, resolve
from webui.request.settings import Settings

CPU = torch.device("cpu")
TEXT = 32
"""Width of the small UNet's text."""
SEES, SAYS = 64, 48
"""Width of the small image encoder, and of what it says in the end."""


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int = 1) -> dict[str, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=stream) * 0.3 for name, shape in shapes.items()}


def small_unet(text: int = TEXT) -> UNet2DConditionModel:
    torch.manual_seed(3)
    return UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text,
        attention_head_dim=4,
        norm_num_groups=8,
        sample_size=8,
    ).eval()


def pairs(unet: UNet2DConditionModel) -> dict[str, tuple[int, ...]]:
    """Keys and values for each cross-attention, as published files count them."""
    layers = [name for name in unet.attn_processors if ".attn2." in name]
    found: dict[str, tuple[int, ...]] = {}
    for place, name in enumerate(layers):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        for letter in "kv":
            weight = layer.get_submodule(f"to_{letter}").weight
            found[f"ip_adapter.{2 * place + 1}.to_{letter}_ip.weight"] = tuple(weight.shape)
    return found


def projection(kind: str, text: int = TEXT, sees: int = SEES) -> dict[str, tuple[int, ...]]:
    if kind == "plain":
        own = {"proj.weight": (4 * text, SAYS), "proj.bias": (4 * text,), "norm.weight": (text,), "norm.bias": (text,)}
    elif kind == "full":
        own = {"proj.0.weight": (sees, sees), "proj.0.bias": (sees,), "proj.2.weight": (text, sees)}
        own |= {"proj.2.bias": (text,), "proj.3.weight": (text,), "proj.3.bias": (text,)}
    else:
        hidden = 128
        own = {"latents": (1, 5, hidden), "proj_in.weight": (hidden, sees), "proj_in.bias": (hidden,)}
        own |= {"proj_out.weight": (text, hidden), "proj_out.bias": (text,)}
        own |= {"norm_out.weight": (text,), "norm_out.bias": (text,)}
        for depth in range(4):
            at = f"layers.{depth}"
            own |= {f"{at}.0.{norm}.{end}": (hidden,) for norm in ("norm1", "norm2") for end in ("weight", "bias")}
            own |= {f"{at}.0.to_q.weight": (128, hidden), f"{at}.0.to_kv.weight": (256, hidden)}
            own |= {f"{at}.0.to_out.weight": (hidden, 128), f"{at}.1.0.weight": (hidden,), f"{at}.1.0.bias": (hidden,)}
            own |= {f"{at}.1.1.weight": (4 * hidden, hidden), f"{at}.1.3.weight": (hidden, 4 * hidden)}
    return {f"image_proj.{name}": shape for name, shape in own.items()}


def tower(projection: int = SAYS, sees: int = SEES) -> dict[str, tuple[int, ...]]:
    """An image encoder in the names of transformers."""
    found = {
        "embeddings.class_embedding": (sees,),
        "embeddings.patch_embedding.weight": (sees, 3, 14, 14),
        "embeddings.position_embedding.weight": (5, sees),
    }
    for norm in ("pre_layrnorm", "post_layernorm", "encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2"):
        found |= {f"{norm}.{end}": (sees,) for end in ("weight", "bias")}
    for letter in ("q_proj", "k_proj", "v_proj", "out_proj"):
        found |= {f"encoder.layers.0.self_attn.{letter}.weight": (sees, sees)}
        found |= {f"encoder.layers.0.self_attn.{letter}.bias": (sees,)}
    found |= {"encoder.layers.0.mlp.fc1.weight": (128, sees), "encoder.layers.0.mlp.fc1.bias": (128,)}
    found |= {"encoder.layers.0.mlp.fc2.weight": (sees, 128), "encoder.layers.0.mlp.fc2.bias": (sees,)}
    named = {f"vision_model.{name}": shape for name, shape in found.items()}
    return {**named, "visual_projection.weight": (projection, sees)}


def adapter(kind: str, unet: UNet2DConditionModel) -> dict[str, Tensor]:
    return drawn({**projection(kind), **pairs(unet)})


def by_table(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """As the published .bin files are."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        table, own = name.split(".", 1)
        found.setdefault(table, {})[own] = tensor
    return found


@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
def test_attention_is_that_of_diffusers(kind: str, tmp_path: Path) -> None:
    unet = small_unet()
    weights = adapter(kind, unet)
    save_file(weights, tmp_path / "a.safetensors")
    theirs = copy.deepcopy(unet)
    theirs._load_ip_adapter_weights([by_table(weights)])
    x, text = torch.randn(2, 4, 8, 8), torch.randn(2, 7, TEXT)
    seen = torch.randn(2, 1, SAYS) if kind == "plain" else torch.randn(2, 1, 5, SEES)
    for processor in theirs.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.7]
    with torch.inference_mode():
        wanted = theirs(x, 5, text, added_cond_kwargs={"image_embeds": [seen]}).sample
        ours = image_prompt_of(open_weights(tmp_path / "a.safetensors"), CPU, torch.float32)
        tokens = [ours.projection(seen[row]) for row in range(2)]
        acting = Acting(lambda _rank, _count: 0.7)
        acting.is_on, acting.positive = True, torch.tensor([0, 1])
        assert ours.fits(unet)
        plain = unet(x, 5, text).sample
        with ours.beside(unet, ImageTokens(tokens[1], tokens[0]), acting):
            found = unet(x, 5, text).sample
        assert float((found - wanted).abs().max()) < 1e-5
        assert float((found - plain).abs().max()) > 1e-2
        assert torch.equal(unet(x, 5, text).sample, plain), "nothing is left behind"


def test_outside_its_region_a_layer_finds_what_it_found(tmp_path: Path) -> None:
    unet = small_unet()
    save_file(adapter("plain", unet), tmp_path / "a.safetensors")
    ours = image_prompt_of(open_weights(tmp_path / "a.safetensors"), CPU, torch.float32)
    acting = Acting(lambda _rank, _count: 1.0)
    acting.positive = torch.tensor([1])
    region = (torch.arange(8) < 4).float().repeat(8)[None, :, None]
    acting.region = lambda count: region if count == 64 else torch.zeros(1, count, 1)
    tokens = ImageTokens(*(torch.randn(1, 4, TEXT) for _ in range(2)))
    out = unet.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0")
    found: list[Tensor] = []
    x, text = torch.randn(1, 4, 8, 8), torch.randn(1, 7, TEXT)
    with torch.inference_mode(), ours.beside(unet, tokens, acting):
        with_hook = out.register_forward_pre_hook(lambda _layer, args: found.append(args[0]))
        for acting.is_on in (False, True):
            unet(x, 5, text)
        with_hook.remove()
    apart = (found[1] - found[0]).abs().amax(dim=2).reshape(8, 8)
    assert float(apart[:, 4:].max()) == 0.0 and float(apart[:, :4].min()) > 0.0


def test_files_of_all_forms_are_one_network(tmp_path: Path) -> None:
    unet = small_unet()
    weights = adapter("plus", unet)
    save_file(weights, tmp_path / "published.safetensors")
    torch.save(by_table(weights), tmp_path / "published.bin")
    theirs = copy.deepcopy(unet)
    theirs._load_ip_adapter_weights([by_table(weights)])
    kept = {name: tensor for name, tensor in theirs.state_dict().items() if "_ip." in name or "encoder_hid" in name}
    save_file(kept, tmp_path / "diffusers.safetensors")
    read = [opened(path, CPU, torch.float32).state_dict() for path in sorted(tmp_path.iterdir())]
    assert len(read) == 3
    for other in read[1:]:
        assert other.keys() == read[0].keys()
        assert all(torch.equal(other[name], read[0][name]) for name in other)


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("PuLID", {"id_adapter.latents": (1, 4, 8), "id_adapter_attn_layers.0.id_to_k.weight": (8, 8)}),
    ],
)
def test_networks_that_follow_faces_say_what_they_want(
    kind: str, shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    torch.save(by_table(drawn(shapes)), tmp_path / "plain.bin")
    with pytest.raises(ModelError, match=f"a network for {kind}, which follows a face"):
        opened(tmp_path / "plain.bin", CPU, torch.float32)


def test_an_encoder_is_known_by_its_shapes(tmp_path: Path) -> None:
    save_file(drawn(tower()), tmp_path / "any name.safetensors")
    torch.save(drawn(tower(projection=40)), tmp_path / "clip_h.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04")
    refs = [ModelRef(str(path), path.stem) for path in sorted(tmp_path.iterdir())]
    assert chosen(refs, Tower(projection=SAYS)).title == "any name"
    assert chosen(refs, Tower(projection=40)).title == "clip_h"
    with pytest.raises(ModelError, match=r"clip_g\.pth is missing") as error:
        chosen(refs, Tower(projection=1280))
    assert "models/ControlNetPreprocessor/clip_vision" in error.value.hint
    with pytest.raises(ModelError, match=r"clip_vitl\.pth is missing"):
        chosen([], Tower(width=1024))


def test_openclip_s_names_mean_the_same(tmp_path: Path) -> None:
    own = drawn(tower())
    save_file(own, tmp_path / "hf.safetensors")
    renamed: dict[str, Tensor] = {"visual.proj": own["visual_projection.weight"].T.contiguous()}
    for end in ("weight", "bias"):
        parts = [own[f"vision_model.encoder.layers.0.self_attn.{letter}_proj.{end}"] for letter in "qkv"]
        renamed[f"visual.transformer.resblocks.0.attn.in_proj_{end}"] = torch.cat(parts)
    words = [("embeddings.class_embedding", "class_embedding"), ("embeddings.patch_embedding", "conv1")]
    words += [("embeddings.position_embedding.weight", "positional_embedding"), ("pre_layrnorm", "ln_pre")]
    words += [("post_layernorm", "ln_post"), ("encoder.layers", "transformer.resblocks"), ("layer_norm", "ln_")]
    words += [("fc1", "c_fc"), ("fc2", "c_proj"), ("self_attn.out", "attn.out")]
    for name, tensor in own.items():
        if not name.startswith("vision_model.") or any(f"{letter}_proj." in name for letter in "qkv"):
            continue
        new = name.removeprefix("vision_model.")
        for old, word in words:
            new = new.replace(old, word)
        renamed[f"visual.{new}"] = tensor
    save_file(renamed, tmp_path / "open.safetensors")
    picture = np.array(GRADIENT.convert("RGB"))
    with torch.inference_mode():
        one = opened_tower(tmp_path / "hf.safetensors", CPU, torch.float32).seen(picture)
        other = opened_tower(tmp_path / "open.safetensors", CPU, torch.float32).seen(picture)
    assert torch.allclose(one.embedded, other.embedded, atol=1e-5)
    assert torch.allclose(one.inner, other.inner, atol=1e-5)


def test_pictures_are_framed_as_clip_was_trained() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    seen = framed(wide, 28)
    assert seen.shape == (3, 28, 28)
    assert float(seen[:, :, 5:23].min()) > 1.7, "the square in the middle is white"
    assert framed(np.zeros((1, 10_000, 3), np.uint8), 28).shape == (3, 28, 28)


def test_weight_types_are_the_published_ones() -> None:
    assert [share("linear", rank, 16) for rank in range(16)] == [1.0] * 16
    assert share("ease in", 0, 16) == 1.0 and share("ease in", 8, 16) == pytest.approx(0.525)
    assert share("ease out", 0, 11) == pytest.approx(0.05)
    assert share("ease in-out", 8, 16) == 1.0 and share("reverse in-out", 8, 16) == pytest.approx(0.05)
    assert [share("weak input", rank, 11) for rank in (3, 4, 5)] == [0.2, 1.0, 1.0]
    assert [share("weak output", rank, 16) for rank in (5, 6, 7)] == [1.0, 1.0, 0.2]
    assert [rank for rank in range(11) if share("style transfer", rank, 11)] == [6]
    assert [rank for rank in range(11) if share("composition", rank, 11)] == [3]
    assert [share("composition", rank, 16) for rank in (3, 4, 5, 6)] == [0.0, 0.25, 1.0, 0.0]
    assert all(0.0 <= share(name, rank, count) <= 1.0 for name in WEIGHT_TYPES for count in (3, 16) for rank in (0, 2))


def test_blocks_are_counted_in_the_order_of_calls() -> None:
    unet = small_unet()
    found = blocks(unet)
    assert [place for place, _ in found.values()] == [0, 2, 3, 1]  # encoder, decoder, middle in the files
    assert {count for _, count in found.values()} == {4}


# ---------------------------------------------------------------- whole pictures


@dataclass
class Prompted(Names):
    folder: Path = Path()
    towers_there: list[Path] = field(default_factory=list)
    annotators_there: list[Path] = field(default_factory=list)

    def control_network(self, name: str) -> ModelRef:
        return ModelRef(str(self.folder / name), name)

    def towers(self) -> tuple[ModelRef, ...]:
        return tuple(ModelRef(str(path), path.stem) for path in self.towers_there)

    def annotators(self, module: str) -> tuple[ModelRef, ...]:
        return tuple(ModelRef(str(path), path.name) for path in self.annotators_there)


class Prompting(Engine):
    folder: Path
    towers_there: list[Path]
    annotators_there: Sequence[Path] = ()

    def plan(self, request: Txt2Img | Img2Img, images: Mapping[str, bytes] | None = None) -> Plan:
        names = Prompted(self.ref, images or {}, self.networks, self.folder, self.towers_there)
        names.annotators_there = list(self.annotators_there)
        return resolve(request, Settings(), names, lambda: 1)


LEFT = np.zeros((64, 64, 3), np.uint8)
LEFT[:, :32] = 255
IMAGES = {
    "given": png(GRADIENT),
    "left": png(Image.fromarray(LEFT)),
    "white": png(Image.new("RGB", (64, 64), "white")),
    "black": png(Image.new("RGB", (64, 64), "black")),
}


@pytest.fixture
def prompting(engine: Engine, models: ModelManager, tmp_path: Path) -> Prompting:
    """A small checkpoint with an IP-Adapter that fits it."""
    found = Prompting(engine.models, engine.ref)
    found.folder, found.towers_there = tmp_path, [tmp_path / "clip_h.safetensors"]
    engine.run(request())
    with models.lend(engine.ref, None) as lent:
        unet = lent.model.parts["unet"]
    text = int(unet.config.cross_attention_dim)
    for kind in ("plain", "plus"):
        save_file(drawn({**projection(kind, text), **pairs(unet)}, seed=5), tmp_path / f"{kind}.safetensors")
    save_file(drawn(tower()), tmp_path / "clip_h.safetensors")
    return found


def asked(*units: Mapping[str, Any], **values: Any) -> Txt2Img:
    wished = [{"module": "ip-adapter-auto", "image": "given", "model": "plain.safetensors", **unit} for unit in units]
    return request(features={"ControlNet": wished}, cfg_scale=5, **values)


def test_a_picture_changes_the_picture_and_a_weight_of_0_does_not(prompting: Prompting) -> None:
    (without,) = prompting.run(request(cfg_scale=5))
    (nothing,) = prompting.run(asked({"weight": 0.0}), IMAGES)
    assert most_apart(without, nothing) == 0
    for model in ("plain.safetensors", "plus.safetensors"):
        (prompted,) = prompting.run(asked({"model": model}), IMAGES)
        assert most_apart(without, prompted) > 3
    (never,) = prompting.run(asked({"guidance_start": 1.0}), IMAGES)
    assert most_apart(without, never) == 0


def test_several_pictures_and_several_units(prompting: Prompting) -> None:
    (one,) = prompting.run(asked({}), IMAGES)
    (twice,) = prompting.run(asked({"more_images": ("given",)}), IMAGES)
    assert most_apart(one, twice) == 0, "the mean of equal pictures is the picture"
    (other,) = prompting.run(asked({"more_images": ("left",)}), IMAGES)
    assert most_apart(one, other) > 0
    (halves,) = prompting.run(asked({"weight": 0.5}, {"weight": 0.5}), IMAGES)
    assert most_apart(one, halves) <= 1, "units add up"


def test_units_of_different_kinds_act_together_for_as_long_as_each_says_and_the_next_run_is_the_same(
    prompting: Prompting,
) -> None:
    plus = {"model": "plus.safetensors", "image": "left"}
    alone = [prompting.run(asked(each), IMAGES)[0] for each in ({}, plus)]
    both = [prompting.run(asked({}, plus), IMAGES)[0] for _ in range(2)]
    assert both[0].rgb == both[1].rgb
    assert all(most_apart(both[0], one) > 0 for one in alone)
    (without,) = prompting.run(request(cfg_scale=5))
    (early,) = prompting.run(asked({"guidance_end": 0.0}), IMAGES)
    assert most_apart(early, without) > 0 and most_apart(early, alone[0]) > 0, "it acts until then, and no longer"
    assert prompting.run(request(cfg_scale=5))[0].rgb == without.rgb, "nothing is left behind"


def test_a_region_says_where_the_picture_counts(prompting: Prompting) -> None:
    (without,) = prompting.run(request(cfg_scale=5))
    (everywhere,) = prompting.run(asked({}), IMAGES)
    (white,) = prompting.run(asked({"effective_region_mask": "white"}), IMAGES)
    (black,) = prompting.run(asked({"effective_region_mask": "black"}), IMAGES)
    assert most_apart(everywhere, white) == most_apart(without, black) == 0
    (left,) = prompting.run(asked({"effective_region_mask": "left"}), IMAGES)
    assert most_apart(left, without) > 0 and most_apart(left, everywhere) > 0


def test_a_region_is_cropped_as_the_picture_is(prompting: Prompting) -> None:
    """Only masked: what lies outside of the part that is made anew says nothing."""
    corner = np.zeros((64, 64), np.uint8)
    corner[40:, 40:] = 255
    images = {**IMAGES, "corner": png(Image.fromarray(corner)), "right": png(Image.fromarray(255 - LEFT))}

    def made(*units: Mapping[str, Any]) -> Any:
        base = asked(*units).features if units else {}
        wish = {"init_images": ("given",), "mask": "corner", "inpaint_full_res": True, "inpaint_full_res_padding": 0}
        found = Img2Img.made(
            prompt="a cat", width=64, height=64, steps=3, seed=7, sampler_name="Euler", cfg_scale=5, mask_blur_x=0,
            mask_blur_y=0, denoising_strength=1.0, features=base, **wish,
        )  # fmt: skip
        return prompting.run(found, images)[0]

    without, everywhere = made(), made({})
    assert most_apart(without, everywhere) > 3
    assert most_apart(without, made({"effective_region_mask": "left"})) == 0
    assert most_apart(everywhere, made({"effective_region_mask": "right"})) == 0
    whole = made({"effective_region_mask": "left", "inpaint_crop_input_image": False})
    assert most_apart(without, whole) > 0, "uncropped, half of it lies over the part"


def test_what_cannot_be_is_said_in_words(prompting: Prompting) -> None:
    with pytest.raises(UserError, match="there is no picture to follow"):
        prompting.run(asked({"image": ""}), IMAGES)
    prompting.towers_there = []
    with pytest.raises(ModelError, match=r"clip_h\.pth is missing"):
        prompting.run(asked({}), IMAGES)


STYLE = {
    "style_embedding": (1, 4, SEES), "proj": (SEES, TEXT), "ln_pre.weight": (SEES,), "ln_pre.bias": (SEES,),
    "ln_post.weight": (SEES,), "ln_post.bias": (SEES,), "transformer_layes.0.attn.in_proj_weight": (3 * SEES, SEES),
    "transformer_layes.0.attn.in_proj_bias": (3 * SEES,), "transformer_layes.0.attn.out_proj.weight": (SEES, SEES),
    "transformer_layes.0.attn.out_proj.bias": (SEES,), "transformer_layes.0.ln_1.weight": (SEES,),
    "transformer_layes.0.ln_1.bias": (SEES,), "transformer_layes.0.ln_2.weight": (SEES,),
    "transformer_layes.0.ln_2.bias": (SEES,), "transformer_layes.0.mlp.c_fc.weight": (4 * SEES, SEES),
    "transformer_layes.0.mlp.c_fc.bias": (4 * SEES,), "transformer_layes.0.mlp.c_proj.weight": (SEES, 4 * SEES),
    "transformer_layes.0.mlp.c_proj.bias": (SEES,),
}  # fmt: skip
"""A style T2I-Adapter in its published names."""


def test_a_style_is_told_behind_the_text(prompting: Prompting) -> None:
    with prompting.models.lend(prompting.ref, None) as lent:
        text = int(lent.model.parts["unet"].config.cross_attention_dim)
    save_file(drawn({**STYLE, "proj": (SEES, text)}), prompting.folder / "style.safetensors")
    (without,) = prompting.run(request(cfg_scale=5))
    unit = {"module": "clip_vision", "model": "style.safetensors"}
    (styled,) = prompting.run(asked(unit), IMAGES)
    (other,) = prompting.run(asked({**unit, "image": "left"}), IMAGES)
    assert most_apart(without, styled) > 0 and most_apart(styled, other) > 0
    (never,) = prompting.run(asked({**unit, "guidance_start": 1.0}), IMAGES)
    assert most_apart(without, never) == 0
    save_file(drawn(STYLE | {"proj": (SEES, text + 1)}), prompting.folder / "style.safetensors")
    with pytest.raises(UserError, match="was made for another kind of model"):
        prompting.run(asked(unit), IMAGES)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Prompting:
    folder = tmp_path_factory.mktemp("sdxl")
    models = ModelManager(profile_of(OPTIONS), budget=2**32)
    found = Prompting(models, reference(small("SDXL", folder / "small.safetensors")))
    found.folder, found.towers_there = folder, [folder / "clip_g.safetensors"]
    with models.lend(found.ref, None) as lent:
        width = pooled_width(lent.model.parts["unet"])
    save_file(drawn(tower(projection=width)), folder / "clip_g.safetensors")
    return found


def revised(module: str, prompt: str, **values: Any) -> Txt2Img:
    unit = {"module": module, "image": "given", **values}
    return Txt2Img.made(
        prompt=prompt, width=64, height=64, steps=1, seed=7, sampler_name="Euler", cfg_scale=3.0,
        features={"ControlNet": [unit]},
    )  # fmt: skip


def test_revision_takes_the_place_of_the_text(sdxl: Prompting) -> None:
    (cat,) = sdxl.run(revised("revision_clipvision", "a cat"), IMAGES)
    (dog,) = sdxl.run(revised("revision_clipvision", "a dog"), IMAGES)
    (left,) = sdxl.run(revised("revision_clipvision", "a cat", image="left"), IMAGES)
    assert most_apart(cat, dog) > 0 and most_apart(cat, left) > 0
    (one,) = sdxl.run(revised("revision_ignore_prompt", "a cat"), IMAGES)
    (other,) = sdxl.run(revised("revision_ignore_prompt", "a dog"), IMAGES)
    assert most_apart(one, other) == 0, "of the prompt nothing is left"


def test_revision_needs_sdxl_and_its_encoder(prompting: Prompting, sdxl: Prompting) -> None:
    with pytest.raises(UserError, match="Revision needs an SDXL checkpoint"):
        prompting.run(revised("revision_clipvision", "a cat"), IMAGES)
    there, sdxl.towers_there = sdxl.towers_there, []
    with pytest.raises(ModelError, match="is missing"):
        sdxl.run(revised("revision_clipvision", "a cat"), IMAGES)
    sdxl.towers_there = there


def test_programs_send_several_pictures_as_the_extension_takes_them() -> None:
    units = Params.of_arguments([{"enabled": True, "module": "none", "image": [{"image": "a"}, {"image": "b"}]}])
    assert isinstance(units, list)
    assert (units[0]["image"], units[0]["more_images"]) == ("a", ("b",))

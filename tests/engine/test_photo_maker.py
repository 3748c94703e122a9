"""PhotoMaker: pictures become part of the prompt's word for a person, as published, and leave no trace."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.engine.conftest import OPTIONS, Engine, most_apart, reference
from tests.engine.families.published import small
from tests.engine.test_face_prompts import portrait, recognising
from tests.engine.test_generate import GRADIENT, png, request
from tests.engine.test_image_prompts import CPU, SEES, Prompting, by_table, drawn, small_unet, tower
from tests.packaged import have
from webui.base.errors import ModelError, UserError
from webui.catalog.control_kinds import ControlKind, NetworkFacts, told
from webui.engine.control.networks import fits, opened
from webui.engine.control.photo_maker import PhotoMaker
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.features.controlnet.photographing import places_of_word
from webui.prompt.subject import subject_of
from webui.prompt.tokens import open_clip_tokenizer

FIRST, TELLS, RANK = 24, 16, 4
"""Width of the encoder's first projection; numbers of a face; of the changes."""


def fusion(width: int, first: int = FIRST) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"visual_projection_2.weight": (width - first, SEES)}
    for layers, given in (("mlp1", 2 * width), ("mlp2", width)):
        at = f"fuse_module.{layers}"
        found |= {f"{at}.layernorm.weight": (given,), f"{at}.layernorm.bias": (given,)}
        found |= {f"{at}.fc1.weight": (width, given), f"{at}.fc1.bias": (width,)}
        found |= {f"{at}.fc2.weight": (width, width), f"{at}.fc2.bias": (width,)}
    return {**found, "fuse_module.layer_norm.weight": (width,), "fuse_module.layer_norm.bias": (width,)}


def perceiver(width: int, tells: int = TELLS) -> dict[str, tuple[int, ...]]:
    """Version 2's."""
    own = {"token_proj.0.weight": (4 * tells, tells), "token_proj.0.bias": (4 * tells,)}
    own |= {"token_proj.2.weight": (2 * width, 4 * tells), "token_proj.2.bias": (2 * width,)}
    own |= {"token_norm.weight": (width,), "token_norm.bias": (width,)}
    inside = {"proj_in.weight": (width, SEES), "proj_in.bias": (width,), "proj_out.weight": (width, width)}
    inside |= {"proj_out.bias": (width,), "norm_out.weight": (width,), "norm_out.bias": (width,)}
    for depth in range(2):
        at = f"layers.{depth}"
        inside |= {f"{at}.0.{norm}.{end}": (width,) for norm in ("norm1", "norm2") for end in ("weight", "bias")}
        inside |= {f"{at}.0.to_q.weight": (256, width), f"{at}.0.to_kv.weight": (512, width)}
        inside |= {f"{at}.0.to_out.weight": (width, 256), f"{at}.1.0.weight": (width,), f"{at}.1.0.bias": (width,)}
        inside |= {f"{at}.1.1.weight": (4 * width, width), f"{at}.1.3.weight": (width, 4 * width)}
    own |= {f"perceiver_resampler.{name}": shape for name, shape in inside.items()}
    return {f"qformer_perceiver.{name}": shape for name, shape in own.items()}


def changed_layers(unet: UNet2DConditionModel) -> dict[str, torch.nn.Linear]:
    found = {}
    for name in unet.attn_processors:
        attention = name.removesuffix(".processor")
        for letter in ("q", "k", "v", "out"):
            layer = unet.get_submodule(f"{attention}.to_out.0" if letter == "out" else f"{attention}.to_{letter}")
            assert isinstance(layer, torch.nn.Linear)
            found[f"{attention}.processor.to_{letter}_lora"] = layer
    return found


def photo_maker(unet: UNet2DConditionModel, *, second: bool = False, tells: int = TELLS) -> dict[str, Tensor]:
    """A file's tensors. second: version 2's."""
    width = int(unet.config.cross_attention_dim)
    shapes = {**tower(FIRST), **fusion(width), **(perceiver(width, tells) if second else {})}
    shapes = {f"id_encoder.{name}": shape for name, shape in shapes.items()}
    for name, layer in changed_layers(unet).items():
        shapes[f"lora_weights.unet.{name}.down.weight"] = (RANK, layer.in_features)
        shapes[f"lora_weights.unet.{name}.up.weight"] = (layer.out_features, RANK)
    return drawn(shapes, seed=8)


class PublishedFormula:
    """The formulas of photomaker/model.py and model_v2.py over a file's tensors; the tower is transformers' own."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.own = {name.removeprefix("id_encoder."): tensor for name, tensor in weights.items()}
        config = CLIPVisionConfig(
            hidden_size=SEES,
            intermediate_size=128,
            num_hidden_layers=1,
            num_attention_heads=1,
            patch_size=14,
            image_size=28,
            projection_dim=FIRST,
        )
        self.tower = CLIPVisionModelWithProjection(config).eval()
        names = self.tower.state_dict()
        self.tower.load_state_dict({name: self.own[name] for name in names if name in self.own}, strict=False)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.own[f"{name}.weight"].T + self.own.get(f"{name}.bias", torch.zeros(1))

    def norm(self, name: str, x: Tensor) -> Tensor:
        return layer_norm(x, x.shape[-1:], self.own[f"{name}.weight"], self.own[f"{name}.bias"])

    def mixed(self, name: str, x: Tensor) -> Tensor:
        return self.linear(f"{name}.fc2", gelu(self.linear(f"{name}.fc1", self.norm(f"{name}.layernorm", x))))

    def seen(self, pictures: list[np.ndarray], faces: list[Tensor]) -> Tensor:
        size = {"shortest_edge": 28}
        processor = CLIPImageProcessor(size=size, crop_size={"height": 28, "width": 28})
        pixels = processor([Image.fromarray(each) for each in pictures], return_tensors="pt").pixel_values
        output = self.tower.vision_model(pixels)
        if not faces:
            pooled = output.pooler_output
            return torch.cat([self.tower.visual_projection(pooled), self.linear("visual_projection_2", pooled)], dim=-1)
        at = "qformer_perceiver."
        made = self.linear(f"{at}token_proj.2", gelu(self.linear(f"{at}token_proj.0", torch.cat(faces))))
        tokens = self.norm(f"{at}token_norm", made.unflatten(-1, (2, -1)))
        return (tokens + self.gathered(f"{at}perceiver_resampler.", output.last_hidden_state, tokens)).flatten(0, 1)

    def gathered(self, at: str, patches: Tensor, tokens: Tensor) -> Tensor:
        """resampler.py, with heads of 128."""
        seen, found = self.linear(f"{at}proj_in", patches), tokens
        for depth in range(2):
            attention, forward = f"{at}layers.{depth}.0", f"{at}layers.{depth}.1"
            given, asking = self.norm(f"{attention}.norm1", seen), self.norm(f"{attention}.norm2", found)
            keys, values = self.linear(f"{attention}.to_kv", torch.cat([given, asking], dim=1)).chunk(2, dim=-1)
            q, k, v = (
                each.unflatten(-1, (-1, 128)).transpose(1, 2)
                for each in (self.linear(f"{attention}.to_q", asking), keys, values)
            )
            scores = (q @ k.transpose(-1, -2) / math.sqrt(128)).softmax(dim=-1)
            found = found + self.linear(f"{attention}.to_out", (scores @ v).transpose(1, 2).flatten(2))
            widened = gelu(self.linear(f"{forward}.1", self.norm(f"{forward}.0", found)))
            found = found + self.linear(f"{forward}.3", widened)
        return self.norm(f"{at}norm_out", self.linear(f"{at}proj_out", found))

    def fused(self, words: Tensor, seen: Tensor) -> Tensor:
        first = self.mixed("fuse_module.mlp1", torch.cat([words, seen], dim=-1)) + words
        return self.norm("fuse_module.layer_norm", self.mixed("fuse_module.mlp2", first) + first)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ending", [".bin", ".safetensors"])
def test_a_word_becomes_that_of_the_published_formula(version: int, ending: str, tmp_path: Path) -> None:
    unet = small_unet()
    weights, path = photo_maker(unet, second=version == 2), tmp_path / f"photomaker-v{version}{ending}"
    if ending == ".bin":
        torch.save(by_table(weights), path)
    else:
        save_file(weights, path)
    network = opened(path, CPU, torch.float32)
    assert isinstance(network, PhotoMaker) and fits(network, unet) and not fits(network, small_unet(text=48))
    assert network.face_width == (TELLS if version == 2 else 0)
    stream = np.random.default_rng(3)
    pictures = [stream.integers(0, 256, size, np.uint8) for size in ((40, 60, 3), (51, 33, 3))]
    faces = [torch.randn(1, TELLS) * 20 for _ in pictures] if version == 2 else []
    tokens, places = torch.randn(12, network.width), [3, 4, 5, 6][: 2 * version]
    with torch.inference_mode():
        seen = network.told(pictures, faces)
        published = PublishedFormula(weights)
        wanted = published.seen(pictures, faces)
        assert seen.shape == (2 * version, network.width) and torch.allclose(seen, wanted, atol=1e-4)
        made = network.fused(tokens, places, seen, 1.0)
        assert torch.allclose(made[places], published.fused(tokens[places], wanted), atol=1e-4)
        rest = [place for place in range(12) if place not in places]
        assert torch.equal(made[rest], tokens[rest]), "no other word changes"
        half = network.fused(tokens, places, seen, 0.5)
        assert torch.allclose(half, (tokens + made) / 2, atol=1e-5)
        assert torch.equal(network.fused(tokens, places, seen, 0.0), tokens)


@pytest.mark.parametrize("spelling", ["processor", "module", "alpha"])
def test_changes_to_the_unet_are_those_of_merged_weights_and_are_gone_afterwards(spelling: str, tmp_path: Path) -> None:
    unet = small_unet()
    weights, scale = photo_maker(unet), 1.0
    merged = copy.deepcopy(unet)
    for name, layer in changed_layers(merged).items():
        stem = f"lora_weights.unet.{name}"
        layer.weight.data += 0.6 * weights[f"{stem}.up.weight"] @ weights[f"{stem}.down.weight"]
    if spelling != "processor":
        scale = 0.5 if spelling == "alpha" else 1.0
        for name in changed_layers(unet):
            stem, new = (
                f"lora_weights.unet.{name}",
                name.replace(".processor", "").replace("to_out_lora", "to_out.0_lora"),
            )
            new = f"lora_weights.unet.{new.removesuffix('_lora')}.lora"
            for half in ("up", "down"):
                weights[f"{new}.{half}.weight"] = weights.pop(f"{stem}.{half}.weight")
            if spelling == "alpha":
                weights[f"{new.removesuffix('.lora')}.alpha"] = torch.tensor(scale * RANK)
    save_file(weights, tmp_path / "photomaker-v1.safetensors")
    network = opened(tmp_path / "photomaker-v1.safetensors", CPU, torch.float32)
    assert isinstance(network, PhotoMaker) and len(network.changes) == len(changed_layers(unet))
    x, words = torch.randn(2, 4, 8, 8), torch.randn(2, 7, network.width)
    with torch.inference_mode():
        plain, wanted = unet(x, 5, words).sample, merged(x, 5, words).sample
        with network.beside(unet, lambda: 0.6 / scale):
            found = unet(x, 5, words).sample
        with network.beside(unet, lambda: 0.0):
            nothing = unet(x, 5, words).sample
        assert float((found - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
        assert float((found - plain).abs().max()) > 1e-2
        assert torch.equal(nothing, plain) and torch.equal(unet(x, 5, words).sample, plain)


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("id_encoder.fuse_module.mlp1.fc2.bias", r"fuse_module\.mlp1\.fc2\.bias is missing"),
        ("id_encoder.visual_projection_2.weight", "not complete"),
        ("id_encoder.vision_model.embeddings.patch_embedding.weight", "not an image encoder"),
        ("id_encoder.qformer_perceiver.perceiver_resampler.layers.1.0.to_kv.weight", r"layers\.1\.attn\.to_k"),
        ("lora_weights.unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight", "up"),
    ],
)
def test_what_a_file_lacks_is_named(without: str, said: str, tmp_path: Path) -> None:
    weights = photo_maker(small_unet(), second=True)
    del weights[without]
    save_file(weights, tmp_path / "lacking.safetensors")
    with pytest.raises(ModelError, match=rf"lacking\.safetensors cannot be loaded: .*{said}"):
        opened(tmp_path / "lacking.safetensors", CPU, torch.float32)


def test_it_is_known_by_its_tensors_and_for_sdxl() -> None:
    shapes = {"id_encoder.fuse_module.layer_norm.weight": (2048,), "lora_weights.x": (1,)}
    assert told(shapes) == NetworkFacts(ControlKind.PHOTO_MAKER, "SDXL")


# ---------------------------------------------------------------- the word


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a photo of a man img, smiling", "a photo of a man man, smiling"),
        ("a (woman:1.3) img", "a (woman woman:1.3)"),
        ("a ((old man)) PhotoMaker in a hat", "a ((old man man)) in a hat"),
        ("girl img", "girl girl"),
        ("[boy] img", "[boy boy]"),
        ("img of a man", None),
        ("a man, img", None),
        ("an imgage of a man", None),
        ("4 img", None),
        ("", None),
    ],
)
def test_the_word_stands_before_img(text: str, written: str | None) -> None:
    found = subject_of(text)
    assert (None if found is None else found.written(2)) == written


def test_the_word_is_found_among_others_like_it() -> None:
    tokenizer = open_clip_tokenizer()
    subject = subject_of("a man, a gentleman and a (man:1.2) img beside a man")
    assert subject is not None
    ids = tokenizer.encode(subject.written(3).replace("(", "").replace(":1.2)", ""))
    man, places = tokenizer.encode("man")[0], places_of_word(ids, subject, 3)
    assert [ids[place] for place in places] == [man] * 3
    assert places == [place for place, token in enumerate(ids) if token == man][1:4]
    assert places_of_word(ids[:4], subject, 3) == []


# ---------------------------------------------------------------- whole pictures


@pytest.fixture
def making(tmp_path: Path) -> Prompting:
    """A small SDXL checkpoint, and PhotoMakers that fit it."""
    models = ModelManager(profile_of(OPTIONS), budget=2**32)
    found = Prompting(models, reference(small("SDXL", tmp_path / "small.safetensors")))
    found.folder, found.towers_there = tmp_path, []
    with models.lend(found.ref, None) as lent:
        unet = lent.model.parts["unet"]
    save_file(photo_maker(unet), tmp_path / "photomaker-v1.safetensors")
    save_file(photo_maker(unet, second=True, tells=512), tmp_path / "photomaker-v2.safetensors")
    return found


IMAGES = {"person": png(GRADIENT), "other": png(Image.new("RGB", (40, 60), "navy"))}


def asked(prompt: str = "a photo of a man img, smiling", **unit: Any) -> Any:
    wish = {"module": "ip-adapter-auto", "image": "person", "model": "photomaker-v1.safetensors", **unit}
    return request(prompt=prompt, features={"ControlNet": [wish]}, cfg_scale=5, steps=3)


def test_a_person_changes_the_picture_and_leaves_no_trace(making: Prompting) -> None:
    plain = asked("a photo of a man, smiling").changed(features={})
    (without,) = making.run(plain)
    (made,) = making.run(asked(), IMAGES)
    (two,) = making.run(asked(more_images=("other",)), IMAGES)
    assert most_apart(without, made) > 3 and most_apart(made, two) > 0
    (nothing,) = making.run(asked(weight=0.0), IMAGES)
    assert most_apart(without, nothing) == 0, "without weight the prompt is read without img"
    (late,) = making.run(asked(guidance_start=1.0), IMAGES)
    assert most_apart(late, made) > 0 and most_apart(late, without) > 0, "the changes to the UNet act from the start"
    (other,) = making.run(asked(guidance_start=1.0, image="other"), IMAGES)
    assert late.rgb == other.rgb, "whom the pictures show does not count before the unit's start"
    (again,) = making.run(plain)
    assert again.rgb == without.rgb, "nothing is left behind"
    for prompt, said in (
        ("a man", "which word of the prompt"),
        ("a man img and a woman img", "more than once"),
        ("img", "no word right before img"),
    ):
        with pytest.raises(UserError, match=said):
            making.run(asked(prompt), IMAGES)
    with pytest.raises(UserError, match="PhotoMaker has no effective region"):
        making.run(asked(effective_region_mask="person"), IMAGES)
    (left,) = making.run(asked("a man", impossible="Leave out"), IMAGES)
    assert any("which word of the prompt" in each and "left out" in each for each in left.comments)


def test_version_2_is_told_of_a_face_too(making: Prompting) -> None:
    have("centerface.onnx")
    wish = asked(model="photomaker-v2.safetensors", image="face")
    images = {"face": portrait(), "person": png(GRADIENT)}
    with pytest.raises(ModelError, match=r"w600k_r50\.onnx, is missing"):
        making.run(wish, images)
    making.annotators_there = [making.folder / "w600k_r50.onnx"]
    making.annotators_there[0].write_bytes(recognising())
    (made,) = making.run(wish, images)
    (without,) = making.run(asked("a photo of a man, smiling").changed(features={}))
    assert most_apart(without, made) > 3
    (nobody,) = making.run(asked(model="photomaker-v2.safetensors"), images)
    assert any("there is none. The unit was left out." in each for each in nobody.comments)


def test_another_family_is_refused_in_words(engine: Engine, making: Prompting) -> None:
    other = Prompting(engine.models, engine.ref)
    other.folder, other.towers_there = making.folder, []
    with pytest.raises(UserError, match="made for another kind of model"):
        other.run(asked(), IMAGES)

"""IP-Adapters FaceID: tokens of a face as published, changes to the UNet that leave no trace, and whose face it is."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from tests.engine.conftest import OPTIONS, Engine, most_apart, reference
from tests.engine.families.published import small
from tests.engine.test_generate import GRADIENT, png, request
from tests.engine.test_image_prompts import (
    CPU,
    SEES,
    TEXT,
    Prompting,
    by_table,
    drawn,
    pairs,
    projection,
    small_unet,
    tower,
)
from tests.packaged import have
from webui.base.errors import ModelError, UserError
from webui.base.protobuf import number, part, text
from webui.catalog.control_kinds import ControlKind, NetworkFacts, told
from webui.engine.control.face_prompts import FacePrompt, FaceVision, face_prompt_of
from webui.engine.control.image_prompts import Acting, ImageTokens, image_prompt_of
from webui.engine.control.networks import fits, opened
from webui.engine.detectors import identity
from webui.engine.detectors.detectors import Landmarks
from webui.engine.families.weights import open_weights
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.preprocessors.face_keypoints import drawn as drawn_points
from webui.features.controlnet.facing import bends
from webui.prompt.networks import NetworkTag

TELLS = 512
"""Numbers of a face."""
RANK = 4
ASTRONAUT = Path(__file__).parents[1] / "pictures" / "astronaut.jpg"


def face_projection(text: int, *, looks: bool, count: int = 4, depth: int = 2) -> dict[str, tuple[int, ...]]:
    own = {"proj.0.weight": (2 * TELLS, TELLS), "proj.0.bias": (2 * TELLS,)}
    own |= {"proj.2.weight": (count * text, 2 * TELLS)}
    own |= {"proj.2.bias": (count * text,), "norm.weight": (text,), "norm.bias": (text,)}
    if looks:
        plus = {"proj_in.weight": (text, SEES), "proj_in.bias": (text,), "proj_out.weight": (text, text)}
        plus |= {"proj_out.bias": (text,), "norm_out.weight": (text,), "norm_out.bias": (text,)}
        for layer in range(depth):
            at = f"layers.{layer}"
            plus |= {f"{at}.0.{norm}.{end}": (text,) for norm in ("norm1", "norm2") for end in ("weight", "bias")}
            plus |= {f"{at}.0.to_q.weight": (128, text), f"{at}.0.to_kv.weight": (256, text)}
            plus |= {f"{at}.0.to_out.weight": (text, 128), f"{at}.1.0.weight": (text,), f"{at}.1.0.bias": (text,)}
            plus |= {f"{at}.1.1.weight": (4 * text, text), f"{at}.1.3.weight": (text, 4 * text)}
        own |= {f"perceiver_resampler.{name}": shape for name, shape in plus.items()}
    return {f"image_proj.{name}": shape for name, shape in own.items()}


def layers_of(unet: UNet2DConditionModel) -> dict[tuple[int, str], torch.nn.Linear]:
    """(number of an attention in published files, part) -> the UNet's own layer."""
    found = {}
    for place, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for letter in ("q", "k", "v", "out"):
            layer = attention.get_submodule("to_out.0" if letter == "out" else f"to_{letter}")
            assert isinstance(layer, torch.nn.Linear)
            found[place, letter] = layer
    return found


def low_rank(unet: UNet2DConditionModel) -> dict[str, tuple[int, ...]]:
    found = {}
    for (place, letter), layer in layers_of(unet).items():
        stem = f"ip_adapter.{place}.to_{letter}_lora"
        found[f"{stem}.down.weight"] = (RANK, layer.in_features)
        found[f"{stem}.up.weight"] = (layer.out_features, RANK)
    return found


def face_adapter(unet: UNet2DConditionModel, text: int = TEXT, *, looks: bool = False) -> dict[str, Tensor]:
    return drawn({**face_projection(text, looks=looks), **pairs(unet), **low_rank(unet)}, seed=5)


def published(
    weights: Mapping[str, Tensor], embedded: Tensor, patches: Tensor | None, *, shortcut: bool = False
) -> Tensor:
    """The formula of ip_adapter_faceid.py, over a file's tensors by their names."""
    own = {name.removeprefix("image_proj."): tensor for name, tensor in weights.items()}

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ own[f"{name}.weight"].T + own.get(f"{name}.bias", torch.zeros(1))

    def norm(name: str, x: Tensor) -> Tensor:
        return layer_norm(x, x.shape[-1:], own[f"{name}.weight"], own[f"{name}.bias"])

    made = linear("proj.2", gelu(linear("proj.0", embedded)))
    tokens = norm("norm", made.reshape(1, -1, len(own["norm.weight"])))
    if patches is None:
        return tokens
    found = gathered(own, "perceiver_resampler.", patches, tokens)
    return tokens + found if shortcut else found


def gathered(own: Mapping[str, Tensor], at: str, patches: Tensor, tokens: Tensor) -> Tensor:
    """The formula of resampler.py, by the names of the published file behind `at`."""

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ own[f"{at}{name}.weight"].T + own.get(f"{at}{name}.bias", torch.zeros(1))

    def norm(name: str, x: Tensor) -> Tensor:
        return layer_norm(x, x.shape[-1:], own[f"{at}{name}.weight"], own[f"{at}{name}.bias"])

    seen, found = linear("proj_in", patches), tokens
    for depth in range(sum(name.startswith(f"{at}layers.") and name.endswith(".to_q.weight") for name in own)):
        attention, forward = f"layers.{depth}.0", f"layers.{depth}.1"
        given, asking = norm(f"{attention}.norm1", seen), norm(f"{attention}.norm2", found)
        keys, values = linear(f"{attention}.to_kv", torch.cat([given, asking], dim=1)).chunk(2, dim=-1)
        heads = [
            each.unflatten(-1, (-1, 64)).transpose(1, 2) for each in (linear(f"{attention}.to_q", asking), keys, values)
        ]
        scores = (heads[0] @ heads[1].transpose(-1, -2) / math.sqrt(64)).softmax(dim=-1)
        found = found + linear(f"{attention}.to_out", (scores @ heads[2]).transpose(1, 2).flatten(2))
        found = found + linear(f"{forward}.3", gelu(linear(f"{forward}.1", norm(f"{forward}.0", found))))
    return norm("norm_out", linear("proj_out", found))


@pytest.mark.parametrize("kind", ["faceid", "faceid-plus", "faceid-plusv2"])
def test_tokens_are_those_of_the_published_formula(kind: str, tmp_path: Path) -> None:
    unet, looks = small_unet(), kind != "faceid"
    weights = face_adapter(unet, looks=looks)
    path = tmp_path / f"ip-adapter-{kind}_sd15.bin"
    torch.save(by_table(weights), path)
    network = opened(path, CPU, torch.float32)
    assert isinstance(network, FacePrompt) and fits(network, unet)
    assert network.tower.width == (SEES if looks else 0)
    faces, seen = torch.randn(2, 1, TELLS), torch.randn(3, 1, 5, SEES)
    patches = [each if looks else None for each in seen]
    with torch.inference_mode():
        told = network.told([FaceVision(*each) for each in zip(faces, patches[:2], strict=True)], patches[2])
        second = kind.endswith("v2")
        wanted = [published(weights, *each, shortcut=second) for each in zip(faces, patches[:2], strict=True)]
        nobody = published(weights, torch.zeros(1, TELLS), patches[2], shortcut=second)
    assert told.positive.shape == (1, 4, TEXT)
    assert torch.allclose(told.positive, (wanted[0] + wanted[1]) / 2, atol=1e-5)
    assert torch.allclose(told.negative, nobody, atol=1e-5)


def test_networks_for_portraits_see_several_pictures_side_by_side(tmp_path: Path) -> None:
    unet = small_unet()
    weights = drawn({**face_projection(TEXT, looks=False, count=16), **pairs(unet)})
    torch.save(by_table(weights), tmp_path / "ip-adapter-faceid-portrait_sd15.bin")
    network = face_prompt_of(open_weights(tmp_path / "ip-adapter-faceid-portrait_sd15.bin"), CPU, torch.float32)
    faces = torch.randn(2, 1, TELLS)
    with torch.inference_mode():
        told = network.told([FaceVision(each) for each in faces])
    assert told.positive.shape == told.negative.shape == (1, 32, TEXT)
    assert torch.allclose(told.positive[:, 16:], published(weights, faces[1], None), atol=1e-5)


@pytest.mark.parametrize("changes", ["", "processor", "peft"])
@pytest.mark.parametrize("kind", ["faceid", "faceid-plus", "instant"])
def test_files_in_the_form_of_diffusers_are_the_published_ones(kind: str, changes: str, tmp_path: Path) -> None:
    unet, looks = small_unet(), kind == "faceid-plus"
    if kind == "instant":
        published_ones = drawn({**projection("plus", sees=TELLS), **pairs(unet)})
    else:
        published_ones = drawn({**face_projection(TEXT, looks=looks, depth=4), **pairs(unet)})
        published_ones |= drawn(low_rank(unet)) if changes else {}
    theirs = copy.deepcopy(unet)
    theirs._load_ip_adapter_weights([by_table(published_ones)])
    saved = {name: tensor for name, tensor in theirs.state_dict().items() if "_ip." in name or "encoder_hid" in name}
    for name, tensor in theirs._load_ip_adapter_loras([by_table(published_ones)]).get(0, {}).items():
        if changes == "peft":
            name = name.replace(".processor", "").replace("to_out_lora", "to_out.0_lora")
            name = name.replace("_lora.down", ".lora_A.faceid_0").replace("_lora.up", ".lora_B.faceid_0")
        saved[name] = tensor
    save_file({name: tensor.contiguous() for name, tensor in saved.items()}, tmp_path / "diffusers.safetensors")
    save_file(published_ones, tmp_path / "published.safetensors")
    networks = [opened(tmp_path / f"{name}.safetensors", CPU, torch.float32) for name in ("diffusers", "published")]
    assert all(isinstance(each, FacePrompt) and fits(each, unet) for each in networks)
    found, wanted = (network.state_dict() for network in networks if isinstance(network, FacePrompt))
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert any(name.startswith("changes.") for name in found) == bool(changes and kind != "instant")


def acting(weight: float = 1.0) -> Acting:
    found = Acting(lambda _rank, _count: weight)
    found.is_on, found.positive = True, torch.tensor([0, 1])
    return found


def faced(tmp_path: Path, unet: UNet2DConditionModel) -> tuple[FacePrompt, dict[str, Tensor]]:
    weights = face_adapter(unet)
    save_file(weights, tmp_path / "face.safetensors")
    return face_prompt_of(open_weights(tmp_path / "face.safetensors"), CPU, torch.float32), weights


@pytest.mark.parametrize("another", [False, True], ids=["alone", "beside another unit"])
def test_changes_to_the_unet_are_those_of_merged_weights_and_are_gone_afterwards(another: bool, tmp_path: Path) -> None:
    unet = small_unet()
    network, weights = faced(tmp_path, unet)
    save_file(drawn({**projection("plain"), **pairs(unet)}), tmp_path / "other.safetensors")
    other = image_prompt_of(open_weights(tmp_path / "other.safetensors"), CPU, torch.float32)
    merged = copy.deepcopy(unet)
    for (place, letter), layer in layers_of(merged).items():
        stem = f"ip_adapter.{place}.to_{letter}_lora"
        layer.weight.data += weights[f"{stem}.up.weight"] @ weights[f"{stem}.down.weight"]
    tokens = [ImageTokens(torch.randn(1, 4, TEXT), torch.randn(1, 4, TEXT)) for _ in range(2)]
    x, words = torch.randn(2, 4, 8, 8), torch.randn(2, 7, TEXT)

    def made(within: UNet2DConditionModel, bent: bool) -> Tensor:
        ours, theirs = acting(), acting(0.5 if another else 0.0)
        ours.bends = bent
        with other.beside(within, tokens[1], theirs), network.beside(within, tokens[0], ours):
            return within(x, 5, words).sample

    with torch.inference_mode():
        plain = unet(x, 5, words).sample
        wanted, found, unbent = made(merged, False), made(unet, True), made(unet, False)
        assert float((found - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
        assert float((found - unbent).abs().max()) > 1e-2
        assert torch.equal(unet(x, 5, words).sample, plain), "nothing is left behind"


def test_changes_act_only_while_and_where_their_unit_acts(tmp_path: Path) -> None:
    unet = small_unet()
    network, _ = faced(tmp_path, unet)
    tokens = ImageTokens(torch.randn(1, 4, TEXT), torch.randn(1, 4, TEXT))
    x, words = torch.randn(2, 4, 8, 8), torch.randn(2, 7, TEXT)
    never, nothing, nowhere, left = acting(), acting(0.0), acting(), acting()
    never.is_on = False
    nowhere.is_bounded = left.is_bounded = True
    nowhere.region = lambda count: torch.zeros(1, count, 1)
    left.region = lambda count: (torch.arange(count) % math.isqrt(count) < math.isqrt(count) / 2).float()[None, :, None]
    with torch.inference_mode():
        plain, made = unet(x, 5, words).sample, []
        for each in (never, nothing, nowhere, left, acting()):
            with network.beside(unet, tokens, each):
                made.append(unet(x, 5, words).sample)
    for found in made[:3]:
        assert torch.allclose(found, plain, atol=1e-6)
    assert float((made[3] - plain).abs().max()) > 1e-2 and float((made[3] - made[4]).abs().max()) > 1e-2


def test_the_lora_that_was_published_with_a_file_takes_the_place_of_its_changes() -> None:
    def context(*names: str, missing: bool = False) -> Any:
        tags = [NetworkTag("lora", (name, "0.6"), ()) for name in names]
        files = {} if missing else {("lora", name): "its file" for name in names}
        return SimpleNamespace(this=SimpleNamespace(networks=tags), services=SimpleNamespace(networks=files))

    published = ("add detail", "ip-adapter-faceid-plusv2_sd15_lora")
    assert bends(context()) and bends(context("add detail")) and bends(context(*published, missing=True))
    assert not bends(context(*published))


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("image_proj.norm.weight", "not complete"),
        ("image_proj.proj.2.bias", r"proj\.2\.bias"),
        ("ip_adapter.1.to_v_ip.weight", r"ip_adapter\.1\.to_v_ip\.weight is missing"),
        ("ip_adapter.2.to_q_lora.up.weight", r"not complete.*ip_adapter\.2\.to_q_lora\.up"),
        ("image_proj.perceiver_resampler.layers.1.0.to_kv.weight", r"layers\.1\.attn\.to_k\.weight"),
    ],
)
def test_what_a_file_lacks_is_named(without: str, said: str, tmp_path: Path) -> None:
    weights = face_adapter(small_unet(), looks=True)
    del weights[without]
    torch.save(by_table(weights), tmp_path / "lacking.bin")
    with pytest.raises(ModelError, match=rf"lacking\.bin cannot be loaded: .*{said}"):
        opened(tmp_path / "lacking.bin", CPU, torch.float32)


def test_damaged_and_foreign_files_are_told_apart(tmp_path: Path) -> None:
    unet = small_unet()
    weights = face_adapter(unet)
    whole = tmp_path / "whole.bin"
    torch.save(by_table(weights), whole)
    (tmp_path / "cut.bin").write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"cut\.bin cannot be loaded"):
        opened(tmp_path / "cut.bin", CPU, torch.float32)
    network = opened(whole, CPU, torch.float32)
    assert fits(network, unet) and not fits(network, small_unet(text=48))
    stem = "ip_adapter.0.to_q_lora.down.weight"
    torch.save(by_table(weights | {stem: torch.randn(RANK, 7)}), whole)
    assert not fits(opened(whole, CPU, torch.float32), unet)
    torch.save(by_table(weights | {"image_proj.proj.2.weight": torch.full((4 * TEXT, 2 * TELLS), math.nan)}), whole)
    with pytest.raises(ModelError, match=r"proj\.2\.weight contains NaN"):
        opened(whole, CPU, torch.float32)


# ---------------------------------------------------------------- whose face it is


def _packed(kind: int, name: str, value: bytes) -> bytes:
    return text(1, name) + value + number(20, kind)


def _ints(name: str, *values: int) -> bytes:
    return part(5, _packed(7, name, b"".join(number(8, each) for each in values)))


def _node(kind: str, inputs: tuple[str, ...], made: str, more: bytes = b"") -> bytes:
    return part(1, b"".join(text(1, each) for each in inputs) + text(2, made) + text(3, made) + text(4, kind) + more)


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(part(1, number(1, side)) for side in shape)
    return text(1, name) + part(2, part(1, number(1, 1) + part(2, sides)))


WAYS = np.random.default_rng(4).normal(size=(3 * 4 * 4, TELLS)).astype(np.float32)


def recognising(side: int = 112, ways: np.ndarray = WAYS) -> bytes:
    """A small network in the place of ArcFace's: what it says are sums over 4x4 means of each colour."""
    dims = b"".join(number(1, each) for each in ways.shape)
    window = side // 4
    nodes = _node(
        "AveragePool", ("picture",), "means", _ints("kernel_shape", window, window) + _ints("strides", window, window)
    )
    nodes += _node("Flatten", ("means",), "flat") + _node("MatMul", ("flat", "ways"), "told")
    graph = nodes + text(2, "small") + part(5, dims + number(2, 1) + text(8, "ways") + part(9, ways.tobytes()))
    graph += part(11, _value("picture", (1, 3, side, side))) + part(12, _value("told", (1, ways.shape[1])))
    return number(1, 7) + part(8, text(1, "") + number(2, 13)) + part(7, graph)


def a_face(points: np.ndarray, side: float = 40.0) -> Landmarks:
    return Landmarks((0.0, 0.0, side, side), 0.9, points.astype(np.float32), np.ones(5, np.bool_))


def test_a_face_is_told_aligned_and_in_the_published_range(tmp_path: Path) -> None:
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(recognising())
    network = identity.opened(path)
    aligned = np.random.default_rng(2).integers(0, 256, (112, 112, 3), np.uint8)
    found = network(aligned, a_face(identity.PLACES * 112))
    means = ((aligned.astype(np.float32) - 127.5) / 127.5).reshape(4, 28, 4, 28, 3).mean((1, 3)).transpose(2, 0, 1)
    wanted = means.reshape(1, -1) @ WAYS
    assert found.shape == (1, TELLS)
    assert np.abs(found - wanted).max() < 1e-3
    turned = np.ascontiguousarray(np.rot90(aligned))
    there = np.stack([identity.PLACES[:, 1], 1 - identity.PLACES[:, 0]], 1) * 112
    assert np.abs(network(turned, a_face(there)) - found).max() < 1e-3, "however it is turned"


def test_of_several_faces_the_largest_counts() -> None:
    points = identity.PLACES
    small, large = a_face(points, 20.0), a_face(points, 60.0)
    assert identity.largest([small, large]) is large and identity.largest([]) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (recognising(side=64), "it takes pictures of 64x64 pixels"),
        (b"\x08\x07" + b"nonsense" * 9, "not an ONNX file|damaged"),
        (b"", "not an ONNX file|empty"),
        (recognising(ways=np.zeros((48, 70_000), np.float32)), "not a network for recognising faces"),
    ],
)
def test_what_recognises_no_faces_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"w600k_r50\.onnx cannot be loaded: .*({said})"):
        identity.opened(path)


def test_an_answer_of_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(recognising(ways=np.zeros_like(WAYS)))
    with pytest.raises(ModelError, match="nothing at all"):
        identity.opened(path)(np.zeros((112, 112, 3), np.uint8), a_face(identity.PLACES * 112))


# ---------------------------------------------------------------- whole pictures


def portrait() -> bytes:
    return png(Image.open(ASTRONAUT).convert("RGB"))


@pytest.fixture
def facing(engine: Engine, models: ModelManager, tmp_path: Path) -> Prompting:
    """A small checkpoint with IP-Adapters FaceID that fit it."""
    have("centerface.onnx")
    found = Prompting(engine.models, engine.ref)
    found.folder, found.towers_there = tmp_path, [tmp_path / "clip_h.safetensors"]
    engine.run(request())
    with models.lend(engine.ref, None) as lent:
        unet = lent.model.parts["unet"]
    width = int(unet.config.cross_attention_dim)
    for name, looks in (("face", False), ("face-plusv2", True)):
        save_file(face_adapter(unet, width, looks=looks), tmp_path / f"{name}.safetensors")
    save_file(drawn(tower()), tmp_path / "clip_h.safetensors")
    (tmp_path / "w600k_r50.onnx").write_bytes(recognising())
    found.annotators_there = [tmp_path / "w600k_r50.onnx"]
    return found


def asked(**unit: Any) -> Any:
    wish = {"module": "ip-adapter_face_id", "image": "face", "model": "face.safetensors", **unit}
    return request(features={"ControlNet": [wish]}, cfg_scale=5)


def test_a_face_changes_the_picture_and_leaves_no_trace(facing: Prompting) -> None:
    images = {"face": portrait(), "none": png(GRADIENT)}
    (without,) = facing.run(request(cfg_scale=5))
    (faced,) = facing.run(asked(), images)
    assert most_apart(without, faced) > 3
    (plus,) = facing.run(asked(model="face-plusv2.safetensors", module="ip-adapter_face_id_plus"), images)
    assert most_apart(without, plus) > 3 and most_apart(faced, plus) > 0
    (automatic,) = facing.run(asked(module="ip-adapter-auto"), images)
    assert automatic.rgb == faced.rgb
    (tmp := facing.annotators_there[0].parent / "louder").mkdir()
    (tmp / "w600k_r50.onnx").write_bytes(recognising(ways=10 * WAYS))
    facing.annotators_there = [tmp / "w600k_r50.onnx"]
    (louder,) = facing.run(asked(), images)
    assert most_apart(faced, louder) <= 1, "the direction alone counts"
    (nothing,) = facing.run(asked(weight=0.0), images)
    assert most_apart(without, nothing) == 0
    (again,) = facing.run(request(cfg_scale=5))
    assert again.rgb == without.rgb, "nothing is left behind"


def test_sdxl_follows_a_face_and_adapters_of_other_families_are_told_apart(tmp_path: Path) -> None:
    have("centerface.onnx")
    models = ModelManager(profile_of(OPTIONS), budget=2**32)
    facing = Prompting(models, reference(small("SDXL", tmp_path / "small.safetensors")))
    facing.folder, facing.towers_there = tmp_path, []
    with models.lend(facing.ref, None) as lent:
        unet = lent.model.parts["unet"]
    width = int(unet.config.cross_attention_dim)
    save_file(face_adapter(unet, width), tmp_path / "face.safetensors")
    (tmp_path / "w600k_r50.onnx").write_bytes(recognising())
    facing.annotators_there = [tmp_path / "w600k_r50.onnx"]
    wish = asked().changed(steps=1)
    (without,) = facing.run(wish.changed(features={}))
    (faced,) = facing.run(wish, {"face": portrait()})
    assert most_apart(without, faced) > 0
    for text_width, family in ((768, "SD1"), (2048, "SDXL")):
        shapes = {**face_projection(text_width, looks=False), "ip_adapter.1.to_k_ip.weight": (320, text_width)}
        assert told(shapes) == NetworkFacts(ControlKind.FACE_ID, family)


def test_where_there_is_no_face_the_unit_is_left_out_in_words(facing: Prompting) -> None:
    images = {"face": portrait(), "none": png(GRADIENT)}
    (without,) = facing.run(request(cfg_scale=5))
    (nobody,) = facing.run(asked(image="none"), images)
    assert nobody.rgb == without.rgb
    assert any("in its picture there is none. The unit was left out." in each for each in nobody.comments)
    (faced,), (some,) = facing.run(asked(), images), facing.run(asked(more_images=("none",)), images)
    assert some.rgb == faced.rgb
    assert any("in 1 of its 2 pictures there is none." in each for each in some.comments)


def test_a_missing_network_for_faces_is_named_with_its_place(facing: Prompting) -> None:
    facing.annotators_there = []
    with pytest.raises(ModelError, match=r"w600k_r50\.onnx, is missing") as error:
        facing.run(asked(), {"face": portrait()})
    assert "models/ControlNetPreprocessor/insightface/w600k_r50.onnx" in error.value.hint


# ---------------------------------------------------------------- InstantID


def test_instant_id_s_tokens_gather_from_a_face_as_published(tmp_path: Path) -> None:
    unet = small_unet()
    weights = drawn({**projection("plus", sees=TELLS), **pairs(unet)})
    torch.save(by_table(weights), tmp_path / "ip-adapter_instant_id_sdxl.bin")
    network = opened(tmp_path / "ip-adapter_instant_id_sdxl.bin", CPU, torch.float32)
    assert isinstance(network, FacePrompt) and network.is_instant and not network.looks_inside and fits(network, unet)
    own = {name.removeprefix("image_proj."): tensor for name, tensor in weights.items()}
    face = torch.randn(1, TELLS) * 20
    with torch.inference_mode():
        told = network.told([FaceVision(face)])
        for found, said in ((told.positive, face), (told.negative, torch.zeros(1, TELLS))):
            assert torch.allclose(found, gathered(own, "", said[:, None], own["latents"]), atol=1e-5)


def test_five_points_of_a_face_are_drawn_in_their_colours() -> None:
    points = np.array([(20, 20), (60, 20), (40, 40), (25, 60), (55, 60)], np.float32)
    made = drawn_points(points, (80, 90))
    assert made.shape == (90, 80, 3)
    wanted = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
    assert all(tuple(made[int(y), int(x)]) == colour for (x, y), colour in zip(points, wanted, strict=True))
    assert tuple(made[30, 30]) == (153, 0, 0), "a limb is fainter"
    assert not made[80:].any()


@pytest.fixture
def instant(facing: Prompting, models: ModelManager) -> Prompting:
    """With InstantID's adapter and its ControlNet."""
    with models.lend(facing.ref, None) as lent:
        unet = lent.model.parts["unet"]
    width = int(unet.config.cross_attention_dim)
    weights = drawn({**projection("plus", width, sees=TELLS), **pairs(unet)}, seed=5)
    save_file(weights, facing.folder / "ip-adapter_instant_id.safetensors")
    torch.manual_seed(2)
    network = ControlNetModel.from_unet(unet)
    own = {
        name: torch.randn_like(each) * 0.1 if "controlnet_" in name else each
        for name, each in network.state_dict().items()
    }
    save_file(
        {name: each.float().contiguous().clone() for name, each in own.items()},
        facing.folder / "control_instant_id.safetensors",
    )
    (facing.folder / "glintr100.onnx").write_bytes(recognising())
    facing.annotators_there.append(facing.folder / "glintr100.onnx")
    return facing


ADAPTER = {"module": "instant_id_face_embedding", "image": "face", "model": "ip-adapter_instant_id.safetensors"}
KEYPOINTS = {"module": "instant_id_face_keypoints", "image": "face", "model": "control_instant_id.safetensors"}


def with_units(*units: Mapping[str, Any]) -> Any:
    return request(features={"ControlNet": list(units)}, cfg_scale=5)


def test_instant_id_s_networks_act_together(instant: Prompting) -> None:
    images = {"face": portrait(), "none": png(GRADIENT)}
    (without,) = instant.run(request(cfg_scale=5))
    (adapted,) = instant.run(with_units(ADAPTER), images)
    (both,) = instant.run(with_units(ADAPTER, KEYPOINTS), images)
    assert most_apart(without, adapted) > 3 and most_apart(adapted, both) > 0
    (turned,) = instant.run(with_units(KEYPOINTS, ADAPTER), images)
    assert most_apart(both, turned) <= 1, "in either order"
    plain = {**KEYPOINTS, "module": "none", "model": "plain.safetensors", "image": "none"}
    shutil.copy(instant.folder / "control_instant_id.safetensors", instant.folder / "plain.safetensors")
    (told,) = instant.run(with_units(ADAPTER, {**KEYPOINTS, "module": "none", "image": "none"}), images)
    (untold,) = instant.run(with_units(ADAPTER, plain), images)
    assert most_apart(told, untold) > 0, "the face stands in the place of the text"
    with pytest.raises(UserError, match="no unit has that"):
        instant.run(with_units(KEYPOINTS), images)
    (nobody,) = instant.run(with_units({**ADAPTER, "image": "none"}, {**KEYPOINTS, "image": "none"}), images)
    assert nobody.rgb == without.rgb and any(
        "there is none. The unit was left out." in each for each in nobody.comments
    )

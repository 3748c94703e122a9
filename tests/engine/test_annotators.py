"""Preprocessors with networks of one's own files: each on a small file with the published names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, max_pool2d
from transformers import (
    BitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    OneFormerForUniversalSegmentation,
    ResNetConfig,
    ResNetModel,
    UperNetConfig,
)
from transformers.models.upernet.modeling_upernet import UperNetHead

from tests import annotators
from tests.annotators import FILES, Tensors, seen_small, written
from webui.base.errors import ModelError
from webui.engine.memory import profile_of
from webui.engine.preprocessors import (
    depth_anything,
    drawings,
    hed,
    leres,
    midas,
    normals,
    oneformer,
    palettes,
    pidinet,
    straight_lines,
    teed,
    uniformer,
    zoe,
)
from webui.engine.preprocessors.lines import scribbled
from webui.engine.preprocessors.network import MapNetwork
from webui.engine.preprocessors.picture import Options, mapped
from webui.engine.preprocessors.segments import segmented
from webui.engine.residents import ResidentKind, Residents
from webui.request.engine_options import EngineOptions
from webui.request.model_ref import ModelRef
from webui.request.preprocessors import TABLE, preprocessor

PROFILE = profile_of(EngineOptions(device="cpu"))
LENDING = Residents(PROFILE, budget=2**30)


@pytest.fixture(autouse=True)
def _seen_small(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_small(monkeypatch)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("annotators")


def options(module: str, path: Path, resolution: int = 64) -> Options:
    known = preprocessor(module)
    a, b = known.value_of(known.a, -1), known.value_of(known.b, -1)
    return Options(resolution, a, b, 1, LENDING, (ModelRef(str(path), path.name),))


def test_each_preprocessor_with_a_file_is_tried_here() -> None:
    poses = {"dw_openpose_full", *(f"openpose{ending}" for ending in ("", "_hand", "_face", "_faceonly", "_full"))}
    faces = {"ip-adapter-auto", "ip-adapter_face_id", "ip-adapter_face_id_plus", "instant_id_face_embedding"}
    tried = {*FILES, *poses, *faces}
    assert {each.name for each in TABLE if each.weights} == tried, "poses, faces: test_own_openpose, test_face_prompts"
    for module, (folder, name, _) in FILES.items():
        assert any(folder == own.folder and name in own.names for own in preprocessor(module).weights)


@pytest.mark.parametrize("module", FILES)
def test_a_file_with_the_published_names_gives_a_map(module: str, place: Path) -> None:
    path = written(module, place)
    picture = np.random.default_rng(1).integers(0, 256, (50, 90, 3), np.uint8)
    made = mapped(preprocessor(module).code, picture, options(module, path)).pixels
    assert (made.dtype, made.shape[:2]) == (np.uint8, (64, 115))
    assert (made != made[:1, :1]).any(), "what there is to see is seen"
    again = mapped(preprocessor(module).code, picture, options(module, path)).pixels
    assert np.array_equal(made, again)


@pytest.mark.parametrize("module", FILES)
def test_another_file_under_the_name_is_refused_in_words(module: str, tmp_path: Path) -> None:
    path = tmp_path / Path(FILES[module][1]).with_suffix(".pth")
    picture = np.zeros((8, 8, 3), np.uint8)
    for content in (b"", b"no model", b"PK\x03\x04 damaged"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=path.name):
            mapped(preprocessor(module).code, picture, options(module, path))
    torch.save({"something.else": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=f"{path.name} cannot be loaded: it is no "):
        mapped(preprocessor(module).code, picture, options(module, path))
    whole = {name: tensor for name, tensor in _flat(FILES[module][2]()).items() if tensor.ndim}
    lacking = dict(list(whole.items())[:-1])
    torch.save(lacking, path)
    with pytest.raises(ModelError, match=path.name):
        mapped(preprocessor(module).code, picture, options(module, path))


@pytest.mark.parametrize(
    ("module", "name", "shape"),
    [
        ("segmentation", "decode_head.lateral_convs.1.conv.weight", (16, 13, 1, 1)),
        ("depth_leres", "module.depth_model.decoder_modules.ffm1.ftb1.conv1.weight", (6, 31, 3, 3)),
        ("oneformer_coco", "backbone.layers.0.blocks.0.attn.relative_position_bias_table", (9999, 1)),
        (
            "oneformer_coco",
            "sem_seg_head.pixel_decoder.transformer.encoder.layers.0.self_attn.attention_weights.weight",
            (5, 32),
        ),
        ("depth_zoe", "core.core.pretrained.model.blocks.0.attn.relative_position_bias_table", (1, 2)),
    ],
)
def test_a_file_with_sizes_that_say_nonsense_is_named(
    module: str, name: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    content = FILES[module][2]()
    _flat(content)[name] = torch.zeros(shape)
    path = tmp_path / FILES[module][1]
    torch.save(content, path)
    with pytest.raises(ModelError, match=path.name):
        mapped(preprocessor(module).code, np.zeros((64, 64, 3), np.uint8), options(module, path))


def _flat(content: object) -> Tensors:
    while isinstance(content, dict) and not all(isinstance(each, torch.Tensor) for each in content.values()):
        content = next(each for each in content.values() if isinstance(each, dict))
    assert isinstance(content, dict)
    return content


def opened(kind: ResidentKind[MapNetwork], content: object, folder: Path) -> MapNetwork:
    path = folder / "network.pth"
    torch.save(content, path)
    return kind.open(path, PROFILE)


# ---------------------------------------------------------------- depth, beside transformers' own


def fused(tensors: Tensors, prefix: str, names: tuple[str, str, str]) -> Tensors:
    """The three matrices that transformers has for the one of published files."""
    made: Tensors = {}
    for part in ("weight", "bias"):
        parts = tensors[f"{prefix}.{part}"].chunk(3)
        made |= {f"{name}.{part}": each for name, each in zip(names, parts, strict=True)}
    return made


def scratch_names(ours: str) -> Tensors | dict[str, str]:
    found = {}
    for number in range(1, 5):
        found[f"{ours}layer{number}_rn"] = f"neck.convs.{number - 1}"
        own, theirs = f"{ours}refinenet{number}", f"neck.fusion_stage.layers.{4 - number}"
        found[f"{own}.out_conv"] = f"{theirs}.projection"
        for unit in (1, 2):
            for at in (1, 2):
                found[f"{own}.resConfUnit{unit}.conv{at}"] = f"{theirs}.residual_layer{unit}.convolution{at}"
    return found


def in_their_names(tensors: Tensors, names: dict[str, str]) -> Tensors:
    found: Tensors = {}
    for name, tensor in tensors.items():
        stem, _, part = name.rpartition(".")
        if name in names:
            found[names[name]] = tensor
        elif stem in names:
            found[f"{names[stem]}.{part}"] = tensor
    return found


def in_transformers(tensors: Tensors, layers: int) -> Tensors:
    """A published Depth Anything file under the names of transformers."""
    names = {
        "pretrained.cls_token": "backbone.embeddings.cls_token",
        "pretrained.mask_token": "backbone.embeddings.mask_token",
        "pretrained.pos_embed": "backbone.embeddings.position_embeddings",
        "pretrained.patch_embed.proj": "backbone.embeddings.patch_embeddings.projection",
        "pretrained.norm": "backbone.layernorm",
        "depth_head.scratch.output_conv1": "head.conv1",
        "depth_head.scratch.output_conv2.0": "head.conv2",
        "depth_head.scratch.output_conv2.2": "head.conv3",
        **scratch_names("depth_head.scratch."),
    }
    made: Tensors = {}
    for at in range(4):
        names[f"depth_head.projects.{at}"] = f"neck.reassemble_stage.layers.{at}.projection"
        names[f"depth_head.resize_layers.{at}"] = f"neck.reassemble_stage.layers.{at}.resize"
    for number in range(layers):
        own, theirs = f"pretrained.blocks.{number}", f"backbone.encoder.layer.{number}"
        names[f"{own}.ls1.gamma"] = f"{theirs}.layer_scale1.lambda1"
        names[f"{own}.ls2.gamma"] = f"{theirs}.layer_scale2.lambda1"
        names |= {f"{own}.{each}": f"{theirs}.{each}" for each in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")}
        names[f"{own}.attn.proj"] = f"{theirs}.attention.o_proj"
        made |= fused(tensors, f"{own}.attn.qkv", tuple(f"{theirs}.attention.{at}_proj" for at in "qkv"))
    return made | in_their_names(tensors, names)


@pytest.mark.parametrize(
    ("kind", "out"), [(depth_anything.FIRST, (9, 10, 11, 12)), (depth_anything.SECOND, (3, 6, 9, 12))]
)
def test_depth_anything_is_what_transformers_makes_of_it(
    kind: ResidentKind[MapNetwork], out: tuple[int, ...], tmp_path: Path
) -> None:
    tensors = annotators.depth_anything()
    backbone = Dinov2Config(
        hidden_size=128,
        num_hidden_layers=12,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=70,
        patch_size=14,
        out_indices=list(out),
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=128,
        patch_size=14,
        neck_hidden_sizes=[8, 12, 16, 20],
        fusion_hidden_size=16,
    )
    theirs = DepthAnythingForDepthEstimation(config).eval()
    missing = theirs.load_state_dict(in_transformers(tensors, 12), strict=False)
    assert not missing.missing_keys and not missing.unexpected_keys
    picture = torch.randn(1, 3, 70, 70, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = theirs(picture).predicted_depth
    network = opened(kind, tensors, tmp_path)
    assert network.unused == ()
    assert expected.std() > 0
    assert torch.allclose(network(picture)[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_midas_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    tensors = annotators.midas()
    backbone = BitConfig(
        global_padding="same",
        layer_type="bottleneck",
        embedding_size=64,
        hidden_sizes=[128, 256, 512],
        depths=[2, 2, 2],
        out_features=["stage1", "stage2", "stage3"],
        embedding_dynamic_padding=True,
    )
    config = DPTConfig(
        is_hybrid=True,
        backbone_config=backbone,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=256,
        layer_norm_eps=1e-6,
        image_size=64,
        backbone_featmap_shape=[1, 512, 4, 4],
        backbone_out_indices=[0, 1, 2, 3],
        reassemble_factors=[1, 1, 1, 0.5],
        neck_hidden_sizes=[128, 256, 128, 128],
        fusion_hidden_size=32,
    )
    theirs = DPTForDepthEstimation(config).eval()
    missing = theirs.load_state_dict(hybrid_in_transformers(tensors, 4), strict=False)
    assert not [name for name in missing.missing_keys if "pooler" not in name] and not missing.unexpected_keys
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = theirs(picture).predicted_depth
    network = opened(midas.MIDAS, tensors, tmp_path)
    assert set(network.unused) == {"pretrained.model.head.weight", "pretrained.model.head.bias"} | {
        f"pretrained.model.norm.{part}" for part in ("weight", "bias")
    }
    assert expected.std() > 0
    assert torch.allclose(network(picture)[:, 0], expected, rtol=1e-4, atol=1e-5)


def hybrid_in_transformers(tensors: Tensors, layers: int) -> Tensors:
    model, bit = "pretrained.model", "dpt.embeddings.backbone.bit"
    names = {
        f"{model}.cls_token": "dpt.embeddings.cls_token",
        f"{model}.pos_embed": "dpt.embeddings.position_embeddings",
        f"{model}.patch_embed.proj": "dpt.embeddings.projection",
        f"{model}.patch_embed.backbone.stem.conv": f"{bit}.embedder.convolution",
        f"{model}.patch_embed.backbone.stem.norm": f"{bit}.embedder.norm",
        f"{model}.norm": "dpt.layernorm",
        **{f"scratch.output_conv.{at}": f"head.head.{at}" for at in (0, 2, 4)},
        **scratch_names("scratch."),
    }
    for stage in range(3):
        for block in range(2):
            own = f"{model}.patch_embed.backbone.stages.{stage}.blocks.{block}"
            theirs = f"{bit}.encoder.stages.{stage}.layers.{block}"
            parts = [f"{kind}{at}" for kind in ("conv", "norm") for at in (1, 2, 3)]
            names |= {f"{own}.{part}": f"{theirs}.{part}" for part in (*parts, "downsample.conv", "downsample.norm")}
    for at in (2, 3):
        own, stage = f"pretrained.act_postprocess{at + 1}", "neck.reassemble_stage"
        names[f"{own}.0.project.0"] = f"{stage}.readout_projects.{at}.0"
        names[f"{own}.3"], names[f"{own}.4"] = f"{stage}.layers.{at}.projection", f"{stage}.layers.{at}.resize"
    made: Tensors = {}
    for number in range(layers):
        own, theirs = f"{model}.blocks.{number}", f"dpt.encoder.layer.{number}"
        names[f"{own}.norm1"], names[f"{own}.norm2"] = f"{theirs}.layernorm_before", f"{theirs}.layernorm_after"
        names[f"{own}.mlp.fc1"], names[f"{own}.mlp.fc2"] = f"{theirs}.intermediate.dense", f"{theirs}.output.dense"
        names[f"{own}.attn.proj"] = f"{theirs}.attention.output.dense"
        attention = f"{theirs}.attention.attention"
        made |= fused(tensors, f"{own}.attn.qkv", tuple(f"{attention}.{at}" for at in ("query", "key", "value")))
    return made | in_their_names(tensors, names)


def test_each_published_name_of_zoedepth_has_its_place(tmp_path: Path) -> None:
    content = annotators.zoe()
    network = opened(zoe.ZOE, content, tmp_path)
    whole, parts = content["model"], network.module.state_dict()
    assert {name.rsplit(".", 2)[-2] for name in network.unused} == {"fc_norm", "head", "attn", "log_binomial_transform"}
    assert not [name for name in network.unused if "attn" in name and not name.endswith("relative_position_index")]
    layer, block = "depth.backbone.beit.layers.2", "core.core.pretrained.model.blocks.2"
    thirds = whole[f"{block}.attn.qkv.weight"].chunk(3)
    for part, third in zip("qkv", thirds, strict=True):
        assert torch.equal(parts[f"{layer}.attention.{part}_proj.weight"], third)
    for theirs, own in {
        f"{layer}.lambda_1": f"{block}.gamma_1",
        f"{layer}.layernorm_after.weight": f"{block}.norm2.weight",
        f"{layer}.attention.v_proj.bias": f"{block}.attn.v_bias",
        "depth.neck.reassemble_stage.layers.3.resize.weight": "core.core.pretrained.act_postprocess4.4.weight",
        "depth.neck.fusion_stage.layers.0.residual_layer1.convolution2.weight": (
            "core.core.scratch.refinenet4.resConfUnit1.conv2.weight"
        ),
        "depth.relative_head.conv2.weight": "core.core.scratch.output_conv.2.weight",
        "depth.metric_head.attractors.1.conv2.bias": "attractors.1._net.2.bias",
        "depth.metric_head.conditional_log_binomial.mlp.0.weight": "conditional_log_binomial.mlp.0.weight",
    }.items():
        assert torch.equal(parts[theirs], whole[own]), theirs
    far = network(torch.zeros(1, 3, 64, 96))
    assert far.shape == (1, 1, 64, 96) and (far > 0).all()


def test_a_mirrored_picture_has_the_mirrored_depth(tmp_path: Path) -> None:
    path = written("depth_zoe", tmp_path)
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    made, mirrored = (
        mapped(preprocessor("depth_zoe").code, each, options("depth_zoe", path)).pixels.astype(int)
        for each in (picture, picture[:, ::-1])
    )
    assert np.abs(made - mirrored[:, ::-1]).max() <= 1


def test_leres_s_levels_are_what_transformers_makes_of_them(tmp_path: Path) -> None:
    """Its blocks are those of a residual network where there is but one group."""
    tensors = annotators.leres()["depth_model"]
    root = "module.depth_model.encoder_modules.encoder."
    whole = {
        name: torch.cat([tensor] * 4, dim=1) if name.endswith("conv2.weight") else tensor
        for name, tensor in tensors.items()
    }
    network = opened(leres.LERES, {"depth_model": whole}, tmp_path)
    assert network.unused == ()
    sizes = {"embedding_size": 8, "hidden_sizes": [16, 32, 64, 128], "depths": [2] * 4}
    theirs = ResNetModel(ResNetConfig(**sizes, layer_type="bottleneck")).eval()
    names = {"conv1": "embedder.embedder.convolution", "bn1": "embedder.embedder.normalization"}
    for level in range(4):
        for at in range(2):
            own, other = f"layer{level + 1}.{at}", f"encoder.stages.{level}.layers.{at}"
            for number in range(3):
                names[f"{own}.conv{number + 1}"] = f"{other}.layer.{number}.convolution"
                names[f"{own}.bn{number + 1}"] = f"{other}.layer.{number}.normalization"
            names[f"{own}.downsample.0"] = f"{other}.shortcut.convolution"
            names[f"{own}.downsample.1"] = f"{other}.shortcut.normalization"
    own_names = {name.removeprefix(root): tensor for name, tensor in whole.items() if name.startswith(root)}
    theirs.load_state_dict(in_their_names(own_names, names))
    picture = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = theirs(picture, output_hidden_states=True).hidden_states[1:]
        found = network.module.get_submodule("encoder_modules.encoder")(picture)
    for ours, wanted in zip(found, expected, strict=True):
        assert wanted.std() > 0 and torch.allclose(ours, wanted, rtol=1e-4, atol=1e-5)


def test_teed_is_the_published_formula(tmp_path: Path) -> None:
    own = annotators.teed()
    network = opened(teed.TEED, own, tmp_path)

    def smish(x: Tensor) -> Tensor:
        return x * (1 + x.sigmoid()).log().tanh()

    def layer(name: str, x: Tensor, **how: Any) -> Tensor:
        return conv2d(x, own[f"{name}.weight"], own[f"{name}.bias"], **how)

    picture = torch.rand(1, 3, 16, 24) * 255
    first = smish(layer("block_1.conv2", smish(layer("block_1.conv1", picture, stride=2, padding=1)), padding=1))
    second = layer("block_2.conv2", smish(layer("block_2.conv1", first, padding=1)), padding=1)
    small = max_pool2d(second, 3, 2, 1)
    third = smish(small + layer("side_1.conv", first, stride=2))
    third = layer("dblock_3.denselayer1.conv2", smish(layer("dblock_3.denselayer1.conv1", third, padding=2)))
    third, edges = 0.5 * (third + layer("pre_dense_3.conv", small)), []
    for name, x, times in (("up_block_1", first, 1), ("up_block_2", second, 1), ("up_block_3", third, 2)):
        for at in range(times):
            wide, narrow = own[f"{name}.features.{3 * at + 2}.weight"], smish(layer(f"{name}.features.{3 * at}", x))
            bias = own[f"{name}.features.{3 * at + 2}.bias"]
            x = conv_transpose2d(narrow, wide, bias, stride=2, padding=times - 1)
        edges.append(x)
    joined = layer("block_cat.DWconv1", smish(torch.cat(edges, 1)), padding=1, groups=3)
    joined = smish((joined + layer("block_cat.DWconv2", smish(joined), padding=1, groups=24)).sum(1, keepdim=True))
    assert torch.allclose(network(picture), torch.cat([*edges, joined], 1), rtol=1e-4, atol=1e-3)


def test_what_is_near_or_far_may_be_left_out_of_leres_s_depth(tmp_path: Path) -> None:
    path = written("depth_leres", tmp_path)
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    wish = options("depth_leres", path)
    whole, near, far = (
        mapped(preprocessor("depth_leres").code, picture, replace(wish, a=a, b=b)).pixels.astype(int)
        for a, b in ((0, 0), (40, 0), (0, 40))
    )
    assert (whole.min(), whole.max()) == (0, 255)
    assert np.array_equal(near, np.where(255 - whole > 102, whole, 255)), "what is nearer than that is white"
    assert np.array_equal(far, np.where(whole > 102, whole, 0)), "what is farther than that is black"


# ---------------------------------------------------------------- segments


def test_each_published_name_of_oneformer_has_its_place(tmp_path: Path) -> None:
    content = annotators.oneformer()
    network = opened(oneformer.ONEFORMER, content, tmp_path)
    assert all(name.endswith("relative_position_index") for name in network.unused)
    whole, parts = content["model"], network.module.state_dict()
    thirds = whole["backbone.layers.1.blocks.0.attn.qkv.bias"].chunk(3)
    own = whole["sem_seg_head.predictor.transformer_self_attention_layers.1.self_attn.in_proj_weight"].chunk(3)
    for at, part in enumerate("qkv"):
        swin = f"model.pixel_level_module.encoder.swin.encoder.layers.1.blocks.0.attention.{part}_proj.bias"
        assert torch.equal(parts[swin], thirds[at])
        decoder = f"model.transformer_module.decoder.layers.1.self_attn.self_attn.{part}_proj.weight"
        assert torch.equal(parts[decoder], own[at])
    for theirs, ours in {
        "pixel_level_module.encoder.hidden_states_norms.stage2.weight": "backbone.norm1.weight",
        "pixel_level_module.decoder.encoder.layers.1.fc2.weight": (
            "sem_seg_head.pixel_decoder.transformer.encoder.layers.1.linear2.weight"
        ),
        "pixel_level_module.decoder.layer_1.1.weight": "sem_seg_head.pixel_decoder.layer_1.norm.weight",
        "transformer_module.decoder.mask_embed.layers.2.0.bias": "sem_seg_head.predictor.mask_embed.layers.2.bias",
        "transformer_module.decoder.layers.0.cross_attn.multihead_attn.in_proj_weight": (
            "sem_seg_head.predictor.transformer_cross_attention_layers.0.multihead_attn.in_proj_weight"
        ),
        "task_encoder.task_mlp.layers.1.0.weight": "task_mlp.layers.1.weight",
    }.items():
        assert torch.equal(parts[f"model.{theirs}"], whole[ours]), theirs


def test_oneformer_s_answer_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    """Beside the same network with its own places of windows and its own way to join masks and classes."""
    network = opened(oneformer.ONEFORMER, annotators.oneformer(), tmp_path)
    ours = network.module
    assert isinstance(ours, oneformer.OneFormer)
    theirs = OneFormerForUniversalSegmentation(ours.model.config).eval()
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert {name.split(".")[0] for name in missing.missing_keys if "swin.layernorm" not in name} == {"criterion"}
    picture = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    tokens = [49406, 518, 10549, 533, 29119, 1550, 49407]  # of CLIP, for "the task is semantic"
    task = torch.tensor([tokens + [0] * (77 - len(tokens))])
    with torch.no_grad():
        told = theirs(picture, task)
    masks = torch.nn.functional.interpolate(told.masks_queries_logits, size=(64, 96), mode="bilinear").sigmoid()
    expected = torch.einsum("bqc,bqhw->bchw", told.class_queries_logits.softmax(-1)[..., :-1], masks)
    found = network(picture)
    assert expected.std() > 0
    assert torch.allclose(found, expected, atol=1e-5)


def test_upernet_s_head_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    tensors = annotators.uniformer()["state_dict"]
    assert isinstance(tensors, dict)
    widths = [8, 12, 128, 64]
    theirs = UperNetHead(UperNetConfig(hidden_size=16, num_labels=150), widths).eval()
    head = {
        name.removeprefix("decode_head.").replace(".bn.", ".batch_norm.").replace("conv_seg", "classifier"): tensor
        for name, tensor in tensors.items()
        if name.startswith("decode_head.")
    }
    theirs.load_state_dict(head)
    network = opened(uniformer.UNIFORMER, {"state_dict": tensors}, tmp_path)
    assert all(name.startswith("auxiliary_head.") for name in network.unused)
    random = torch.Generator().manual_seed(3)
    seen = [torch.randn(1, width, 24 >> at, 32 >> at, generator=random) for at, width in enumerate(widths)]
    with torch.no_grad():
        expected = theirs(seen)
        found = network.module.get_submodule("decode_head")(seen)
    assert expected.std() > 0
    assert torch.allclose(found, expected, atol=1e-5)


def test_local_blocks_see_what_is_near_and_global_ones_everything(tmp_path: Path) -> None:
    network = opened(uniformer.UNIFORMER, annotators.uniformer(), tmp_path)
    plane = torch.randn(1, 12, 16, 16, generator=torch.Generator().manual_seed(3))
    changed = plane.clone()
    changed[..., 0, 0] += 9
    for name, width, reach in (("backbone.blocks2.0", 12, 4), ("backbone.blocks3.0", 128, 16)):
        block = network.module.get_submodule(name)
        given, other = (each.repeat(1, -(-width // 12), 1, 1)[:, :width] for each in (plane, changed))
        with torch.no_grad():
            apart = (block(given) - block(other)).abs().amax((0, 1))
        assert (apart[0, :reach] > 0).all()
        assert apart[reach:].sum() == 0 if reach < 16 else (apart > 0).all()


def test_the_surest_class_has_its_colour() -> None:
    told = torch.zeros(1, 20, 2, 2)
    told[0, 3, :, 0], told[0, 17, :, 1] = 2, 1
    found = segmented(told, (4, 4), palettes.ADE20K)
    assert (found[:, 0] == palettes.ADE20K[3]).all() and (found[:, 3] == palettes.ADE20K[17]).all()
    assert (len(palettes.ADE20K), len(palettes.COCO)) == (150, 133)
    assert palettes.ADE20K[2].tolist() == [6, 230, 230] and palettes.COCO[0].tolist() == [220, 20, 60]
    assert palettes.coloured(np.array([[140]]), palettes.COCO).tolist() == [[[0, 0, 0]]], "a class nobody knows"


# ---------------------------------------------------------------- laws of the others


def test_all_names_of_published_files_are_of_use(tmp_path: Path) -> None:
    kinds = (
        (hed.HED, annotators.hed()),
        (pidinet.PIDINET, annotators.pidinet()),
        (drawings.LINEART, annotators.lineart()),
        (drawings.ANIME, annotators.lineart_anime()),
        (straight_lines.MLSD, annotators.mlsd()),
    )
    for kind, content in kinds:
        assert opened(kind, content, tmp_path).unused == (), kind.name
    unused = opened(normals.NORMALS, annotators.normal_bae(), tmp_path).unused
    assert all(name.startswith("encoder.original_model.bn2.") for name in unused), unused


def test_normals_have_the_length_one_wherever_they_point(tmp_path: Path) -> None:
    picture = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    found = opened(normals.NORMALS, annotators.normal_bae(), tmp_path)(picture)
    assert found.shape == (1, 4, 64, 96)
    assert torch.allclose(found[:, :3].square().sum(1), torch.ones(1, 64, 96), atol=1e-4)
    assert (found[:, 3] > 0).all() and found[:, :3].std() > 0


@pytest.mark.parametrize("kind", [pidinet.CENTRAL, pidinet.ANGULAR, pidinet.RADIAL, pidinet.PLAIN])
def test_kernels_over_differences_do_what_the_paper_says(kind: int) -> None:
    """Each weight is multiplied with a difference of two pixels: to the middle, to the next one around, along a ray."""
    random = torch.Generator().manual_seed(5)
    plane, weights = torch.randn(5, 5, generator=random), torch.randn(3, 3, generator=random)
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    at = {place: float(plane[2 + place[0], 2 + place[1]]) for place in [(0, 0), *ring]}
    expected = 0.0
    for number, (down, across) in enumerate(ring):
        weight = float(weights[1 + down, 1 + across])
        if kind == pidinet.PLAIN:
            expected += weight * at[down, across]
        elif kind == pidinet.CENTRAL:
            expected += weight * (at[down, across] - at[0, 0])
        elif kind == pidinet.ANGULAR:
            expected += weight * (at[down, across] - at[ring[(number + 1) % 8]])
    if kind == pidinet.PLAIN:
        expected += float(weights[1, 1]) * at[0, 0]
    if kind == pidinet.RADIAL:  # the kernel's middle has no ray, and its places are counted on without it
        rays = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if (down, across) != (0, 0)]
        for weight, (down, across) in zip(weights.flatten()[1:], rays, strict=True):
            expected += float(weight) * (float(plane[2 + 2 * down, 2 + 2 * across]) - at[down, across])
    kernel = pidinet.over_differences(weights[None, None], kind)
    margin = (5 - kernel.shape[-1]) // 2
    found = (kernel[0, 0] * plane[margin : 5 - margin, margin : 5 - margin]).sum()
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_soft_edges_lie_where_the_picture_changes(tmp_path: Path) -> None:
    """HED with weights set by hand: its first scale takes the difference to the left, the others see nothing."""
    tensors = {name: torch.zeros_like(tensor) for name, tensor in annotators.hed().items()}
    tensors["block1.convs.0.weight"][0, :, 1, 1], tensors["block1.convs.0.weight"][0, :, 1, 0] = 1, -1
    tensors["block1.convs.1.weight"][0, 0, 1, 1] = 1
    tensors["block1.projection.weight"][0, 0] = 1
    for number in range(1, 6):
        tensors[f"block{number}.projection.bias"][:] = -8
    path = tmp_path / "ControlNetHED.pth"
    torch.save(tensors, path)
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 200
    edges = mapped(preprocessor("hed").code, picture, options("hed", path)).pixels
    assert (edges[:, 32] == 255).all() and edges[:, 1:31].max() == 0 and edges[:, 34:].max() == 0
    steps = mapped(preprocessor("hed_safe").code, picture, options("hed_safe", path)).pixels
    assert set(np.unique(steps)) <= {0, 127, 255} and (steps[:, 32] == 255).all()
    strokes = mapped(preprocessor("scribble_hed").code, picture, options("scribble_hed", path)).pixels
    assert set(np.unique(strokes)) <= {0, 255}


def test_a_scribble_follows_the_middle_of_an_edge() -> None:
    edge = np.zeros((64, 64), np.uint8)
    edge[:, 24:40] = 255
    drawn = scribbled(edge)
    assert (drawn[:, 30:34] == 255).all() and drawn[:, :16].max() == 0 and drawn[:, 48:].max() == 0


def test_straight_lines_go_from_their_middles_to_both_ends() -> None:
    answers = torch.zeros(1, 5, 32, 32)
    answers[:, 0] = -9
    answers[0, :, 10, 16] = torch.tensor([4.0, -12.0, 0.0, 12.0, 0.0])
    answers[0, :, 11, 16] = torch.tensor([3.0, 0.0, -9.0, 0.0, 9.0])  # beside a surer one
    answers[0, :, 25, 5] = torch.tensor([4.0, 0.0, 0.0, 0.0, 0.0])  # no longer than a point
    found = straight_lines.lines_in(lambda planes: answers, np.zeros((64, 64, 3), np.uint8), 0.1, 0.1)
    assert found.tolist() == [[8.0, 20.0, 56.0, 20.0]]


# ---------------------------------------------------------------- DWPose


def test_dwpose_s_people_are_told_in_parts_of_the_picture(place: Path) -> None:
    """A person in the middle of a picture of 320x160, seen by the detector at twice its size."""
    refs = []
    whole = dict.fromkeys(range(133), (144, 192))
    whole |= {5: (244, 92), 6: (44, 92), 0: (144, 92)}
    for name, content in (
        ("yolox_l.onnx", annotators.yolox([(40, 20, 120, 160)])),
        ("dw.onnx", annotators.dwpose(whole)),
    ):
        (place / name).write_bytes(content)
        refs.append(ModelRef(str(place / name), name))
    picture = np.full((160, 320, 3), 60, np.uint8)
    wish = Options(160, 0, 0, 1, LENDING, tuple(refs))
    made = mapped(preprocessor("dw_openpose_full").code, picture, wish)
    assert made.poses is not None and made.remarks == ()
    (person,) = made.poses.people
    # The box is 60x80 around (162, 82); with a quarter more it is seen as 75x100, which is as wide as 288x384.
    scale = 100 / 384
    assert person.body[1] == pytest.approx((162 / 320, (82 - 100 * scale) / 160), abs=1e-3), "between the shoulders"
    assert person.body[2] == pytest.approx(((162 - 100 * scale) / 320, (82 - 100 * scale) / 160), abs=1e-3), "the right"
    assert person.body[8] == pytest.approx((162 / 320, 82 / 160), abs=1e-3)
    assert (len(person.body), len(person.face), len(person.left_hand), len(person.right_hand)) == (18, 70, 21, 21)
    assert made.pixels.shape == (160, 320, 3) and made.pixels.any()
    (place / "yolox_l.onnx").write_bytes(annotators.yolox([]))
    nobody = mapped(preprocessor("dw_openpose_full").code, picture, wish)
    assert nobody.remarks == ("Nobody was found in the picture.",) and not nobody.pixels.any()
    (place / "yolox_l.onnx").write_bytes((place / "dw.onnx").read_bytes())
    with pytest.raises(ModelError, match=r"yolox_l\.onnx cannot be loaded"):
        mapped(preprocessor("dw_openpose_full").code, picture, wish)

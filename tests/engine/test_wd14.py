"""WD14 taggers of the real layouts, small: .onnx and timm's .safetensors, and what is made of their tags."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests import taggers
from webui.base.errors import ModelError, NotFound
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.engine.describers import onnx_session, wd14
from webui.engine.describers.described import described, scored
from webui.engine.describers.timm_networks import network_of
from webui.engine.families.weights import open_weights
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.request.engine_options import EngineOptions
from webui.request.interrogators import Tagging, way_of
from webui.request.settings import Settings

RED = Image.new("RGB", (40, 40), "#ff0000")
NAME = "wd-v1-4-vit-tagger-v2"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Paths(data=tmp_path, packages=tmp_path / "packages"))


def told(catalog: Catalog, picture: Image.Image = RED, name: str = NAME, **options: Any) -> str:
    way = way_of(name, Settings().with_options(options), catalog, catalog.paths.models)
    with torch.inference_mode():
        return described(picture, way, Residents(profile_of(EngineOptions(device="cpu"))), watch())


def watch() -> Watch:
    return Watch("job", lambda _event: None, Cancel(), Viewing(), Stopwatch(torch.device("cpu")))


def test_tags_are_those_that_the_settings_let_through(catalog: Catalog) -> None:
    taggers.put_onnx(catalog.paths.models)
    assert told(catalog) == r"^_^, red theme, ruby \(gem\)"
    assert told(catalog, interrogate_wd14_character_threshold=0.9) == "^_^, red theme"
    assert told(catalog, interrogate_wd14_score_threshold=0.6, interrogate_wd14_rating=True) == (
        r"general, red theme, ruby \(gem\)"
    )
    plain = {"deepbooru_use_spaces": False, "deepbooru_escape": False, "deepbooru_sort_alpha": False}
    assert told(catalog, **plain) == "red_theme, ruby_(gem), ^_^"
    assert (
        told(catalog, deepbooru_filter_tags="Red theme, ^_^", interrogate_return_ranks=True) == r"(ruby \(gem\):0.881)"
    )


def test_scores_are_a_table_with_the_ratings_apart(catalog: Catalog) -> None:
    taggers.put_onnx(catalog.paths.models)
    way = way_of(NAME, Settings(), catalog, catalog.paths.models)
    assert isinstance(way, Tagging)
    residents = Residents(profile_of(EngineOptions(device="cpu")))
    found = json.loads(way.scores(scored(RED, way, residents, watch())))
    assert list(found["rating"]) == ["general", "explicit"]
    assert list(found["tag"]) == ["red_theme", "ruby_(gem)", "^_^"]
    assert found["tag"]["red_theme"] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-4)
    assert [(use.model, use.part) for use in residents.uses] == [(NAME, "tagger")]
    residents.put_away_all("upscaler")
    assert residents.uses
    residents.put_away_all("tagger")
    assert not residents.uses


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("by", ["opencv", "onnxruntime"])
def test_an_onnx_file_sees_a_white_square_with_blue_first(
    by: str, is_last: bool, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "opencv":
        monkeypatch.setattr(onnx_session, "RUNTIME", "no_such_module")
    elif importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime, an extra, is not installed")
    taggers.put_onnx(catalog.paths.models, is_last=is_last)
    assert told(catalog, Image.new("RGB", (40, 40), "#0000ff")) == "^_^, blue sky"
    assert "white background" in told(catalog, Image.new("RGBA", (9, 400), (255, 0, 0, 0)))
    strip = Image.new("RGB", (40, 10), "#ff0000")  # three quarters of the square are white
    assert told(catalog, strip, interrogate_wd14_score_threshold=0.6) == r"blue sky, red theme, ruby \(gem\)"


def test_a_square_holds_the_whole_picture_in_its_middle() -> None:
    square = wd14.squared(Image.new("RGB", (300, 100), "#ff8000"), 30)
    assert square.shape == (30, 30, 3)
    assert square[15, 15].tolist() == [0, 128, 255]
    assert (square[[0, 9, 20, 29], 15] == 255).all() and (square[10:20] == [0, 128, 255]).all()
    assert wd14.squared(Image.new("RGB", (1, 1), "#010203"), 8)[4, 4].tolist() == [3, 2, 1]
    assert wd14.squared(Image.new("RGB", (1, 5000), "#000000"), 8).min() == 0


@pytest.mark.parametrize(
    ("token", "fc_norm", "act"), [(False, False, "gelu_tanh"), (False, True, "gelu"), (True, False, "gelu")]
)
def test_a_vision_transformer_of_timm_is_carried_out_as_torch_s_own_layers_would(
    token: bool, fc_norm: bool, act: str, tmp_path: Path
) -> None:
    path = taggers.put_vit(tmp_path, act=act, token=token, fc_norm=fc_norm)
    tensors = load_file(path)
    network, config = network_of(open_weights(path), torch.device("cpu"), torch.float32)
    assert config.side == taggers.SIDE
    x = torch.randn(2, 3, taggers.SIDE, taggers.SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        seen = nn.functional.conv2d(x, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], 8)
        tokens = seen.flatten(2).transpose(1, 2)
        if token:
            tokens = torch.cat((tensors["cls_token"].expand(2, -1, -1), tokens), 1)
        tokens = taggers.torch_vit(tensors, act)(tokens + tensors["pos_embed"])
        if fc_norm:
            last = _normed(tokens.mean(1), tensors, "fc_norm")
        else:
            normed = _normed(tokens, tensors, "norm")
            last = normed[:, 0] if token else normed.mean(1)
        expected = last @ tensors["head.weight"].T + tensors["head.bias"]
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def _normed(x: Tensor, tensors: dict[str, Tensor], name: str) -> Tensor:
    width = (x.shape[-1],)
    return nn.functional.layer_norm(x, width, tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-6)


def test_a_convnext_of_timm_is_carried_out_as_transformers_would(tmp_path: Path) -> None:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    sizes = {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2, "image_size": 32}
    theirs = ConvNextForImageClassification(ConvNextConfig(**sizes, num_labels=5, hidden_act="gelu")).eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.3)
    save_file(
        {_timm_name(name): tensor for name, tensor in theirs.state_dict().items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text("{}")
    network, _ = network_of(open_weights(tmp_path / "model.safetensors"), torch.device("cpu"), torch.float32)
    x = torch.randn(1, 3, 32, 32, generator=draw)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), theirs(x).logits, rtol=1e-3, atol=1e-3)


def _timm_name(name: str) -> str:
    for old, new in (
        ("convnext.embeddings.patch_embeddings.", "stem.0."), ("convnext.embeddings.layernorm.", "stem.1."),
        ("convnext.encoder.", ""), ("downsampling_layer.", "downsample."), (".layers.", ".blocks."),
        ("dwconv", "conv_dw"),
        ("layernorm", "norm"), ("pwconv1", "mlp.fc1"), ("pwconv2", "mlp.fc2"), ("layer_scale_parameter", "gamma"),
        ("convnext.norm", "head.norm"), ("classifier.", "head.fc."),
    ):  # fmt: skip
        name = name.replace(old, new)
    return name


ANSWERS: dict[str, Any] = json.loads(Path(__file__).with_name("timm_answers.json").read_text())
"""Of timm 1.0.31's own networks, with weights drawn in the order of their names."""


@pytest.mark.parametrize("case", ANSWERS)
def test_swin_v2_and_eva02_answer_as_timm_s_own_networks_do(case: str, tmp_path: Path) -> None:
    told = ANSWERS[case]
    draw = torch.Generator().manual_seed(5)
    tensors = {name: torch.randn(shape, generator=draw) * 0.3 for name, shape in sorted(told["shapes"].items())}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(told["config"]))
    network, config = network_of(open_weights(tmp_path / "model.safetensors"), torch.device("cpu"), torch.float32)
    assert config.side == told["side"]
    x = torch.randn(1, 3, config.side, config.side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(network(x)[0], torch.tensor(told["answer"]), rtol=1e-4, atol=1e-4)


def test_windows_that_are_not_said_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    told = ANSWERS["SwinV2"]
    tensors = {name: torch.zeros(shape) for name, shape in told["shapes"].items()}
    save_file(tensors, tmp_path / "model.safetensors")
    for config in ({}, {"model_args": {"window_size": 3}}, {"model_args": {"window_size": 4}}):
        size = {"pretrained_cfg": {"input_size": [3, 36, 36]}}
        (tmp_path / "config.json").write_text(json.dumps(config | size))
        with pytest.raises(ModelError, match=r"model\.safetensors"):
            network_of(open_weights(tmp_path / "model.safetensors"), torch.device("cpu"), torch.float32)


def test_a_tagger_in_safetensors_sees_the_levels_about_zero_with_blue_first(catalog: Catalog) -> None:
    path = taggers.put_vit(catalog.paths.models)
    tensors = load_file(path)
    for name, tensor in tensors.items():  # the mean of blue, as it is given, is the score of the sky
        tensors[name] = torch.zeros_like(tensor) if not name.endswith("norm.weight") else tensor
    tensors["head.bias"][3] = 1
    save_file(tensors, path)
    found = told(catalog, name="wd-vit-tagger-v3", interrogate_wd14_score_threshold=0.6)
    assert found == "blue sky"


def test_names_that_programs_send_mean_the_network_whatever_its_folder_is_called(catalog: Catalog) -> None:
    models = catalog.paths.models
    taggers.put_onnx(models)
    taggers.put_onnx(models, "wd-v1-4-convnext-tagger")
    cached = models / "interrogators" / "models--SmilingWolf--wd-v1-4-moat-tagger-v2" / "snapshots" / "8452cd"
    kohya = models / "wd14_tagger_model" / "SmilingWolf_wd-swinv2-tagger-v3"
    for folder in (cached, kohya):
        folder.mkdir(parents=True)
        taggers.onnx_file(folder / "model.onnx")
        taggers.tag_list(folder / "selected_tags.csv")
    taggers.onnx_file(models / "wd14" / "mine.onnx")
    taggers.tag_list(models / "wd14" / "mine.csv")
    moat, swin = "wd-v1-4-moat-tagger-v2", "wd-swinv2-tagger-v3"
    assert catalog.choices("interrogators") == [
        "clip", "deepdanbooru", "mine", swin, "wd-v1-4-convnext-tagger", moat, NAME,
    ]  # fmt: skip
    asked = {
        "wd14-vit-v2-git": NAME, "wd14-vit-v2": NAME, "WD-v1-4-VIT-tagger-v2": NAME,
        "wd14-convnext": "wd-v1-4-convnext-tagger",
        "wd-v1-4-moat-tagger.v2": moat, "SmilingWolf/wd-swinv2-tagger-v3": swin, "mine": "mine",
    }  # fmt: skip
    assert {name: catalog.tagger(name).title for name in asked} == asked
    for other in ("wd14-vit-v3", "wd14", "clip-vit"):
        with pytest.raises(NotFound, match="no tagger"):
            catalog.tagger(other)


def test_of_two_files_in_a_folder_the_one_counts_that_needs_no_other_program(catalog: Catalog) -> None:
    taggers.put_onnx(catalog.paths.models, "both")
    path = taggers.put_vit(catalog.paths.models, "both")
    assert Path(catalog.tagger("both").path) == path
    save_file({"levels.0.blocks.0.attn.logit_scale": torch.zeros(1)}, path)
    assert Path(catalog.tagger("both").path).name == "model.onnx"


def test_what_is_broken_is_named_with_what_to_do(catalog: Catalog) -> None:
    models = catalog.paths.models
    with pytest.raises(NotFound) as caught:
        catalog.tagger("anything")
    assert "selected_tags.csv" in caught.value.hint
    onnx = taggers.put_onnx(models)
    good, tags = onnx.read_bytes(), onnx.with_name("selected_tags.csv")
    for content in (b"", b"not a network", good[: len(good) // 2], bytes(5000)):
        onnx.write_bytes(content)
        with pytest.raises(ModelError, match=rf"The tagger in {NAME}: model\.onnx"):
            told(catalog)
    onnx.write_bytes(good)
    for listed, said in (("tag_id,name\n1,a\n", "7 answers.*1 tags"), ("", "no column"), ("x,y\n1,2\n", "no column")):
        tags.write_text(listed)
        with pytest.raises(ModelError, match=said):
            told(catalog)
    tags.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="not a list of tags"):
        told(catalog)
    tags.unlink()
    with pytest.raises(NotFound, match=r"selected_tags\.csv is missing"):
        told(catalog)
    taggers.onnx_file(onnx, side=9000)
    taggers.tag_list(tags)
    with pytest.raises(ModelError, match="9000x9000"):
        told(catalog)


def test_a_network_that_is_not_known_is_refused_with_the_way_out(catalog: Catalog) -> None:
    path = taggers.put_vit(catalog.paths.models)
    for tensors, said in (
        ({"levels.0.blocks.0.attn.logit_scale": torch.zeros(1)}, "no ViT"),
        ({"layers.0.blocks.0.attn.logit_scale": torch.zeros(1)}, "no ViT"),
        ({"blocks.0.attn.q_proj.weight": torch.zeros(1, 1)}, "no ViT"),
        (taggers.vit() | {"blocks.0.attn.q_norm.weight": torch.zeros(64)}, "q_norm"),
        ({name: tensor for name, tensor in taggers.vit().items() if name != "blocks.1.mlp.fc2.bias"}, "not complete"),
        (taggers.vit() | {"head.bias": torch.full((len(taggers.TAGS),), float("nan"))}, "NaN"),
    ):
        save_file(tensors, path)
        with pytest.raises(ModelError, match=said):
            told(catalog, name="wd-vit-tagger-v3")
    save_file(taggers.vit(), path)
    path.with_name("config.json").write_text('{"model_args": {"act_layer": "strange"}}')
    with pytest.raises(ModelError, match="strange"):
        told(catalog, name="wd-vit-tagger-v3")
    path.with_name("config.json").write_text("[")
    with pytest.raises(ModelError, match=r"config\.json"):
        told(catalog, name="wd-vit-tagger-v3")

"""Phrases ranked by a small CLIP model of the real names, as transformers' own model ranks them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

from tests import taggers
from tests.engine.conftest import OPTIONS
from tests.engine.test_wd14 import watch
from webui.base.errors import ModelError
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.engine.control.vision import framed
from webui.engine.describers import onnx_session
from webui.engine.describers.ranking import RANKER
from webui.engine.describers.towers import tokens_of
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.prompt.tokens import END, START
from webui.request.model_ref import ModelRef
from webui.request.settings import Settings

SIDE, WIDTH = 32, 64


@pytest.fixture(scope="module")
def clip() -> object:
    from transformers import CLIPConfig, CLIPModel

    common = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 1}
    text = {**common, "vocab_size": 49408, "eos_token_id": 49407, "bos_token_id": 49406}
    torch.manual_seed(3)
    sight = {**common, "image_size": SIDE, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=sight, projection_dim=48, attn_implementation="eager")
    return CLIPModel(config).eval()


class Reading(nn.Module):
    """The tower that reads, of transformers' model."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, tokens: Tensor) -> Tensor:
        said: Tensor = self.clip.text_projection(self.clip.text_model(input_ids=tokens).pooler_output)
        return said


class Seeing(Reading):
    """The tower that sees."""

    def forward(self, picture: Tensor) -> Tensor:
        seen: Tensor = self.clip.visual_projection(self.clip.vision_model(pixel_values=picture).pooler_output)
        return seen


class Both(Reading):
    """As Optimum exports a whole model."""

    def forward(self, tokens: Tensor, picture: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        told = self.clip(input_ids=tokens, pixel_values=picture, attention_mask=mask)
        return told.logits_per_image, told.text_embeds, told.image_embeds


def put_onnx(models: Path, clip: object, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a layout, as torch writes them."""
    monkeypatch.setattr(onnx_proto_utils, "_add_onnxscript_fn", lambda made, _functions: made)  # would want onnx
    tokens, picture = torch.tensor([[START, 320, END, END]] * 2), torch.zeros(1, 3, SIDE, SIDE)

    def put(name: str, tower: nn.Module, given: tuple[Tensor, ...], taken: list[str], told: list[str]) -> None:
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        free = {each: {0: "n", 1: "length"} for each in taken if each != "pixel_values"}
        torch.onnx.export(
            tower, given, str(path), input_names=taken, output_names=told, dynamic_axes=free, dynamo=False,
            opset_version=14,
        )  # fmt: skip

    embeds = ["text_embeds"], ["image_embeds"]
    if layout == "one file":
        taken = ["input_ids", "pixel_values", "attention_mask"]
        told = ["logits_per_image", "text_embeds", "image_embeds"]
        put("model.onnx", Both(clip), (tokens, picture, torch.ones_like(tokens)), taken, told)
    elif layout == "a pair":
        put("small/text_model.onnx", Reading(clip), (tokens,), ["input_ids"], embeds[0])
        put("small/vision_model.onnx", Seeing(clip), (picture,), ["pixel_values"], embeds[1])
    else:
        put("textual/model.onnx", Reading(clip), (tokens.int(),), ["text"], ["output"])
        put("visual/model.onnx", Seeing(clip), (picture,), ["image"], ["output"])


def as_open_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under OpenCLIP's names."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        tower = "visual." if name.startswith("vision") else ""
        rest = name.removeprefix("vision_model.").removeprefix("text_model.")
        if ".self_attn.q_proj." in rest:
            kind = rest.rsplit(".", 1)[1]
            parts = [state[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            rest, tensor = rest.replace("self_attn.q_proj.", "attn.in_proj_"), torch.cat(parts)
            assert rest.endswith(kind)
        elif ".self_attn.k_proj." in rest or ".self_attn.v_proj." in rest or "position_ids" in rest:
            continue
        for old, new in (
            ("encoder.layers.", "transformer.resblocks."), ("self_attn.out_proj", "attn.out_proj"),
            ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
            ("embeddings.token_embedding", "token_embedding"), ("embeddings.class_embedding", "class_embedding"),
            ("embeddings.position_embedding.weight", "positional_embedding"), ("final_layer_norm", "ln_final"),
            ("embeddings.patch_embedding", "conv1"), ("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post"),
        ):  # fmt: skip
            rest = rest.replace(old, new)
        if rest == "visual_projection.weight":
            tower, rest, tensor = "visual.", "proj", tensor.T
        elif rest == "text_projection.weight":
            rest, tensor = "text_projection", tensor.T
        found[tower + rest] = tensor.contiguous()
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("by", ["opencv", "onnxruntime"])
@pytest.mark.parametrize("layout", ["transformers", "open_clip", "one file", "a pair", "folders"])
def test_the_best_phrases_are_those_that_fit_best(
    layout: str, by: str, clip: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models" / "CLIP"
    models.mkdir(parents=True)
    state = {name: tensor.clone() for name, tensor in clip.state_dict().items()}  # type: ignore[attr-defined]
    if layout in ("transformers", "open_clip"):
        save_file(as_open_clip(state) if layout == "open_clip" else state, models / "small.safetensors")
    else:
        put_onnx(models, clip, layout, monkeypatch)
    if by == "opencv":
        monkeypatch.setattr(onnx_session, "RUNTIME", "no_such_module")
    elif layout in ("transformers", "open_clip") or importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("it is an extra that is not installed, or is not asked")
    lists = tmp_path / "interrogate"
    lists.mkdir()
    flavors = ["red", "a blue sky", "by the sea, at night", "portrait", "red"]
    (lists / "flavors.top2.txt").write_text("\n".join(flavors))
    (lists / "artists.txt").write_text("Hokusai\nKlee\n\n")
    (lists / "empty.txt").write_text("")
    (lists / "skipped.txt").write_text("never")
    catalog = Catalog(Paths(data=tmp_path, packages=tmp_path / "packages"))
    assert catalog.choices("interrogate_categories") == ["artists", "empty", "flavors", "skipped"]
    options = {"interrogate_clip_skip_categories": ["skipped"], "interrogate_return_ranks": True}
    settings = Settings().with_options(options)
    ranking = catalog.ranking(settings.interrogate)
    assert ranking is not None and [each.name for each in ranking.lists] == ["artists", "flavors"]
    picture = Image.effect_noise((50, 40), 90).convert("RGB")
    with torch.inference_mode(), Residents(profile_of(OPTIONS)).lend(RANKER, ranking.model) as ranker:
        found = ranker.completed("a sentence", picture, ranking, watch())
        assert ranker.completed("a sentence", picture, ranking, watch()) == found
        pixels = framed(np.asarray(picture), SIDE)[None]
        expected = ["a sentence"]
        for each in ranking.lists:
            ids = tokens_of(each.phrases)
            told = clip(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids))  # type: ignore[operator]
            image, text = (torch.nn.functional.normalize(part) for part in (told.image_embeds, told.text_embeds))
            best = (100 * image @ text.T).softmax(-1)[0].topk(each.top)
            scores = zip(best.values.tolist(), best.indices.tolist(), strict=True)
            expected += [f"({each.phrases[at]}:{score:.3f})" for score, at in scores]
    assert found == ", ".join(expected)


def test_without_lists_or_a_model_the_sentence_stands_alone(tmp_path: Path) -> None:
    catalog = Catalog(Paths(data=tmp_path, packages=tmp_path / "packages"))
    assert catalog.ranking(Settings().interrogate) is None
    (tmp_path / "interrogate").mkdir()
    (tmp_path / "interrogate" / "mediums.txt").write_text("oil\nwater")
    assert catalog.ranking(Settings().interrogate) is None
    (tmp_path / "models" / "CLIP").mkdir(parents=True)
    (tmp_path / "models" / "CLIP" / "torn.safetensors").write_bytes(b"x")
    assert catalog.ranking(Settings().interrogate) is None
    save_file({"visual.conv1.weight": torch.zeros(64, 3, 8, 8)}, tmp_path / "models" / "CLIP" / "half.safetensors")
    ranking = catalog.ranking(Settings().with_options({"interrogate_clip_dict_limit": 1}).interrogate)
    assert ranking is not None and ranking.lists[0].phrases == ("oil",)
    residents = Residents(profile_of(OPTIONS))
    with pytest.raises(ModelError, match=r"half\.safetensors"), residents.lend(RANKER, ranking.model):
        pass


@pytest.mark.filterwarnings("ignore")
def test_files_of_other_networks_and_half_a_pair_are_named(
    clip: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_session, "RUNTIME", "no_such_module")
    put_onnx(tmp_path, clip, "a pair", monkeypatch)
    pair = tmp_path / "small"
    residents = Residents(profile_of(OPTIONS))

    def refused(path: Path, said: str) -> None:
        with pytest.raises(ModelError, match=said) as raised, residents.lend(RANKER, ModelRef(str(path), "it")):
            pass
        assert path.name in raised.value.message and "models/CLIP" in raised.value.hint

    alone = tmp_path / "alone" / "text_model.onnx"
    alone.parent.mkdir()
    alone.write_bytes((pair / "text_model.onnx").read_bytes())
    refused(alone, "tower that sees is not beside it")
    taggers.onnx_file(alone.with_name("tagger.onnx"))
    refused(alone.with_name("tagger.onnx"), "neither pictures nor tokens")
    whole = (pair / "text_model.onnx").read_bytes()
    (pair / "text_model.onnx").write_bytes(whole[: len(whole) // 2])
    with (
        pytest.raises(ModelError, match=r"text_model\.onnx"),
        residents.lend(RANKER, ModelRef(str(pair / "vision_model.onnx"), "it")),
    ):
        pass

"""Pictures described by small networks of the real layouts: the words mean nothing, the way to them is the real one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from webui.base.errors import Interrupted, ModelError, NotFound, UserError
from webui.engine.describers.described import described
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.engine.start import opened
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.jobs.interrogate.request import Interrogate, InterrogatePlan, resolve_interrogate
from webui.request.engine_options import EngineOptions
from webui.request.interrogators import CLIP, DANBOORU, DEEPBOORU, Ranking
from webui.request.model_ref import ModelRef
from webui.request.settings import InterrogateSettings, Settings

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij", "red", "apple", "[DEC]", "[ENC]"]


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models, with the files of BLIP as people get them."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    models = tmp_path_factory.mktemp("models")
    folder = models / "BLIP"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    text = {
        "vocab_size": len(WORDS), "hidden_size": 16, "encoder_hidden_size": 16, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64, "bos_token_id": 17,
        "eos_token_id": 2, "pad_token_id": 0, "sep_token_id": 3,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision, projection_dim=16))
    model.save_pretrained(folder)
    pictures = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(pictures, BertTokenizer(str(folder / "vocab.txt"))).save_pretrained(folder)
    return models


def picture() -> bytes:
    held = io.BytesIO()
    Image.new("RGBA", (48, 20), (255, 0, 0, 100)).save(held, "PNG")
    return held.getvalue()


class Uploads:
    def picture(self, _name: str) -> bytes:
        return picture()

    def known(self, ref: ModelRef) -> ModelRef:
        return ref

    def ranking(self, chosen: InterrogateSettings) -> Ranking | None:
        return None

    def tagger(self, name: str) -> ModelRef:
        raise NotFound(f"There is no tagger named {name!r}.")


def planned(models: Path, model: str = CLIP, **options: Any) -> InterrogatePlan:
    settings = Settings().with_options(options)
    return resolve_interrogate(Interrogate(image="x", model=model), settings, Uploads(), models)


def told(plan: InterrogatePlan, cancel: Cancel | None = None) -> str:
    residents = Residents(profile_of(EngineOptions(device="cpu")))
    watch = Watch("job", lambda _event: None, cancel or Cancel(), Viewing(), Stopwatch(torch.device("cpu")))
    with torch.inference_mode():
        return described(opened(plan.image), plan.way, residents, watch)


def test_a_picture_becomes_words_of_the_length_that_the_settings_say(blip: Path) -> None:
    short = planned(blip, interrogate_clip_min_length=3, interrogate_clip_max_length=4)
    longer = planned(blip, interrogate_clip_min_length=12, interrogate_clip_max_length=14, interrogate_clip_num_beams=2)
    assert told(short) == told(short)
    assert set(told(longer).split()) <= set(WORDS)
    assert 0 < len(told(short).split()) < len(told(longer).split())


def test_it_can_be_stopped(blip: Path) -> None:
    cancel = Cancel()
    cancel.interrupt()
    with pytest.raises(Interrupted):
        told(planned(blip), cancel)


def test_what_is_missing_or_broken_is_named(blip: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="BLIP") as caught:
        planned(tmp_path)
    assert "model.safetensors" in caught.value.hint
    with pytest.raises(UserError, match="no picture"):
        resolve_interrogate(Interrogate(), Settings(), Uploads(), blip)
    broken = tmp_path / "BLIP"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="BLIP in models/BLIP cannot be loaded"):
        told(planned(tmp_path))


STAGES = ((3, 2, 4), (8, 2, 5), (20, 2, 6), (20, 3, 7), (3, 3, 8), (3, 4, 9))
"""Bottlenecks, inner and outer channels of each stage of DeepDanbooru; the real ones are far wider."""
TAGS = {"1girl": 2.0, "long_hair": 1.0, "d_(letter)": 3.0, "sky": -1.0, "rating:safe": 4.0}
"""Tag -> logit."""


@pytest.fixture(scope="module")
def danbooru(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models, with a file of the names and kernels of DeepDanbooru's."""
    kernels: list[tuple[int, int, int]] = [(3, 4, 7)]
    width = 4
    for blocks, inner, outer in STAGES:
        for block in range(blocks):
            kernels += [(width, outer, 1)] if block == 0 else []
            kernels += [(width, inner, 1), (inner, inner, 3), (inner, outer, 1)]
            width = outer
    state: dict[str, Any] = {"tags": list(TAGS)}
    for number, (taken, given, side) in enumerate(kernels):
        state[f"n_Conv_{number}.weight"] = torch.zeros(given, taken, side, side)
        state[f"n_Conv_{number}.bias"] = torch.zeros(given)
    # The picture's red reaches the end by the shortcuts, and makes a sky.
    for name in ("n_Conv_0", "n_Conv_1", "n_Conv_11", "n_Conv_36", "n_Conv_97", "n_Conv_158", "n_Conv_168"):
        weight = state[f"{name}.weight"]
        weight[0, 0, weight.shape[2] // 2, weight.shape[3] // 2] = 1
    state["n_Conv_177.bias"][1] = 1
    last = torch.zeros(len(TAGS), width, 1, 1)
    last[:, 1, 0, 0] = torch.tensor(list(TAGS.values()))
    last[3, 0, 0, 0] = 10
    state["n_Conv_178.weight"] = last
    models = tmp_path_factory.mktemp("models")
    (models / DANBOORU).parent.mkdir()
    torch.save(state, models / DANBOORU)
    return models


def test_tags_are_those_that_the_settings_let_through(danbooru: Path) -> None:
    assert told(planned(danbooru, DEEPBOORU)) == r"1girl, d \(letter\), long hair, sky"
    plain = {"deepbooru_use_spaces": False, "deepbooru_escape": False, "deepbooru_sort_alpha": False}
    assert told(planned(danbooru, DEEPBOORU, **plain)) == "sky, d_(letter), 1girl, long_hair"
    ranked = {"interrogate_deepbooru_score_threshold": 0.7, "interrogate_return_ranks": True}
    found = told(planned(danbooru, DEEPBOORU, deepbooru_filter_tags="d (letter), 1girl", **ranked))
    assert found == "(long hair:0.731), (sky:1.000)"


def test_a_file_that_is_not_the_taggers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="DeepDanbooru") as caught:
        planned(tmp_path, DEEPBOORU)
    assert str(tmp_path) not in caught.value.message + caught.value.hint
    assert "model-resnet_custom_v3.pt" in caught.value.hint
    (tmp_path / DANBOORU).parent.mkdir()
    torch.save({"n_Conv_0.weight": torch.zeros(1)}, tmp_path / DANBOORU)
    with pytest.raises(ModelError, match="not DeepDanbooru's"):
        told(planned(tmp_path, DEEPBOORU))

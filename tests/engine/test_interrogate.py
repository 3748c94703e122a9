"""A picture described by a small BLIP of random weights: the words mean nothing, the way to them is the real one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from webui.base.errors import Interrupted, ModelError, NotFound, UserError
from webui.engine.interrogate import described
from webui.engine.memory import profile_of
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.request.engine_options import EngineOptions
from webui.request.interrogate import Interrogate, InterrogatePlan, resolve_interrogate
from webui.request.settings import Settings

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


def planned(models: Path, **options: int) -> InterrogatePlan:
    settings = Settings().with_options(options)
    return resolve_interrogate(Interrogate(image="x"), settings, Uploads(), models)


def told(plan: InterrogatePlan, cancel: Cancel | None = None) -> str:
    profile = profile_of(EngineOptions(device="cpu"))
    watch = Watch("job", lambda _event: None, cancel or Cancel(), Viewing(), Stopwatch(torch.device("cpu")))
    with torch.inference_mode():
        return described(plan, profile, watch)


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
    with pytest.raises(ModelError, match="cannot be loaded"):
        told(planned(tmp_path))

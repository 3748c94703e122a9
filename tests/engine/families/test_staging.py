"""Parts of a model that wait elsewhere: the same answers, and everything as before afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.conftest import OPTIONS, Engine, most_apart, reference
from tests.engine.test_generate import request
from webui.engine.families.ldm_model import LdmModel
from webui.engine.families.staging import offload_of
from webui.engine.families.storage import NARROW, exact_weights
from webui.engine.memory import profile_of
from webui.engine.memory_plan import Use
from webui.engine.model_manager import ModelManager


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> LdmModel:
    manager = ModelManager(profile_of(OPTIONS), budget=2**40)
    with manager.lend(reference(tiny_checkpoint), None) as loaded:
        assert isinstance(loaded.model, LdmModel)
        return loaded.model


def answer(model: LdmModel) -> torch.Tensor:
    x = torch.linspace(-1, 1, 4 * 64).reshape(1, 4, 8, 8)
    width = model.unet.config.cross_attention_dim
    tokens = torch.linspace(-1, 1, 77 * width).reshape(1, 77, width)
    with torch.inference_mode():
        return model.unet(x, torch.tensor([500.0]), tokens, return_dict=False)[0]


@pytest.mark.parametrize("offload", ["medium", "low", "leaf"])
def test_offloading_changes_no_answer_and_can_be_taken_back(model: LdmModel, offload: str) -> None:
    usual = answer(model)
    model.arrange(offload=offload, attention="sdpa", vae_way="whole")
    assert offload_of(model.unet) == ("" if offload == "medium" else offload)
    assert torch.equal(answer(model), usual)
    model.arrange(offload="none", attention="sdpa", vae_way="whole")
    assert offload_of(model.unet) == ""
    assert torch.equal(answer(model), usual)


def test_sliced_attention_can_be_taken_back(model: LdmModel) -> None:
    usual = answer(model)
    model.arrange(offload="none", attention="sliced", vae_way="whole")
    assert torch.allclose(answer(model), usual, atol=1e-4)
    model.arrange(offload="none", attention="sdpa", vae_way="whole")
    assert torch.equal(answer(model), usual)


def test_narrow_weights_take_a_quarter_and_make_nearly_the_same_picture(tiny_checkpoint: Path) -> None:
    models = ModelManager(profile_of(OPTIONS), budget=2**40)
    engine = Engine(models, reference(tiny_checkpoint))
    usual = engine.run(request())[0]
    wide = models.residents.uses
    overridden = request(override_settings={"fp8_storage": "Enable", "cache_fp16_weight": True})
    narrow = engine.run(overridden)[0]
    assert dict(narrow.facts)["FP8 weight"] == "Enable"
    assert 0 < most_apart(narrow, usual) < 100
    sizes = [next(use.nbytes for use in uses if use.part == "unet") for uses in (wide, models.residents.uses)]
    assert sizes[1] < 0.4 * sizes[0]
    again = engine.run(request())[0]
    assert most_apart(again, usual) == 0, "without the setting the file is loaded as it is"


def test_exact_weights_are_those_of_the_file(tiny_checkpoint: Path) -> None:
    models = ModelManager(profile_of(OPTIONS), budget=2**40)
    with models.lend(reference(tiny_checkpoint), None, Use(fp8_storage="Enable", keep_exact=True)) as loaded:
        layer = loaded.model.parts["unet"].get_submodule("down_blocks.0.resnets.0.conv1")
        assert layer.weight.dtype == NARROW
        assert isinstance(loaded.model, LdmModel)
        answer(loaded.model)
        assert layer.weight.dtype == NARROW
        file = load_file(tiny_checkpoint)["model.diffusion_model.input_blocks.1.0.in_layers.2.weight"]
        assert torch.equal(exact_weights(layer)["weight"], file.float())


def test_what_the_parts_take_is_told(tiny_checkpoint: Path) -> None:
    models = ModelManager(profile_of(OPTIONS), budget=2**40)
    models.preload(reference(tiny_checkpoint), None)
    assert {use.part for use in models.residents.uses} == {"unet", "vae", "text"}
    assert all(use.nbytes > 0 and use.device == "cpu" for use in models.residents.uses)
    models.unload()
    assert models.residents.uses == ()

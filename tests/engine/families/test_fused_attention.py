"""Fused attention: the same answers, whatever is merged in or moved meanwhile; and compiled blocks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import OPTIONS, reference
from tests.engine.families.test_staging import answer
from webui.engine.families.fused_attention import FusedProcessor, fuse
from webui.engine.families.ldm_model import LdmModel
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager


@pytest.fixture
def model(tiny_checkpoint: Path) -> Iterator[LdmModel]:
    manager = ModelManager(profile_of(OPTIONS), budget=2**40)
    with torch.inference_mode(), manager.lend(reference(tiny_checkpoint), None) as loaded:
        assert isinstance(loaded.model, LdmModel)
        yield loaded.model


def processors(model: LdmModel) -> list[FusedProcessor]:
    return [p for p in model.unet.attn_processors.values() if isinstance(p, FusedProcessor)]


def test_fused_attention_answers_alike_and_follows_what_is_merged_in_place(model: LdmModel) -> None:
    usual = answer(model)
    fuse(model.unet)
    assert processors(model)
    assert all(p.holds for p in processors(model))
    assert torch.allclose(answer(model), usual, atol=1e-5)
    weight = model.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_v").weight
    original, place = weight.detach().clone(), weight.data_ptr()
    weight.data.copy_(original * 1.5)
    merged = answer(model)
    assert weight.data_ptr() == place
    assert not torch.allclose(merged, usual, atol=1e-5)
    weight.data.copy_(original)
    assert torch.allclose(answer(model), usual, atol=1e-5)


def test_weights_that_lie_apart_are_used_one_by_one_until_they_are_fused_again(model: LdmModel) -> None:
    fuse(model.unet)
    fused = answer(model)
    for parameter in model.unet.parameters():
        parameter.data = parameter.data.clone()  # as moving to a device and back does
    assert not any(p.holds for p in processors(model))
    assert torch.allclose(answer(model), fused, atol=1e-5)
    fuse(model.unet)
    assert all(p.holds for p in processors(model))
    assert torch.allclose(answer(model), fused, atol=1e-5)


def test_a_model_that_is_moved_away_lets_go_of_fused_weights(model: LdmModel) -> None:
    fuse(model.unet)
    fused = answer(model)
    model.to(torch.device("cpu", 0))
    assert not processors(model)
    assert torch.allclose(answer(model), fused, atol=1e-5)


def test_a_hook_on_keys_is_not_passed_over(model: LdmModel) -> None:
    fuse(model.unet)
    fused = answer(model)
    layer = model.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2.to_k")
    handle = layer.register_forward_pre_hook(lambda _layer, args: (args[0] * 3,))
    assert not torch.allclose(answer(model), fused, atol=1e-5)
    handle.remove()
    assert torch.allclose(answer(model), fused, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of the compiler's own modules
@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_compiled_blocks_answer_alike(model: LdmModel, tiny_checkpoint: Path) -> None:
    usual = answer(model)
    manager = ModelManager(replace(profile_of(OPTIONS), compiled=True), budget=2**40)
    with torch.inference_mode(), manager.lend(reference(tiny_checkpoint), None) as loaded:
        assert isinstance(loaded.model, LdmModel)
        assert torch.allclose(answer(loaded.model), usual, atol=1e-4)

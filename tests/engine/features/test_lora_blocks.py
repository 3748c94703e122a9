"""LoRAs that act in some blocks, and in some steps, measured by what they change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.engine.conftest import SMALL, Engine
from webui.engine.networks.patches import Patches, WantedNetwork
from webui.engine.networks.targets import TargetPlace, Targets, block_of
from webui.prompt.lora_blocks import LISTS
from webui.request.fields import Txt2Img
from webui.request.plan import NetworkRef


@pytest.fixture
def with_lora(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine with the LoRA `a`, which changes every linear layer and every convolution."""
    with engine.models.lend(engine.ref, None) as loaded:
        parts = {"unet": "lora_unet", "text": "lora_te"}
        layers = {
            f"{prefix}_{name.replace('.', '_')}": module.weight.shape
            for part, prefix in parts.items()
            for name, module in loaded.model.parts[part].named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
        }
    draw, tensors = torch.Generator().manual_seed(1), {}
    for key, (outputs, inputs, *kernel) in layers.items():
        tensors[f"{key}.lora_up.weight"] = torch.randn(outputs, 2, *[1] * len(kernel), generator=draw) * 0.1
        tensors[f"{key}.lora_down.weight"] = torch.randn(2, inputs, *kernel, generator=draw) / (inputs * 3) ** 0.5
    save_file(tensors, tmp_path / "a.safetensors")
    refs = {"a": NetworkRef(str(tmp_path / "a.safetensors"), "a")}
    monkeypatch.setattr(engine, "networks", refs)
    return engine


def made(engine: Engine, tag: str) -> bytes:
    return engine.run(Txt2Img(**{**SMALL, "steps": 4, "sampler_name": "Euler"}, prompt=f"a fox {tag}"))[0].rgb


def test_each_weight_of_a_list_changes_its_own_block_alone(with_lora: Engine) -> None:
    """Each block of the list in turn: all that changes lies in it, and where the model has it, something does."""
    ref = with_lora.networks["a"]
    with with_lora.models.lend(with_lora.ref, None) as loaded:
        model, patches = loaded.model, Patches()
        targets = Targets.of(model.parts)
        homes = {key for home in targets.homes.values() for key in home if key[0] in ("unet", "text")}
        of = {key: block_of(TargetPlace(*key), model.parts[key[0]]) for key in homes}
        weights = {key: model.parts[key[0]].get_submodule(key[1]).weight for key in homes}
        before = {key: weight.detach().clone() for key, weight in weights.items()}
        for place, block in enumerate(LISTS[26]):
            chosen = ",".join(str(int(place == other)) for other in range(26))
            patches.apply_networks(model, [WantedNetwork(ref, blocks=chosen)])
            changed = {of[key] for key in homes if not torch.equal(weights[key], before[key])} - {""}
            assert changed == ({block} & set(of.values()))
        patches.apply_networks(model, [])
        assert all(torch.equal(weights[key], before[key]) for key in homes)


def test_a_list_of_ones_is_the_lora_itself_and_one_of_zeros_none(with_lora: Engine) -> None:
    whole, plain = made(with_lora, "<lora:a:1>"), made(with_lora, "")
    assert whole != plain
    assert made(with_lora, f"<lora:a:1:lbw={','.join(['1'] * 26)}>") == whole
    outside = made(with_lora, "<lora:a:1:lbw=OUTALL>")
    assert outside not in (whole, plain)
    mine = made(with_lora, "<lora:a:1:lbw=MINE>")
    assert mine == made(with_lora, f"<lora:a:1:lbw={','.join(['0'] * 25 + ['1'])}>") != outside
    assert made(with_lora, "") == plain


def test_what_is_not_understood_is_told_and_the_lora_acts_as_a_whole(with_lora: Engine) -> None:
    whole = made(with_lora, "<lora:a:1>")
    assert made(with_lora, "<lora:a:1:lbw=1,2>") == whole


def test_a_lora_acts_from_its_first_step_to_its_last(with_lora: Engine) -> None:
    """Texts are read with it all the time, so it is put on the UNet alone."""
    whole, plain = made(with_lora, "<lora:a:0:1>"), made(with_lora, "")
    assert made(with_lora, "<lora:a:0:1:start=1>") == made(with_lora, "<lora:a:0:1:step=1-4>") == whole
    assert made(with_lora, "<lora:a:0:1:start=5>") == made(with_lora, "<lora:a:0:1:stop=0>") == plain
    early, late = made(with_lora, "<lora:a:0:1:stop=2>"), made(with_lora, "<lora:a:0:1:start=3>")
    assert len({early, late, whole, plain}) == 4
    assert made(with_lora, "<lora:a:0:1:step=0-0.5>") == early
    assert made(with_lora, "") == plain  # and nothing stays behind


def test_the_infotext_keeps_the_tag(with_lora: Engine) -> None:
    plan = with_lora.plan(Txt2Img(**SMALL, prompt="x <lora:a:1:lbw=OUTALL:step=1-2>"))
    assert plan.batches[0][0].request.prompt == "x <lora:a:1:lbw=OUTALL:step=1-2>"

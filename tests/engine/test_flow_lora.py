"""Control LoRAs of Flux: told by their keys, equal to diffusers' widened transformer, in the names of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.engine.conftest import OPTIONS, levels, most_apart, reference
from tests.engine.families.published import written
from tests.engine.families.test_flows import SMALL_FLUX, SMALL_SD3, furnished
from tests.engine.test_control_flow import Controlling, asked, model_pixels
from webui.base.errors import ModelError, UserError
from webui.catalog.control_kinds import ControlKind, told
from webui.engine.control.flow_lora import FlowLora, LoraInCall
from webui.engine.control.networks import fits, opened
from webui.engine.families.family import Conditioning
from webui.engine.families.flow_model import FlowModel
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager

CPU = torch.device("cpu")
RANK = 4


def low_rank(name: str, outputs: int, inputs: int, drawn: torch.Generator) -> dict[str, Tensor]:
    return {
        f"{name}.lora_A.weight": torch.randn(RANK, inputs, generator=drawn) / inputs**0.5,
        f"{name}.lora_B.weight": torch.randn(outputs, RANK, generator=drawn) / 8,
        f"{name}.lora_B.bias": torch.randn(outputs, generator=drawn) / 8,
    }


def published() -> dict[str, Tensor]:
    """flux1-canny-dev-lora.safetensors, for a small transformer."""
    drawn, made = torch.Generator().manual_seed(4), dict[str, Tensor]()
    for name, shape in SMALL_FLUX.items():
        if name.endswith(".weight") and len(shape) == 2:
            inputs = shape[1] * (2 if name.startswith("img_in.") else 1)
            made |= low_rank(name.removesuffix(".weight"), shape[0], inputs, drawn)
        elif name.endswith("norm.scale"):
            made[name] = 1 + torch.randn(shape, generator=drawn) / 4
    return made


def of_diffusers(transformer: nn.Module) -> dict[str, Tensor]:
    """As diffusers' own training writes it."""
    drawn, made = torch.Generator().manual_seed(5), dict[str, Tensor]()
    for name, layer in transformer.named_modules():
        if isinstance(layer, nn.Linear):
            inputs = layer.in_features * (2 if name == "x_embedder" else 1)
            made |= low_rank(f"transformer.{name}", layer.out_features, inputs, drawn)
        elif name.endswith(("norm_q", "norm_added_k")):
            made[f"transformer.{name}.weight"] = 1 + torch.randn(layer.weight.shape, generator=drawn) / 4
    return made


def widened(transformer: Any, tensors: dict[str, Tensor], weight: float = 1.0) -> FluxTransformer2DModel:
    """What diffusers makes of a transformer and a control LoRA: the first layer has zeros for the picture's inputs, the
    changes are merged, norms exchanged."""
    config = {name: value for name, value in transformer.config.items() if not name.startswith("_")}
    channels = transformer.config.in_channels
    theirs = FluxTransformer2DModel(**{**config, "in_channels": 2 * channels, "out_channels": channels})
    state = {name: tensor.clone() for name, tensor in transformer.state_dict().items()}
    first = state["x_embedder.weight"]
    state["x_embedder.weight"] = torch.cat([first, torch.zeros_like(first)], dim=1)
    for full, tensor in tensors.items():
        name, _, part = full.removeprefix("transformer.").partition(".lora_")
        if part == "A.weight":
            state[f"{name}.weight"] += weight * tensors[f"transformer.{name}.lora_B.weight"] @ tensor
        elif part == "B.bias":
            state[f"{name}.bias"] += weight * tensor
        elif not part:
            state[name] += weight * (tensor - state[name])
    theirs.load_state_dict(state)
    return theirs.eval()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlling]:
    folder = tmp_path_factory.mktemp("flow-lora")
    save_file(published(), folder / "canny.safetensors")
    path = written(SMALL_FLUX, folder / "model.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=furnished(folder / "models"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Controlling(models, reference(path), folder=folder)
    torch.set_num_threads(threads)
    models.unload()


@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_what_it_does_is_what_diffusers_widened_transformer_does(
    engine: Controlling, weight: float, tmp_path: Path
) -> None:
    drawn = torch.Generator().manual_seed(0)
    with torch.inference_mode(), engine.models.lend(engine.ref, None) as lent:
        model = lent.model
        assert isinstance(model, FlowModel)
        unet = model.parts["unet"]
        tensors = of_diffusers(unet)
        save_file(tensors, tmp_path / "control.safetensors")
        control = opened(tmp_path / "control.safetensors", CPU, torch.float32)
        assert isinstance(control, FlowLora) and fits(control, unet)
        x, hint = (torch.randn(2, 16, 8, 6, generator=drawn) for _ in range(2))
        tokens = torch.randn(2, 5, unet.config.joint_attention_dim, generator=drawn)
        vector = torch.randn(2, unet.config.pooled_projection_dim + model.numbers, generator=drawn)
        told_them, t = Conditioning(tokens, vector), torch.tensor([300.0, 300.0])
        before = model.predict(x, t, told_them)
        acting = LoraInCall(lambda _layer: weight)
        with control.within(unet, acting):
            assert torch.equal(model.predict(x, t, told_them), before), "in calls in which it does not act"
            acting.hint, acting.rows = model.patched(hint), torch.ones(2)
            ours = model.predict(x, t, told_them)
            acting.rows = torch.tensor([0.0, 1.0])
            second = model.predict(x, t, told_them)
        assert torch.equal(model.predict(x, t, told_them), before), "and once it is gone"
        arguments = model.told(x, t, told_them)
        arguments["hidden_states"] = torch.cat([arguments["hidden_states"], model.patched(hint)], dim=2)
        theirs = widened(unet, tensors, weight)(**arguments, return_dict=False)[0]
    assert torch.allclose(ours, model_pixels(theirs, x), atol=1e-5)
    assert not torch.allclose(ours, before, atol=1e-2)
    assert torch.allclose(second, torch.stack([before[0], ours[1]]), atol=1e-5)


def test_published_names_mean_the_layers_of_diffusers(engine: Controlling) -> None:
    tensors = published()
    assert told({name: tuple(each.shape) for name, each in tensors.items()}) == (ControlKind.FLOW_LORA, "Flux")
    control = opened(engine.folder / "canny.safetensors", CPU, torch.float32)
    assert isinstance(control, FlowLora)
    with engine.models.lend(engine.ref, None) as lent:
        unet = lent.model.parts["unet"]
        assert fits(control, unet)
        linears = {name for name, layer in unet.named_modules() if isinstance(layer, nn.Linear)}
        norms = {
            name for name, _ in unet.named_modules() if ".norm_q" in name or ".norm_k" in name or "_added_" in name
        }
    assert set(control.changes) == linears
    assert set(control.norms) == norms
    up, down = (tensors[f"double_blocks.0.txt_attn.qkv.lora_{part}.weight"] for part in "BA")
    for rows, part in zip(up.chunk(3), "qkv", strict=True):
        change = control.changes[f"transformer_blocks.0.attn.add_{part}_proj"]
        assert torch.equal(change.up, rows) and torch.equal(change.down, down)
    bias = tensors["single_blocks.0.linear1.lora_B.bias"]
    own = control.changes["single_transformer_blocks.0.proj_mlp"].bias
    assert own is not None and torch.equal(own, bias[3 * 64 :])
    scale, shift = tensors["final_layer.adaLN_modulation.1.lora_B.weight"].chunk(2)
    assert torch.equal(control.changes["norm_out.linear"].up, torch.cat([shift, scale]))
    name = "double_blocks.0.txt_attn.norm.key_norm.scale"
    assert torch.equal(control.norms["transformer_blocks.0.attn.norm_added_k"], tensors[name])
    half = opened(engine.folder / "canny.safetensors", CPU, torch.float16)
    assert isinstance(half, FlowLora) and half.changes["proj_out"].up.dtype == torch.bfloat16, (
        "for the range of numbers"
    )


def test_a_unit_acts_as_strongly_and_as_long_as_it_says(engine: Controlling) -> None:
    (plain,) = engine.run(asked())
    (made,) = engine.run(asked(model="canny"))
    assert levels(made).shape == (64, 72, 3) and most_apart(made, plain) > 2
    assert most_apart(engine.run(asked(model="canny", weight=0.0))[0], plain) == 0
    assert most_apart(engine.run(asked(model="canny", guidance_start=0.9))[0], plain) == 0
    others: list[dict[str, object]] = [{"weight": 0.5}, {"module": "invert"}, {"advanced_weighting": "0.3"}]
    others.append({"control_mode": "ControlNet is more important"})
    pictures = [engine.run(asked(model="canny", **other))[0].rgb for other in others]
    assert len({plain.rgb, made.rgb, *pictures}) == 6
    (twice,) = engine.run(asked().changed(features={"ControlNet": [{"image": "given", "model": "canny"}] * 2}))
    assert twice.rgb != made.rgb
    with pytest.raises(UserError, match="no effective region"):
        engine.run(asked(model="canny", effective_region_mask="given"))
    assert engine.run(asked())[0].rgb == plain.rgb


def test_what_does_not_fit_or_is_damaged_is_refused_in_words(engine: Controlling, tmp_path: Path) -> None:
    whole = published()
    up = "double_blocks.0.img_mlp.0.lora_B.weight"
    for changed, said in (
        ({"double_blocks.0.img_mlp.0.lora_A.weight": torch.zeros(RANK + 1, 64)}, "is damaged"),
        ({up: torch.full_like(whole[up], torch.nan)}, "NaN or infinite"),
        ({"double_blocks.0.img_mlp.0.lora_B.bias": torch.zeros(3)}, "is damaged"),
        ({"what.is.this": torch.zeros(3)}, "is nothing that a control LoRA"),
    ):
        save_file({**whole, **changed}, tmp_path / "odd.safetensors")
        with pytest.raises(ModelError, match=rf"odd\.safetensors.*{said}"):
            opened(tmp_path / "odd.safetensors", CPU, torch.float32)
    wider = {**whole, up: torch.zeros(17, RANK), "double_blocks.0.img_mlp.0.lora_B.bias": torch.zeros(17)}
    save_file(wider, engine.folder / "wider.safetensors")
    with pytest.raises(UserError, match="made for another kind of model"):
        engine.run(asked(model="wider"))
    path = written(SMALL_SD3, tmp_path / "sd3.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=furnished(tmp_path / "models"))
    with pytest.raises(UserError, match="made for another kind of model"):
        Controlling(models, reference(path), folder=engine.folder).run(asked(model="canny"))

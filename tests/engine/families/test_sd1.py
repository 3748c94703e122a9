"""A checkpoint opened by its shapes answers as A1111's own networks do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.engine.conftest import reference
from webui.base.errors import UserError
from webui.engine.families.components import Components
from webui.engine.families.family import Conditioning, Model, Placement, TextOptions
from webui.engine.families.sd1 import SD1
from webui.engine.families.weights import open_weights
from webui.engine.model_manager import ModelManager
from webui.engine.sampling.process import Diffusion
from webui.engine.vae import decoded
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.request.settings import RenderSettings

GOLDEN = Path(__file__).parents[2] / "golden" / "latents" / "modules.npz"
PROMPTS = ["a red cat sitting on a wooden table, sunlight", "a (blue:1.3) dog"]
CLOSE = 1e-4


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    with np.load(GOLDEN) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


@pytest.fixture(scope="module", params=["by shapes alone", "with its yaml"])
def model(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> Iterator[Model]:
    config = str(tiny_checkpoint.with_suffix(".yaml")) if request.param == "with its yaml" else ""
    file = open_weights(tiny_checkpoint, config)
    with torch.inference_mode():
        yield SD1.prepare(file, Components())(file, Placement(torch.device("cpu")))


def apart(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize("count", [1, 2])
def test_text_encoder(model: Model, recorded: dict[str, Tensor], count: int) -> None:
    encoded = model.encode_prompts(PROMPTS[:count], TextOptions(), {})
    assert apart(torch.stack([one.tokens for one in encoded]), recorded[f"unet{count}.crossattn"]) < CLOSE


@pytest.mark.parametrize("count", [1, 2])
def test_unet(model: Model, recorded: dict[str, Tensor], count: int) -> None:
    name = f"unet{count}"
    output = model.predict(recorded[f"{name}.x"], recorded[f"{name}.t"], Conditioning(recorded[f"{name}.crossattn"]))
    assert apart(output, recorded[f"{name}.out"]) < CLOSE


def test_vae(model: Model, recorded: dict[str, Tensor]) -> None:
    pixels = model.decode(recorded["vae.z"])
    assert pixels.shape == (1, 3, 128, 192)
    assert apart(pixels[:, :, ::8, ::8], recorded["vae.decoded_every_eighth"]) < CLOSE


def test_what_the_shapes_say(model: Model) -> None:
    assert model.latent.channels == 4
    assert model.latent.factor == 8
    assert model.input_channels == 4
    assert isinstance(model.process, Diffusion)
    assert model.process.prediction == "eps"


def test_a_yaml_may_say_v_prediction(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = tmp_path / "v.yaml"
    config.write_text("model: {params: {parameterization: v, scale_factor: 0.5}}", "utf-8")
    file = open_weights(tiny_checkpoint, str(config))
    model = SD1.prepare(file, Components())(file, Placement(torch.device("cpu")))
    assert isinstance(model.process, Diffusion)
    assert model.process.prediction == "v"
    whole = SD1.prepare(open_weights(tiny_checkpoint), Components())(file, Placement(torch.device("cpu")))
    latents = torch.ones(1, 4, 8, 8)
    with torch.inference_mode():
        assert apart(model.decode(latents * 0.5), whole.decode(latents * 0.18215)) < CLOSE


def test_the_half_precision_vae_can_be_widened(tiny_checkpoint: Path) -> None:
    file = open_weights(tiny_checkpoint)
    model = SD1.prepare(file, Components())(file, Placement(torch.device("cpu"), vae_dtype=torch.bfloat16))
    assert model.widen_vae()
    assert not model.widen_vae()
    with torch.inference_mode():
        assert model.decode(torch.zeros(1, 4, 8, 8)).dtype == torch.float32


@pytest.mark.parametrize("settings", [{"auto_vae_precision_bfloat16": True}, {}, {"auto_vae_precision": False}])
def test_a_vae_that_overflows_in_half_precision_is_widened_and_tried_again(
    tiny_checkpoint: Path, settings: dict[str, bool]
) -> None:
    file = open_weights(tiny_checkpoint)
    model = SD1.prepare(file, Components())(file, Placement(torch.device("cpu"), vae_dtype=torch.float16))
    watch = Watch("job", lambda _: None, Cancel(), Viewing(), Stopwatch(torch.device("cpu")), batches=1)
    render = RenderSettings(**settings)
    with torch.inference_mode():
        model.vae.post_quant_conv.weight.mul_(1e4)
        if not render.auto_vae_precision:
            with pytest.raises(UserError, match="NaN"):
                decoded(model, torch.full((1, 4, 8, 8), 9.0), render, watch)
            return
        assert torch.isfinite(decoded(model, torch.full((1, 4, 8, 8), 9.0), render, watch)).all()
    assert model.vae.dtype == (torch.bfloat16 if settings else torch.float32)
    assert len(watch.comments) == 1


def test_sizes_that_the_levels_cannot_halve_evenly(models: ModelManager, tiny_checkpoint: Path) -> None:
    with torch.inference_mode(), models.lend(reference(tiny_checkpoint), None) as loaded:
        x = torch.zeros(1, 4, 15, 17)
        tokens = torch.zeros(1, 77, 128)
        assert loaded.model.predict(x, torch.tensor([500.0]), Conditioning(tokens)).shape == x.shape

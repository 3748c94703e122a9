"""A UNet that is told the guidance scale (a latent consistency model) instead of being guided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.engine.conftest import Engine, reference
from webui.engine.families import ldm
from webui.engine.families.components import Components
from webui.engine.families.family import Conditioning, Placement, TextOptions
from webui.engine.families.ldm_model import LdmModel
from webui.engine.families.sd1 import SD1
from webui.engine.families.weights import open_weights
from webui.engine.model_manager import ModelManager
from webui.request.fields import Txt2Img

WIDTH = 48


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small SD1 with such a layer."""
    path = tmp_path_factory.mktemp("lcm") / "lcm.safetensors"
    tensors = load_file(tiny_checkpoint)
    channels = tensors[f"{ldm.UNET}time_embed.0.weight"].shape[1]
    tensors[ldm.UNET + ldm.TOLD_GUIDANCE] = torch.randn(channels, WIDTH, generator=torch.Generator().manual_seed(1))
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Iterator[LdmModel]:
    with torch.inference_mode():
        file = open_weights(checkpoint)
        made = SD1.prepare(file, Components())(file, Placement(torch.device("cpu")))
        assert isinstance(made, LdmModel)
        yield made


def test_the_scale_is_told_as_diffusers_tells_it(model: LdmModel) -> None:
    for scale in (0.0, 0.5, 7.5):
        theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([scale]), WIDTH)
        torch.testing.assert_close(ldm.guidance_embedding(torch.tensor([scale]), WIDTH), theirs)


def test_the_network_hears_it_beside_the_text(model: LdmModel) -> None:
    x, t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2)), torch.tensor([500.0])
    told = {}
    for scale in (1.5, 8.5):
        (encoded,) = model.encode_prompts(["a cat"], TextOptions(distilled_guidance=scale), {})
        assert encoded.vector is not None
        assert encoded.vector.tolist() == [scale]
        tokens = encoded.tokens[None]
        told[scale] = model.predict(x, t, Conditioning(tokens, encoded.vector[None]))
        embedding = ldm.guidance_embedding(torch.tensor([scale - 1]), WIDTH)
        theirs = model.unet(x, t, tokens, timestep_cond=embedding, return_dict=False)[0]
        torch.testing.assert_close(told[scale], theirs)
    assert float((told[1.5] - told[8.5]).abs().max()) > 1e-3
    assert model.is_told_guidance


def test_it_makes_pictures_by_one_call_a_step(
    checkpoint: Path, models: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    predict = LdmModel.predict

    def counted(self: LdmModel, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        calls.append(x.shape[0])
        return predict(self, x, t, conditioning)

    monkeypatch.setattr(LdmModel, "predict", counted)
    engine = Engine(models, reference(checkpoint))
    made = [
        engine.run(Txt2Img(prompt="a cat", seed=1, steps=2, width=64, height=64, sampler_name="LCM", cfg_scale=scale))
        for scale in (1.5, 8.5)
    ]
    assert calls == [1] * 4, "no call for the negative prompt"
    assert made[0][0].rgb != made[1][0].rgb

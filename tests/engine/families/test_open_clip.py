"""Checkpoints with OpenCLIP's text tower, SD2 and SDXL, opened by their shapes, answer as A1111's own networks do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.conftest import made_checkpoint
from tests.engine.conftest import SMALL, Engine, most_apart, reference
from webui.engine.families.components import Components
from webui.engine.families.family import Conditioning, Model, Placement, SizeConditioning, TextOptions, family_of
from webui.engine.families.weights import open_weights
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import Embedding
from webui.engine.sampling.process import Diffusion
from webui.request.fields import Txt2Img

LATENTS = Path(__file__).parents[2] / "golden" / "latents"
PROMPTS = ["a red cat sitting on a wooden table, sunlight", "a (blue:1.3) dog"]
CLOSE = 1e-4
CPU = Placement(torch.device("cpu"))
SEEN = SizeConditioning(height=128, width=192, crop_top=1, crop_left=2)


class Case(NamedTuple):
    name: str
    path: Path
    model: Model
    recorded: dict[str, Tensor]


@pytest.fixture(scope="module", params=["sd2v", "sdxl"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    path = made_checkpoint(f"tiny-{request.param}", request)
    file = open_weights(path)
    with np.load(LATENTS / f"modules_{request.param}.npz") as recorded, torch.inference_mode():
        tensors = {name: torch.from_numpy(recorded[name]) for name in recorded}
        yield Case(request.param, path, family_of(file).prepare(file, Components())(file, CPU), tensors)


def apart(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


def test_text_encoders(case: Case) -> None:
    encoded = case.model.encode_prompts(PROMPTS, TextOptions(size_conditioning=SEEN), {})
    assert apart(torch.stack([one.tokens for one in encoded]), case.recorded["unet2.crossattn"]) < CLOSE
    if case.name == "sdxl":
        vectors = [one.vector for one in encoded if one.vector is not None]
        assert apart(torch.stack(vectors)[:, :64], case.recorded["unet2.vector"]) < CLOSE
        assert vectors[0][64:].tolist() == [128, 192, 1, 2, 128, 192]


def test_unet(case: Case) -> None:
    recorded = case.recorded
    vector = None
    if case.name == "sdxl":  # recorded for pictures of 192 x 128
        numbers = torch.tensor([128.0, 192.0, 0.0, 0.0, 128.0, 192.0]).expand(2, -1)
        vector = torch.cat([recorded["unet2.vector"], numbers], dim=1)
    told = Conditioning(recorded["unet2.crossattn"], vector)
    assert apart(case.model.predict(recorded["unet2.x"], recorded["unet2.t"], told), recorded["unet2.out"]) < CLOSE


def test_vae(case: Case) -> None:
    pixels = case.model.decode(case.recorded["vae.z"])
    assert apart(pixels[:, :, ::8, ::8], case.recorded["vae.decoded_every_eighth"]) < CLOSE


def test_what_the_file_says_of_itself(case: Case) -> None:
    assert case.model.family.name == {"sd2v": "SD2", "sdxl": "SDXL"}[case.name]
    assert isinstance(case.model.process, Diffusion)
    file = open_weights(case.path, str(case.path.with_suffix(".yaml")))
    with_yaml = family_of(file).prepare(file, Components())(file, CPU)
    assert isinstance(with_yaml.process, Diffusion)
    assert with_yaml.process.prediction == {"sd2v": "v", "sdxl": "eps"}[case.name]


def test_marker_keys_say_v_prediction_and_zero_terminal_snr(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "marked.safetensors"
    save_file({**load_file(case.path), "v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, path)
    file = open_weights(path)
    process = family_of(file).prepare(file, Components())(file, CPU).process
    assert isinstance(process, Diffusion)
    assert process.prediction == "v"
    assert process.sigma_max > 4000


def test_an_empty_negative_prompt_is_no_text_for_sdxl_alone(case: Case) -> None:
    negative = TextOptions(size_conditioning=SizeConditioning(is_negative=True))
    blank = case.model.encode_prompts([""], negative, {})[0]
    assert bool(blank.tokens.any()) == (case.name != "sdxl")
    assert case.model.encode_prompts([" "], negative, {})[0].tokens.any()
    assert case.model.encode_prompts([""], TextOptions(), {})[0].tokens.any()


def test_clip_skip_is_for_the_first_tower_of_sdxl_where_the_settings_say_so(case: Case) -> None:
    plain, skipped, allowed = (
        case.model.encode_prompts(["a cat"], options, {})[0].tokens
        for options in (TextOptions(), TextOptions(clip_skip=3), TextOptions(clip_skip=3, clip_l_skip=True))
    )
    assert torch.equal(plain, skipped)
    assert torch.equal(plain, allowed) == (case.name != "sdxl")
    assert torch.equal(plain[:, 64:], allowed[:, 64:])


def test_an_embedding_has_vectors_for_each_tower(case: Case) -> None:
    towers = {"clip_l": torch.ones(1, 64), "clip_g": torch.ones(1, 64)} if case.name == "sdxl" else {}
    embedding = Embedding("zyxw", towers or {"clip": torch.ones(1, 64)}, "0" * 64)
    found = case.model.encode_prompts(["a zyxw"], TextOptions(), {"zyxw": embedding})[0]
    assert set(found.embeddings) == {"zyxw"}
    plain = case.model.encode_prompts(["a zyxw"], TextOptions(), {})[0]
    assert not torch.allclose(found.tokens, plain.tokens)


def test_a_picture_comes_out_whatever_else_is_in_its_batch(case: Case, models: ModelManager) -> None:
    engine = Engine(models, reference(case.path))
    request = Txt2Img(prompt="a red cat", **SMALL)
    alone = engine.run(request.changed(seed=8))
    among = engine.run(request.changed(batch_size=2))
    assert most_apart(alone[0], among[1]) <= 1
    assert most_apart(alone[0], among[0]) > 20
    models.unload()

"""Every build of checkpoint that people have is known by its names and shapes, and makes pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import DPTConfig, DPTForDepthEstimation

from tests.engine.conftest import OPTIONS, SMALL, Engine, levels, reference
from tests.engine.families.published import PUBLISHED, small, stripped
from webui.base.errors import UserError
from webui.engine.families.components import Components
from webui.engine.families.depth import between
from webui.engine.families.family import Placement, family_of
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.sampling.process import Diffusion, Edm
from webui.request.fields import Img2Img, Txt2Img

FAMILY = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL", "refiner": "SDXL"}
FIRST_OF_ALL = ("SD 1.5", "SD 2.1", "SDXL", "SDXL inpainting")
"""Each way of building networks is in one of them."""
ANY = Placement(torch.device("cpu"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_tell_the_family_and_fit_its_networks(name: str) -> None:
    """`prepare` builds the networks at full size, without memory, and finds a tensor for each of their parameters."""
    file = stripped(name)
    family = family_of(file)
    assert family.name == FAMILY[PUBLISHED[name][0]]
    family.prepare(file, Components())


@pytest.mark.parametrize(
    ("likeness", "metadata", "changes", "family"),
    [
        ("SD 2.1", {}, {"cond_stage_model.": "conditioner.embedders.0."}, "SD2"),  # SD-Turbo names its tower so
        ("SDXL", {"modelspec.title": "SDXL-Turbo"}, {}, "SDXL"),
        ("SDXL", {"modelspec.title": "Lightning", "modelspec.prediction_type": "epsilon"}, {}, "SDXL"),
        ("SD 2.1", {"modelspec.prediction_type": "v"}, {}, "SD2"),
        ("SD 1.5", {"modelspec.title": "LCM"}, {}, "SD1"),
    ],
)
def test_distilled_files_are_known_as_what_they_were_distilled_from(
    likeness: str, metadata: dict[str, str], changes: dict[str, str], family: str
) -> None:
    file = stripped(likeness)
    shapes = dict(file.shapes)
    for old, new in changes.items():
        shapes = {name.replace(old, new, 1): shape for name, shape in shapes.items()}
    file = replace(file, shapes=shapes, metadata=metadata)
    assert family_of(file).name == family
    family_of(file).prepare(file, Components())


def picture() -> bytes:
    stream = io.BytesIO()
    levels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(levels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FIRST_OF_ALL else pytest.mark.long)
        for name in PUBLISHED
        if name != "SD 2 depth"
    ],
)
def test_a_small_one_makes_pictures_from_text_and_from_a_picture(
    name: str, tmp_path: Path, models: ModelManager
) -> None:
    engine = Engine(models, reference(small(name, tmp_path / "small.safetensors")))
    settings = {**SMALL, "prompt": "a red cat", "negative_prompt": "grey", "steps": 2}
    try:
        made = engine.run(Txt2Img(**settings))
        assert levels(made[0]).shape == (64, 64, 3)
        name_of = "a" * 64
        again = engine.run(Img2Img(init_images=(name_of,), **settings), {name_of: picture()})
        assert levels(again[0]).shape == (64, 64, 3)
    finally:
        models.unload()


def test_without_other_word_the_prediction_of_an_sd2_file_is_tried_out(tmp_path: Path, models: ModelManager) -> None:
    path = small("SD 2.1", tmp_path / "small.safetensors")
    with torch.inference_mode(), models.lend(reference(path), None) as loaded:
        assert isinstance(loaded.model.process, Diffusion)
        assert loaded.model.process.prediction == "eps"
    models.unload()


EDM = {
    "Playground": {
        "edm_mean": torch.tensor([-1.6574, 1.886, -1.383, 2.5155]).reshape(1, 4, 1, 1),
        "edm_std": torch.tensor([8.4927, 5.9022, 6.5498, 5.2299]).reshape(1, 4, 1, 1),
    },
    "CosXL": {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)},
}


@pytest.mark.parametrize("kind", EDM)
def test_sdxl_without_a_table_is_known_by_its_keys_and_makes_pictures(kind: str, tmp_path: Path) -> None:
    tensors = load_file(small("SDXL", tmp_path / "plain.safetensors"))
    save_file({**tensors, **EDM[kind]}, tmp_path / "edm.safetensors")
    manager = ModelManager(profile_of(OPTIONS), budget=2**32)
    engine, settings = (
        Engine(manager, reference(tmp_path / "edm.safetensors")),
        {**SMALL, "prompt": "a cat", "steps": 2},
    )
    with torch.inference_mode(), manager.lend(engine.ref, None) as loaded:
        model = loaded.model
        assert isinstance(model.process, Edm)
        assert (model.process.sigma_max, model.process.prediction) == (
            (80, "eps") if kind == "Playground" else (120, "v")
        )
        pixels = torch.rand(1, 3, 64, 64) * 2 - 1
        raw, scaled = model.encode_image(pixels, scaled=False), model.encode_image(pixels)
        if kind == "Playground":
            mean, spread = (EDM[kind][name] for name in ("edm_mean", "edm_std"))
            assert torch.allclose(scaled, (raw - mean) / spread * 0.5, atol=1e-5)
        assert torch.allclose(model.decode(scaled), model.vae.decode(raw).sample, atol=1e-4)
    for sampler in ("Euler a", "DPM++ 2M", "DDIM"):
        assert levels(engine.run(Txt2Img(**{**settings, "sampler_name": sampler}))[0]).shape == (64, 64, 3)
    name_of = "a" * 64
    assert levels(engine.run(Img2Img(init_images=(name_of,), **settings), {name_of: picture()})[0]).shape == (64, 64, 3)


def test_the_depth_checkpoint_is_shown_how_near_things_are(tmp_path: Path) -> None:
    path, name_of = small("SD 2 depth", tmp_path / "small.safetensors"), "a" * 64
    asked, given = Img2Img(init_images=(name_of,), **{**SMALL, "steps": 2}), {name_of: picture()}
    manager = ModelManager(profile_of(OPTIONS), budget=2**32, components=Components(tmp_path))
    with pytest.raises(UserError) as error:
        Engine(manager, reference(path)).run(asked, given)
    assert "into models/depth" in error.value.hint
    manager.unload()
    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 16, 16],
        fusion_hidden_size=16,
    )
    DPTForDepthEstimation(config).save_pretrained(tmp_path / "depth" / "dpt")
    engine = Engine(manager, reference(path))
    seen = engine.run(asked, given)[0]
    flat = engine.run(Txt2Img(**{**SMALL, "steps": 2}))[0]
    assert levels(seen).shape == levels(flat).shape == (64, 64, 3)
    with torch.inference_mode(), manager.lend(reference(path), None) as loaded:
        assert loaded.model.depth(torch.rand(2, 3, 64, 64) * 2 - 1).shape == (2, 1, 32, 32)
    nearness = between(torch.rand(2, 1, 32, 32), (8, 8))
    assert nearness.shape == (2, 1, 8, 8)
    assert torch.allclose(nearness.amin((1, 2, 3)), -torch.ones(2))
    assert torch.allclose(nearness.amax((1, 2, 3)), torch.ones(2))

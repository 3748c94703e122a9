"""Every build of checkpoint that people have is known by its names and shapes, and makes pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.conftest import SMALL, Engine, levels, reference
from tests.engine.families.published import PUBLISHED, small, stripped
from webui.engine.families.components import Components
from webui.engine.families.family import Placement, family_of
from webui.engine.model_manager import ModelManager
from webui.engine.sampling.process import Diffusion
from webui.request.fields import Img2Img, Txt2Img

FAMILY = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL", "refiner": "SDXL"}
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


@pytest.mark.parametrize("name", PUBLISHED)
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

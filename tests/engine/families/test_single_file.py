"""Files of networks that diffusers knows: opened with the rest of their pipeline from a folder beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.conftest import OPTIONS, Engine, most_apart, reference
from tests.engine.families.pipelines import z_image
from tests.engine.families.published import flux, stand_in
from webui.base.errors import ModelError
from webui.engine.families.components import Components
from webui.engine.families.family import family_of
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.request.fields import Txt2Img

ASKED = Txt2Img(prompt="a cat", steps=2, width=64, height=48, seed=7, cfg_scale=3.0)


def alone(folder: Path, path: Path) -> Path:
    """The folder's network in a file, under its author's names."""
    tensors = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    fused = {name.replace("to_q", "qkv"): name for name in tensors if name.endswith("attention.to_q.weight")}
    found = {
        full: torch.cat([tensors.pop(name.replace("to_q", part)) for part in ("to_q", "to_k", "to_v")])
        for full, name in fused.items()
    }
    for name, tensor in tensors.items():
        new = name.replace("all_x_embedder.2-1.", "x_embedder.").replace("all_final_layer.2-1.", "final_layer.")
        found[new.replace("to_out.0", "out").replace("norm_k", "k_norm").replace("norm_q", "q_norm")] = tensor
    save_file({f"model.diffusion_model.{name}": tensor for name, tensor in found.items()}, path)
    return path


def test_a_file_makes_the_picture_of_its_folder(tmp_path: Path) -> None:
    folder = z_image(tmp_path / "diffusers" / "Z-Image-Turbo")
    path = alone(folder, tmp_path / "mine.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=Components(tmp_path))
    whole = Engine(models, reference(folder)).run(ASKED)[0]
    assert most_apart(whole, Engine(models, reference(path)).run(ASKED)[0]) == 0


def test_what_else_is_needed_is_said(tmp_path: Path) -> None:
    shapes = {"model.diffusion_model.layers.0.adaLN_modulation.0.weight": (8, 8)}
    file = stand_in(shapes)
    with pytest.raises(ModelError, match="only the network of Z-Image") as error:
        family_of(file).prepare(file, Components(tmp_path))
    assert "Put the folder Z-Image-Turbo (of Tongyi-MAI/Z-Image-Turbo" in error.value.hint


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cap_embedder.0.weight", "Lumina 2"),
        ("distilled_guidance_layer.in_proj.bias", "Chroma"),
        ("txt_in.text_norm.weight", "Qwen-Image"),
    ],
)
def test_kinds_are_known_by_diffusers_marks(name: str, kind: str, tmp_path: Path) -> None:
    shapes = {**flux(64, 32, 1, 1, 48, 32, guided=False), name: (8, 8)} if kind == "Chroma" else {name: (8, 8)}
    file = stand_in(shapes)
    with pytest.raises(ModelError, match=f"only the network of {kind}"):
        family_of(file).prepare(file, Components(tmp_path))

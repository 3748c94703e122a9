from __future__ import annotations

from pathlib import Path

import diffusers.loaders.single_file_utils as single_file
import pytest
import yaml
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from tests.golden import make_checkpoints


@pytest.fixture(scope="session")
def unet(tmp_path_factory: pytest.TempPathFactory) -> UNet2DConditionModel:
    """The UNet of tiny-sd1 in float32."""
    path: Path = make_checkpoints.make("tiny-sd1", tmp_path_factory.mktemp("checkpoints"))
    weights = {k: v.float() for k, v in load_file(path).items() if k.startswith("model.diffusion_model.")}
    original = yaml.safe_load((make_checkpoints.FOLDER / "tiny-sd1.yaml").read_text())
    config = single_file.create_unet_diffusers_config_from_ldm(original, weights)
    network = UNet2DConditionModel(**config)
    network.load_state_dict(single_file.convert_ldm_unet_checkpoint(weights, config))
    return network.eval().requires_grad_(False)

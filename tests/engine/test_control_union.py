"""ControlNet Union: one network for maps of several kinds, as diffusers has it; which kind, the unit says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import ControlNetUnionModel
from safetensors.torch import save_file

from webui.base.errors import UserError
from webui.engine.control.networks import UnionEncoder, like_its_unet, opened
from webui.engine.families.family import Conditioning
from webui.features.controlnet.network import kind_of_map
from webui.features.controlnet.parameters import Params
from webui.request.control_types import OF_UNION, union_number
from webui.request.preprocessors import preprocessor

CPU = torch.device("cpu")
CONFIG = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "block_out_channels": (32, 64, 64),
    "cross_attention_dim": 48,
    "attention_head_dim": (4, 4, 4),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "conditioning_embedding_out_channels": (16, 32, 96, 256),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 6 * 256 + 40,
    "num_trans_channel": 32,
    "num_proj_channel": 32,
}


@pytest.fixture(scope="module", params=[6, 8])
def theirs(request: pytest.FixtureRequest) -> ControlNetUnionModel:
    torch.manual_seed(1)
    network = ControlNetUnionModel(**CONFIG, num_control_type=request.param).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network


def test_it_is_the_network_of_diffusers(theirs: ControlNetUnionModel, tmp_path: Path) -> None:
    save_file(theirs.state_dict(), tmp_path / "sdxl.safetensors")
    ours = opened(tmp_path / "sdxl.safetensors", CPU, torch.float32)
    assert isinstance(ours, UnionEncoder) and ours.kinds == theirs.config.num_control_type
    like_its_unet(ours.network, theirs)
    x, tokens, hint = torch.randn(2, 4, 8, 8), torch.randn(2, 7, 48), torch.rand(1, 3, 64, 64)
    vector = torch.cat([torch.randn(2, 40), torch.rand(2, 6)], dim=1)
    t = torch.tensor([5.0, 5.0])
    with torch.inference_mode():
        for which in (0, 3, ours.kinds - 1):
            told = torch.zeros(2, ours.kinds)
            told[:, which] = 1
            cond = {"text_embeds": vector[:, :40], "time_ids": vector[:, 40:]}
            downs, middle = theirs(
                x, t, tokens, [hint.expand(2, -1, -1, -1)], told, [which], added_cond_kwargs=cond, return_dict=False
            )
            of = ours.of(which)
            found = of.outputs(x, t, Conditioning(tokens, vector), *of.seen(hint))
            for one, other in zip(found, (*downs, middle), strict=True):
                assert float((one - other).abs().max()) < 1e-5 * float(other.abs().max())


def test_the_kind_comes_from_the_unit_or_its_preprocessor() -> None:
    names = list(OF_UNION)
    assert union_number("Unknown", preprocessor("canny")) == names.index("Hard Edge") == 3
    assert union_number("Unknown", preprocessor("invert")) == 3
    assert union_number("Unknown", preprocessor("scribble_xdog")) == names.index("Soft Edge") == 2
    assert union_number("Unknown", preprocessor("tile_resample")) == 6
    assert union_number("Unknown", preprocessor("inpaint")) == 7
    assert union_number("Depth", preprocessor("canny")) == 1
    assert union_number("Unknown", preprocessor("none")) is None


def test_what_it_does_not_know_is_said(theirs: ControlNetUnionModel, tmp_path: Path) -> None:
    save_file(theirs.state_dict(), tmp_path / "sdxl.safetensors")
    ours = opened(tmp_path / "sdxl.safetensors", CPU, torch.float32)
    assert isinstance(ours, UnionEncoder)
    with pytest.raises(UserError, match="must be told what kind"):
        kind_of_map(Params(), ours)
    assert kind_of_map(Params(union_control_type="OpenPose"), ours) == 0
    tile = Params(module="tile_resample")
    if ours.kinds == 8:
        assert kind_of_map(tile, ours) == 6
    else:
        with pytest.raises(UserError, match="does not know maps of the kind Tile"):
            kind_of_map(tile, ours)

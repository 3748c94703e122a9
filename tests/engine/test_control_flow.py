"""ControlNets of SD3 and Flux: told by their keys, equal to diffusers, and refused in words where they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, FluxControlNetModel, SD3ControlNetModel
from safetensors.torch import save_file
from torch import nn

from tests.engine.conftest import OPTIONS, Engine, Names, levels, most_apart, reference
from tests.engine.families.published import written
from tests.engine.families.test_flows import SMALL_FLUX, SMALL_SD3, furnished
from tests.engine.test_control_families import SD1
from tests.engine.test_generate import GRADIENT, png
from webui.base.errors import ModelError, UserError
from webui.catalog.control_kinds import told
from webui.engine.control.flow import FlowControl, behind_each
from webui.engine.control.networks import opened
from webui.engine.families.family import Conditioning
from webui.engine.families.flow_model import FlowModel
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.request.fields import Img2Img, Txt2Img
from webui.request.model_ref import ModelRef
from webui.request.plan import Plan, resolve
from webui.request.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:.*FluxPosEmbed")  # inside diffusers
CPU = torch.device("cpu")
SD3_CONFIG: dict[str, Any] = {
    "num_layers": 1,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 96,
    "caption_projection_dim": 64,
    "pooled_projection_dim": 96,
    "pos_embed_max_size": 8,
    "qk_norm": "rms_norm",
}
LARGE: dict[str, Any] = {
    **SD3_CONFIG,
    "joint_attention_dim": None,
    "qk_norm": None,
    "use_pos_embed": False,
    "pos_embed_type": None,
    "force_zeros_for_pooled_projection": False,
    "attention_head_dim": 64,
    "num_attention_heads": 1,
}
"""As that of SD3.5 large: without texts and places of its own."""
FLUX_CONFIG: dict[str, Any] = {
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 48,
    "pooled_projection_dim": 32,
    "axes_dims_rope": [4, 14, 14],
    "guidance_embeds": True,
}
NETWORKS: dict[str, tuple[str, Any]] = {
    "sd3": ("SD3", lambda: SD3ControlNetModel(**SD3_CONFIG)),
    "sd35-large": ("SD3", lambda: SD3ControlNetModel(**LARGE)),
    "flux": ("Flux", lambda: FluxControlNetModel(**FLUX_CONFIG)),
    "flux-schnell": ("Flux", lambda: FluxControlNetModel(**{**FLUX_CONFIG, "guidance_embeds": False})),
    "flux-union": ("Flux", lambda: FluxControlNetModel(**FLUX_CONFIG, num_mode=7)),
    "unet": ("SD1", lambda: ControlNetModel(**{k: v for k, v in SD1.items() if k != "up_block_types"})),
}
"""Name of a file -> for which family it is, and the network."""


def network(name: str) -> nn.Module:
    torch.manual_seed(len(name))
    made: nn.Module = NETWORKS[name][1]()
    for layer in made.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.05)
    return made.eval()


@dataclass
class Known(Names):
    """With control networks, by name."""

    folder: Path = field(default_factory=Path)

    def control_network(self, name: str) -> ModelRef:
        return ModelRef(str(self.folder / f"{name}.safetensors"), name)

    def towers(self) -> tuple[ModelRef, ...]:
        return ()


@dataclass
class Controlling(Engine):
    folder: Path = field(default_factory=Path)

    def plan(self, request: Txt2Img | Img2Img, images: object = None) -> Plan:
        return resolve(request, Settings(), Known(self.ref, {"given": png(GRADIENT)}, folder=self.folder), lambda: 1)


@pytest.fixture(scope="module", params=["SD3", "Flux"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlling]:
    folder = tmp_path_factory.mktemp("flow")
    for name in NETWORKS:
        tensors = {key: each.contiguous() for key, each in network(name).state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors")
    path = written({"SD3": SMALL_SD3, "Flux": SMALL_FLUX}[request.param], folder / "model.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=furnished(folder / "models"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Controlling(models, reference(path), folder=folder)
    torch.set_num_threads(threads)
    models.unload()


def family(engine: Controlling) -> str:
    with engine.models.lend(engine.ref, None) as lent:
        return lent.model.family.name


def asked(**unit: object) -> Txt2Img:
    wish = {"image": "given", **unit}
    how = {"prompt": "a red cat", "width": 72, "height": 64, "steps": 2, "sampler_name": "Euler", "seed": 3}
    return Txt2Img.made(**how, cfg_scale=2.0, features={"ControlNet": [wish] if unit else []})


def names_for(engine: Controlling) -> list[str]:
    return [name for name, (own, _) in NETWORKS.items() if own == family(engine) and "union" not in name]


def test_their_family_is_told_by_their_keys(engine: Controlling) -> None:
    for name, (own, _) in NETWORKS.items():
        found = told({key: tuple(each.shape) for key, each in network(name).state_dict().items()})
        assert found is not None and found.family in (own, ""), name


def test_what_they_say_is_what_diffusers_says(engine: Controlling) -> None:
    drawn = torch.Generator().manual_seed(0)
    with torch.inference_mode(), engine.models.lend(engine.ref, None) as lent:
        model = lent.model
        assert isinstance(model, FlowModel)
        config = model.parts["unet"].config
        x, hint = (torch.randn(2, 16, 8, 6, generator=drawn) for _ in range(2))
        tokens = torch.randn(2, 5, config.joint_attention_dim, generator=drawn)
        vector = torch.randn(2, config.pooled_projection_dim + model.numbers, generator=drawn)
        plain, t = Conditioning(tokens, vector), torch.tensor([300.0, 300.0])
        for name in names_for(engine):
            control = opened(engine.folder / f"{name}.safetensors", CPU, torch.float32)
            assert isinstance(control, FlowControl) and control.fits(model.parts["unet"])
            said = behind_each(control.said(model, x, t, plain, hint, 0), model.parts["unet"])
            ours = model.predict(x, t, Conditioning(tokens, vector, behind=said[0], behind_single=said[1]))
            arguments = model.told(x, t, plain)
            own = dict(arguments)
            if name == "sd3":
                own["pooled_projections"] = torch.zeros_like(own["pooled_projections"])
            if name == "flux-schnell":
                own["guidance"] = None
            if name == "sd35-large":
                own["hidden_states"] = model.parts["unet"].get_submodule("pos_embed")(own["hidden_states"])
                del own["encoder_hidden_states"]
            outputs = network(name)(controlnet_cond=model.patched(hint), return_dict=False, **own)
            places = FLUX_PLACES if name.startswith("flux") else ("block_controlnet_hidden_states",)
            theirs = model.parts["unet"](**arguments, **dict(zip(places, outputs, strict=True)), return_dict=False)[0]
            wanted = model_pixels(theirs, x) if name.startswith("flux") else theirs
            assert torch.allclose(ours, wanted, atol=1e-5)
            assert not torch.allclose(ours, model.predict(x, t, plain), atol=1e-3)


FLUX_PLACES = ("controlnet_block_samples", "controlnet_single_block_samples")


def model_pixels(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(b, n, 64) -> (b, 16, h, w): patches of 2 x 2 with the channels outermost."""
    rows, columns = like.shape[2] // 2, like.shape[3] // 2
    return tokens.reshape(len(like), rows, columns, 16, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(like.shape)


def test_a_unit_acts_as_strongly_and_as_long_as_it_says(engine: Controlling) -> None:
    (plain,) = engine.run(asked())
    name = names_for(engine)[0]
    (made,) = engine.run(asked(model=name))
    assert levels(made).shape == (64, 72, 3) and most_apart(made, plain) > 2
    assert most_apart(engine.run(asked(model=name, weight=0.0))[0], plain) == 0
    assert most_apart(engine.run(asked(model=name, guidance_start=0.9))[0], plain) == 0
    others = ({"weight": 0.5}, {"control_mode": "ControlNet is more important"}, {"module": "invert"})
    pictures = [engine.run(asked(model=name, **other))[0].rgb for other in others]
    assert len({plain.rgb, made.rgb, *pictures}) == 5
    (twice,) = engine.run(asked(model=name).changed(features={"ControlNet": [{"image": "given", "model": name}] * 2}))
    assert twice.rgb != made.rgb


def test_what_does_not_fit_is_refused_in_words(engine: Controlling) -> None:
    mine = family(engine)
    others = [name for name, (own, _) in NETWORKS.items() if own != mine]
    for name in others:
        with pytest.raises(UserError, match="made for another kind of model"):
            engine.run(asked(model=name))
    with pytest.raises(UserError, match="has no UNet: switch ControlNet off"):
        engine.run(asked(module="reference_only"))
    if mine == "Flux":
        with pytest.raises(UserError, match="must be told what kind of map"):
            engine.run(asked(model="flux-union"))
        kinds = [engine.run(asked(model="flux-union", union_control_type=kind))[0].rgb for kind in ("Depth", "Tile")]
        assert kinds[0] != kinds[1]


def test_forms_that_cannot_be_opened_say_so(tmp_path: Path) -> None:
    tensors = dict(network("flux").state_dict())
    odd = {**tensors, "double_blocks.0.img_mod.lin.weight": torch.zeros(2, 2)}
    less = {name: each for name, each in tensors.items() if not name.startswith("context_embedder")}
    for state, said in ((odd, "a form of its own"), (less, "not complete")):
        save_file({name: each.contiguous() for name, each in state.items()}, tmp_path / "odd.safetensors")
        with pytest.raises(ModelError, match=rf"odd\.safetensors.*{said}"):
            opened(tmp_path / "odd.safetensors", CPU, torch.float32)

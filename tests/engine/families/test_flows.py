"""SD3 and Flux: known by names and shapes, with their parts inside or beside them, and sampled like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.engine.conftest import OPTIONS, SMALL, Engine, levels, most_apart, reference
from tests.engine.families.published import (
    Shapes,
    clip_alone,
    flow_vae,
    flux,
    sd3,
    stand_in,
    t5,
    under,
    written,
)
from webui.base.errors import ModelError, UserError
from webui.engine.families.components import Components
from webui.engine.families.family import TextOptions, family_of
from webui.engine.families.weights import WeightsFile
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.sampling.process import RectifiedFlow
from webui.request.fields import Txt2Img
from webui.request.plan import NetworkRef

DEV = flux(3072, 128, 19, 38, 4096, 768, guided=True)
SCHNELL = flux(3072, 128, 19, 38, 4096, 768, guided=False)
MEDIUM = sd3(1536, 24, 192, 4096, 2048)
LARGE_35 = sd3(2432, 38, 192, 4096, 2048, normed=True)
MEDIUM_35 = sd3(1536, 24, 384, 4096, 2048, normed=True, dual=13)
BESIDE = (t5(4096, 4096, 10240, 24, 64, 32128), clip_alone(768, 12), clip_alone(1280, 32, projected=1280))

SMALL_FLUX = flux(64, 32, 1, 1, 48, 32, guided=True)
SMALL_SD3 = sd3(64, 2, 8, 96, 96, head=32, normed=True, dual=1)
SMALL_VAE = flow_vae((32, 32, 32, 32), layers=1)
SMALL_T5 = {48: t5(48, 32, 64, 2, 2, 8), 96: t5(96, 32, 64, 2, 2, 8)}


class Stripped(Components):
    """Names and shapes beside a checkpoint."""

    def text_encoders(self) -> Iterator[WeightsFile]:
        return iter([stand_in(shapes) for shapes in BESIDE])

    def tokenizer(self) -> Path | None:
        return Path("tokenizer.json")


@pytest.mark.parametrize(
    ("prefix", "shapes", "family"),
    [
        ("", DEV, "Flux"),
        ("model.diffusion_model.", SCHNELL, "Flux"),
        ("model.diffusion_model.", MEDIUM, "SD3"),
        ("", LARGE_35, "SD3"),
        ("model.diffusion_model.", MEDIUM_35, "SD3"),
    ],
)
def test_published_sizes_are_known_and_complete(prefix: str, shapes: Shapes, family: str) -> None:
    file = stand_in(under(prefix, shapes))
    assert family_of(file).name == family
    family_of(file).prepare(file, Stripped())


@pytest.mark.parametrize(
    ("shapes", "missing"), [(DEV, "clip_l.safetensors into models/text_encoder"), (MEDIUM, "clip_g.safetensors")]
)
def test_what_is_missing_is_said_with_where_to_put_it(shapes: Shapes, missing: str) -> None:
    file = stand_in(shapes)
    with pytest.raises(ModelError) as error:
        family_of(file).prepare(file, Components())
    assert missing in error.value.hint


def furnished(folder: Path, *, with_t5: bool = True) -> Components:
    """Small text encoders, a vocabulary and a VAE in files of their own."""
    written(clip_alone(32, 2), folder / "text_encoder" / "clip_l.safetensors")
    written(clip_alone(64, 2, projected=64), folder / "text_encoder" / "clip_g.safetensors")
    written(SMALL_VAE, folder / "VAE" / "ae.safetensors")
    if with_t5:
        for width, shapes in SMALL_T5.items():
            written(shapes, folder / "text_encoder" / f"t5-{width}.safetensors")
        words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "cat": 5, "blue": 6}
        tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
        tokenizer.pre_tokenizer = Whitespace()
        tokenizer.save(str(folder / "text_encoder" / "tokenizer.json"))
    return Components(folder)


@pytest.mark.parametrize(
    ("kind", "sampler"), [("Flux", "Euler"), ("SD3", "Euler a"), ("SD3", "DPM++ 2M"), ("Flux", "DDIM")]
)
def test_the_samplers_make_pictures(kind: str, sampler: str, tmp_path: Path) -> None:
    path = written({"Flux": SMALL_FLUX, "SD3": SMALL_SD3}[kind], tmp_path / "transformer.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=furnished(tmp_path / "models"))
    engine = Engine(models, reference(path))
    request = Txt2Img(**{**SMALL, "prompt": "a red cat", "sampler_name": sampler, "cfg_scale": 1.0})
    made = engine.run(request)[0]
    assert levels(made).shape == (64, 64, 3)
    assert levels(made).std() > 1
    assert dict(made.facts).get("Distilled CFG Scale") == ("3.5" if kind == "Flux" else None)
    odd = engine.run(request.changed(width=72, height=88))[0]
    assert levels(odd).shape == (88, 72, 3)
    assert most_apart(made, engine.run(request.changed(prompt="a blue cat"))[0]) > 0


def test_sd3_does_without_t5_and_flux_says_what_it_lacks(tmp_path: Path) -> None:
    beside = furnished(tmp_path / "models", with_t5=False)
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=beside)
    path = written(SMALL_SD3, tmp_path / "sd3.safetensors")
    with torch.inference_mode(), models.lend(reference(path), None) as loaded:
        encoded = loaded.model.encode_prompts(["a cat"], TextOptions(), {})[0]
        assert encoded.tokens.shape == (154, 96)
        assert not encoded.tokens[77:].any()
        assert isinstance(loaded.model.process, RectifiedFlow)
        assert loaded.model.process.shift == 3.0
    path = written(SMALL_FLUX, tmp_path / "flux.safetensors")
    with pytest.raises(ModelError, match="no T5") as error, models.lend(reference(path), None):
        pass
    assert "t5xxl" in error.value.hint


@pytest.mark.parametrize(
    "layer", ["lora_unet_joint_blocks_0_x_block_attn_qkv", "lora_transformer_transformer_blocks_0_attn_to_q"]
)
def test_a_lora_for_sd3_in_either_spelling_changes_the_picture(layer: str, tmp_path: Path) -> None:
    rows = 192 if layer.endswith("qkv") else 64
    parts = {f"{layer}.lora_up.weight": torch.ones(rows, 1), f"{layer}.lora_down.weight": torch.ones(1, 64)}
    save_file(parts, tmp_path / "ink.safetensors")
    path = written(SMALL_SD3, tmp_path / "sd3.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=furnished(tmp_path / "models"))
    networks = {"ink": NetworkRef(str(tmp_path / "ink.safetensors"), "ink", "0" * 64)}
    engine = Engine(models, reference(path), networks=networks)
    request = Txt2Img(**{**SMALL, "prompt": "a red cat", "sampler_name": "Euler"})
    plain = engine.run(request)[0]
    dressed = engine.run(request.changed(prompt="a red cat<lora:ink:1>"))[0]
    assert "ink: applied 1 of 1 keys." in dressed.comments
    assert most_apart(plain, dressed) > 0
    assert most_apart(plain, engine.run(request)[0]) == 0


def test_a_hypernetwork_without_effect_is_remarked(tmp_path: Path) -> None:
    pair = [{"linear.0.weight": torch.eye(32), "linear.0.bias": torch.zeros(32)}] * 2
    torch.save({32: pair}, tmp_path / "bend.pt")
    path = written(SMALL_FLUX, tmp_path / "flux.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=furnished(tmp_path / "models"))
    networks = {"bend": NetworkRef(str(tmp_path / "bend.pt"), "bend")}
    request = Txt2Img(**{**SMALL, "prompt": "a cat<hypernet:bend:1>", "sampler_name": "Euler", "steps": 1})
    made = Engine(models, reference(path), networks=networks).run(request)[0]
    assert "Hypernetworks have no effect on Flux checkpoints." in made.comments


@pytest.mark.parametrize("kind", ["Flux", "SD3"])
@pytest.mark.parametrize(
    ("wish", "advice"),
    [
        ({"pag_scale": 3.0}, "set Perturbed attention to 0"),
        ({"override_settings": {"tiling": True}}, "switch Tiling off"),
        ({"features": {"FreeU": {}}}, "switch FreeU off"),
        ({"features": {"Kohya HRFix": {}}}, "switch Kohya HRFix off"),
        ({"features": {"Self-attention guidance": {}}}, "switch Self-attention guidance off"),
        ({"override_settings": {"token_merging_ratio": 0.5}}, "set Token merging to 0"),
    ],
)
def test_what_bends_a_unet_is_refused_before_anything_else_is_looked_for(
    kind: str, wish: dict[str, object], advice: str, tmp_path: Path
) -> None:
    path = written({"Flux": SMALL_FLUX, "SD3": SMALL_SD3}[kind], tmp_path / "transformer.safetensors")
    models = ModelManager(profile_of(OPTIONS), budget=2**32, components=Components())
    request = Txt2Img.model_validate({**SMALL, "prompt": "a cat", "sampler_name": "Euler", **wish})
    with pytest.raises(UserError, match=f"has no UNet: {advice}."):
        Engine(models, reference(path)).run(request)


def test_the_shift_of_flux_dev_follows_the_size() -> None:
    flow = RectifiedFlow(by_size=True)
    small, large = flow.at_size(32, 32), flow.at_size(128, 128)
    assert small.shift == pytest.approx(1.6487, abs=1e-3)
    assert large.shift == pytest.approx(3.1582, abs=1e-3)
    assert RectifiedFlow(shift=3.0).at_size(32, 32).shift == 3.0

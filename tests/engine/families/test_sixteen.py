"""How large a latent is and how many channels it has is read from the file: nothing takes SD1's own for granted."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from tests.engine.conftest import Engine, Names, levels, reference
from tests.engine.families.published import small
from tests.engine.families.sixteen import TINY, sixteen
from tests.engine.test_every_feature_on_every_family import Known
from tests.engine.test_generate import png
from webui.base.errors import UserError
from webui.engine.bench import speed
from webui.engine.model_manager import ModelManager
from webui.engine.previews import cheap
from webui.engine.small_vae import SmallVaes
from webui.engine.throughput import Measured
from webui.engine.training.networks import build_unet
from webui.features.tiled_vae.engine import tiled
from webui.features.tiled_vae.parameters import Params as TiledVae
from webui.request.fields import Img2Img, Txt2Img
from webui.request.model_ref import ModelRef
from webui.request.plan import Plan, resolve
from webui.request.settings import Settings

ASKED: dict[str, Any] = {
    "prompt": "a red cat",
    "width": 128,
    "height": 64,
    "steps": 2,
    "seed": 7,
    "sampler_name": "Euler",
}
GIVEN = Image.linear_gradient("L").resize((128, 64)).convert("RGB")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sixteen(tmp_path_factory.mktemp("sixteen") / "sixteen.safetensors")


@pytest.fixture
def engine(models: ModelManager, file: Path) -> Engine:
    return Engine(models, reference(file))


def masked(box: tuple[int, int, int, int], size: tuple[int, int] = (128, 64)) -> bytes:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return png(mask)


def test_the_file_says_how_its_latents_lie(models: ModelManager, file: Path) -> None:
    with models.lend(reference(file), None) as loaded:
        form = loaded.model.latent
        assert (form.channels, form.factor, len(form.rgb)) == (16, 16, 16)
        shown = cheap(loaded.model)(torch.zeros(1, 16, 4, 8))
        assert Image.open(io.BytesIO(shown[0])).size == (8, 4)


def test_text_makes_a_picture_of_the_size_that_was_asked_for(engine: Engine) -> None:
    (one,), (other,) = (engine.run(Txt2Img.made(**{**ASKED, "seed": seed})) for seed in (7, 8))
    assert levels(one).shape == (64, 128, 3)
    assert np.abs(levels(one) - levels(other)).max() > 0


def test_a_picture_changes_where_its_mask_is_white_in_squares_of_sixteen_pixels(engine: Engine) -> None:
    asked = {**ASKED, "init_images": ("given",), "mask": "mask", "denoising_strength": 1.0}
    asked |= {"mask_blur_x": 0, "mask_blur_y": 0}
    whole = Img2Img.made(**asked, inpainting_fill=1)
    (made,) = engine.run(whole, {"given": png(GIVEN), "mask": masked((0, 0, 63, 63))})
    before = np.asarray(GIVEN).astype(int)
    assert levels(made).shape == before.shape
    assert np.abs(levels(made) - before)[:, 64:].max() == 0, "what is not masked stays"
    assert np.abs(levels(made) - before)[:, :64].max() > 0
    part = Img2Img.made(**asked, inpainting_fill=2, inpaint_full_res=True)
    (made,) = engine.run(part, {"given": png(GIVEN), "mask": masked((16, 16, 31, 31))})
    assert levels(made).shape == before.shape


@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos"])
def test_hires_fix_enlarges_it(engine: Engine, upscaler: str) -> None:
    asked = Txt2Img.made(**ASKED, enable_hr=True, hr_scale=1.5, hr_upscaler=upscaler, hr_second_pass_steps=1)
    (made,) = engine.run(asked)
    assert levels(made).shape == (96, 192, 3)


def test_hires_fix_cuts_to_the_proportions_asked_for(engine: Engine) -> None:
    asked = Txt2Img.made(
        **ASKED, enable_hr=True, hr_resize_x=128, hr_resize_y=128, hr_upscaler="Latent", hr_second_pass_steps=1
    )
    (made,) = engine.run(asked)
    assert levels(made).shape == (128, 128, 3)


@pytest.mark.parametrize("more", [{}, {"mask": "mask"}, {"mask": "mask", "inpaint_full_res": True}])
def test_sides_that_are_no_multiples_of_sixteen_are_rounded_down(engine: Engine, more: dict[str, Any]) -> None:
    images = {"given": png(GIVEN), "mask": masked((40, 8, 80, 40))}
    (made,) = engine.run(Img2Img.made(**{**ASKED, "width": 136, "height": 72}, init_images=("given",), **more), images)
    assert levels(made).shape == (64, 128, 3)
    (made,) = engine.run(Txt2Img.made(**{**ASKED, "width": 136, "height": 72}))
    assert levels(made).shape == (64, 128, 3)


def test_resizing_the_seed_and_variations_know_its_latents(engine: Engine) -> None:
    plain = Txt2Img.made(**ASKED)
    resized = Txt2Img.made(**ASKED, seed_resize_from_w=64, seed_resize_from_h=64, subseed_strength=0.3, subseed=3)
    (one,), (other,) = engine.run(plain), engine.run(resized)
    assert np.abs(levels(one) - levels(other)).max() > 0


def test_in_tiles_the_vae_gives_what_it_gives_as_a_whole(models: ModelManager, file: Path) -> None:
    """Large tiles with room at their edges, and the statistics of the whole."""
    with models.lend(reference(file), None) as loaded, torch.inference_mode():
        model, latents = loaded.model, torch.randn(1, 16, 48, 6)
        whole = model.decode(latents)
        with tiled(model.parts["vae"], TiledVae(decoder_tile_size=32, fast_decoder=False)):
            pieces = model.decode(latents)
        assert pieces.shape == whole.shape == (1, 3, 768, 96)
        assert (pieces - whole).abs().mean() < 0.1
        picture = torch.rand(1, 3, 640, 64) * 2 - 1
        whole = model.encode_image(picture)
        with tiled(model.parts["vae"], TiledVae(encoder_tile_size=256, fast_encoder=False)):
            assert model.encode_image(picture).shape == whole.shape == (1, 16, 40, 4)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """A ControlNet made of such a UNet."""
    torch.manual_seed(1)
    tensors = dict(ControlNetModel.from_unet(build_unet(TINY)).state_dict())
    tensors |= {name: torch.randn_like(tensor) for name, tensor in tensors.items() if name.startswith("controlnet_")}
    path = tmp_path_factory.mktemp("control") / "lines.safetensors"
    save_file(tensors, path)
    return ModelRef(str(path), "lines")


@dataclass
class Controlled(Names):
    """Beside one checkpoint, one control network."""

    control: ModelRef | None = None

    def control_network(self, name: str) -> ModelRef:
        assert self.control is not None
        return self.control

    def towers(self) -> tuple[ModelRef, ...]:
        return ()


@pytest.mark.parametrize(
    ("unit", "is_tiled"),
    [
        ({"module": "none"}, False),
        ({"module": "none", "effective_region_mask": "mask"}, True),
        ({"module": "inpaint_only", "mask": "mask"}, False),
        ({"module": "tile_colorfix"}, True),
        ({"module": "reference_only", "model": "None"}, False),
    ],
)
def test_units_of_controlnet_know_its_latents(
    models: ModelManager, file: Path, control: ModelRef, unit: dict[str, Any], *, is_tiled: bool
) -> None:
    images = {"given": png(GIVEN), "mask": masked((0, 0, 63, 63))}

    class WithControl(Engine):
        def plan(self, request: Txt2Img | Img2Img, given: Mapping[str, bytes] | None = None) -> Plan:
            return resolve(request, Settings(), Controlled(self.ref, given or {}, control=control), lambda: 1)

    engine = WithControl(models, reference(file))
    more = {"Tiled Diffusion": {"tile_width": 16, "tile_height": 16, "overlap": 0}} if is_tiled else {}
    size = {"width": 512, "height": 64} if is_tiled else {}
    plain, asked = (
        Txt2Img.made(**{**ASKED, **size}, features={**more, **units})
        for units in ({}, {"ControlNet": [{"model": "lines", **unit, "image": "given"}]})
    )
    (without,), (made,) = engine.run(plain), engine.run(asked, images)
    assert np.abs(levels(without) - levels(made)).max() > 0


def test_a_preview_is_grey_where_nobody_knows_its_colours(models: ModelManager, tmp_path: Path) -> None:
    with models.lend(reference(sixteen(tmp_path / "plain.safetensors", previewed=False)), None) as loaded:
        assert len(loaded.model.latent.rgb) == 16
        shown = Image.open(io.BytesIO(cheap(loaded.model)(torch.randn(1, 16, 4, 4))[0]))
        assert shown.size == (4, 4)
        assert all(low == high for low, high in shown.convert("RGB").getextrema())  # type: ignore[misc]


def test_a_small_vae_of_another_format_stays_aside(models: ModelManager, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "VAE-taesd"
    folder.mkdir()
    save_file({"1.weight": torch.zeros(64, 4, 3, 3)}, folder / "taesd_decoder.safetensors")
    vaes = SmallVaes(tmp_path, models.residents)
    with models.lend(reference(file), None) as loaded, vaes.lent(loaded.model, "decoder") as decoder:
        assert decoder is None


def test_a_vae_of_another_format_is_refused(models: ModelManager, file: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(UserError, match="VAE"), models.lend(reference(file), reference(tiny_checkpoint)):
        pass


@pytest.mark.parametrize(
    "asked",
    [
        {"refiner_checkpoint": "second", "refiner_switch_at": 0.5},
        {"enable_hr": True, "hr_checkpoint_name": "second", "hr_upscaler": "Latent"},
    ],
)
def test_a_partner_of_another_format_is_refused(engine: Engine, tmp_path: Path, asked: dict[str, Any]) -> None:
    other = reference(small("SD 1.5", tmp_path / "other.safetensors"))

    class Two(Engine):
        def plan(self, request: Txt2Img | Img2Img, images: object = None) -> Plan:
            return resolve(request, Settings(), Known(self.ref, others={"second": other}), lambda: 1)

    with pytest.raises(UserError, match=r"4 channels for 8x8 pixels, the first one on 16 channels for 16x16 pixels"):
        Two(engine.models, engine.ref).run(Txt2Img.made(**ASKED, **asked))


@pytest.mark.filterwarnings("ignore:__array__")  # inside diffusers' scheduler
def test_its_speed_is_measured_on_its_own_latents(models: ModelManager, file: Path) -> None:
    found = speed(models, reference(file), Measured(side=64, batch=1, steps=2))
    assert min(found.ours, found.stock, found.bare) > 0

"""TAESD reads and makes pictures in the place of a model's own VAE, when its file is there."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import nn

from tests.engine.conftest import SMALL, Engine, levels
from webui.base.errors import ModelError
from webui.engine.approximate import SLOPE, Approximations
from webui.engine.generate import Tools, pictures
from webui.engine.previews import Decoders, as_chosen, cheap, shown
from webui.engine.small_vae import SmallVaes
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import LivePreviews, Pictured

BOTH = {"sd_vae_encode_method": "TAESD", "sd_vae_decode_method": "TAESD"}


@pytest.fixture(scope="module")
def tiny() -> AutoencoderTiny:
    torch.manual_seed(3)
    return AutoencoderTiny().eval()


@pytest.fixture
def models_folder(tmp_path: Path, tiny: AutoencoderTiny) -> Path:
    """Files as TAESD's author publishes them: two halves, of which the decoder begins with a layer without weights."""
    folder = tmp_path / "VAE-taesd"
    folder.mkdir()
    for side, half, shift in (("encoder", tiny.encoder, 0), ("decoder", tiny.decoder, 1)):
        named = {name.removeprefix("layers."): tensor for name, tensor in half.state_dict().items()}
        moved = {f"{int(name.split('.')[0]) + shift}.{name.partition('.')[2]}": named[name].clone() for name in named}
        torch.save(moved, folder / f"taesd_{side}.pth")
    return tmp_path


def made(engine: Engine, request: Txt2Img | Img2Img, models: Path, images: dict[str, bytes] | None = None) -> Pictured:
    plan = engine.plan(request, images)
    watch = Watch("job", lambda _: None, Cancel(), Viewing(), Stopwatch(torch.device("cpu")), batches=1)
    with torch.inference_mode():
        small = SmallVaes(models, engine.models.residents)
        (found,) = pictures(plan, Tools(engine.models, engine.cache, engine.shelf, watch, small_vaes=small))
    return found


def test_the_decoder_makes_the_picture(
    engine: Engine, models_folder: Path, tiny: AutoencoderTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    ours = SmallVaes.lent

    @contextmanager
    def lent(self: SmallVaes, model: object, side: str) -> Iterator[nn.Module | None]:
        with ours(self, model, side) as found:  # type: ignore[arg-type]
            if found is not None:
                found.register_forward_hook(lambda _module, args, _output: seen.append(args[0].clone()))
            yield found

    monkeypatch.setattr(SmallVaes, "lent", lent)
    request = Txt2Img(**SMALL, override_settings={"sd_vae_decode_method": "TAESD"})  # type: ignore[arg-type]
    picture = made(engine, request, models_folder)
    with torch.inference_mode():
        expected = tiny.decode(seen[0]).sample.clamp(-1, 1)
    wanted = (255 * (expected[0] + 1) / 2).to(torch.uint8).permute(1, 2, 0).numpy()
    assert np.abs(levels(picture) - wanted.astype(int)).max() <= 1
    assert "VAE Decoder" not in dict(picture.facts)  # the infotext says what the setting says


def test_the_encoder_reads_the_given_picture(engine: Engine, models_folder: Path) -> None:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(buffer, "PNG")
    images = {"given": buffer.getvalue()}
    plain = Img2Img(**SMALL, init_images=("given",), denoising_strength=0.3)  # type: ignore[arg-type]
    asked = plain.changed(override_settings={"sd_vae_encode_method": "TAESD"})
    assert made(engine, asked, models_folder, images).rgb != made(engine, plain, models_folder, images).rgb


def test_without_its_file_the_own_vae_is_used_and_that_is_said(engine: Engine, tmp_path: Path) -> None:
    request = Txt2Img(**SMALL, override_settings=BOTH)  # type: ignore[arg-type]
    picture = made(engine, request, tmp_path)
    assert picture.rgb == made(engine, Txt2Img(**SMALL), tmp_path).rgb  # type: ignore[arg-type]
    assert dict(picture.facts) | {"VAE Encoder": "Full", "VAE Decoder": "Full"} == dict(picture.facts)
    assert any("TAESD" in comment for comment in picture.comments)


def test_a_file_that_is_something_else_is_named(engine: Engine, models_folder: Path) -> None:
    torch.save({"0.weight": torch.zeros(2, 2)}, models_folder / "VAE-taesd" / "taesd_decoder.pth")
    request = Txt2Img(**SMALL, override_settings=BOTH)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="taesd_decoder"):
        made(engine, request, models_folder)


def test_previews_are_made_as_chosen(engine: Engine, models_folder: Path, tiny: AutoencoderTiny) -> None:
    viewing, small = Viewing(), SmallVaes(models_folder, engine.models.residents)
    remarks: list[str] = []
    approximate = Approximations(models_folder, engine.models.residents)
    decoders = Decoders(lambda model: small.lent(model, "decoder"), approximate.lent, remarks.append)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with engine.models.lend(engine.ref, None) as loaded, torch.inference_mode():
        preview = as_chosen(loaded.model, viewing, decoders)
        assert preview(latents) == cheap(loaded.model)(latents)
        viewing.wish = LivePreviews(method="TAESD")
        assert preview(latents) == shown(tiny.decode(latents).sample)
        viewing.wish = LivePreviews(method="Approx NN")
        assert preview(latents) == cheap(loaded.model)(latents), "its file is not there"
        layers = approximating(models_folder)
        assert preview(latents) == shown(by_hand(latents, layers))
        for kind in ("png", "webp", "jpeg"):
            viewing.wish = LivePreviews(method="Full", format=kind, whole_batch=kind != "png")
            content, told = preview(latents)
            with Image.open(io.BytesIO(content)) as picture:
                assert (picture.format, told) == (kind.upper(), kind)
                assert picture.size == ((64, 64) if kind == "png" else (128, 64))
    assert not remarks


def approximating(models: Path) -> dict[str, torch.Tensor]:
    """A file for Approx NN, with layers of several sizes."""
    torch.manual_seed(4)
    layers: dict[str, torch.Tensor] = {}
    for number, (given, made, side) in enumerate(((4, 6, 7), (6, 5, 5), (5, 3, 3)), 1):
        layers[f"conv{number}.weight"] = torch.randn(made, given, side, side) * 0.1
        layers[f"conv{number}.bias"] = torch.randn(made) * 0.1
    (models / "VAE-approx").mkdir()
    torch.save(layers, models / "VAE-approx" / "model.pt")
    return layers


def by_hand(latents: torch.Tensor, layers: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the format's description says."""
    reach = 3 + 2 + 1
    x = torch.nn.functional.pad(latents.repeat_interleave(2, 2).repeat_interleave(2, 3), (reach,) * 4)
    for number in (1, 2, 3):
        made = torch.nn.functional.conv2d(x, layers[f"conv{number}.weight"], layers[f"conv{number}.bias"])
        x = torch.where(made > 0, made, made * SLOPE)
    assert x.shape[-2:] == (16, 16)
    return x


def test_a_broken_file_for_previews_costs_no_picture(engine: Engine, models_folder: Path) -> None:
    (models_folder / "VAE-approx").mkdir()
    torch.save({"conv1.weight": torch.zeros(3, 4, 2, 2)}, models_folder / "VAE-approx" / "model.pt")
    remarks: list[str] = []
    approximate = Approximations(models_folder, engine.models.residents)
    small = SmallVaes(models_folder, engine.models.residents)
    decoders = Decoders(lambda model: small.lent(model, "decoder"), approximate.lent, remarks.append)
    latents = torch.zeros(1, 4, 8, 8)
    with engine.models.lend(engine.ref, None) as loaded, torch.inference_mode():
        preview = as_chosen(loaded.model, Viewing(LivePreviews(method="Approx NN")), decoders)
        assert preview(latents) == cheap(loaded.model)(latents)
        preview(latents)
    assert len(remarks) == 1 and "model.pt" in remarks[0]


@pytest.mark.parametrize(("count", "side", "size"), [(1, 64, (64, 64)), (1, 1024, (512, 512)), (3, 400, (512, 512))])
def test_a_preview_is_never_larger_than_512_pixels(count: int, side: int, size: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(shown(torch.zeros(count, 3, side, side))[0])) as preview:
        assert preview.size == size

"""Upscaler files: what is opened, and what is refused."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.engine.conftest import OPTIONS
from webui.base.errors import ModelError
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.upscalers.esrgan import Compact, Rrdb
from webui.engine.upscalers.models import opened
from webui.engine.upscalers.resize import enlarged
from webui.request.plan import UpscalerRef
from webui.request.tiles import OTHER, TileSize

CPU = torch.device("cpu")


def old_name(name: str) -> str:
    """How ESRGAN's first files, and most of those that people share, call a tensor of a network that doubles once."""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("body."):
        _, block, dense, convolution = stem.split(".")
        return f"model.1.sub.{block}.{dense.upper()}.{convolution}.0.{kind}"
    places = {"conv_first": "0", "conv_body": "1.sub.2", "conv_up1": "3", "conv_hr": "5", "conv_last": "7"}
    return f"model.{places[stem]}.{kind}"


def test_a_file_is_known_by_its_tensors_however_they_are_called(tmp_path: Path) -> None:
    network = Rrdb(3, 3, 4, 4, 2, 1).eval()
    state = network.state_dict()
    torch.save({"params_ema": state}, tmp_path / "new.pth")
    save_file(state, tmp_path / "new.safetensors")
    torch.save({old_name(name): tensor for name, tensor in state.items()}, tmp_path / "old.pth")
    picture = torch.rand(1, 3, 6, 9)
    with torch.inference_mode():
        wanted = network(picture)
        assert wanted.shape == (1, 3, 12, 18)
        for path in tmp_path.iterdir():
            found = opened(path, CPU, torch.float32)
            assert found.scale == 2
            assert torch.equal(found.network(picture), wanted)


@pytest.mark.parametrize("network", [Rrdb(12, 3, 4, 4, 1, 2), Compact(3, 4, 2, 2)])
def test_real_esrgan_unshuffles_and_the_compact_one_shuffles(network: Rrdb | Compact, tmp_path: Path) -> None:
    save_file(network.state_dict(), tmp_path / "x2.safetensors")
    found = opened(tmp_path / "x2.safetensors", CPU, torch.float32)
    with torch.inference_mode():
        assert found.network(torch.rand(1, 3, 7, 5)).shape == (1, 3, 14, 10)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("kind", ["ESRGAN", "unshuffled", "compact"])
def test_models_for_grey_or_transparent_pictures_are_given_colours(kind: str, channels: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made: dict[str, Rrdb | Compact] = {
        "ESRGAN": Rrdb(channels, channels, 4, 4, 1, 1),
        "unshuffled": Rrdb(4 * channels, channels, 4, 4, 1, 2),
        "compact": Compact(channels, 4, 2, 2),
    }
    save_file(made[kind].state_dict(), tmp_path / "x2.safetensors")
    shelf = UpscalerShelf(Residents(profile_of(OPTIONS)))
    enlargers = shelf.enlargers(
        {"x2": UpscalerRef("x2", str(tmp_path / "x2.safetensors"))}, {}, lambda _done, _of: None
    )
    picture = torch.rand(1, 3, 6, 8)
    with torch.inference_mode():
        assert enlarged(Image.new("RGBA", (16, 8)), 2, "x2", enlargers).size == (32, 16)
        found = opened(tmp_path / "x2.safetensors", CPU, torch.float32).network(picture)
        if channels == 1:
            wanted = torch.cat([made[kind](picture[:, colour : colour + 1]) for colour in range(3)], dim=1)
        else:
            wanted = made[kind](torch.cat([picture, torch.ones(1, 1, 6, 8)], dim=1))[:, :3]
    assert torch.allclose(found, wanted, atol=1e-6)


def test_a_model_of_other_channels_is_refused_in_words(tmp_path: Path) -> None:
    save_file(Rrdb(3, 1, 4, 4, 1, 1).state_dict(), tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"odd\.safetensors makes pictures of 1 channels out of pictures of 3"):
        opened(tmp_path / "odd.safetensors", CPU, torch.float32)


def test_what_is_no_upscaler_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"not a file of torch's")
    for name in ("other.safetensors", "broken.pth"):
        with pytest.raises(ModelError, match=name):
            opened(tmp_path / name, CPU, torch.float32)


def test_a_small_file_that_names_a_huge_network_is_refused_at_once(tmp_path: Path) -> None:
    """Of 80 GB, and of a hundred million layers: nothing of it is made before the file is seen not to have it."""
    wide = {name: tensor[:1] for name, tensor in Rrdb(3, 3, 2, 2, 1, 1).state_dict().items()}
    wide["conv_first.weight"] = torch.zeros(60_000, 3, 1, 1)
    wide["body.0.rdb1.conv1.weight"] = torch.zeros(60_000, 2, 1, 1)
    deep = {**Rrdb(3, 3, 2, 2, 1, 1).state_dict(), "body.99999999.rdb1.conv1.weight": torch.zeros(1)}
    long = {"body.0.weight": torch.zeros(2, 3, 3, 3), "body.1.weight": torch.zeros(2)}
    long["body.99999999.weight"] = torch.zeros(3, 2, 3, 3)
    for name, state in {"wide": wide, "deep": deep, "long": long}.items():
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / f"{name}.safetensors")
        with pytest.raises(ModelError, match=name):
            opened(tmp_path / f"{name}.safetensors", CPU, torch.float32)


def test_a_model_is_asked_again_until_the_picture_is_large_enough(tmp_path: Path) -> None:
    torch.save(Compact(3, 4, 1, 2).state_dict(), tmp_path / "x2.pth")
    shelf = UpscalerShelf(Residents(profile_of(OPTIONS)))
    enlargers = shelf.enlargers({"x2": UpscalerRef("x2", str(tmp_path / "x2.pth"))}, {}, lambda _done, _of: None)
    with torch.inference_mode():
        assert enlarged(Image.new("RGB", (16, 8)), 3, "x2", enlargers).size == (48, 24)


class Descriptor:
    """What spandrel gives: a network, what is known of it, and a call that pads."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        if state.keys() != {"swin.weight"}:
            raise UnsupportedModelError
        self.model: torch.nn.Module = torch.nn.Upsample(scale_factor=3)
        self.scale, self.input_channels = 3, int(state["swin.weight"].shape[0])
        self.output_channels = self.input_channels

    def to(self, *_where: object, **_how: object) -> Descriptor:
        return self

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        large: torch.Tensor = self.model(picture)
        return large


class UnsupportedModelError(Exception):
    pass


def test_other_kinds_are_opened_by_spandrel_where_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = SimpleNamespace(load_from_state_dict=Descriptor)
    torch.save({"params-ema": {"module.swin.weight": torch.zeros(3)}}, tmp_path / "swin.pth")
    monkeypatch.setitem(sys.modules, "spandrel", None)  # as where it is not installed
    with pytest.raises(ModelError, match=r"swin\.pth .* spandrel, which is not installed.*upscalers"):
        opened(tmp_path / "swin.pth", CPU, torch.float32)
    names = SimpleNamespace(
        ModelLoader=lambda: loader, UnsupportedModelError=UnsupportedModelError, ImageModelDescriptor=Descriptor
    )
    monkeypatch.setitem(sys.modules, "spandrel", names)
    shelf = UpscalerShelf(Residents(profile_of(OPTIONS)))
    enlarge = shelf.enlargers(
        {"swin": UpscalerRef("swin", str(tmp_path / "swin.pth"))}, {OTHER: TileSize(8, 2)}, lambda done, of: None
    )
    assert enlarge["swin"](Image.new("RGB", (11, 7)), 2.0).size == (33, 21)
    for name, channels, words in (("swin.weight", 2, "2 channels"), ("other", 3, "no kind")):
        torch.save({name: torch.zeros(channels)}, tmp_path / "other.pth")
        with pytest.raises(ModelError, match=rf"other\.pth .*{words}"):
            opened(tmp_path / "other.pth", CPU, torch.float32)


@pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")
def test_spandrel_s_own_networks_come_out_as_from_itself(tmp_path: Path) -> None:
    spandrel = pytest.importorskip("spandrel", exc_type=ImportError)
    arch = importlib.import_module("spandrel.architectures.SwinIR")
    network = arch.SwinIR(
        upscale=2, img_size=16, window_size=8, depths=[2], embed_dim=12, num_heads=[2], upsampler="pixelshuffle"
    )
    torch.save({"params": network.state_dict()}, tmp_path / "swin.pth")
    found = opened(tmp_path / "swin.pth", CPU, torch.float32)
    picture = torch.rand(1, 3, 13, 21)
    with torch.inference_mode():
        wanted = spandrel.ModelLoader().load_from_state_dict(network.state_dict())(picture)
        assert torch.equal(found.network(picture), wanted)

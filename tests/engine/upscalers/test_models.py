"""Upscaler files: what is opened, and how a large picture is done in tiles."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from webui.base.errors import ModelError
from webui.engine.upscalers.esrgan import Compact, Rrdb
from webui.engine.upscalers.models import Upscaler, UpscalerShelf, opened, spans, tiled
from webui.engine.upscalers.resize import enlarged
from webui.request.extras import UpscalerRef

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


def test_what_is_no_upscaler_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"not a file of torch's")
    for name in ("other.safetensors", "broken.pth"):
        with pytest.raises(ModelError, match=name):
            opened(tmp_path / name, CPU, torch.float32)


def test_tiles_cover_the_picture_and_fade_without_a_seam() -> None:
    assert list(spans(100, 100, 8)) == [(0, 100)]
    found = list(spans(100, 32, 8))
    assert found[0][0] == 0
    assert found[-1][1] == 100
    assert all(nexts[0] <= before[1] - 8 for before, nexts in pairwise(found))
    plain = Upscaler(torch.nn.Upsample(scale_factor=2), 2, torch.float32)
    pixels = torch.rand(1, 3, 50, 70)
    steps: list[tuple[int, int]] = []
    made = tiled(plain, pixels, 32, 8, lambda done, of: steps.append((done, of)))
    assert torch.allclose(made, torch.nn.functional.interpolate(pixels, scale_factor=2), atol=1e-6)
    assert steps[-1] == (6, 6)


def test_a_model_is_asked_again_until_the_picture_is_large_enough(tmp_path: Path) -> None:
    torch.save(Compact(3, 4, 1, 2).state_dict(), tmp_path / "x2.pth")
    shelf = UpscalerShelf(CPU)
    enlargers = shelf.enlargers({"x2": UpscalerRef("x2", str(tmp_path / "x2.pth"))}, 0, 0, lambda _done, _of: None)
    with torch.inference_mode():
        assert enlarged(Image.new("RGB", (16, 8)), 3, "x2", enlargers).size == (48, 24)

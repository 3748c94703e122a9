"""A picture that is enlarged in tiles is the one that is enlarged as a whole."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from tests.engine.upscalers.test_attention import CPU, KINDS
from tests.packaged import have
from webui.base.paths import PACKAGES
from webui.engine.upscalers.models import Upscaler, faded, margin, opened, shared_for, shared_within, spans, tiled
from webui.request.settings import Settings
from webui.request.tiles import DAT, OTHER, SCUNET, SWINIR, TileSize, tiles_of

PHOTOGRAPH = Path(__file__).parents[2] / "pictures" / "astronaut.jpg"


def picture(height: int, width: int) -> Tensor:
    stream = torch.Generator().manual_seed(3)
    return interpolate(torch.rand(1, 3, height // 8, width // 8, generator=stream), (height, width), mode="bicubic")


def apart(upscaler: Upscaler, pixels: Tensor, tiles: TileSize) -> tuple[Tensor, Tensor]:
    """(differences between tiled and whole, whole)"""
    with torch.inference_mode():
        whole = upscaler.network(pixels)
        return (tiled(upscaler, pixels, tiles, lambda _done, _of: None) - whole).abs(), whole


@pytest.mark.parametrize(
    ("side", "tile", "overlap", "grid"),
    [(100, 32, 8, 1), (100, 32, 31, 1), (200, 64, 8, 8), (211, 40, 39, 8), (65, 8, 0, 32)],
)
def test_tiles_cover_the_picture_share_what_they_shall_and_begin_on_the_grid(
    side: int, tile: int, overlap: int, grid: int
) -> None:
    found = list(spans(side, tile, overlap, grid))
    assert (found[0][0], found[-1][1]) == (0, side)
    assert all(before[1] - after[0] >= min(overlap, found[0][1] - grid) for before, after in pairwise(found))
    assert all(begin % grid == 0 for begin, _ in found)
    sums = torch.zeros(2 * side)
    for one in faded(found, 2):
        assert (one.weights >= 0).all()
        sums[one.large(2)] += one.weights
    assert torch.allclose(sums, torch.ones(()))
    assert list(spans(side, side, overlap, grid)) == [(0, side)]


def test_what_sees_one_pixel_alone_comes_out_as_from_the_whole() -> None:
    steps: list[tuple[int, int]] = []
    plain, pixels = Upscaler(torch.nn.Upsample(scale_factor=2), 2, torch.float32), torch.rand(1, 3, 50, 70)
    made = tiled(plain, pixels, TileSize(32, 8), lambda done, of: steps.append((done, of)))
    assert torch.allclose(made, interpolate(pixels, scale_factor=2), atol=1e-6)
    assert steps[-1] == (6, 6)


def test_where_the_margin_is_as_wide_as_a_network_sees_nothing_differs() -> None:
    """Eleven convolutions see eleven pixels far; beyond a tile's edge they see zeros."""
    torch.manual_seed(0)
    deep = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(11)))
    assert margin(26) == 11 and shared_for(11) == 26
    wrong, whole = apart(Upscaler(deep, 1, torch.float32), picture(40, 120), TileSize(64, 26))
    assert wrong.max() < 1e-5 * whole.abs().max()
    assert (
        apart(Upscaler(deep, 1, torch.float32), picture(40, 120), TileSize(64, 2))[0].max() > 1e-5 * whole.abs().max()
    )


@pytest.mark.parametrize("kind", ["SwinIR x4", "SwinIR light x2", "SwinIR x1"])
def test_windows_of_tiles_are_those_of_the_whole_picture(kind: str, tmp_path: Path) -> None:
    """Four layers with windows of 8 pixels, every other one shifted by 4, and six convolutions see less than 24 far."""
    torch.save(KINDS[kind](), tmp_path / "x.pth")
    upscaler = opened(tmp_path / "x.pth", CPU, torch.float32)
    wrong, whole = apart(upscaler, picture(72, 168), TileSize(104, 64))
    assert wrong.max() < 1e-4 * (whole.max() - whole.min())
    usual, _ = apart(upscaler, picture(72, 168), TileSize(104, tiles_of(Settings().render)[SWINIR].overlap))
    assert usual.max() < (whole.max() - whole.min()) / 255


def astronaut(height: int, width: int) -> Tensor:
    """From the middle of a photograph: a face, a flag, a suit."""
    with Image.open(PHOTOGRAPH) as opened_file:
        levels = torch.from_numpy(np.array(opened_file.convert("RGB")))
    top, left = (levels.shape[0] - height) // 3, (levels.shape[1] - width) // 2
    return levels[top : top + height, left : left + width].permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("realesr-animevideov3", 144),
        ("RealESRGAN_x4plus_anime_6B", 208),
        pytest.param("RealESRGAN_x4plus", 256, marks=pytest.mark.long),
    ],
)
def test_photographs_in_tiles_are_within_a_level_of_the_whole(name: str, width: int) -> None:
    """With as much overlap as each of the packaged networks takes when the settings are as usual."""
    have(f"{name}.safetensors")
    upscaler, usual = opened(PACKAGES / f"{name}.safetensors", CPU, torch.float32), tiles_of(Settings().render)[OTHER]
    overlap = shared_within(usual, upscaler.reach).overlap
    pixels = astronaut(40, width)
    side = (width + overlap) // 2
    assert len(list(spans(width, side, overlap))) == 2
    wrong, _ = apart(upscaler, pixels, TileSize(side, overlap))
    assert wrong.max() * 255 <= 1
    seams, _ = apart(upscaler, pixels, TileSize(side, 8))  # A1111's
    assert seams.max() > 4 * wrong.max()


def test_no_tile_is_larger_than_so_many_have_to_be() -> None:
    assert list(spans(512, 384, 128)) == [(0, 320), (192, 512)]
    assert list(spans(512, 192, 8)) == [(0, 176), (168, 344), (336, 512)]
    usual = tiles_of(Settings().render)[OTHER]
    assert shared_within(usual, 59).overlap == 128 and shared_within(usual, 42).overlap == 96
    assert shared_within(TileSize(96, 128), 59).overlap == 32, "smaller tiles, since memory ran out, are not many more"


def test_scunet_in_tiles_is_within_a_level_of_the_whole(tmp_path: Path) -> None:
    torch.save(KINDS["ScuNET"](), tmp_path / "x.pth")
    upscaler = opened(tmp_path / "x.pth", CPU, torch.float32)
    tiles = TileSize(128, tiles_of(Settings().render)[SCUNET].overlap)
    wrong, whole = apart(upscaler, picture(64, 192), tiles)
    assert wrong.max() < (whole.max() - whole.min()) / 255


def test_dat_in_tiles_is_near_the_whole() -> None:
    """It attends over the channels of the whole picture, so that no overlap makes tiles equal to it."""
    have("DAT_light_x2.safetensors")
    upscaler = opened(PACKAGES / "DAT_light_x2.safetensors", CPU, torch.float32)
    wrong, _ = apart(upscaler, picture(32, 96), TileSize(64, tiles_of(Settings().render)[DAT].overlap))
    assert wrong.mean() * 255 < 0.1
    assert wrong.max() * 255 < 1

"""Attention within tiles: what is taken apart is put together again, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from tests.engine.conftest import reference
from webui.engine.families.family import Conditioning
from webui.engine.model_manager import ModelManager
from webui.features.hypertile.engine import TileCounts, counts, joined, levels_of, split, tiled_unet, tiled_vae
from webui.features.hypertile.parameters import Params
from webui.request.fields import Txt2Img
from webui.request.settings import RenderSettings


@given(st.integers(1, 200), st.integers(0, 300), st.integers(0, 9))
def test_tiles_are_equal_and_not_smaller_than_wanted(side: int, smallest: int, options: int) -> None:
    found = counts(side, smallest, options)
    assert 1 <= len(found) <= max(options, 1)
    assert all(side % count == 0 and side // count >= min(max(smallest, 1), side) for count in found)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_what_is_split_is_joined(down: int, across: int, high: int, wide: int) -> None:
    size = (down * high, across * wide)
    x = torch.arange(2 * size[0] * size[1] * 3, dtype=torch.float32).reshape(2, -1, 3)
    parts = split(x, size, (down, across))
    assert parts.shape == (2 * down * across, high * wide, 3)
    assert torch.equal(joined(parts, size, (down, across)), x)
    grid = x.reshape(2, *size, 3)
    assert torch.equal(parts[0], grid[0, :high, :wide].reshape(-1, 3))


def test_a_tile_attends_to_itself() -> None:
    """The attention of the upper half does not see the lower one."""
    x = torch.randn(1, 16, 4, generator=torch.Generator().manual_seed(1))
    parts = split(x, (4, 4), (2, 1))
    whole = joined(scaled_dot_product_attention(parts, parts, parts), (4, 4), (2, 1))
    upper = x[:, :8]
    assert torch.allclose(whole[:, :8], scaled_dot_product_attention(upper, upper, upper), atol=1e-6)


def test_sizes_take_turns_alike_in_each_pass_and_fit_the_picture() -> None:
    one, other = TileCounts(64, 3), TileCounts(64, 3)
    drawn = [one((64, 48), 0, (64, 48)) for _ in range(20)]
    assert drawn == [other((64, 48), 0, (64, 48)) for _ in range(20)]
    assert len(set(drawn)) > 1
    assert max(down for down, _ in drawn) == 8 and all(64 % down == 0 and 48 % across == 0 for down, across in drawn)
    assert TileCounts(256, 1)((36, 36), 0, (36, 36)) == (9, 9)  # no power of two over 4 divides both sides
    assert TileCounts(32, 1)((16, 16), 2, (64, 64)) == (1, 1)  # lower levels have larger tiles


@pytest.mark.parametrize(
    ("options", "hires", "passes"),
    [
        ({}, True, None),
        ({"hypertile_enable_unet": True}, False, (True, False)),
        ({"hypertile_enable_unet": True}, True, (True, True)),
        ({"hypertile_enable_unet_secondpass": True}, True, (False, True)),
        ({"hypertile_enable_unet_secondpass": True}, False, None),
        ({"hypertile_enable_vae": True}, False, (False, False)),
    ],
)
def test_where_it_acts(options: dict[str, bool], hires: bool, passes: tuple[bool, bool] | None) -> None:
    found = Params.of(Txt2Img(enable_hr=hires), RenderSettings().changed(**options))
    assert (None if found is None else (found.first, found.second)) == passes


def test_the_networks_are_as_before_afterwards(models: ModelManager, tiny_checkpoint: Path) -> None:
    x, t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([500.0])
    asked = Conditioning(torch.zeros(1, 77, 128))
    with torch.inference_mode(), models.lend(reference(tiny_checkpoint), None) as loaded:
        model, unet, vae = loaded.model, loaded.model.parts["unet"], loaded.model.parts["vae"]
        before, picture = model.predict(x, t, asked), model.decode(x)
        assert {level for level, _ in levels_of(unet)} == {0, 1, 2}
        with tiled_unet(unet, 3, TileCounts(16, 1)):
            assert not torch.allclose(model.predict(x, t, asked), before, atol=1e-5)
        with tiled_unet(unet, 3, TileCounts(128, 1)):
            assert torch.equal(model.predict(x, t, asked), before)  # one tile is the whole
        with tiled_vae(vae, TileCounts(16, 1)):
            assert not torch.allclose(model.decode(x), picture, atol=1e-5)
        with pytest.raises(KeyError), tiled_unet(unet, 3, TileCounts(16, 1)), tiled_vae(vae, TileCounts(16, 1)):
            raise KeyError
        assert torch.equal(model.predict(x, t, asked), before) and torch.equal(model.decode(x), picture)

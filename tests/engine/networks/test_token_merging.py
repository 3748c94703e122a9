"""Merging tokens: what is merged, what stays, and that nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.engine.conftest import reference
from webui.engine.families.family import Conditioning
from webui.engine.model_manager import ModelManager
from webui.features.tiling.engine import tiled
from webui.features.token_merging.engine import TokenMerge, merging


def tokens(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, height * width, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(4, 4), (5, 7)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_the_share_is_merged_and_targets_stay(size: tuple[int, int], share: float) -> None:
    x = tokens(*size)
    merge = TokenMerge(x, *size, share)
    fewer = merge(x)
    sources = x.shape[1] - (size[0] // 2) * (size[1] // 2)
    assert fewer.shape[1] == x.shape[1] - min(int(x.shape[1] * share), sources)
    assert merge.undone(fewer).shape == x.shape


def test_nothing_merged_is_nothing_changed() -> None:
    x = tokens(4, 4)
    merge = TokenMerge(x, 4, 4, 0.01)
    assert torch.equal(merge.undone(merge(x)), x)


def test_like_tokens_are_merged_without_loss() -> None:
    """Where all tokens of a 2 x 2 block are alike, three of four can go."""
    x = tokens(2, 2).reshape(2, 2, 2, 5).repeat_interleave(2, dim=1).repeat_interleave(2, dim=2).reshape(2, 16, 5)
    merge = TokenMerge(x, 4, 4, 0.75)
    assert merge(x).shape[1] == 4
    assert torch.allclose(merge.undone(merge(x)), x, atol=1e-6)


def test_the_network_is_as_before_afterwards(models: ModelManager, tiny_checkpoint: Path) -> None:
    x, t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([500.0])
    asked = Conditioning(torch.zeros(1, 77, 128))
    with torch.inference_mode(), models.lend(reference(tiny_checkpoint), None) as loaded:
        model, unet = loaded.model, loaded.model.parts["unet"]
        before = model.predict(x, t, asked)
        with merging(unet, 0.5), tiled([unet]):
            assert not torch.allclose(model.predict(x, t, asked), before, atol=1e-4)
        assert torch.equal(model.predict(x, t, asked), before)
        with pytest.raises(KeyError), merging(unet, 0.5), tiled([unet]):
            raise KeyError
        assert torch.equal(model.predict(x, t, asked), before)

"""Where soft inpainting brings the given picture back."""

from __future__ import annotations

import numpy as np
from PIL import Image

from webui.features.soft_inpainting.overlay import Differences, changed_part, uncropped, weighted_ranks


def test_what_has_not_changed_comes_back_and_what_has_does_not() -> None:
    before = np.zeros((4, 8, 16), np.float32)
    after = before.copy()
    after[:, :, 8:] = 5.0
    shows = np.asarray(changed_part(before, after, np.ones((8, 16), np.float32), Differences(), (128, 64)))
    assert shows[:, :24].max() <= 2
    assert shows[:, -24:].min() > 240


def test_the_mean_between_two_ranks_lies_between_least_and_greatest_neighbour() -> None:
    values = np.random.default_rng(0).normal(size=(6, 7))
    assert np.allclose(weighted_ranks(np.full((5, 5), 3.0), 0.25, 0.75), 3.0)
    low, middle, high = (weighted_ranks(values, *ranks) for ranks in ((0.0, 0.1), (0.25, 0.75), (0.9, 1.0)))
    assert (low <= middle + 1e-9).all()
    assert (middle <= high + 1e-9).all()
    assert high.max() <= values.max()


def test_a_mask_goes_back_to_where_it_was_cut_from() -> None:
    mask = Image.new("L", (64, 64), 255)
    whole = uncropped(mask, (100, 80), (10, 20, 42, 52))
    assert whole.size == (100, 80)
    assert whole.getbbox() == (10, 20, 42, 52)

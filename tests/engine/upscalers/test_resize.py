"""Fitting pictures to sizes as A1111 does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from webui.base.errors import NotFound
from webui.engine.upscalers.resize import enlarged, fitted

PICTURES = Path(__file__).parents[2] / "golden" / "pictures"


@pytest.mark.parametrize("path", sorted(PICTURES.glob("resize_*.png")), ids=lambda path: path.stem)
def test_as_recorded(path: Path) -> None:
    match = re.fullmatch(r"resize_(\w+)_(\d)_(\d+)x(\d+)_(\w+)", path.stem)
    assert match
    source, mode, width, height, upscaler = match.groups()
    with Image.open(PICTURES / f"{source}.png") as given, Image.open(path) as wanted:
        made = fitted(given.convert("RGB"), int(width), int(height), int(mode), upscaler)
        assert np.array_equal(np.asarray(made), np.asarray(wanted.convert("RGB")))


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (7, 200), (33, 32)])
def test_any_shape_comes_out_at_the_size_asked_for(mode: int, size: tuple[int, int]) -> None:
    assert fitted(Image.new("RGB", (40, 30)), *size, mode).size == size


def test_enlarging_gives_multiples_of_8_and_never_shrinks_below() -> None:
    assert enlarged(Image.new("RGB", (50, 30)), 2, "Nearest").size == (96, 56)


def test_an_unknown_upscaler_is_named() -> None:
    with pytest.raises(NotFound, match="Lanzos"):
        enlarged(Image.new("RGB", (8, 8)), 2, "Lanzos")

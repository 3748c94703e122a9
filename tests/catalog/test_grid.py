"""Sheets as A1111 lays them out. (`golden/functions/image_grid.json`)"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from webui.catalog import grid

GOLDEN = Path(__file__).parents[1] / "golden" / "functions" / "image_grid.json"


def test_rows_and_columns_are_those_of_a1111() -> None:
    for case in json.loads(GOLDEN.read_text()):
        pictures = [Image.new("RGB", (8, 4)) for _ in range(case["n"])]
        rows = grid.rows_of(case["n"], case["batch"], case["n_rows"], prevent_empty_spots=case["prevent_empty"])
        assert list(grid.image_grid(pictures, rows).size) == case["grid_size"], case


def test_every_picture_lies_in_the_middle_of_its_cell_in_reading_order() -> None:
    small, large = Image.new("RGB", (2, 2), "red"), Image.new("RGB", (4, 6), "blue")
    sheet = np.asarray(grid.image_grid([small, large, large], 2, "#00ff00"))
    assert sheet.shape == (12, 8, 3)
    assert (sheet[2:4, 1:3] == (255, 0, 0)).all()
    assert (sheet[0:2, 0:4] == (0, 255, 0)).all()
    assert (sheet[:6, 4:] == (0, 0, 255)).all()
    assert (sheet[6:, 4:] == (0, 255, 0)).all(), "an empty spot shows the ground"


def test_a_sheet_too_large_to_be_one_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "LARGEST_SIDE", 100)
    sheet = grid.image_grid([Image.new("RGB", (80, 40))] * 4, 2)
    assert max(sheet.size) <= 100
    assert sheet.width == 2 * sheet.height

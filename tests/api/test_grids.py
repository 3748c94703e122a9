"""The sheet of a run's pictures: where it comes back, where it lies, and what it is called."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from tests.api.conftest import Api
from tests.api.test_generate import asked


def opened(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def sheets(api: Api) -> list[Path]:
    return sorted((api.app.paths.data / "outputs" / "txt2img-grids").rglob("grid-*"))


def test_a_sheet_comes_first_where_pictures_are_saved(api: Api) -> None:
    for number in range(2):
        answer = asked(api, n_iter=2, batch_size=2, save_images=True)
        info: dict[str, Any] = json.loads(answer["info"])
        assert len(answer["images"]) == len(info["infotexts"]) == 5
        assert info["index_of_first_image"] == 1
        assert info["all_seeds"] == [5, 6, 7, 8]
        sheet = opened(answer["images"][0])
        side = opened(answer["images"][1]).width
        assert sheet.size == (2 * side, 2 * side)
        assert sheet.info["parameters"] == info["infotexts"][0] == info["infotexts"][1]
        for index, place in enumerate([(0, 0), (side, 0), (0, side), (side, side)]):
            cell = sheet.convert("RGB").crop((*place, place[0] + side, place[1] + side))
            assert cell.tobytes() == opened(answer["images"][1 + index]).convert("RGB").tobytes()
        assert [path.name for path in sheets(api)] == [f"grid-{each:04}.png" for each in range(number + 1)]
    assert sheets(api)[-1].read_bytes() == base64.b64decode(answer["images"][0])


def test_no_sheet_comes_of_one_picture_nor_where_none_is_wanted(api: Api) -> None:
    assert len(asked(api, save_images=True)["images"]) == 1
    assert len(asked(api, n_iter=2)["images"]) == 2
    assert sheets(api) == []
    unshown = asked(api, n_iter=2, save_images=True, override_settings={"return_grid": False, "n_rows": 2})
    assert len(unshown["images"]) == 2
    assert json.loads(unshown["info"])["index_of_first_image"] == 0
    with Image.open(sheets(api)[0]) as sheet:
        assert sheet.height == 2 * sheet.width


def test_the_settings_say_how_it_is_called_and_kept(api: Api) -> None:
    chosen = {
        "grid_format": "webp",
        "grid_save_to_dirs": False,
        "grid_extended_filename": True,
        "outdir_grids": "elsewhere",
    }
    asked(api, n_iter=2, save_images=True, override_settings=chosen)
    assert [path.name for path in (api.app.paths.data / "elsewhere").iterdir()] == ["grid-0000-5-a red apple.webp"]

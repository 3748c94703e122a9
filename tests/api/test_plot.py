"""X/Y/Z plot over HTTP, as A1111's clients ask for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_generate import SMALL, asked
from tests.api.test_grids import opened
from webui.request import infotext

BEHIND = [True, True, False, False, False, False, False, 0, True]
"""Legend and lone images."""


def plotted(api: Api, *axes: Any, behind: list[Any] = BEHIND, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    answer = asked(api, script_name="X/Y/Z plot", script_args=[*axes, *behind], **body)
    return answer, json.loads(answer["info"])


def test_a_table_comes_with_its_sheet_first(standing: Api) -> None:
    answer, info = plotted(standing, 4, "1,2", [], 6, "3-4", [], 0, "", [])
    assert len(answer["images"]) == len(info["infotexts"]) == 5
    assert info["index_of_first_image"] == 1
    assert info["all_seeds"] == [5] * 4
    found = [infotext.read(text).labels for text in info["infotexts"][1:]]
    wanted = [("1", "3.0"), ("2", "3.0"), ("1", "4.0"), ("2", "4.0")]
    assert [(each["Steps"], each["CFG scale"]) for each in found] == wanted
    sheet, first = opened(answer["images"][0]), opened(answer["images"][1])
    assert sheet.width == first.width * 3 // 4 + 2 * first.width
    labels = infotext.read(sheet.info["parameters"]).labels
    assert (labels["Script"], labels["X Type"], labels["X Values"]) == ("X/Y/Z plot", "Steps", "1,2")


def test_layers_come_as_sheets_of_their_own_where_asked(standing: Api) -> None:
    behind = [False, False, True, False, False, False, False, 2, True]
    answer, info = plotted(standing, 4, "1,2", [], 0, "", [], 1, "7,8", [], behind=behind)
    side = opened(asked(standing)["images"][0]).width
    assert [opened(each).size for each in answer["images"]] == [(4 * side, side)] + [(2 * side, side)] * 2
    assert info["all_seeds"] == [7, 7, 8, 8]


def test_a_batch_is_told_by_its_first_picture_and_saved_whole(api: Api) -> None:
    line = (4, "1,2", [], 0, "", [], 0, "", [])
    answer, info = plotted(api, *line, batch_size=2)
    assert len(answer["images"]) == len(info["infotexts"]) == 3
    assert (info["batch_size"], info["all_seeds"]) == (2, [5, 5])
    answer, info = plotted(api, *line, batch_size=2, n_iter=2, save_images=True)
    assert (len(answer["images"]), info["all_seeds"]) == (3, [5, 5])
    assert len(list((api.app.paths.data / "outputs" / "txt2img-images").rglob("*.png"))) == 2 * 4


@pytest.mark.parametrize("values", ["b," + "x" * 131_073, "b,a\0c", "b,a\rc", 'b,"a', "\0", ","])
def test_no_text_of_values_brings_the_server_down(standing: Api, values: str) -> None:
    for place in (0, 4, 6, 7, 8, 9, 37):
        body = {**SMALL, "prompt": "b", "script_name": "x/y/z plot"}
        body["script_args"] = [place, values, [], 0, "", [], 0, "", [], *BEHIND]
        answer = standing.client.post("/sdapi/v1/txt2img", json=body)
        assert answer.status_code in (200, 404, 422), answer.text
        assert answer.status_code == 200 or answer.json()["detail"]


def test_a_saved_table_lies_among_the_sheets(api: Api) -> None:
    plotted(api, 11, "", ["second", "first"], 0, "", [], 0, "", [], save_images=True)
    folder = api.app.paths.data / "outputs" / "txt2img-grids"
    assert [path.name for path in folder.rglob("*.png")] == ["xyz_grid-0000-5.png"]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ([4, "many", [], 0, "", [], 0, "", [], *BEHIND], 422, "Steps: 'many'"),
        ([9, "Euler, Eular", [], 0, "", [], 0, "", [], *BEHIND], 404, "Sampler not found"),
        ([999, "1", [], 0, "", [], 0, "", [], *BEHIND], 422, "no axis 999"),
        ([], 422, "18 values"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_stays_in_the_queue(
    standing: Api, arguments: list[Any], status: int, told: str
) -> None:
    body = {**SMALL, "script_name": "x/y/z plot", "script_args": arguments}
    answer = standing.client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == status, answer.text
    assert told in answer.text
    assert asked(standing)["images"]


def test_its_values_are_listed(standing: Api) -> None:
    assert "x/y/z plot" in standing.client.get("/sdapi/v1/scripts").json()["txt2img"]
    found = {
        each["is_img2img"]: each["args"]
        for each in standing.client.get("/sdapi/v1/script-info").json()
        if each["name"] == "x/y/z plot"
    }
    assert {len(arguments) for arguments in found.values()} == {18}
    assert found[False][0]["choices"][29] == found[True][0]["choices"][28] == "VAE"

"""A subject is cut out: networks of one's own, and edges made out hair by hair."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.engine.detectors.graphs import graph
from tests.engine.test_detectors import lending
from webui.base.errors import ModelError
from webui.engine.detectors.cut_out import cut_out
from webui.engine.detectors.matting import matted
from webui.engine.detectors.subject import opened
from webui.request.cutting import Cutting, Edge
from webui.request.model_ref import ModelRef

RED, BLUE = (220, 40, 30), (20, 60, 200)


def scene(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(picture, opacity from 0 to 1, the mask that a network sees of it): a red star with soft rays before blue."""
    down, across = np.mgrid[:side, :side] / side - 0.5
    far, turn = np.hypot(across, down), np.arctan2(down, across)
    opacity = np.clip((0.28 + 0.03 * np.sin(30 * turn) - far) / 0.03, 0, 1)
    picture = opacity[..., None] * RED + (1 - opacity[..., None]) * BLUE
    small = cv2.resize(opacity.astype(np.float32), (80, 80), interpolation=cv2.INTER_AREA)
    rough = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.5), (side, side)) * 255
    return picture.round().astype(np.uint8), opacity, rough.round().astype(np.uint8)


@pytest.mark.parametrize("side", [128, 640])
def test_edges_are_made_out_in_small_and_in_large_pictures(side: int) -> None:
    picture, opacity, rough = scene(side)
    colours, alpha = matted(picture, rough, Edge(erode=max(side // 24, 1)))
    before, after = (np.abs(each / 255 - opacity).mean() * 255 for each in (rough, alpha))
    assert after < 0.6 < 6 < before
    on_green = alpha[..., None] / 255 * colours + (1 - alpha[..., None] / 255) * (0, 255, 0)
    wanted = opacity[..., None] * RED + (1 - opacity[..., None]) * (0, 255, 0)
    assert np.abs(on_green - wanted).mean() < 1, "no blue is left at the edge"


@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (40, 40)])
@pytest.mark.parametrize("level", [0, 100, 255])
def test_where_nothing_or_all_is_sure_the_mask_stays(shape: tuple[int, int], level: int) -> None:
    picture, mask = np.zeros((*shape, 3), np.uint8), np.full(shape, level, np.uint8)
    colours, alpha = matted(picture, mask, Edge())
    assert (alpha == mask).all() and (colours == picture).all()


@pytest.mark.parametrize("sigmoid", [True, False])
def test_a_network_of_one_s_own_finds_the_subject(sigmoid: bool, tmp_path: Path) -> None:
    """Answers without a sigmoid get one."""
    path = tmp_path / "isnet-mine.onnx"
    path.write_bytes(graph(sigmoid=sigmoid))
    picture = scene(96)[0]
    made = cut_out(Image.fromarray(picture), Cutting(ModelRef(str(path), "mine")), lending())
    alpha = np.array(made.getchannel("A"))
    assert made.mode == "RGBA"
    assert alpha[36:60, 36:60].min() > 240 and alpha[:12].max() < 15


HOSTILE = {
    "its weights lie in another file": graph(external=True),
    "more than the file can hold": graph(dims=(1, 3, 100_000, 100_000)),
    "which is too large": graph(side=100_000),
    "it does not take one picture": graph(channels=7),
    "is no mask": graph(outputs=2),
    "not an ONNX file": b"\x08\x07" + b"nonsense" * 9,
    "cannot": b"",
}


@pytest.mark.parametrize("said", HOSTILE)
def test_what_is_no_such_network_is_named(said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(HOSTILE[said])
    with pytest.raises(ModelError, match=said) as raised:
        opened(path)(np.zeros((20, 30, 3), np.uint8))
    assert "odd.onnx" in raised.value.message


def test_what_opencv_cannot_do_is_asked_of_onnxruntime_where_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "u2net.onnx"
    path.write_bytes(graph().replace(b"Sigmoid", b"Sigmund"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as where it is not installed
    with pytest.raises(ModelError, match="OpenCV cannot carry it out") as raised:
        opened(path)
    assert "onnxruntime" in raised.value.hint

    class Session:
        def __init__(self, given: str, providers: list[str]) -> None:
            assert given == str(path)
            assert providers

        def run(self, names: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert (names, [*given]) == (["mask"], ["picture"])
            return [given["picture"][:, :1]]

    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session))
    assert opened(path)(scene(40)[0])[20, 20] == 255

"""Preprocessors and maps at the edges, one pixel or a long strip: a map, or a sentence; never all the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.annotators import FILES, written
from tests.packaged import have_detectors
from webui.base.errors import UserError
from webui.engine.control.hints import sized
from webui.engine.memory import profile_of
from webui.engine.preprocessors.picture import Options, mapped
from webui.engine.residents import Residents
from webui.features.controlnet.parameters import RESIZE_MODES
from webui.request.engine_options import EngineOptions
from webui.request.model_ref import ModelRef
from webui.request.preprocessors import TABLE, Preprocessor

BUILT = [known for known in TABLE if known.code]
LENDING = Residents(profile_of(EngineOptions(device="cpu")), budget=2**28)
SHAPES = [(1, 1), (1, 9000), (9000, 1), (3, 2), (64, 500)]
SMALL = [(1, 1), (1, 9000), (3, 2), (40, 64)]
"""For those with networks, which take a while."""


@pytest.mark.parametrize("known", BUILT, ids=lambda known: known.name)
def test_pictures_of_any_shape_give_a_map_or_a_sentence(known: Preprocessor, tmp_path: Path) -> None:
    if known.code.startswith(("webui.engine.preprocessors.openpose:", "webui.engine.preprocessors.face_keypoints:")):
        have_detectors()
    paths = [written(known.name, tmp_path)] if known.name in FILES else []
    files = tuple(ModelRef(str(path), path.name) for path in paths)
    side = 64 if files else 512
    for shape in SMALL if files else SHAPES:
        black = np.zeros((*shape, 3), np.uint8)
        for levels in (black, np.random.default_rng(1).integers(0, 256, black.shape, np.uint8)):
            options = Options(side, known.value_of(known.a, -1), known.value_of(known.b, -1), 1, LENDING, files)
            try:
                seen = mapped(known.code, levels, options).pixels
            except UserError as error:
                assert max(shape) > 4096, error.message
                assert "too long" in error.message
            else:
                assert seen.dtype == np.uint8
                assert seen.shape[:2] == shape or min(seen.shape[:2]) == side, (known.name, shape, seen.shape)


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_a_map_of_any_shape_is_brought_to_any_size_or_refused(mode: str) -> None:
    for shape in SHAPES:
        for size in ((64, 512), (512, 64), (8, 8)):
            try:
                assert sized(np.full((*shape, 3), 9, np.uint8), size, mode).shape == (size[1], size[0], 3)
            except UserError as error:
                assert mode == "Crop and Resize"
                assert max(shape) > 4096
                assert "would have to be enlarged to" in error.message

"""The packaged detectors, as a unit of the detailer asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.packaged import have_detectors
from webui.base.errors import NotFound
from webui.engine.detectors.by_name import look
from webui.engine.detectors.found import Detection
from webui.engine.memory import profile_of
from webui.engine.preprocessors.picture import Bytes
from webui.engine.residents import Residents
from webui.request.engine_options import EngineOptions
from webui.request.model_ref import ModelRef

PICTURES = Path(__file__).parents[2] / "pictures"


@pytest.fixture(scope="module")
def residents() -> Residents:
    have_detectors()
    return Residents(profile_of(EngineOptions(device="cpu")), budget=2**28)


def seen(residents: Residents, name: str, picture: Bytes, confidence: float = 0.3) -> list[Detection]:
    return look(ModelRef("", name), residents, picture, confidence)


def opened(name: str) -> Bytes:
    return np.array(Image.open(PICTURES / name).convert("RGB"))


def test_a_person_her_face_and_her_eyes_are_found_one_within_the_other(residents: Residents) -> None:
    picture = opened("astronaut.jpg")
    (person,), (face,), eyes = (seen(residents, name, picture) for name in ("person", "face", "eyes"))
    assert [person.label, face.label, *(eye.label for eye in eyes)] == ["person", "face", "eye", "eye"]
    for eye in eyes:
        assert face.box[0] <= eye.box[0] and face.box[1] < eye.box[1] < eye.box[3] < face.box[3]
        assert eye.shape is not None and 0 < eye.shape.mean() < 255
    assert person.shape is not None and person.shape.mean() > 64
    size = (picture.shape[1], picture.shape[0])
    both = np.asarray(person.mask(size)).astype(bool) & np.asarray(face.mask(size)).astype(bool)
    assert both.sum() > np.asarray(face.mask(size)).astype(bool).sum() / 2
    assert seen(residents, "face", picture, 1.0) == []


def test_a_hand_is_found(residents: Residents) -> None:
    (hand, *_) = seen(residents, "hand", opened("hand.jpg"))
    assert hand.label == "hand" and hand.shape is None


@pytest.mark.parametrize("name", ["face", "hand", "person", "eyes"])
@pytest.mark.parametrize("size", [(1, 1), (64, 3), (200, 200)])
def test_where_there_is_nothing_nothing_is_found(name: str, size: tuple[int, int], residents: Residents) -> None:
    assert seen(residents, name, np.full((size[1], size[0], 3), 90, np.uint8)) == []


def test_a_name_that_nobody_knows_is_refused(residents: Residents) -> None:
    with pytest.raises(NotFound, match="paw"):
        seen(residents, "paw", np.zeros((8, 8, 3), np.uint8))

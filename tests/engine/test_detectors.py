"""What is found in pictures: where it is, turned, several times, cut short, or not at all."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.packaged import have_detectors
from webui.base.errors import ModelError
from webui.catalog import onnx_file, tflite
from webui.engine.detectors.anchors import anchors, decoded, overlaps
from webui.engine.detectors.detectors import FACES, PALMS, PERSON, Detectors, Landmarks
from webui.engine.detectors.regions import Bytes, Region, around, turned
from webui.engine.detectors.subject import packaged, subject_mask
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.request.engine_options import EngineOptions

NOSE, LEFT_SHOULDER, RIGHT_SHOULDER = 0, 11, 12
SEEN_AT = {NOSE: (108, 62), LEFT_SHOULDER: (148, 118), RIGHT_SHOULDER: (58, 112)}
"""Where a person sees them in the picture of the astronaut."""
PICTURES = Path(__file__).parents[1] / "pictures"
NEAR = 14
"""Pixels."""


def lending() -> Residents:
    return Residents(profile_of(EngineOptions(device="cpu")), budget=2**28)


@pytest.fixture(scope="module")
def detectors() -> Detectors:
    have_detectors()
    return Detectors(lending())


@pytest.fixture(scope="module")
def astronaut() -> Bytes:
    return np.array(Image.open(PICTURES / "astronaut.jpg").convert("RGB"))


@given(st.floats(0, 99), st.floats(0, 99), st.floats(20, 300), st.floats(-math.pi, math.pi), st.floats(-40, 40))
def test_what_is_seen_in_a_turned_square_lies_where_it_lay(
    x: float, y: float, side: float, angle: float, off: float
) -> None:
    """A dot that a square shows is mapped back onto itself."""
    ys, xs = np.mgrid[0:100, 0:100]
    at = (min(max(x + off / 4, 10), 90), min(max(y - off / 4, 10), 90))
    dot = 255 * np.exp(-((xs + 0.5 - at[0]) ** 2 + (ys + 0.5 - at[1]) ** 2) / 18)
    region = Region(x, y, side, angle)
    seen = region.seen(np.repeat(dot[..., None], 3, 2).astype(np.uint8), 96)[..., 0].astype(np.float64)
    inner = region.back(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32))
    middle = np.array([region.x, region.y])
    if np.linalg.norm(np.array(at) - middle) > side / 2 - 9:
        return  # cut by the square's edge
    assert np.allclose(inner.mean(0), middle, atol=1e-3)
    v, u = (np.average(np.arange(96) + 0.5, weights=seen.sum(axis) + 1e-9) / 96 for axis in (1, 0))
    assert np.allclose(region.back(np.array([[u, v]], np.float32))[0], at, atol=1.0)


def test_a_square_around_points_holds_them_in_any_direction() -> None:
    points = np.array([[10, 10], [30, 50], [20, 80]], np.float32)
    for angle in (0.0, 0.5, -2.0):
        region = around(points, angle)
        back = Region(region.x, region.y, region.side, angle).back(np.array([[0, 0], [1, 1]], np.float32))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        low, high = back @ turn
        inner = points @ turn
        assert (inner >= low - 1e-3).all() and (inner <= high + 1e-3).all()
    assert turned(np.array([5, 9]), np.array([5, 1]), math.pi / 2) == pytest.approx(0)
    assert turned(np.array([1, 5]), np.array([9, 5]), math.pi / 2) == pytest.approx(math.pi / 2)


def test_anchors_are_as_many_as_the_published_networks_have() -> None:
    assert len(anchors(224, (8, 16, 32, 32, 32))) == 2254
    assert len(anchors(192, (8, 16, 16, 16))) == 2016
    assert len(anchors(128, (8, 16, 16, 16))) == 896
    assert anchors(128, (8, 16, 16, 16))[:3].tolist() == [[0.03125, 0.03125]] * 2 + [[0.09375, 0.03125]]


def test_what_overlaps_is_one_thing_at_the_mean_by_its_scores() -> None:
    count = len(anchors(192, (8, 16, 16, 16)))
    logits, boxes = np.full((1, count, 1), -200, np.float32), np.zeros((1, count, 18), np.float32)
    boxes[..., 2:4] = 96
    logits[0, [100, 101]], logits[0, 900] = 0.0, 9.0
    boxes[0, 101, 0] = 4.8
    found = decoded([boxes, logits], 192, (8, 16, 16, 16))
    near = anchors(192, (8, 16, 16, 16))[[100, 900]]
    assert [round(float(each[0]), 2) for each in found] == [1.0, 0.5]
    assert found[1][1:3] == pytest.approx(near[0] - 0.25 + (0.0125, 0)), "halfway between two that are as sure"
    assert overlaps(np.array([0, 0, 2, 2]), np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])).tolist() == (
        pytest.approx([1, 1 / 3, 0])
    )


def test_a_person_is_found_with_face_and_shape(detectors: Detectors, astronaut: Bytes) -> None:
    (person,), (face,) = detectors.persons(astronaut), detectors.faces(astronaut)
    for point, at in SEEN_AT.items():
        assert person.visible[point]
        assert np.linalg.norm(person.points[point] - at) < NEAR, point
    assert not person.visible[25:].any(), "knees and feet are outside of the picture"
    left, top, right, bottom = face.box
    assert left < 108 < right and top < 62 < bottom and 30 < right - left < 70
    assert face.points[0, 0] < face.points[2, 0] < face.points[1, 0], "the nose is between the eyes"
    mesh = detectors.mesh_of(astronaut, face)
    assert mesh is not None and np.linalg.norm(mesh[1] - SEEN_AT[NOSE]) < NEAR
    assert detectors.hands_of(astronaut, person) == (None, None), "both are hidden"
    for mask in (subject_mask(packaged(), detectors.residents, astronaut), detectors.person_mask(astronaut)):
        assert mask.shape == (256, 256) and mask.dtype == np.uint8
        assert mask[90:250, 60:150].mean() > 230 > 25 > mask[:100, 160:].mean()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_hand_is_found_in_any_direction_and_at_the_end_of_an_arm(detectors: Detectors, turns: int) -> None:
    upright = np.array(Image.open(PICTURES / "hand.jpg").convert("RGB"))
    picture = np.ascontiguousarray(np.rot90(upright, -turns))
    (hand,) = detectors.hands(picture)
    across, up = [(1, 0), (0, 1), (-1, 0), (0, -1)][turns], [(0, -1), (1, 0), (0, 1), (-1, 0)][turns]
    tips = hand.points[[4, 8, 12, 16, 20]] - hand.points[0]
    assert np.all(tips @ up > 20), "all fingers are away from the wrist"
    assert np.all(np.diff(tips @ across) < 0), "from the thumb on, which is on the right"
    points = np.full((33, 2), -1, np.float32)
    points[[15, 19, 17]] = hand.points[[0, 5, 17]]
    person = Landmarks((0.0, 0.0, 288.0, 288.0), 1.0, points, points[:, 0] > 0)
    left, right = detectors.hands_of(picture, person)
    assert right is None and left is not None
    assert np.abs(left.points - hand.points).max() < NEAR


@pytest.mark.parametrize("degrees", [35, 90, 180, 270])
def test_a_person_is_found_in_any_direction(detectors: Detectors, astronaut: Bytes, degrees: int) -> None:
    turn = cv2.getRotationMatrix2D((192, 192), -degrees, 1)
    large = cv2.copyMakeBorder(astronaut, 64, 64, 64, 64, cv2.BORDER_CONSTANT)
    (person,) = detectors.persons(np.asarray(cv2.warpAffine(large, turn, (384, 384)), np.uint8))
    for point, at in SEEN_AT.items():
        there = turn[:, :2] @ (np.array(at) + 64) + turn[:, 2]
        assert np.linalg.norm(person.points[point] - there) < 2 * NEAR, point


def test_everybody_is_found_once(detectors: Detectors, astronaut: Bytes) -> None:
    small = np.asarray(cv2.resize(astronaut, (96, 96), interpolation=cv2.INTER_AREA), np.uint8)
    crowd = np.zeros((256, 900, 3), np.uint8)
    for place in range(6):
        crowd[160:, 150 * place : 150 * place + 96] = small
    faces = detectors.faces(crowd)
    persons = detectors.persons(crowd, faces)
    noses = sorted(float(person.points[NOSE, 0]) for person in persons)
    assert len(faces) == 6
    assert len(noses) == 6 and min(np.diff(noses)) > 100, "those too who are too small to be seen in the whole picture"


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (300, 200)])
def test_where_nobody_is_nobody_is_found(detectors: Detectors, shape: tuple[int, int]) -> None:
    for level in (0, 255):
        empty = np.full((*shape, 3), level, np.uint8)
        assert [*detectors.faces(empty), *detectors.persons(empty), *detectors.hands(empty)] == []
        assert detectors.person_mask(empty).shape == shape
    assert subject_mask(packaged(), detectors.residents, empty).shape == shape


def test_a_network_that_is_not_there_or_broken_is_named(tmp_path: Path) -> None:
    missing = Detectors(lending(), tmp_path)
    with pytest.raises(ModelError, match="The detector of faces is missing") as raised:
        missing.faces(np.zeros((9, 9, 3), np.uint8))
    assert raised.value.hint == "Fetch it with: python launch.py weights"
    (tmp_path / FACES).write_bytes(b"not a network")
    (tmp_path / PALMS).write_bytes(b"neither")
    for look in (missing.faces, missing.hands):
        with pytest.raises(ModelError, match=r"(centerface|palm_detection).* cannot be opened"):
            look(np.zeros((9, 9, 3), np.uint8))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_turned_and_mistyped_networks_are_refused_in_words(detectors: Detectors, data: st.DataObject) -> None:
    content = (detectors.folder / PERSON).read_bytes()
    assert len(tflite.read(content).operators) > 50
    place = data.draw(st.integers(0, len(content) - 1))
    more = data.draw(st.binary(max_size=4))
    broken = data.draw(st.sampled_from([content[:place], content[:place] + more + content[place + len(more) :]]))
    for read in (tflite.read, onnx_file.converted):
        try:
            read(broken)
        except ModelError as error:
            assert error.message.endswith(".")

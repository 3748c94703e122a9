"""OpenPose's own networks: who is found in maps, where hands and faces are looked for, and the files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.annotators import OPENPOSE, Tensors
from webui.base.errors import ModelError
from webui.engine.memory import profile_of
from webui.engine.preprocessors import own_openpose, pose_machines
from webui.engine.preprocessors.grouping import FIELDS
from webui.engine.preprocessors.picture import Map, Options, mapped
from webui.engine.residents import Residents
from webui.request.engine_options import EngineOptions
from webui.request.model_ref import ModelRef
from webui.request.poses import Figure
from webui.request.preprocessors import preprocessor

LENDING = Residents(profile_of(EngineOptions(device="cpu")), budget=2**30)
STANDING = np.array(
    [
        *((30, 12), (30, 24), (20, 25), (16, 38), (14, 50), (40, 25), (44, 38), (46, 50), (24, 52)),
        *((23, 68), (22, 84), (36, 52), (37, 68), (38, 84), (27, 9), (33, 9), (23, 11), (37, 11)),
    ],
    np.float32,
)
"""Somebody of 18 parts in 60x96 pixels."""


# ---------------------------------------------------------------- people from maps


def maps_of(
    people: list[NDArray[np.float32]], wide: int = 160, high: int = 110
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a perfect network says of people: fields (38, h, w) and parts (19, h, w); a part at NaN is not seen."""
    rows, columns = np.mgrid[:high, :wide].astype(np.float32)
    heat, fields = np.zeros((19, high, wide), np.float32), np.zeros((38, high, wide), np.float32)
    for parts in people:
        for number, (x, y) in enumerate(parts):
            if np.isfinite(x):
                heat[number] = np.maximum(heat[number], np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 12))
        for first, second, plane in FIELDS:
            way = parts[second] - parts[first]
            length = float(np.linalg.norm(way))
            if not np.isfinite(length):
                continue
            x, y = way / length
            past, beside = columns - parts[first][0], rows - parts[first][1]
            forward, aside = past * x + beside * y, np.abs(past * y - beside * x)
            within = (forward > -2) & (forward < length + 2) & (aside < 2.5)
            fields[plane][within], fields[plane + 1][within] = x, y
    return fields, heat


def grouped(people: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    fields, heat = maps_of(people)
    found = own_openpose.placed(fields, heat, lambda plane: plane, (160, 110))
    return [places * (160, 110) for places in found]


def alike(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> None:
    assert len(found) == len(expected)
    left = list(found)
    for person in expected:
        near = [each for each in left if np.allclose(each, person, atol=1.5, equal_nan=True)]
        assert near, (person, left)
        left = [each for each in left if each is not near[0]]


@pytest.mark.parametrize("apart", [62, 40, 24, -50])
def test_parts_are_grouped_to_just_the_people_who_have_them(apart: int) -> None:
    """Side by side, with arms across each other, and with the left one on the right."""
    first = STANDING + np.array([max(0, -apart), 0], np.float32)
    people = [first, first + np.array([apart, 6], np.float32)]
    alike(grouped(people), people)


def test_a_person_cut_off_is_found_and_a_lone_limb_is_nobody() -> None:
    cut = STANDING.copy()
    cut[8:14] = np.nan  # beyond the hips nothing
    lone = np.full((18, 2), np.nan, np.float32)
    lone[[2, 3]] = [[130, 30], [130, 50]]
    alike(grouped([cut, lone]), [cut])
    assert grouped([]) == [] and grouped([lone]) == []


def test_where_the_neck_is_hidden_ears_hold_arms_and_head_together() -> None:
    """Legs, which nothing holds to the rest, are too few parts for somebody else."""
    hidden = STANDING.copy()
    hidden[1] = np.nan
    rest = hidden.copy()
    rest[8:14] = np.nan
    alike(grouped([hidden]), [rest])


def test_a_field_of_nonsense_finds_nobody() -> None:
    fields, heat = (np.full((count, 20, 30), np.nan, np.float32) for count in (38, 19))
    assert own_openpose.placed(fields, heat, lambda plane: plane, (30, 20)) == []
    level = np.ones((19, 60, 60), np.float32)
    assert own_openpose.placed(np.zeros((38, 60, 60), np.float32), level, lambda plane: plane, (60, 60)) == []


def test_hands_and_faces_are_looked_for_where_the_body_has_them() -> None:
    body, size = STANDING * 4, np.array([300, 400], np.float32)
    left, right = (own_openpose.hand_square(body, arm, size) for arm in own_openpose.ARMS)
    face = own_openpose.face_square(body, size)
    for square, part in ((left, 7), (right, 4), (face, 0)):
        assert square is not None
        x, y, side = square
        assert x <= body[part][0] <= x + side and y <= body[part][1] <= y + side
        assert x >= 0 and y >= 0 and x + side <= 300 and y + side <= 400
    without = body.copy()
    without[[4, 14, 15, 16, 17]] = np.nan
    assert own_openpose.hand_square(without, own_openpose.ARMS[1], size) is None
    assert own_openpose.face_square(without, size) is None
    assert own_openpose.hand_square(body / 20, own_openpose.ARMS[0], size / 20) is None, "too small to be seen"


# ---------------------------------------------------------------- networks by hand

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
SHADES = ([-1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0, 1.0])
"""Of blue, green and red, how much there is of `RED`, `GREEN`, `BLUE` and `WHITE`."""


def by_hand(tensors: Tensors, planes: Mapping[int, int], branch: str = "", told: int = 0) -> Tensors:
    """A file whose network passes colours through, and whose last stage says where which colour is.

    planes: the plane of an answer -> which of `SHADES`; told: planes of the stage before, which come first."""
    made = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    for name, tensor in made.items():
        if name.endswith(".weight") and tensor.ndim == 4 and not name.startswith(("Mconv1_", "Mconv7_")):
            middle = tensor.shape[-1] // 2
            for plane in range(min(tensor.shape[:2])):
                tensor[plane, plane, middle, middle] = 1
    made["conv1_1.bias"][:3] = 0.5
    first, last = f"Mconv1_stage6{branch}", f"Mconv7_stage6{branch}"
    for shade, weights in enumerate(SHADES):
        made[f"{first}.weight"][shade, told : told + 3, 3, 3] = torch.tensor(weights)
    made[f"{first}.bias"][3] = -2
    for plane, shade in planes.items():
        made[f"{last}.weight"][plane, shade] = 1
    return made


def hand_made(place: Path) -> None:
    """A nose is red, a neck green, a right shoulder blue, a left one white; fields point at where these are."""
    body = by_hand(OPENPOSE["body_pose_model.pth"](), {0: 0, 1: 1, 2: 2, 5: 3}, "_L2", 57)
    directions = {12: (-1, 0), 20: (1, 0), 28: (0, -1)}
    for plane, (x, y) in directions.items():
        body["Mconv7_stage6_L1.bias"][plane : plane + 2] = torch.tensor([x, y])
    torch.save(body, place / "body_pose_model.pth")


def looked(module: str, place: Path, picture: NDArray[np.uint8], *names: str) -> Map:
    refs = tuple(ModelRef(str(place / name), name) for name in names)
    return mapped(preprocessor(module).code, picture, Options(184, 0, 0, 1, LENDING, refs))


def test_a_body_is_found_by_the_colours_of_its_parts(tmp_path: Path) -> None:
    hand_made(tmp_path)
    picture = np.zeros((184, 240, 3), np.uint8)
    for (x, y), colour in (((124, 44), RED), ((124, 92), GREEN), ((76, 92), BLUE), ((172, 92), WHITE)):
        picture[y - 4 : y + 4, x - 4 : x + 4] = colour
    made = looked("openpose", tmp_path, picture, "body_pose_model.pth")
    assert made.poses is not None and made.remarks == ()
    (person,) = made.poses.people
    assert (len(person.body), person.face, person.left_hand) == (18, (), ())
    expected = {0: (124, 44), 1: (124, 92), 2: (76, 92), 5: (172, 92)}
    for part, point in enumerate(person.body):
        if part in expected:
            assert point is not None
            assert np.allclose(np.array(point) * (240, 184), expected[part], atol=2), part
        else:
            assert point is None
    nobody = looked("openpose", tmp_path, np.zeros_like(picture), "body_pose_model.pth")
    assert nobody.remarks == ("Nobody was found in the picture.",)


def test_points_of_a_hand_and_a_face_lie_where_their_colours_are(tmp_path: Path) -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:40, 60:80], picture[70:90, 10:30] = RED, GREEN
    for name, kind, look, count in (
        ("hand_pose_model.pth", pose_machines.HANDS, own_openpose.hand_in, 21),
        ("facenet.pth", pose_machines.FACES, own_openpose.face_in, 70),
    ):
        torch.save(by_hand(OPENPOSE[name](), {0: 0, 5: 1}, told=count + 1), tmp_path / name)
        found = look(kind.open(tmp_path / name, LENDING.profile), picture)
        assert found.shape == (count, 2)
        assert np.allclose(found[[0, 5]], [(0.7, 0.3), (0.2, 0.8)], atol=0.12)
        assert np.isnan(np.delete(found, [0, 5], 0)).all()


# ---------------------------------------------------------------- files


@pytest.fixture(scope="module")
def random_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("openpose")
    for name, make in OPENPOSE.items():
        torch.save(make(), place / name)
    return place


def test_files_with_the_published_names_are_opened_whole(random_files: Path) -> None:
    kinds = zip(OPENPOSE, (pose_machines.BODIES, pose_machines.HANDS, pose_machines.FACES), strict=True)
    for name, kind in kinds:
        network = kind.open(random_files / name, LENDING.profile)
        assert network.unused == ()
        assert network(torch.randn(1, 3, 64, 48)).shape[2:] == (8, 6)


@pytest.mark.parametrize("ending", ["", "_hand", "_face", "_faceonly", "_full"])
def test_each_preprocessor_uses_the_files_it_needs(
    ending: str, random_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody is: random networks say something of their hands and faces."""
    module = f"openpose{ending}"
    names = [file.names[0] for file in preprocessor(module).weights]
    somebody = (STANDING / (60, 96)).astype(np.float32)
    monkeypatch.setattr(own_openpose, "bodies_in", lambda network, picture: [somebody])
    made = looked(module, random_files, np.full((384, 240, 3), 128, np.uint8), *names)
    assert made.poses is not None and not any("MediaPipe" in remark for remark in made.remarks)
    for person in made.poses.people:
        assert person != Figure()
        assert bool(person.body) == (ending != "_faceonly")
        assert bool(person.face) == (ending in ("_face", "_faceonly", "_full"))
        assert bool(person.left_hand) == (ending in ("_hand", "_full"))


@pytest.mark.parametrize("name", OPENPOSE)
def test_a_wrong_or_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    kind = dict(zip(OPENPOSE, (pose_machines.BODIES, pose_machines.HANDS, pose_machines.FACES), strict=True))[name]
    path = tmp_path / name
    for content in (b"", b"no model", b"PK\x03\x04 damaged"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=name):
            kind.open(path, LENDING.profile)
    others = [make() for other, make in OPENPOSE.items() if other != name]
    whole = OPENPOSE[name]()
    lacking = dict(list(whole.items())[:-2])
    crooked = {**whole, "conv2_1.weight": torch.zeros(4, 9, 3, 3)}
    for tensors in (*others, lacking, crooked, {"something.else": torch.zeros(2)}):
        torch.save(tensors, path)
        with pytest.raises(ModelError, match=f"{name} cannot be loaded: it is no OpenPose network"):
            kind.open(path, LENDING.profile)

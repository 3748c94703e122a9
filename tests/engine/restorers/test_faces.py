"""Faces are found, turned upright, made anew and laid back; beyond them nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.engine.conftest import OPTIONS, SMALL, Engine, Names, levels
from tests.engine.restorers import published
from tests.packaged import have_detectors
from webui.engine.detectors.detectors import Detectors, Landmarks
from webui.engine.detectors.regions import Region
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.engine.restorers.faces import PLACES, Faces, laid_over, square_of
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import Pictured
from webui.request.model_ref import ModelRef
from webui.request.plan import Plan, resolve
from webui.request.settings import Settings

ASTRONAUT = Path(__file__).parents[2] / "pictures" / "astronaut.jpg"
FACE = (80, 25, 145, 110)
"""About where the astronaut's is."""


@given(st.floats(-50, 150), st.floats(-50, 150), st.floats(20, 900), st.floats(-3, 3))
def test_a_square_is_found_by_the_points_of_its_face(x: float, y: float, side: float, angle: float) -> None:
    found = square_of(Region(x, y, side, angle).back(PLACES))
    assert (found.x, found.y, found.side, found.angle) == pytest.approx((x, y, side, angle), abs=0.02)


@settings(max_examples=40)
@given(st.floats(-20, 120), st.floats(-20, 100), st.floats(8, 200), st.floats(-3, 3))
def test_what_is_laid_back_unchanged_changes_little_and_what_lies_beyond_nothing(
    x: float, y: float, side: float, angle: float
) -> None:
    ys, xs = np.mgrid[0:80, 0:100]
    picture = np.stack([xs * 2, ys * 3, 255 - xs - ys], 2).astype(np.uint8)
    laid, padded = picture.copy(), np.pad(picture, ((200, 200), (200, 200), (0, 0)), "edge")
    laid_over(laid, Region(x + 200, y + 200, side, angle).seen(padded, 64), Region(x, y, side, angle))
    assert np.abs(laid.astype(int) - picture).max() <= max(8, side / 8)
    away = np.hypot(xs - x, ys - y) > side * 0.72 + 2
    assert (laid[away] == picture[away]).all()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("restorers") / "codeformer.pth"
    torch.save({"params_ema": published.filled(published.codeformer())}, path)
    return path


def picture() -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB")


@pytest.mark.parametrize("unloads", [False, True])
def test_a_face_becomes_another_and_the_rest_stays(file: Path, unloads: bool) -> None:
    have_detectors()
    residents = Residents(profile_of(OPTIONS), budget=2**30)
    told: list[tuple[int, int]] = []
    given = picture()
    found = Faces(residents, ModelRef(str(file), "CodeFormer"), unloads=unloads).restored(
        given, lambda done, of: told.append((done, of))
    )
    change = np.abs(np.array(found.picture).astype(int) - np.array(given)).max(2)
    left, top, right, bottom = FACE
    assert (found.faces, found.weighed, told) == (1, True, [(0, 1), (1, 1)])
    assert change[top:bottom, left:right].mean() > 20
    assert not change[:, 200:].any() and not change[180:].any()
    assert ("CodeFormer" in [title for _, title in residents.titles]) is not unloads


def test_what_is_transparent_stays_so(file: Path) -> None:
    have_detectors()
    given = picture()
    given.putalpha(Image.linear_gradient("L").resize(given.size))
    found = Faces(Residents(profile_of(OPTIONS), budget=2**30), ModelRef(str(file), "x")).restored(
        given, lambda *_: None
    )
    assert found.picture.getchannel("A").tobytes() == given.getchannel("A").tobytes()
    assert found.picture.convert("RGB").tobytes() != given.convert("RGB").tobytes()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_a_picture_without_a_face_is_given_back_as_it_is(file: Path, size: tuple[int, int]) -> None:
    have_detectors()
    given = Image.new("RGB", size, "navy")
    faces = Faces(Residents(profile_of(OPTIONS), budget=2**30), ModelRef(str(file), "x"))
    found = faces.restored(given, lambda *_: None)
    assert found.picture is given and not found.faces


@dataclass
class Restoring(Engine):
    """An engine with face restorers, by name."""

    restorers: Mapping[str, Path] = None  # type: ignore[assignment]

    def plan(self, request: Txt2Img | Img2Img, images: Mapping[str, bytes] | None = None) -> Plan:
        names = Names(self.ref, images or {}, self.networks, restorers=self.restorers)
        return resolve(request, Settings(), names, lambda: 1)


def restored(engine: Engine, restorers: Mapping[str, Path], **options: object) -> Pictured:
    """The astronaut, as img2img leaves her as she is but for her face."""
    asked = Img2Img.model_validate(
        {
            **SMALL,
            "width": 256,
            "height": 256,
            "steps": 1,
            "denoising_strength": 0.0,
            "init_images": ("given",),
            "restore_faces": True,
            "override_settings": {"face_restoration_model": "CodeFormer", **options},
        }
    )
    return Restoring(engine.models, engine.ref, restorers=restorers).run(asked, {"given": ASTRONAUT.read_bytes()})[0]


@pytest.fixture
def face_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small model's VAE leaves no face of the astronaut's: here is one in every picture."""
    face = Landmarks((64, 64, 192, 192), 0.9, PLACES * 128 + 64, np.ones(5, np.bool_))
    monkeypatch.setattr(Detectors, "faces", lambda _self, _picture: [face])


@pytest.mark.usefixtures("face_anywhere")
def test_a_picture_says_by_what_its_faces_were_restored(engine: Engine, file: Path) -> None:
    made = restored(engine, {"CodeFormer": file}, code_former_weight=0.25, save_images_before_face_restoration=True)
    assert dict(made.facts)["Face restoration"] == "CodeFormer"
    assert dict(made.facts)["CodeFormer weight"] == "0.25"
    assert [extra.name for extra in made.extras] == ["before-face-restoration"]


@pytest.mark.usefixtures("face_anywhere")
def test_a_broken_restorer_costs_the_new_faces_alone(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "codeformer.pth"
    path.write_bytes(b"nothing of torch's")
    broken = restored(engine, {"CodeFormer": path})
    without = restored(engine, {})
    assert (levels(broken) == levels(without)).all()
    assert "Face restoration" not in dict(broken.facts)
    assert any("codeformer.pth" in comment for comment in broken.comments), broken.comments
    assert any(comment.startswith("Faces were not restored: ") for comment in without.comments)

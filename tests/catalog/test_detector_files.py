"""Detectors by the names that programs send: files of one's own, and what packages bring."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.catalog.detector_files import PACKAGED


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "models" / "adetailer").mkdir(parents=True)
    return Catalog(Paths(data=tmp_path, packages=tmp_path / "packages"))


def fetched(catalog: Catalog, *names: str) -> None:
    catalog.paths.packages.mkdir(exist_ok=True)
    for name in names:
        for file in PACKAGED[name]:
            (catalog.paths.packages / file).write_bytes(b"x")


def test_a_packaged_detector_is_listed_where_all_of_its_files_are(catalog: Catalog) -> None:
    assert catalog.choices("detectors") == []
    fetched(catalog, "face")
    (catalog.paths.packages / PACKAGED["hand"][0]).write_bytes(b"x")
    assert catalog.choices("detectors") == ["face"]


def test_names_of_the_extension_mean_a_file_or_the_packaged_one_for_the_same_things(catalog: Catalog) -> None:
    with pytest.raises(NotFound) as raised:
        catalog.detector("face_yolov8n.pt")
    assert "weights" in raised.value.hint
    fetched(catalog, "face", "hand", "person", "eyes")
    asked = ("face_yolov8s.pt", "mediapipe_face_full", "hand_yolov8n.pt", "person_yolov8n-seg.pt")
    like = ["face", "face", "hand", "person"]
    assert [catalog.detector(name).title for name in asked] == like
    assert catalog.detector("mediapipe_face_mesh_eyes_only").title == "eyes"
    assert not catalog.detector("Face").path
    own = catalog.paths.models / "adetailer" / "face_yolov8n.pt"
    torch.save({"a": torch.zeros(2)}, own)
    assert catalog.detector("FACE_yolov8n").path == str(own)
    assert catalog.choices("detectors") == ["face", "hand", "person", "eyes", own.name]


def test_a_broken_file_is_named_and_others_are_found(catalog: Catalog) -> None:
    folder = catalog.paths.models / "adetailer"
    (folder / "empty.pt").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    (folder / "some.onnx").write_bytes(b"x")
    assert catalog.choices("detectors") == ["empty.pt", "some.onnx"]
    assert [problem.name for problem in catalog.problems.all()] == ["empty.pt"]
    with pytest.raises(NotFound) as raised:
        catalog.detector("sone")
    assert "some" in raised.value.hint

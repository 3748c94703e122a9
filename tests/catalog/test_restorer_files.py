"""Files of face restorers by the names that programs know them by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.registry import RestorerEntry


def lie(catalog_paths: Paths, *names: str) -> None:
    for name in names:
        path = catalog_paths.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"params": {"weight": torch.zeros(1)}}, path)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(data=tmp_path)


def test_the_newest_of_a_kind_has_a1111_s_name(paths: Paths) -> None:
    lie(paths, "GFPGAN/GFPGANv1.3.pth", "GFPGAN/GFPGANv1.4.pth", "Codeformer/codeformer-v0.1.0.pth")
    lie(paths, "GFPGAN/detection_Resnet50_Final.pth", "GFPGAN/parsing_parsenet.pth", "GFPGAN/mine.pth")
    catalog = Catalog(paths)
    assert catalog.choices("face_restorers") == ["CodeFormer", "GFPGAN", "GFPGANv1.3", "mine"]
    for asked, stem in {
        "": "codeformer-v0.1.0",
        "codeformer": "codeformer-v0.1.0",
        "GFPGAN": "GFPGANv1.4",
        "GFPGANv1.4": "GFPGANv1.4",
        "gfpganv1.3.pth": "GFPGANv1.3",
        "Mine": "mine",
    }.items():
        assert Path(catalog.restorer(asked).path).stem == stem
    catalog.close()


def test_without_a_file_it_is_said_where_one_goes_and_what_else_can_be_done(paths: Paths) -> None:
    catalog = Catalog(paths)
    for asked, file in {"": "models/Codeformer", "GFPGAN": "GFPGANv1.4.pth into models/GFPGAN"}.items():
        with pytest.raises(NotFound) as caught:
            catalog.restorer(asked)
        assert file in caught.value.hint
        assert "ADetailer" in caught.value.hint
    catalog.close()


def test_a_package_may_add_one(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = RestorerEntry("Mender", "x:y")
    monkeypatch.setattr("webui.registry.restorers", lambda: (entry,))
    catalog = Catalog(paths)
    assert catalog.choices("face_restorers") == ["Mender"]
    assert (catalog.restorer("mender").path, catalog.restorer("").title) == ("", "Mender")
    catalog.close()


def test_a_folder_of_one_s_own_is_looked_through_too(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    torch.save({"params": {"weight": torch.zeros(1)}}, folder / "GFPGANv1.4.pth")
    catalog = Catalog(Paths(data=tmp_path / "data", restorer_dirs=(folder,)))
    assert catalog.choices("face_restorers") == ["GFPGAN"]
    catalog.close()

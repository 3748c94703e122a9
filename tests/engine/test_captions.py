"""A folder's pictures described in text files by a real tagger: what is there, what is broken, what was done before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests import taggers
from tests.engine.conftest import OPTIONS
from webui.base.errors import ModelError, UserError
from webui.base.paths import Paths
from webui.base.resume_points import ResumePoints
from webui.catalog.catalog import Catalog
from webui.catalog.settings_store import SettingsStore
from webui.engine.conditioning import TextCache
from webui.engine.house import House
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.small_vae import SmallVaes
from webui.engine.upscaler_shelf import UpscalerShelf
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.jobs.caption.request import Caption
from webui.jobs.caption.server import Server
from webui.jobs.caption.work import work
from webui.request.captions import joined
from webui.request.messages import Answered, Saved
from webui.request.settings import Settings


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    taggers.put_onnx(tmp_path / "data" / "models")
    return Catalog(Paths(data=tmp_path / "data", packages=tmp_path / "packages"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good pictures, one of them below, a wide one in 16 bits, and one that is none."""
    place = tmp_path / "pictures"
    (place / "below").mkdir(parents=True)
    Image.new("RGB", (1, 1), "red").save(place / "red.png")
    Image.new("RGBA", (30, 30), "blue").save(place / "below" / "blue.webp")
    Image.new("I;16", (400, 3), 65535).save(place / "grey.png")
    (place / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    return place


def house(state: Path) -> House:
    """What an engine lends, its resume points in this folder."""
    models = ModelManager(profile_of(OPTIONS), budget=2**32)
    watch = Watch("job", lambda _event: None, Cancel(), Viewing(), Stopwatch(torch.device("cpu")))
    shelf = UpscalerShelf(models.residents)
    return House(
        models.profile, models, TextCache(), EmbeddingShelf(), SmallVaes(), shelf, watch, ResumePoints(state),
        others_wait=lambda: False,
    )  # fmt: skip


def answered(catalog: Catalog, tmp_path: Path, folder: Path, **asked: Any) -> str:
    server = Server(catalog, SettingsStore(catalog.paths), "test")
    plan = server.plan(Caption(input_dir=str(folder), model="wd14", **asked), Settings())
    with torch.inference_mode():
        *points, last = work(plan, house(tmp_path / "state"))
    assert all(isinstance(point, Saved) for point in points)
    assert isinstance(last, Answered)
    return last.text


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.txt"))}


def test_each_picture_gets_a_text_file_and_the_broken_one_is_named(
    catalog: Catalog, folder: Path, tmp_path: Path
) -> None:
    said = answered(catalog, tmp_path, folder)
    assert said.startswith("3 captions written, 1 failed; torn.jpg: "), said
    assert texts(folder) == {
        "below/blue.txt": "^_^, blue sky",
        "grey.txt": "^_^, blue sky, red theme, ruby \\(gem\\), white background",
        "red.txt": r"^_^, red theme, ruby \(gem\)",
    }


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("Keep", "mine"),
        ("Ignore", r"^_^, red theme, ruby \(gem\)"),
        ("Prepend", r"mine, ^_^, red theme, ruby \(gem\)"),
        ("Append", r"^_^, red theme, ruby \(gem\), mine"),
    ],
)
def test_a_text_that_is_there_is_treated_as_asked(
    action: str, text: str, catalog: Catalog, folder: Path, tmp_path: Path
) -> None:
    (folder / "red.txt").write_text("\ufeff mine\n", "utf-8")
    said = answered(catalog, tmp_path, folder, existing_caption=action)
    assert texts(folder)["red.txt"].strip("\ufeff \n") == text
    assert ("1 kept" in said) == (action == "Keep")


def test_texts_go_into_another_folder_where_one_is_named(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    target = folder / "texts"
    answered(catalog, tmp_path, folder, output_dir=str(target))
    assert set(texts(folder)) == {"texts/below/blue.txt", "texts/grey.txt", "texts/red.txt"}
    for output, said in ((str(catalog.paths.state), "used by Gesso"), ("here", "whole path")):
        with pytest.raises(UserError, match=said):
            answered(catalog, tmp_path, folder, output_dir=output)
    with pytest.raises(UserError, match="no pictures"):
        answered(catalog, tmp_path, catalog.paths.state)


def test_what_was_done_before_a_crash_is_not_done_again(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    plan = Server(catalog, SettingsStore(catalog.paths), "test").plan(
        Caption(input_dir=str(folder), model="wd14", existing_caption="Prepend"), Settings()
    )
    with torch.inference_mode():
        begun = work(plan, house(tmp_path / "state"))
        for _ in range(2):
            next(begun)
        begun.close()
        before = texts(folder)
        assert len(before) == 2
        *_, last = work(plan, house(tmp_path / "state"))
    assert isinstance(last, Answered) and last.text.startswith("3 captions written, 1 failed")
    assert texts(folder).items() > before.items()


def test_a_broken_tagger_ends_the_job(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    taggers.put_onnx(catalog.paths.models).write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        answered(catalog, tmp_path, folder)


def test_nothing_is_between_captions_of_which_one_is_empty() -> None:
    assert [joined("a ", "", action) for action in ("Ignore", "Keep", "Prepend", "Append")] == ["", "a", "a", "a"]
    assert joined(" ", "b", "Append") == "b"

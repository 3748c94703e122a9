"""Pictures that come with a result stay with it, and go with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.catalog.conftest import png
from webui.base.errors import NotFound
from webui.catalog.catalog import Catalog
from webui.catalog.extra_pictures import ExtraPictures
from webui.catalog.image_files import read_infotext
from webui.request.fields import Txt2Img
from webui.request.messages import ExtraPicture, Pictured
from webui.request.plan import resolve
from webui.request.settings import Settings

MASK, FILM = ExtraPicture("mask", "png", b"a mask"), ExtraPicture("film-strip", "webp", b"a film")


def test_they_are_kept_in_order_and_forgotten(catalog: Catalog) -> None:
    plan = resolve(Txt2Img(seed=5, width=16, height=8), Settings(), catalog, lambda: 1)
    pictured = Pictured("j", 0, 16, 8, bytes(16 * 8 * 3), extras=(MASK, FILM))
    saved = catalog.job_pictures.keep(pictured, plan, Settings(), owner="me", version="")
    extras = catalog.pictures.extras
    assert extras.names(saved.id) == ("0-mask.png", "1-film-strip.webp")
    assert extras.content(saved.id, "1-film-strip.webp") == (b"a film", "webp")
    catalog.pictures.forget(saved.id)
    assert extras.names(saved.id) == ()


def test_copies_that_shall_be_saved_lie_beside_the_picture(catalog: Catalog) -> None:
    plan = resolve(Txt2Img(prompt="a cat", seed=5, width=16, height=8), Settings(), catalog, lambda: 1)
    copies = tuple(ExtraPicture(name, "png", png(), shown=False, saved=True) for name in ("mask", "mask-composite"))
    pictured = Pictured("j", 0, 16, 8, bytes(16 * 8 * 3), extras=(FILM, *copies))
    saved = catalog.job_pictures.keep(pictured, plan, Settings(), owner="me", version="")
    path = Path(saved.path)
    assert {file.name for file in path.parent.iterdir()} == {
        f"{path.stem}{ending}" for ending in (".png", "-mask.png", "-mask-composite.png")
    }
    assert read_infotext(path.with_name(f"{path.stem}-mask.png"))[0] == saved.infotext
    assert catalog.pictures.extras.names(saved.id) == ("0-film-strip.webp",)
    settings = Settings().with_options({"samples_save": False})
    unsaved = catalog.job_pictures.keep(replace(pictured, position=0), plan, settings, owner="me", version="")
    assert [file.name for file in Path(unsaved.path).parent.iterdir()] == [Path(unsaved.path).name]


def test_more_than_ten_stay_in_order(tmp_path: Path) -> None:
    extras = ExtraPictures(tmp_path)
    extras.keep("ab", [MASK] * 12)
    assert [int(name.partition("-")[0]) for name in extras.names("ab")] == list(range(12))


@pytest.mark.parametrize("name", ["../secret", "0-mask.png/..", "", "0-mask", "0-MASK.png", "9-mask.png"])
def test_no_other_name_leads_to_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    extras = ExtraPictures(tmp_path / "extra")
    extras.keep("ab", [MASK])
    with pytest.raises(NotFound):
        extras.content("ab", name)
    with pytest.raises(NotFound):
        extras.content("../ab", "0-mask.png")

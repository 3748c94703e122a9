"""Given pictures are kept by their hash."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.request.fields import Img2Img
from webui.request.messages import Pictured
from webui.request.plan import resolve
from webui.request.settings import Settings

GIVEN = Path(__file__).resolve().parents[1] / "golden" / "pictures" / "init128.png"
RECORDED = "3017459c2046db26c0624d930e578cc2"
"""What A1111 says of this picture."""


def test_a_given_picture_is_kept_by_the_hash_that_a1111_has(catalog: Catalog, paths: Paths) -> None:
    settings = Settings().with_options({"save_init_img": True})
    request = Img2Img(seed=5, width=16, height=8, init_images=(catalog.uploads.put(GIVEN.read_bytes()),))
    plan = resolve(request, settings, catalog, lambda: 1)
    pictured = Pictured("j", 0, 16, 8, bytes(16 * 8 * 3), ())
    saved = catalog.job_pictures.keep(pictured, plan, settings, owner="me", version="")
    assert f"Denoising strength: 0.75, Init image hash: {RECORDED}" in saved.infotext
    (kept,) = (paths.data / "outputs" / "init-images").iterdir()
    assert kept.name == f"{RECORDED}.png"
    with Image.open(kept) as ours, Image.open(GIVEN) as given:
        assert ours.tobytes() == given.tobytes()


def test_without_the_setting_nothing_is_kept_or_said(catalog: Catalog, paths: Paths) -> None:
    request = Img2Img(seed=5, width=16, height=8, init_images=(catalog.uploads.put(GIVEN.read_bytes()),))
    plan = resolve(request, Settings(), catalog, lambda: 1)
    pictured = Pictured("j", 0, 16, 8, bytes(16 * 8 * 3), ())
    saved = catalog.job_pictures.keep(pictured, plan, Settings(), owner="me", version="")
    assert "Init image hash" not in saved.infotext
    assert not (paths.data / "outputs" / "init-images").exists()

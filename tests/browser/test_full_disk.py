"""A disk that is really full: pictures are kept, the page says so, and they are saved when there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, with room for two small pictures, that something else has filled."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("There is no mount command.")
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("Only root may mount a disk.")
    try:
        with pytest.raises(OSError), (mounted / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.long
def test_pictures_outlive_a_full_disk_and_are_saved_or_given_up(
    visitor: Visitor, page_server: RunningServer, small_disk: Path
) -> None:
    with httpx.Client(base_url=page_server.url, timeout=120) as client:
        before = client.get("sdapi/v1/options").json()["outdir_txt2img_samples"]
        client.post("sdapi/v1/options", json={"outdir_txt2img_samples": str(small_disk)}).raise_for_status()
        try:
            job = visitor.set("txt2img", **TINY, n_iter=2).write("txt2img_prompt", "no room").generate()
            assert visitor.job(job)["state"] == "done"
            assert [picture["saved"] for picture in visitor.job(job)["pictures"]] == [False, False]
            told = visitor.see("#txt2img_results .notice.bad:visible")
            assert "2 pictures could not be saved" in told.inner_text()
            assert visitor.fetch(visitor.shown_picture())[:4] == b"\x89PNG", "it is kept, and can be seen"
            visitor.reload()
            first = f"{visitor.url}internal/pictures/{visitor.job(job)['pictures'][0]['id']}/save"
            refused = visitor.page.request.post(first)
            assert refused.status == 500
            assert "No space left" in refused.text()

            (small_disk / "filler").unlink()
            assert visitor.page.request.post(first).ok
            visitor.until("id => modules.live.job(id).pictures.filter(picture => picture.saved).length === 1", job)
            visitor.page.click("#txt2img_results button:text('Discard')")
            visitor.until("() => document.querySelector('#txt2img_results .notice.bad:has(.unsaved-buttons)').hidden")
            assert len(list(small_disk.rglob("*.png"))) == 1
        finally:
            client.post("sdapi/v1/options", json={"outdir_txt2img_samples": before})

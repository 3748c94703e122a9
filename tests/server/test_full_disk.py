"""A disk that is really full: pictures are kept, their job says so, and they are saved when there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningServer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own that something else has filled."""
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


def test_pictures_outlive_a_full_disk_and_are_saved_or_given_up(server: RunningServer, small_disk: Path) -> None:
    body = {"prompt": "no room", "width": 64, "height": 64, "steps": 1, "n_iter": 2, "save_images": True}
    body["override_settings"] = {"outdir_txt2img_samples": str(small_disk)}
    with server.client() as client:
        answer = client.post("sdapi/v1/txt2img", json=body)
        assert answer.status_code == 200, answer.text
        job = next(job for job in reversed(client.get("internal/jobs").json()["jobs"]) if job["prompt"] == "no room")
        assert job["state"] == "done"
        assert any("could not be saved" in comment and "No space left" in comment for comment in job["comments"])
        assert [picture["saved"] for picture in job["pictures"]] == [False, False]
        first, second = (f"internal/pictures/{picture['id']}" for picture in job["pictures"])
        assert client.get(first).content.startswith(b"\x89PNG"), "it is kept, and can be seen"
        refused = client.post(f"{first}/save")
        assert refused.status_code == 500
        assert "No space left" in refused.text

        (small_disk / "filler").unlink()
        path = Path(client.post(f"{first}/save").json()["path"])
        assert path.read_bytes() == client.get(first).content
        assert client.post(f"{second}/discard").status_code == 200
        assert client.get(second).status_code == 404
        assert list(small_disk.rglob("*.png")) == [path]

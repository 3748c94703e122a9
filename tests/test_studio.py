"""Pictures from Python and from the command line, without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.conftest import MACHINE, PATIENCE, ROOT

SCRIPT = """
import sys
import webui

assert "webui.studio" not in sys.modules, "importing webui alone costs nothing"
with webui.Studio(sys.argv[1:]) as studio:
    fractions = []
    first = studio.txt2img("a red apple", seed=3, steps=2, width=64, height=64, batch_size=2, progress=fractions.append)
    assert [picture.seed for picture in first] == [3, 4]
    assert "Seed: 4" in first[1].infotext and first[1].image.size == (64, 64)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    again = studio.txt2img("a red apple", seed=4, steps=2, width=64, height=64)
    assert abs(max(a - b for a, b in zip(first[1].image.tobytes(), again[0].image.tobytes()))) <= 1
    changed = studio.img2img(again[0].image, "a blue apple", seed=3, steps=2, width=64, height=64)
    assert "Denoising strength: 0.75" in changed[0].infotext
    try:
        studio.txt2img("x", sampler_name="Eulr")
    except webui.studio.WebuiError as error:
        assert "Euler" in str(error)
    first[0].save("apple.png")
assert "torch" not in sys.modules
"""


def run(installation: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    flags = ("--data-dir", str(installation), *MACHINE)
    return subprocess.run(
        [sys.executable, *command, *flags],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_a_script_without_ceremony_makes_pictures(installation: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run(installation, tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "apple.png") as image:
        assert "a red apple" in image.info["parameters"]
    assert not list((installation / "outputs").rglob("*.png")), "nothing is written but what was asked for"


def test_a_wrong_value_is_one_sentence(installation: Path, tmp_path: Path) -> None:
    done = run(installation, tmp_path, "-m", "webui", "txt2img", "x", "--steps", "-3", "-o", "a.png")
    assert done.returncode == 1
    assert "Sampling steps cannot be" in done.stderr
    assert "Traceback" not in done.stderr

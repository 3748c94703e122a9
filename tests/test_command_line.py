"""Pictures from the command line and from Python, each with the real engine process and a real checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

import webui
from webui.base.errors import UserError
from webui.catalog.image_files import read_infotext
from webui.command_line import picture_parser, spare, targets, values_of
from webui.request.fields import REQUESTS

ROOT = Path(__file__).resolve().parents[1]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "webui", *words],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_a_report_of_the_machine_is_written_without_starting_the_server(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "webui", "--dump-sysinfo", "--data-dir", str(tmp_path / "data"), "--loglevel=INFO"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COMMANDLINE_ARGS": "--listen --gradio-auth anna:hidden"}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", timeout=300, check=True
    )
    [file] = tmp_path.glob("sysinfo-*.json")
    assert str(file) in done.stdout
    text = file.read_text("utf-8")
    assert json.loads(text)["Commandline"]["loglevel"] == "INFO"
    assert "hidden" not in text
    assert not (tmp_path / "data").exists(), "it only looks"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_path_is_printed_whatever_the_terminal_can_show(tmp_path: Path, encoding: str) -> None:
    folder = tmp_path / "Kü漫画"
    folder.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "webui", "--dump-sysinfo"],
        cwd=folder,
        env=env,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [file] = folder.glob("sysinfo-*.json")
    shown = done.stdout.decode(encoding)
    assert file.name in shown
    if encoding == "utf-8":
        assert str(file) in shown


def test_exit_ends_before_anything_is_begun(tmp_path: Path) -> None:
    done = run("--exit", "--data-dir", str(tmp_path / "data"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "data").exists()


@pytest.mark.long
def test_a_picture_made_from_the_command_line_is_the_one_made_from_python(installation: Path, tmp_path: Path) -> None:
    machine = ("--data-dir", str(installation), "--use-cpu", "all", "--no-half")
    target = tmp_path / "new folder" / "apple.png"
    done = run("txt2img", "a red apple", "--seed", "7", "--steps=2", "--width", "64", "--height", "64",
               "--sampler_name", "Euler a", "-o", str(target), *machine)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(target)
    with webui.Studio(machine) as studio:
        again = studio.txt2img("a red apple", seed=7, steps=2, width=64, height=64, sampler_name="Euler a")[0]
    with Image.open(target) as written:
        assert written.convert("RGB").tobytes() == again.image.tobytes()
    assert "Seed: 7" in again.infotext
    assert read_infotext(target.read_bytes())[0] == again.infotext


@pytest.mark.long
def test_a_checkpoint_that_names_its_size_is_asked_for_that_size(installation: Path) -> None:
    plain = next((installation / "models" / "Stable-diffusion").glob("tiny*.safetensors"))
    with safe_open(plain, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    save_file(tensors, plain, {"modelspec.resolution": "64x72"})
    with webui.Studio(("--data-dir", str(installation), "--use-cpu", "all", "--no-half")) as studio:
        override = {"sd_model_checkpoint": "tiny-sd1"}
        assert studio.txt2img("x", seed=1, steps=1, override_settings=override)[0].image.size == (64, 72)
        asked = studio.txt2img("x", seed=1, steps=1, width=64, height=64, override_settings=override)
        assert asked[0].image.size == (64, 64)


@pytest.mark.parametrize("kind", REQUESTS)
def test_every_parameter_is_a_flag(kind: str) -> None:
    spellings = {option for action in picture_parser(kind)._actions for option in action.option_strings}
    pictures = {"prompt", "init_images", "mask", "latent_mask", "firstpass_image"}
    for name in REQUESTS[kind].params():
        assert name in pictures or {f"--{name}", f"--{name.replace('_', '-')}"} <= spellings


def test_values_are_those_of_the_fields() -> None:
    chosen = picture_parser("img2img").parse_args(
        ["in.png", "a cat", "--resize-mode", "Crop and resize", "--cfg-scale", "3.5", "--mask-round",
         "--override-settings", "CLIP_stop_at_last_layers=2", "--inpaint-full-res", "Only masked"]
    )  # fmt: skip
    assert values_of("img2img", chosen) == {
        "prompt": "a cat",
        "resize_mode": 1,
        "cfg_scale": 3.5,
        "mask_round": True,
        "inpaint_full_res": True,
        "override_settings": {"CLIP_stop_at_last_layers": "2"},
    }
    with pytest.raises(UserError, match="Sampling steps"):
        values_of("txt2img", picture_parser("txt2img").parse_args(["x", "--steps", "many"]))


def test_pictures_take_no_other_ones_place(tmp_path: Path) -> None:
    for name in ("txt2img.png", "apple-2.png"):
        (tmp_path / name).write_bytes(b"an earlier one")
    assert spare(tmp_path / "txt2img.png") == tmp_path / "txt2img-1.png"
    assert [path.name for path in targets(tmp_path / "apple.png", 3)] == ["apple-1.png", "apple-3.png", "apple-4.png"]

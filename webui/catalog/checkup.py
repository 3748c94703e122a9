"""Whether a file is whole, as far as its header and its length tell, without torch and without running anything in it.

By the headers of safetensors, GGUF and torch's two pickled formats; of text files and pictures beside models as well.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn

import yaml

from webui.base.errors import ModelError, UserError
from webui.base.json_values import Json
from webui.catalog.gguf_header import BLOCKS, MAGIC, read_gguf_header
from webui.catalog.headers import read_header, sizes_of
from webui.catalog.image_files import open_picture, readable
from webui.catalog.inert import Inert
from webui.catalog.pickles import check_name, program_in

AGAIN = "Download it again, or remove it."
INDEX = "model_index.json"
SIZES: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
}
"""Bytes of a number by safetensors' names; types that are newer are not checked."""
STORAGES: Mapping[str, int] = {
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Byte", "Char", "Bool", "Untyped", "QInt8", "QUInt8"), 1),
    "ComplexDouble": 16,
}
"""Bytes of a number by torch's names of storages."""
LARGEST_PICKLE = 64 * 2**20
"""Bytes: a longer one is not looked into."""
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
"""Files that are pickles where nothing in them says what they are: the oldest protocols have no mark."""
LARGEST_TEXT = 16 * 2**20
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""What torch's files before 1.6 begin with."""


def check_model(path: Path) -> None:
    """A model file, by its content, or a folder of diffusers.

    Raises:
        ModelError: it is empty, cut off, damaged, of no known format, or wants to run code.
        OSError: it cannot be read.
    """
    if path.is_dir():
        _check_pipeline(path)
        return
    size = path.stat().st_size
    if not size:
        _refuse("The file is empty.")
    with path.open("rb") as stream:
        start = stream.read(9)
        # By what it begins with: many are named wrongly.
        if start.startswith(MAGIC) or path.suffix.lower() == ".gguf":
            _check_gguf(path, size)
        elif start[8:] != b"{" and start.startswith(b"PK"):
            _check_zip(stream)
        elif start[8:] != b"{" and (start.startswith(b"\x80") or path.suffix.lower() in PICKLES):
            _check_legacy(stream, size)
        else:
            _check_safetensors(path, size)


def check_unless_onnx(path: Path) -> None:
    """As `check_model`; .onnx files are looked at when they are opened."""
    if path.suffix.lower() != ".onnx":
        check_model(path)


def check_config(path: Path) -> None:
    """A yaml file beside a checkpoint. Raises UserError, OSError."""
    try:
        content = yaml.safe_load(_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = f": {str(error).splitlines()[0]}" if str(error) else ""
        raise UserError(f"The file is not valid YAML{said}.", hint="Download it again, or remove it.") from error
    if not isinstance(content, dict):
        raise UserError("The file does not describe a model.", hint="Download it again, or remove it.")


def check_table(path: Path) -> None:
    """A JSON file beside a model. Raises UserError, OSError."""
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"The file is not valid JSON: {error}.", hint="Repair it, or remove it.") from error
    if not isinstance(content, dict):
        raise UserError("The file is valid JSON, but not an object ({...}).", hint="Repair it, or remove it.")


def check_picture(path: Path) -> None:
    """A picture beside a model, by its header and its end. Raises UserError, OSError."""

    def kind() -> str | None:
        with open_picture(path) as image:
            return image.format

    found = readable(kind)
    with path.open("rb") as stream:
        start = stream.read(12)
        stream.seek(-min(64, path.stat().st_size), 2)
        end = stream.read()
        whole = {
            "PNG": b"IEND" in end,
            "JPEG": b"\xff\xd9" in end,
            "WEBP": start[:4] == b"RIFF" and int.from_bytes(start[4:8], "little") + 8 <= path.stat().st_size,
        }
    if not whole.get(found or "", True):
        raise UserError("The picture is incomplete.", hint="Replace it with another one.")


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST_TEXT:
        raise UserError("The file is too large to be read.", hint="Remove it.")
    return path.read_bytes().decode("utf-8-sig")


def _refuse(reason: str, todo: str = AGAIN) -> NoReturn:
    raise ModelError(reason, hint=todo)


# ---------------------------------------------------------------- safetensors, GGUF


def _check_safetensors(path: Path, size: int) -> None:
    header = read_header(path)
    with path.open("rb") as stream:
        room = size - 8 - int.from_bytes(stream.read(8), "little")
    metadata = header.pop("__metadata__", None)
    if metadata is not None and not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        _refuse("The file's header is damaged: __metadata__ must map texts to texts.")
    for name, entry in header.items():
        missing = _entry_end(name, entry) - room
        if missing > 0:
            _refuse(f"The file is incomplete: {missing:,} bytes are missing.")


def _entry_end(name: str, entry: Json) -> int:
    """Where the tensor ends, in bytes behind the header."""
    if isinstance(entry, dict):
        kind, shape, offsets = entry.get("dtype"), sizes_of(entry.get("shape")), sizes_of(entry.get("data_offsets"))
        if isinstance(kind, str) and shape is not None and offsets is not None and len(offsets) == 2:
            length = offsets[1] - offsets[0]
            if length >= 0 and (kind not in SIZES or length == math.prod(shape) * SIZES[kind]):
                return offsets[1]
    _refuse(f"The file's header is damaged: the entry for {name[:100]!r} is invalid.")


def _check_gguf(path: Path, size: int) -> None:
    try:
        header = read_gguf_header(path)
    except ValueError as error:
        raise ModelError(f"The file cannot be read as GGUF: {error}.", hint=AGAIN) from error
    for tensor in header.tensors:
        numbers, nbytes = BLOCKS.get(tensor.kind, (1, 0))
        if header.begin + tensor.offset + math.prod(tensor.shape) // numbers * nbytes > size:
            _refuse("The file is incomplete.")


# ---------------------------------------------------------------- torch's own formats


def _check_zip(stream: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(stream) as archive:
            program = program_in(archive)
            if program is None:
                _refuse("The file is a zip archive without a model.")
            if program.file_size > LARGEST_PICKLE:
                return
            with archive.open(program) as inside:
                _check_names(inside.read(LARGEST_PICKLE))
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ModelError("The file is incomplete or damaged.", hint=AGAIN) from error


def _check_names(content: bytes) -> None:
    """A pickle that is whole, and names nothing that could run code."""
    try:
        _Storages(_Stream(io.BytesIO(content), len(content))).load()
    except ModelError:
        raise
    except Exception as error:  # the file says what is done to what
        raise ModelError(f"The file is damaged ({type(error).__name__}).", hint=AGAIN) from error


# The one in C grows its memo as a hostile file says.
class _Storages(pickle._Unpickler):
    """Reads a pickle and learns which storages it speaks of: key -> bytes."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> type[Inert]:
        check_name(module, name)
        return type(name, (Inert,), {})

    def persistent_load(self, pid: object) -> object:
        if isinstance(pid, tuple) and pid[:1] == ("module",):
            return pid[1]  # a class, with its source
        if isinstance(pid, tuple) and len(pid) > 4 and pid[0] == "storage":
            kind = getattr(pid[1], "__name__", "").removesuffix("Storage")
            self.storages[str(pid[2])] = STORAGES.get(kind, 1) * int(pid[4])
        return Inert()


class _Stream:
    """A file that is read no further than to its end, whatever length a pickle asks for."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= min(self._size - self._stream.tell(), LARGEST_PICKLE):
            raise EOFError
        return self._stream.read(count)

    def readline(self) -> bytes:
        return self._stream.readline(LARGEST_PICKLE)


def _check_legacy(stream: BinaryIO, size: int) -> None:
    """Torch's format before 1.6: a number, a version, the machine, the content, the storages' keys; the storages."""
    stream.seek(0)
    source = _Stream(stream, size)
    try:
        if _Storages(source).load() != LEGACY_MAGIC:
            _refuse("The file is a Python pickle, but not a model.")
        for _ in range(2):
            _Storages(source).load()
        content = _Storages(source)
        content.load()
        keys = _Storages(source).load()
        for key in keys if isinstance(keys, list) else ():
            stream.seek(8, 1)
            if stream.seek(content.storages.get(str(key), 0), 1) > size:
                _refuse("The file is incomplete.")
    except ModelError:
        raise
    except EOFError as error:
        raise ModelError("The file is incomplete.", hint=AGAIN) from error
    except Exception as error:
        raise ModelError(f"The file is damaged ({type(error).__name__}).", hint=AGAIN) from error


# ---------------------------------------------------------------- folders of diffusers


def _check_pipeline(folder: Path) -> None:
    try:
        index = json.loads(_text(folder / INDEX))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The folder's {INDEX} is not valid JSON.", hint="Download it again.") from error
    if not isinstance(index, dict):
        _refuse(f"The folder's {INDEX} is not a JSON object.")
    for part, said in index.items():
        if part.startswith("_") or not isinstance(said, list) or len(said) != 2 or not said[0]:
            continue
        for file in sorted((folder / part).glob("*.safetensors")):
            try:
                check_model(file)
            except ModelError as error:
                raise ModelError(f"{part}/{file.name}: {error.message}", hint=error.hint) from error
        config = folder / part / "config.json"
        if config.is_file():
            try:
                check_table(config)
            except UserError as error:
                raise ModelError(f"{part}/config.json: {error.message}", hint=error.hint) from error

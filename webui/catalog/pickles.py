"""What a pickled model file holds, without torch, and without carrying out anything that stands in it.

A pickle is a program. Here it may build tables, lists and the outlines of tensors; whatever else it names ends the
reading. The numbers themselves are not read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from webui.base.errors import ModelError

LARGEST = 16 * 2**20
"""Bytes of the pickle itself; the tensors of newer files lie beside it."""
LEGACY_PREFIX = 3
"""Pickles that older files have before their content: a number, a version, the machine they were made on."""
STORAGES = (
    "FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "LongStorage", "IntStorage", "ShortStorage",
    "CharStorage", "ByteStorage", "BoolStorage", "UntypedStorage",
)  # fmt: skip


@dataclass(frozen=True)
class Outline:
    """A tensor, but for its numbers."""

    shape: tuple[int, ...]


def read_outlines(path: Path) -> object:
    """The content of a file that torch.save wrote, with an `Outline` in the place of each tensor.

    Raises:
        ModelError: the file cannot be read, or holds something else.
    """
    try:
        if zipfile.is_zipfile(path):
            return _Reader(io.BytesIO(_pickle_in(path))).load()
        with path.open("rb") as file:
            for _ in range(LEGACY_PREFIX):
                _Reader(file).load()
            return _Reader(file).load()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:
        # A pickle's opcodes may fail in any way, for the file says what they are done to.
        raise ModelError(f"{path.name} is not a model file, or it is damaged: {error}.") from error


def _pickle_in(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        entry = next(each for each in archive.infolist() if each.filename.rsplit("/", 1)[-1] == "data.pkl")
        if entry.file_size > LARGEST:
            raise ModelError(f"{path.name} has a pickle of {entry.file_size:,} bytes, which is too large to be read.")
        with archive.open(entry) as file:
            return file.read(LARGEST)


class _Reader(pickle._Unpickler):
    """In Python: the one in C makes room for as many values as a file says that it has, before it has any."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._known: dict[tuple[str, str], Callable[..., object]] = {
            ("collections", "OrderedDict"): dict,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor_v2"): lambda _storage, _offset, size, *_more: Outline(tuple(size)),
            ("torch._utils", "_rebuild_tensor"): lambda _storage, _offset, size, *_more: Outline(tuple(size)),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_more: tensor,
            **{("torch", name): lambda *_values: None for name in STORAGES},
        }

    def find_class(self, module: str, name: str) -> object:
        try:
            return self._known[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

    def persistent_load(self, _id: object) -> None:
        """Where the numbers of a tensor lie."""

"""What a pickled model file holds, without torch, and without carrying out anything that stands in it.

A pickle is a program. Here it may build tables, lists and the outlines of tensors; what else it names becomes an object
that does nothing, or ends the reading where it could run code. The numbers themselves are not read.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from webui.base.errors import ModelError
from webui.catalog.inert import Inert, ParameterDict

LARGEST = 16 * 2**20
"""Bytes of the pickle itself; the tensors of newer files lie beside it."""
LEGACY_PREFIX = 3
"""Pickles that older files have before their content: a number, a version, the machine they were made on."""
PROGRAM = re.compile(r"[^/]+/data\.pkl")
"""What the pickle is called in the archives that torch writes."""
HARMLESS = frozenset(
    """torch collections numpy _codecs builtins __builtin__ copyreg copy_reg argparse omegaconf typing pathlib
    pytorch_lightning lightning modelcard ultralytics""".split()  # noqa: SIM905
)
"""Packages whose classes model files name; torch's restricted unpickler, which opens them, is stricter."""
RUNS_CODE = frozenset({"eval", "exec", "compile", "__import__", "getattr", "open", "breakpoint", "input", "apply"})
"""Of Python's own functions."""


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


def program_in(archive: zipfile.ZipFile) -> zipfile.ZipInfo | None:
    """The pickle in an archive that torch wrote; None: it is another archive."""
    return next((entry for entry in archive.infolist() if PROGRAM.fullmatch(entry.filename)), None)


def check_name(module: str, name: str) -> None:
    """Raises ModelError: what a pickle names here could run code."""
    if module.split(".")[0] not in HARMLESS or name.split(".")[0] in RUNS_CODE:
        refuse_code(f"{module}.{name}")


def refuse_code(name: str) -> NoReturn:
    raise ModelError(
        f"The file contains Python objects that could run code ({name}), so it is not opened."[:200],
        hint="Ask for the model as .safetensors.",
    )


def _pickle_in(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        entry = program_in(archive)
        if entry is None:
            raise ModelError(f"{path.name} is a zip archive without a model.")
        if entry.file_size > LARGEST:
            raise ModelError(f"{path.name} has a pickle of {entry.file_size:,} bytes, which is too large to be read.")
        with archive.open(entry) as file:
            return file.read(LARGEST)


class _Array:
    """An array of numpy's, but for its numbers."""

    shape: tuple[int, ...] = ()

    def __setstate__(self, state: object) -> None:
        """(version, shape, type, whether columns lie together, bytes)"""
        if isinstance(state, tuple) and isinstance(state[1], tuple):
            self.shape = state[1]


def _of_array(array: object, *_more: object) -> object:
    return Outline(array.shape) if isinstance(array, _Array) else array


def _made(kind: object, *_base_and_state: object) -> object:
    """copyreg._reconstructor: how the first protocols make an object."""
    return ParameterDict() if kind is ParameterDict else Inert()


def _of_size(_storage: object, _offset: object, size: Iterable[int], *_more: object) -> Outline:
    return Outline(tuple(size))


_NUMPY = ("numpy.core.", "numpy._core.")
_KNOWN: Mapping[str, Callable[..., object]] = {
    "collections.OrderedDict": dict,
    "collections.defaultdict": lambda *_kind: {},
    "torch.Size": tuple,
    **dict.fromkeys(
        ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"), _of_size
    ),
    **dict.fromkeys(
        (
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_parameter_with_state",
            "torch._utils._rebuild_device_tensor_from_numpy",
            "torch._utils._rebuild_device_tensor_from_cpu_tensor",
            "torch._utils._rebuild_xla_tensor",
            "torch.nn.parameter.Parameter",
        ),
        _of_array,
    ),
    "torch._tensor._rebuild_from_type_v2": lambda rebuild, _type, arguments, *_state: rebuild(*arguments),
    "torch.nn.modules.container.ParameterDict": ParameterDict,
    **{f"{module}multiarray._reconstruct": lambda *_kind: _Array() for module in _NUMPY},
    **dict.fromkeys((f"{module}numeric._frombuffer" for module in _NUMPY), _of_size),
    **{f"{module}._reconstructor": _made for module in ("copyreg", "copy_reg")},
}
"""As engine/families/pickles.py knows them, but for the numbers."""


class _Reader(pickle._Unpickler):
    """In Python: the one in C makes room for as many values as a file says that it has, before it has any."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> object:
        known = _KNOWN.get(f"{module}.{name}")
        if known is None:
            check_name(module, name)
        return known or Inert

    def persistent_load(self, pid: object) -> object:
        """Where the numbers of a tensor lie, or a class of a module with its source, as files before 1.6 have it."""
        return pid[1] if isinstance(pid, tuple) and pid[:1] == ("module",) else None

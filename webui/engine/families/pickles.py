"""Files of `torch.save`, read without running what they say.

Such a file is a pickle: a program that names functions and calls them. Here every name is looked up in one table of
stand-ins, which make tensors, arrays and containers and nothing else; what training programs write beside the weights
becomes an empty object; any other name ends the reading. Nothing is imported because a file says so.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
import zipfile
import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from webui.base.text import is_odd
from webui.catalog.inert import Inert, ParameterDict
from webui.catalog.pickles import program_in

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""Of torch's format before 1.6."""
LARGEST_PROGRAM = 2**28
"""Bytes of a pickle beside its storages. Checkpoints with an optimiser's state have a few millions."""
MOST_MODULES = 20_000
"""In one file, counted as often as they occur."""
DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    AssertionError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)
"""What reading a damaged file may raise."""


Named: TypeAlias = Callable[[str], object]
"""What stands for a name in a pickle; None: nothing does."""


class Forbidden(Exception):
    """The file asks for something that is none of data; the text is its name."""


def read_pickle(path: Path) -> object:
    """The content of a file of `torch.save`, of any version and pickle protocol; tensors lie on the CPU.

    Raises:
        Forbidden: it names what is not in the table.
        Exception: one of `DAMAGE`.
    """
    return _read(path, _named)


def read_modules(path: Path) -> object:
    """The same where whole modules were saved: a `PickledModule` stands for each, whatever its class.

    Raises:
        Forbidden, Exception: as `read_pickle`.
    """
    return _read(path, lambda name: _named(name) or (PickledModule if _MODULES.fullmatch(name) else None))


def _read(path: Path, known: Named) -> object:
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return _zipped(path, known)
        file.seek(0)
        return _legacy(file, path.stat().st_size, known)


# ---------------------------------------------------------------- the two formats


@dataclass(frozen=True)
class _Storage:
    """Bytes, and what the numbers in them are."""

    content: torch.UntypedStorage
    dtype: torch.dtype


@dataclass(frozen=True)
class _StorageType:
    dtype: torch.dtype


def _zipped(path: Path, known: Named) -> object:
    """Since torch 1.6: a zip file with the pickle, and one file for each storage."""
    with zipfile.ZipFile(path) as archive:
        inside = {info.filename: info for info in archive.infolist()}
        program = program_in(archive)
        if program is None:
            raise ValueError("it is a zip archive without a model")
        folder = program.filename.removesuffix("data.pkl")
        if f"{folder}constants.pkl" in inside:
            raise Forbidden("TorchScript")
        if f"{folder}byteorder" in inside and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are stored in big-endian byte order")
        if program.file_size > LARGEST_PROGRAM:
            raise ValueError("its pickle is too large")
        with mappable(path) as opened:
            whole = torch.UntypedStorage.from_file(opened, False, path.stat().st_size)
            assert isinstance(whole, torch.UntypedStorage)
        kept: dict[str, torch.UntypedStorage] = {}

        def storage(key: str, nbytes: int) -> torch.UntypedStorage:
            if key not in kept:
                info = inside[f"{folder}data/{key}"]
                kept[key] = _stored(archive, info, whole) if info.file_size else _fresh(0)
            if kept[key].nbytes() < nbytes:
                raise ValueError(f"storage {key} has only {kept[key].nbytes():,} of its {nbytes:,} bytes")
            return kept[key]

        return _Reader(io.BytesIO(archive.read(program)), storage, known).load()


@contextmanager
def mappable(path: Path) -> Iterator[str]:
    """A name by which torch opens the file: its own, or, where that is no UTF-8, that of the open file."""
    if not is_odd(path):
        yield str(path)
        return
    with path.open("rb") as file:
        yield f"/proc/self/fd/{file.fileno()}"


def _fresh(nbytes: int) -> torch.UntypedStorage:
    return torch.empty(nbytes, dtype=torch.uint8).untyped_storage()


def _stored(archive: zipfile.ZipFile, info: zipfile.ZipInfo, whole: torch.UntypedStorage) -> torch.UntypedStorage:
    """A file in the archive: mapped where it lies in one piece, as torch writes it."""
    if info.compress_type != zipfile.ZIP_STORED:
        content = archive.read(info)
        return torch.frombuffer(bytearray(content), dtype=torch.uint8).untyped_storage()
    with archive.open(info):  # checks its local header
        header = bytes(whole[info.header_offset + 26 : info.header_offset + 30].tolist())
    name, extra = struct.unpack("<HH", header)
    start = info.header_offset + 30 + name + extra
    if start + info.file_size > whole.nbytes():
        raise ValueError("it is incomplete")
    piece: torch.UntypedStorage = whole[start : start + info.file_size]
    return piece


def _legacy(file: io.BufferedReader, size: int, known: Named) -> object:
    """Before torch 1.6: a pickle, the names of its storages, and the storages one after the other."""
    storages: dict[str, torch.UntypedStorage] = {}
    asked = 0

    def storage(key: str, nbytes: int) -> torch.UntypedStorage:
        nonlocal asked
        if key not in storages:
            asked += nbytes
            if asked > size:
                raise ValueError("its storages are larger than the file itself")
            storages[key] = _fresh(nbytes)
        return storages[key]

    read = [_Reader(file, storage, known).load() for _ in range(3)]
    if read[0] != MAGIC or read[1] != PROTOCOL:
        raise ValueError("it is not a PyTorch file")
    content = _Reader(file, storage, known).load()
    for key in _Reader(file, storage, known).load():
        (count,) = struct.unpack("<q", file.read(8))
        filled = torch.empty(0, dtype=torch.uint8).set_(storages[key]).numpy()
        if count < 0 or file.readinto(filled.data) != len(filled):
            raise ValueError("it is incomplete")
    return content


# ---------------------------------------------------------------- the reader


class _Reader(pickle._Unpickler):
    """The standard library's unpickler in Python, with our table in the place of imports.

    Not the one in C: that lets a file of a few bytes ask for a memo of gigabytes, and builds objects by itself.
    """

    def __init__(self, file: IO[bytes], storage: Callable[[str, int], torch.UntypedStorage], known: Named) -> None:
        super().__init__(file, encoding="latin1")
        self._storage, self._known = storage, known

    def find_class(self, module: str, name: str) -> object:
        found = self._known(f"{module}.{name}")
        if found is None:
            raise Forbidden(f"{module}.{name}")
        return found

    def persistent_load(self, pid: object) -> object:
        """A storage: ("storage", type, key, device, count of numbers[, part of another]).

        In files before torch 1.6 a class of modules, too: ("module", class, its file, its source).
        """
        if not isinstance(pid, tuple):
            raise Forbidden("persistent")
        if len(pid) == 4 and pid[0] == "module":
            return pid[1]
        kind, of, key, _device, count, *part = pid
        if kind != "storage" or not isinstance(of, _StorageType) or not isinstance(key, str | int) or count < 0:
            raise Forbidden(f"persistent {kind}")
        size = of.dtype.itemsize
        content = self._storage(str(key), int(count) * size)
        if part and part[0] is not None:
            _key, start, length = part[0]
            if not 0 <= start <= start + length <= count:
                raise ValueError("a view lies outside its storage")
            content = content[start * size : (start + length) * size]
        return _Storage(content, of.dtype)

    def load_build(self) -> None:
        """Give an object its state: the few that have one."""
        state = self.stack.pop()  # type: ignore[attr-defined]
        made = self.stack[-1]  # type: ignore[attr-defined]
        for kind, build in _BUILDS:
            if isinstance(made, kind):
                build(made, state)
                return
        raise Forbidden(f"the state of a {type(made).__name__}")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{
            code: load
            for code, load in pickle._Unpickler.dispatch.items()
            if code not in (pickle.EXT1[0], pickle.EXT2[0], pickle.EXT4[0])
        },
        pickle.BUILD[0]: load_build,
    }


# ---------------------------------------------------------------- torch


def _tensor(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    *_requires_grad_hooks_and_more: object,
) -> Tensor:
    """torch._utils._rebuild_tensor and its second version."""
    if not isinstance(storage, _Storage):
        raise TypeError("a tensor has no storage")
    return _placed(storage.content, storage.dtype, offset, size, stride)


def _tensor_v3(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    _requires_grad: object,
    _hooks: object,
    dtype: object,
    *_more: object,
) -> Tensor:
    """torch._utils._rebuild_tensor_v3: of types that have no storage of their own."""
    if not isinstance(storage, _Storage) or not isinstance(dtype, torch.dtype):
        raise TypeError("a tensor has no storage, or an unknown data type")
    return _placed(storage.content, dtype, offset, size, stride)


def _placed(content: torch.UntypedStorage, dtype: torch.dtype, offset: object, size: object, stride: object) -> Tensor:
    """A view of the storage. Raises ValueError: it would reach beyond it, or show its numbers more often than once."""
    size, stride, (offset,) = _sides(size), _sides(stride), _sides((offset,))
    if len(size) != len(stride):
        raise ValueError("a tensor has no shape")
    count = content.nbytes() // dtype.itemsize
    if math.prod(size):
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if last >= count or math.prod(size) > count:
            raise ValueError("a tensor is larger than its storage")
    elif offset > count:
        raise ValueError("a tensor lies outside its storage")
    return torch.empty(0, dtype=dtype).set_(content, offset, size, stride)


def _sides(numbers: object) -> tuple[int, ...]:
    """Checked. Raises ValueError: they are no whole numbers from 0 on."""
    given = tuple(numbers) if isinstance(numbers, tuple | list) else (None,)
    found = tuple(number for number in given if isinstance(number, int) and number >= 0)
    if len(found) < len(given):
        raise ValueError("a tensor has no shape")
    return found


def _parameter(data: object, *_more: object) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter has no tensor")
    return data


def _from_array(data: object, dtype: object, *_device: object) -> Tensor:
    """Of a device whose storages are not saved: early versions of torch wrote Apple's so."""
    tensor = torch.from_numpy(data.copy()) if isinstance(data, np.ndarray) else data
    if not isinstance(tensor, Tensor):
        raise TypeError("a tensor has no data")
    return tensor.to(dtype) if isinstance(dtype, torch.dtype) else tensor


def _from_type(rebuild: object, _type: object, arguments: object, _state: object) -> Tensor:
    """torch._tensor._rebuild_from_type_v2: a tensor that carries attributes."""
    known: tuple[Callable[..., Tensor], ...] = (_tensor, _tensor_v3, _parameter, _from_array)
    for one in known:
        if rebuild is one:
            if not isinstance(arguments, tuple | list):
                raise TypeError("a tensor has no parts")
            return one(*arguments)
    raise Forbidden("a tensor of an unknown kind")


def _reconstructed(kind: object, *_base_and_state: object) -> object:
    """copyreg._reconstructor: how the first protocols make an object."""
    for known in (Inert, ParameterDict, PickledModule):
        if kind is known:
            return known()
    raise Forbidden(f"an object of {getattr(kind, '__name__', kind)}")


class PickledModule:
    """A module of torch's, of any class: its tensors and the modules within it, and nothing that could be run."""

    own: dict[str, Tensor]
    inner: dict[str, PickledModule]
    names: object
    """What a detector calls the classes of what it finds."""

    def __new__(cls, *_arguments: object, **_named: object) -> Self:
        made = super().__new__(cls)  # protocols from 2 on make an object without calling its __init__
        made.own, made.inner, made.names = {}, {}, None
        return made

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, Mapping):
            return
        for part in ("_parameters", "_buffers"):
            held = state.get(part)
            if isinstance(held, Mapping):
                self.own.update({str(name): each for name, each in held.items() if isinstance(each, Tensor)})
        inner = state.get("_modules")
        if isinstance(inner, Mapping):
            self.inner.update({str(name): each for name, each in inner.items() if isinstance(each, PickledModule)})
        self.names = state.get("names")

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """As its state dict has them.

        Raises:
            ValueError: there are too many modules, as where one lies within itself.
        """
        waiting: list[tuple[str, PickledModule]] = [("", self)]
        seen = 0
        while waiting:
            prefix, module = waiting.pop()
            seen += 1
            if seen > MOST_MODULES:
                raise ValueError("it has too many modules")
            yield from ((prefix + name, tensor) for name, tensor in module.own.items())
            waiting += [(f"{prefix}{name}.", inner) for name, inner in module.inner.items()]


# ---------------------------------------------------------------- numpy and Python


_NUMBERS = re.compile(r"[|<>=]?[?biufcSU]\d{0,6}")


def _array_type(code: object, *_align_and_copy: object) -> np.dtype[np.generic]:
    """Of numbers and text, never of objects."""
    if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
        raise Forbidden(f"numpy.dtype({code!r})")
    return np.dtype(code, False, True)  # a copy: its byte order may be set


def _set_array_type(made: np.dtype[np.generic], state: object) -> None:
    """(version, byte order, and nothing of fields)."""
    if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
        raise Forbidden("numpy.dtype with fields")
    if state[1] not in ("<", ">", "|", "="):
        raise ValueError("an array has an unknown byte order")
    size = (made.itemsize, made.alignment) if made.kind in "SU" else (-1, -1)
    made.__setstate__((3, state[1], None, None, None, *size, 0))  # type: ignore[attr-defined]


def _empty_array(*_type_shape_code: object) -> NDArray[np.generic]:
    """numpy's `_reconstruct`: an array that gets its content as a state."""
    return np.empty(0, np.int8)


def _set_array(made: NDArray[np.generic], state: object) -> None:
    """(version, shape, type, whether columns lie together, bytes)."""
    if not isinstance(state, tuple):
        raise TypeError("an array has no state")
    _version, sides, dtype, by_columns, content = state
    shape = _shape(sides, dtype, content)
    made.__setstate__((1, shape, dtype, bool(by_columns), _plain_bytes(content)))  # type: ignore[arg-type]


def _shape(shape: object, dtype: object, content: object) -> tuple[int, ...]:
    """Checked against the bytes. Raises ValueError."""
    sizes = _sides((shape,) if isinstance(shape, int) else shape)
    if len(_plain_bytes(content)) != math.prod(sizes) * _numbers(dtype).itemsize:
        raise ValueError("an array is incomplete")
    return sizes


def _numbers(dtype: object) -> np.dtype[np.generic]:
    """Checked. Raises ValueError: it is no data type, or one of objects."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError("an array has no data type")
    return dtype


def _plain_bytes(content: object) -> bytes:
    """Also of Python 2's strings."""
    if isinstance(content, str):
        return content.encode("latin1")
    if not isinstance(content, bytes | bytearray):
        raise TypeError("its bytes cannot be decoded")
    return bytes(content)


def _array_of(content: object, dtype: object, shape: object, order: object = "C") -> NDArray[np.generic]:
    """numpy's `_frombuffer`, of protocol 5."""
    sizes = _shape(shape, dtype, content)
    flat: NDArray[np.generic] = np.frombuffer(_plain_bytes(content), _numbers(dtype))
    return flat.reshape(sizes, order="F" if order == "F" else "C")


def _scalar(dtype: object, content: object = b"") -> object:
    """numpy's `scalar`, as a number of Python where there is one."""
    return _array_of(content, dtype, (1,))[0].item()


def _encoded(text: object, encoding: object = "latin1", _errors: object = "strict") -> bytes:
    """_codecs.encode: how the first protocols write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "iso-8859-1", "ascii", "utf-8", "utf8"):
        raise Forbidden(f"_codecs.encode(..., {encoding!r})")
    return text.encode(encoding)


def _some_bytes(content: object = b"", encoding: object = "latin1") -> bytes:
    """Never as many zeros as a number says."""
    return _encoded(content, encoding) if isinstance(content, str) else _plain_bytes(content)


def _some_bytearray(content: object = b"", encoding: object = "latin1") -> bytearray:
    return bytearray(_some_bytes(content, encoding))


_BUILDS: tuple[tuple[type, Callable[[Any, Any], None]], ...] = (
    (np.dtype, _set_array_type),
    (np.ndarray, _set_array),
    (ParameterDict, ParameterDict.__setstate__),
    (PickledModule, PickledModule.__setstate__),
    (Inert, lambda _made, _state: None),
    (OrderedDict, lambda _made, _state: None),  # torch notes versions of modules there
)


# ---------------------------------------------------------------- the table

_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "Untyped": torch.uint8,
}
_PYTHON = (bool, complex, dict, float, frozenset, int, list, object, set, slice, str, tuple)
_NUMPY = ("numpy", "numpy.core", "numpy._core")

_TABLE: Mapping[str, object] = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
    "collections.Counter": Counter,
    **{f"{module}.{kind.__name__}": kind for kind in _PYTHON for module in ("builtins", "__builtin__")},
    **{f"{module}.bytes": _some_bytes for module in ("builtins", "__builtin__")},
    **{f"{module}.bytearray": _some_bytearray for module in ("builtins", "__builtin__")},
    **{f"{module}.unicode": str for module in ("builtins", "__builtin__")},
    **{f"{module}._reconstructor": _reconstructed for module in ("copyreg", "copy_reg")},
    "_codecs.encode": _encoded,
    **{
        f"{module}.{name}Storage": _StorageType(dtype)
        for name, dtype in _STORAGES.items()
        for module in ("torch", "torch.cuda", "torch.storage")
    },
    **{f"torch.{name}": dtype for name in dir(torch) if isinstance(dtype := getattr(torch, name), torch.dtype)},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._utils._rebuild_device_tensor_from_numpy": _from_array,
    "torch._utils._rebuild_xla_tensor": _from_array,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _from_array,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.nn.modules.container.ParameterDict": ParameterDict,
    "torch.Size": tuple,
    **{f"{module}.dtype": _array_type for module in _NUMPY},
    **{f"{module}.ndarray": Inert for module in _NUMPY},
    **{f"{module}.multiarray._reconstruct": _empty_array for module in _NUMPY},
    **{f"{module}.multiarray.scalar": _scalar for module in _NUMPY},
    **{f"{module}.numeric._frombuffer": _array_of for module in _NUMPY},
    **dict.fromkeys(
        (
            "argparse.Namespace",
            "datetime.date",
            "datetime.datetime",
            "datetime.timedelta",
            "enum.Enum",
            "torch.Tensor",
            "torch._tensor.Tensor",
            "torch.device",
            "torch.serialization._get_layout",
            "torch.torch_version.TorchVersion",
            "typing.Any",
            "uuid.UUID",
        ),
        Inert,
    ),
}
_BESIDE = re.compile(
    r"(?:(?:pytorch_lightning|lightning|lightning_fabric|lightning_utilities|omegaconf|diffusers|transformers|peft"
    r"|accelerate|ml_collections|easydict|addict|yacs|munch|torch\.optim|pathlib|numpy\.random)\.[\w.]+"
    r"|numpy\.(?:bool_?|u?int\d+|float\d+|str_|bytes_)"
    r"|torch\.(?:contiguous_format|channels_last|preserve_format|strided))"
)
"""Names of what training programs keep beside the weights."""
_MODULES = re.compile(r"(?:torch\.nn\.modules|ultralytics|models)\.[\w.]+")
"""Classes of modules, and what lies in their attributes."""


def _named(name: str) -> object:
    """What stands for a name; None: nothing does."""
    return _TABLE.get(name) or (Inert if _BESIDE.fullmatch(name) else None)

"""The numbers in a small file that torch.save wrote, read without torch and without carrying out what stands in it.

The format: a zip archive of a pickle, in which each tensor is a call of `_rebuild_tensor_v2` with a storage, an offset,
a size and strides, and of the storages, one file each.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from webui.base.errors import ModelError
from webui.catalog.inert import Inert
from webui.catalog.pickles import LARGEST, check_name, program_in

Array: TypeAlias = NDArray[np.float32]

MOST = 2**26
"""Numbers in one tensor."""
FLOATS = "FloatStorage"
FOLLOW = ("attn_mask_0", "attn_mask_1", "attn_mask")
"""How the names of tensors end that follow from sizes: large, and made anew where they are needed."""


def arrays_of(content: bytes) -> dict[str, Array]:
    """Its tensors of 32-bit floats by their names, within "params" if they lie there; others are left out.

    Raises:
        ModelError: it is no such file, it is damaged, or it names what could run code.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entry = program_in(archive)
            if entry is None or entry.file_size > LARGEST:
                raise ModelError("This is not a file of PyTorch.")
            folder = entry.filename.rpartition("/")[0]
            found = _Reader(archive.read(entry), lambda key: archive.read(f"{folder}/data/{key}")).load()
            named = found.get("params", found) if isinstance(found, dict) else {}
            tensors = named.items() if isinstance(named, dict) else ()
            read = {name: each.numbers() for name, each in tensors if isinstance(each, _Tensor) and _is_own(name)}
    except ModelError:
        raise
    except Exception as error:
        # A pickle's opcodes may fail in any way, for the file says what they are done to.
        raise ModelError("The file of PyTorch is damaged.") from error
    if not read:
        raise ModelError("The file of PyTorch does not contain any tensors.")
    return read


def _is_own(name: object) -> bool:
    return isinstance(name, str) and name.rpartition(".")[2] not in FOLLOW


class _Tensor:
    """One of floats, whose numbers are not read yet."""

    def __init__(
        self, storage: Callable[[], bytes], offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self._storage, self._offset, self._shape, self._strides = storage, offset, shape, strides

    def numbers(self) -> Array:
        count = math.prod(self._shape)
        dense = tuple(math.prod(self._shape[place + 1 :]) for place in range(len(self._shape)))
        if self._strides != dense or not 0 < count <= MOST:
            raise ModelError("A tensor in the file of PyTorch has no valid shape.")
        return np.frombuffer(self._storage(), "<f4", count, 4 * self._offset).reshape(self._shape)


class _Reader(pickle._Unpickler):
    """In Python: the one in C makes room for as many values as a file says that it has, before it has any."""

    def __init__(self, program: bytes, storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(program), encoding="latin1")
        self._storage = storage

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        check_name(module, name)
        return name if module == "torch" and name.endswith("Storage") else Inert

    def persistent_load(self, pid: object) -> object:
        """("storage", type, key, device, how many) -> what reads its bytes; None: they are no floats."""
        if isinstance(pid, tuple) and len(pid) == 5 and pid[1] == FLOATS and isinstance(pid[2], str):
            key: str = pid[2]
            return lambda: self._storage(key)
        return None


def _rebuilt(storage: object, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_more: object) -> object:
    return _Tensor(storage, offset, shape, strides) if callable(storage) else None

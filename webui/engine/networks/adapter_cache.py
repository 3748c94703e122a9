"""Network files in memory, and the changes of weights that were computed from them: shared by all models."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import psutil
from torch import Tensor

from webui.base.errors import ModelError
from webui.engine.networks.adapter import Adapter, read_adapter
from webui.engine.networks.hypernetworks import Hypernetwork, read_hypernetwork
from webui.request.plan import NetworkRef

FILE_BYTES = 2**30
"""Of network files that are kept."""
CHANGES_SHARE = 1 / 16
"""The share of the machine's memory for changes that are kept, on a CPU, where computing them takes long."""


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


class Kept(Generic[T]):
    """Things by key within a number of bytes; the least recently used go first, but never the last one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._nbytes = 0
        self._things: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing, made now or before."""
        if key not in self._things:
            self._things[key] = thing = make()
            self._nbytes += thing.nbytes
            while self._nbytes > self._limit and len(self._things) > 1:
                self._nbytes -= self._things.popitem(last=False)[1].nbytes
        self._things.move_to_end(key)
        return self._things[key]

    def forget(self) -> None:
        self._things.clear()
        self._nbytes = 0


@dataclass(frozen=True, eq=False)
class AdapterCache:
    """Networks that can be made active in models."""

    adapters: Kept[Adapter] = field(default_factory=lambda: Kept(FILE_BYTES))
    hypernetworks: Kept[Hypernetwork] = field(default_factory=lambda: Kept(FILE_BYTES))
    changes: Kept[Tensor] = field(default_factory=lambda: Kept(int(psutil.virtual_memory().total * CHANGES_SHARE)))

    def adapter(self, ref: NetworkRef) -> tuple[Hashable, Adapter]:
        """(what the file's content is known by, the content). Raises ModelError."""
        key = _stamp(ref)
        return key, self.adapters.get(key, lambda: read_adapter(Path(ref.path), ref.sha256))

    def hypernetwork(self, ref: NetworkRef) -> Hypernetwork:
        """Raises ModelError."""
        return self.hypernetworks.get(_stamp(ref), lambda: read_hypernetwork(Path(ref.path)))

    def forget(self) -> None:
        """Give the memory back."""
        for kept in (self.adapters, self.hypernetworks, self.changes):
            kept.forget()


def _stamp(ref: NetworkRef) -> tuple[str, int, int]:
    try:
        status = Path(ref.path).stat()
    except OSError as error:
        raise ModelError(f"{ref.name} cannot be read: {error.strerror or error}.", hint="Was it moved?") from error
    return (ref.path, status.st_mtime_ns, status.st_size)

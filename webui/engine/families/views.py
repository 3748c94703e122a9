"""A file of weights seen under other names: parts of tensors, halves changed about, fp8 with its scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from webui.engine.families.weights import WeightsFile


@dataclass(frozen=True)
class _Source:
    full: str
    rows: slice | None = None
    halves_changed: bool = False


@dataclass(frozen=True, eq=False)
class View:
    """Collects which tensor is which; `result` is a file under the new names. Nothing is read before it is needed."""

    file: WeightsFile
    _sources: dict[str, _Source] = field(default_factory=dict)
    _shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add(self, name: str, full: str, *, halves_changed: bool = False) -> None:
        """The tensor `full` of the file under `name`; its first and second half of rows change places where told."""
        self._sources[name] = _Source(full, halves_changed=halves_changed)
        self._shapes[name] = self.file.shapes[full]

    def split(self, names: Sequence[str], full: str, size: int) -> None:
        """`size` rows of the tensor for each name, and what is left for the last."""
        rows, *rest = self.file.shapes[full]
        for rank, name in enumerate(names):
            end = rows if rank == len(names) - 1 else (rank + 1) * size
            self._sources[name] = _Source(full, slice(rank * size, end))
            self._shapes[name] = (end - rank * size, *rest)

    def result(self) -> WeightsFile:
        return replace(self.file, shapes=self._shapes, tensor=self._tensor)

    def _tensor(self, name: str) -> Tensor:
        source = self._sources[name]
        tensor = self.file.tensor(source.full)
        scale = source.full.removesuffix("weight") + "scale_weight"
        if scale in self.file.shapes:  # fp8 files of which each layer fills the whole range
            tensor = tensor.float() * self.file.tensor(scale).float()
        if source.halves_changed:
            tensor = torch.cat(tensor.chunk(2)[::-1])
        return tensor if source.rows is None else tensor[source.rows]

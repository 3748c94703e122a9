"""What stands for the objects in a pickle that nobody wants: nothing of them is run, and nothing of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self


class Inert(dict[object, object]):
    """It takes everything that a pickle does to an object, keeps nothing, and does nothing."""

    def __new__(cls, *_arguments: object, **_named: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_arguments: object, **_named: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass

    def add(self, value: object) -> None:
        pass

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class ParameterDict(dict[str, object]):
    """torch.nn.ParameterDict: what it holds, without the module around it."""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, Mapping):
            keys = state.get("_keys") or {}
            self.update({key: state[key] for key in keys if key in state})
            self.update(state.get("_parameters") or {})

"""Gradio, imported in half the time.

For each class of a component, `import gradio` reads the source of the class again, writes a stub for editors
(`button.pyi`) beside it, and renders the docstrings of its events. That is half of the time until the page is there,
and it writes into the installed package; a server needs none of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def quickly() -> None:
    """Let the `import gradio` that comes later leave out what is for editors; nothing where it was imported before."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _without_stubs(module: ModuleType) -> None:
    vars(module)["create_or_modify_pyi"] = lambda *_class: None


def _without_docstrings(module: ModuleType) -> None:
    if hasattr(module, "EventListener"):
        module.EventListener.set_doc = lambda *_component, **_named: None


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "gradio.component_meta": _without_stubs,
    "gradio.events": _without_docstrings,
}


class _Finder(MetaPathFinder):
    """Finds the modules that are changed, where Python finds them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in CHANGES:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Changing(spec.loader, CHANGES[fullname])
        return spec


class _Changing(Loader):
    """Loads a module as its own loader does, and changes it before anybody has it."""

    def __init__(self, own: Loader, change: Callable[[ModuleType], None]) -> None:
        self._own = own
        self._change = change

    def __getattr__(self, name: str) -> object:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._own.exec_module(module)
        self._change(module)

"""Fails in the hook that is chosen, or gives there what it should not."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from gesso_broken.raising import raises, seven
from webui.features.feature import FeatureParams, Touched
from webui.request.params import Choice, Toggle

SERVER = ("prepare", "sized", "resolve", "cost")
ENGINE = ("init", "patch_vae", "shape", "begin", "then", "finish")
PASS = ("enter", "patch", "network", "predict", "guide", "denoise", "first", "walk")


class Params(FeatureParams):
    """Where it fails."""

    title: ClassVar[str] = "Broken hooks"
    touches: ClassVar[frozenset[Touched]] = frozenset({"network", "guidance"})

    where: Annotated[str, Choice(label="Broken where", ui="Where", choices=(*SERVER, *ENGINE, *PASS))] = "begin"
    """The hook."""
    gives: Annotated[bool, Toggle(ui="Gives")] = False
    """It does not raise, but gives what nobody has asked for."""

    @property
    def fails(self) -> Any:
        """How it fails."""
        return seven if self.gives else raises

    def prepare(self, picture: Any, stream: Any) -> Any:
        return self.fails() if self.where == "prepare" else picture

    def sized(self, picture: Any, size_of: Any) -> Any:
        return self.fails() if self.where == "sized" else picture

    def resolve(self, resolving: Any) -> Self:
        return self.fails() if self.where == "resolve" else self

    def cost(self, work: Any) -> Any:
        return self.fails() if self.where == "cost" else work

"""Fails in the hook that is chosen."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from gesso_broken.raising import raises
from webui.features.feature import FeatureParams, Touched
from webui.request.params import Choice

SERVER = ("prepare", "resolve", "cost")
ENGINE = ("init", "patch_vae", "shape", "begin", "then", "finish")
PASS = ("enter", "patch", "network", "predict", "guide", "denoise", "first", "walk")


class Params(FeatureParams):
    """Where it fails."""

    title: ClassVar[str] = "Broken hooks"
    touches: ClassVar[frozenset[Touched]] = frozenset({"network", "guidance"})

    where: Annotated[str, Choice(label="Broken where", ui="Where", choices=(*SERVER, *ENGINE, *PASS))] = "begin"
    """The hook."""

    def prepare(self, picture: Any, stream: Any) -> Any:
        return raises() if self.where == "prepare" else picture

    def resolve(self, resolving: Any) -> Self:
        return raises() if self.where == "resolve" else self

    def cost(self, work: Any) -> Any:
        return raises() if self.where == "cost" else work

"""Hypernetworks: the tags of prompts and of the settings say which."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """Nothing beside the tags."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"network"})

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        return cls()

"""LoRAs: the tags of prompts and of the settings say which."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """Always there, since what the picture before has put on must come off."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"text"})

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        return cls()

"""The film strip: what the network takes the picture for at each step, from noise to the end."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.params import Toggle


class Params(FeatureParams):
    """On or off."""

    title: ClassVar[str] = "Film"
    flat: ClassVar[Mapping[str, str]] = MappingProxyType({"show_film": "on"})
    off: ClassVar[Mapping[str, object]] = MappingProxyType({"on": False})
    switch: ClassVar[str] = "on"
    called: ClassVar[str] = "The film strip"
    field: ClassVar[str] = "show_film"
    touches: ClassVar[frozenset[Touched]] = frozenset()
    after: ClassVar[tuple[str, ...]] = ("Inpainting",)

    on: Annotated[bool, Toggle(ui="Record a film of the steps", axis=False)] = True
    """Adds a contact sheet and an animation that show the picture at every step, from noise to the result."""

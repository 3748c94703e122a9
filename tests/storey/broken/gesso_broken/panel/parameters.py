"""Has a list that nobody has."""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams
from webui.request.params import Choice


class Params(FeatureParams):
    title: ClassVar[str] = "Broken panel"

    choice: Annotated[str, Choice(label="Broken choice", ui="Choice", source="nobody's")] = ""
    """Of nothing."""

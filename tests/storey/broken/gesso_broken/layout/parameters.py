"""Can be used, but for its panel."""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams
from webui.request.params import Slider


class Params(FeatureParams):
    title: ClassVar[str] = "Broken layout"

    amount: Annotated[float, Slider(label="Broken amount", ui="Amount", min=0, max=1)] = 0.5
    """Of nothing."""

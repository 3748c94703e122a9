"""Well declared."""

from __future__ import annotations

from typing import ClassVar

from webui.features.feature import FeatureParams


class Params(FeatureParams):
    title: ClassVar[str] = "Broken leaving"

"""There is no engine half."""

from __future__ import annotations

from typing import ClassVar

from webui.features.feature import FeatureParams


class Params(FeatureParams):
    title: ClassVar[str] = "Broken half"

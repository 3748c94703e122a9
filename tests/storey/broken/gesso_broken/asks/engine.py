"""Does nothing."""

from __future__ import annotations

from webui.engine.feature import FeatureEngine as Engine

__all__ = ["Engine"]

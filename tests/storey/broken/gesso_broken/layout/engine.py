"""Does nothing."""

from __future__ import annotations

from gesso_broken.layout.parameters import Params
from webui.engine.feature import FeatureEngine


class Engine(FeatureEngine[Params]):
    pass

"""Cannot say whether a picture asks for it."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from webui.features.feature import FeatureParams


class Params(FeatureParams):
    title: ClassVar[str] = "Broken asking"

    @classmethod
    def units_of(cls, _request: Any, _render: Any) -> NoReturn:
        raise KeyError("the sky has fallen")

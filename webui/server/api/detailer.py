"""The routes of A1111's extension ADetailer, in its form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webui.features.detailer.parameters import OF_THE_PAGE, Params
from webui.request.documented import Documented
from webui.request.params import Param, schema_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

VERSION = "25.3.0"
"""Of the extension whose values are understood."""


class DetailerVersion(Documented):
    """The version of the interface."""

    version: str
    """The version of the extension whose values are understood."""


class DetectorList(Documented):
    """Detectors."""

    ad_model: list[str]
    """Their names: the values for a unit's `ad_model`."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/adetailer/v1")

    @router.get("/version", "user", response_model=DetailerVersion)
    def version() -> dict[str, str]:
        """The version of the interface."""
        return {"version": VERSION}

    @router.get("/schema", "user", response_model=dict[str, object])
    def schema() -> dict[str, object]:
        """A unit as a JSON schema."""
        known = {name: param for name, param in Params.params().items() if type(param) is not Param}
        values = {name: schema_of(Params, name) for name in known}
        flags = {name: {"type": "boolean", "default": True} for name in sorted(OF_THE_PAGE)}
        return {"title": "ADetailerArgs", "type": "object", "properties": {**values, **flags}}

    @router.get("/ad_model", "user", response_model=DetectorList)
    def ad_model() -> dict[str, list[str]]:
        """Detectors; each call searches the folders again."""
        return {"ad_model": app.catalog.choices("detectors")}

    return router

"""What img2img begins with is enlarged by an upscaler, where the result is larger (`upscaler_for_img2img`)."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.base.errors import NotFound
from webui.features.feature import FeatureParams
from webui.request.fields import RESIZE_MODES, Generation
from webui.request.plan import Resolving
from webui.request.settings import RenderSettings

FILL, LATENT = RESIZE_MODES.index("Resize and fill"), len(RESIZE_MODES) - 1
NONE = "None"


class Params(FeatureParams):
    """Which upscaler, and for which size."""

    called: ClassVar[str] = "The upscaler for img2img"
    field: ClassVar[str] = "override_settings"

    upscaler: str = ""
    width: int = 0
    height: int = 0
    fills: bool = False
    """The whole picture is to be seen, with something around it."""
    lacking: str = ""
    """Why nothing is enlarged, in a sentence."""

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        name = render.upscaler_for_img2img
        given = request.from_picture
        if given is None or name in ("", NONE) or given.resize_mode == LATENT:
            return None
        if given.mask and given.inpaint_full_res:
            return None  # A part of the picture is what is fitted.
        return cls(upscaler=name, width=request.width, height=request.height, fills=given.resize_mode == FILL)

    def factor(self, size: tuple[int, int]) -> float:
        """How many times larger a picture of this size (width, height) has to be, at least along one side."""
        sides = (self.width / size[0], self.height / size[1])
        return min(sides) if self.fills else max(sides)

    def resolve(self, resolving: Resolving) -> Self:
        try:
            resolving.upscaler(self.upscaler)
        except NotFound as error:
            return self.model_copy(update={"lacking": str(error)})
        return self

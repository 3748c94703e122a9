"""Faces made whole by a restorer: a file of one's own, or what an installed package adds."""

from __future__ import annotations

from typing import ClassVar, Self

from webui.base.errors import NotFound
from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Generation
from webui.request.model_ref import ModelRef
from webui.request.plan import Resolving
from webui.request.settings import RenderSettings


class Params(FeatureParams):
    """Which restorer, and whether the picture before it is kept."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"picture"})

    model: str = ""
    """"" is the first."""
    weight: float = 0.5
    """How much CodeFormer keeps to the picture."""
    unloads: bool = False
    """The network does not stay in memory."""
    keeps_before: bool = False
    restorer: ModelRef | None = None
    """What `model` names; without a path where it is a package's."""
    lacking: str = ""
    """Why nothing is restored, in a sentence."""

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        if not (request.restore_faces or render.face_restoration):
            return None
        return cls(
            model=render.face_restoration_model,
            weight=render.code_former_weight,
            unloads=render.face_restoration_unload,
            keeps_before=render.save_images_before_face_restoration,
        )

    def resolve(self, resolving: Resolving) -> Self:
        try:
            return self.model_copy(update={"restorer": resolving.names.restorer(self.model)})
        except NotFound as error:
            return self.model_copy(update={"lacking": str(error)})

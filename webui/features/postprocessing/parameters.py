"""Operations of the Extras tab for the pictures of a form (A1111's `postprocessing_enable_in_main_ui`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self

from webui.base.errors import NotFound
from webui.features.feature import FeatureParams, Touched
from webui.request.jobs import Demand
from webui.request.model_ref import ModelRef
from webui.request.params import by_name, default_of
from webui.request.plan import Resolving
from webui.request.postprocessing import (
    AUTOSIZED,
    CODEFORMER,
    CROPPED,
    FOCAL,
    GFPGAN,
    NONE,
    OF_ONE_PICTURE,
    RESIZE_BY,
    RESIZE_TO,
    SCALED_TO,
    SIZED,
    UPSCALE,
    Operations,
    in_order,
    restorers_of,
)

if TYPE_CHECKING:
    from webui.request.fields import Generation
    from webui.request.plan import Picture, Plan
    from webui.request.settings import LimitSettings, RenderSettings, UiSettings

MARK = "Postprocessing"
"""The label that tells a picture made with it from one that went through Extras later."""
FIELDS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        UPSCALE: (
            ("resize_mode",),
            ("upscaling_resize", "max_side_length"),
            ("upscaling_resize_w", "upscaling_resize_h"),
            ("upscaling_crop",),
            ("upscaler_1", "upscaler_2", "extras_upscaler_2_visibility"),
        ),
        GFPGAN: (("gfpgan_visibility",),),
        CODEFORMER: (("codeformer_visibility", "codeformer_weight"),),
        FOCAL: (("focal_crop",), ("focal_face_weight", "focal_entropy_weight", "focal_edges_weight")),
        AUTOSIZED: (
            ("autosized_crop",),
            ("crop_objective", "crop_threshold"),
            ("crop_min_side", "crop_max_side", "crop_min_area", "crop_max_area"),
        ),
    }
)
"""Operation -> the rows of its parameters."""
SIZE = FIELDS[UPSCALE][:4]
SHARED = tuple(name for row in SIZE for name in row)
"""Those which say what size cuts go for, too."""


class Params(Operations, FeatureParams):
    """What the Extras tab would do to each picture, done as soon as it is finished."""

    title: ClassVar[str] = "Postprocessing"
    touches: ClassVar[frozenset[Touched]] = frozenset({"picture"})
    after: ClassVar[tuple[str, ...]] = ("Face restoration", "Colour correction", "Inpainting", "Film", "ADetailer")
    in_front: ClassVar[bool] = True
    off: ClassVar[Mapping[str, object]] = MappingProxyType(
        {
            "upscaler_1": NONE,
            "gfpgan_visibility": 0.0,
            "codeformer_visibility": 0.0,
            "focal_crop": False,
            "autosized_crop": False,
        }
    )

    order: tuple[str, ...] = OF_ONE_PICTURE
    titles: dict[str, str] = {}
    """Of upscalers, in words, by the names above."""
    networks: dict[str, ModelRef] = {}
    """Of faces, by the names above."""
    most_pixels: int = 64_000_000
    """A picture may not have more."""

    @classmethod
    def is_shown(cls, ui: UiSettings) -> bool:
        return bool(cls.operations_shown(ui))

    @classmethod
    def operations_shown(cls, ui: UiSettings) -> list[str]:
        """The operations that forms show, in the order in which they are named."""
        return [name for name in dict.fromkeys(ui.postprocessing_enable_in_main_ui) if name in FIELDS]

    @classmethod
    def of(cls, request: Generation, render: RenderSettings) -> Self | None:
        values = request.features.get(cls.title)
        if values is None:
            return None
        order = in_order(render.postprocessing_operation_order)
        return cls.made(**by_name(values)).model_copy(update={"order": tuple(order)})

    def demands(self, limits: LimitSettings) -> Iterator[Demand]:
        if self.resize_mode == RESIZE_TO and self.acting:
            megapixels = round(self.upscaling_resize_w * self.upscaling_resize_h / 1e6, 2)
            yield Demand(megapixels, limits.most_megapixels, "megapixels in one picture", "features")

    def resolve(self, resolving: Resolving) -> Self:
        """Raises NotFound: there is no such upscaler or face restorer."""
        titles = {}
        try:
            for name in self.upscalers:
                resolving.upscaler(name)
                found = resolving.names.upscaler(name, "features")
                titles[name] = found.name
                if found.remark:
                    resolving.remark(found.remark)
            networks = {name: resolving.names.restorer(name, "features") for name in restorers_of(self)}
        except NotFound as error:
            raise NotFound(f"Postprocessing: {error.message}", hint=error.hint, field="features") from error
        return self.model_copy(update={"titles": titles, "networks": networks, "most_pixels": resolving.most_pixels})

    def facts(self, picture: Picture, plan: Plan) -> Mapping[str, str]:
        """That it was there, and what the engine does not say of it: how pictures were cut."""
        if not self.acting:
            return {}
        told = {MARK: ", ".join(name for name in self.order if name in self.acting)}
        cuts = [name for name in (FOCAL, AUTOSIZED) if name in self.acting]
        fields = [field for name in cuts for row in FIELDS[name] for field in row]
        if FOCAL in cuts and UPSCALE not in self.acting:
            fields += [name for name in SHARED if getattr(self, name) != default_of(type(self), name)]
        return {**told, **{self.params()[name].label: str(getattr(self, name)) for name in fields}}

    @classmethod
    def labels_in(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Nothing of a picture that went through Extras alone: what was done there was not asked for here."""
        if MARK not in labels:
            return {}
        mode = RESIZE_TO if f"{SCALED_TO}-1" in labels else RESIZE_BY
        found = {SIZED: str(mode), **labels}
        if f"{SCALED_TO}-1" in labels and CROPPED not in labels:
            found[CROPPED] = str("Postprocess crop to-1" in labels)
        return found


def fields_of(operations: Iterable[str]) -> list[tuple[str, tuple[tuple[str, ...], ...]]]:
    """(operation, rows of its parameters) of those that a form shows; the size comes along with what cuts to it."""
    wanted = list(operations)
    rows = [(name, FIELDS[name]) for name in wanted]
    if FOCAL in wanted and UPSCALE not in wanted:
        rows.insert(0, ("Size", SIZE))
    return rows

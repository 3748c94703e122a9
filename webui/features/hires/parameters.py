"""Hires. fix: the picture small first, enlarged, and denoised again at full size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from webui.features.feature import FeatureParams, Touched
from webui.request.fields import Img2Img, Txt2Img
from webui.request.settings import RenderSettings
from webui.request.workload import Workload


class Params(FeatureParams):
    """The request itself: its second pass has half of its fields."""

    touches: ClassVar[frozenset[Touched]] = frozenset({"latents"})

    request: Txt2Img

    @classmethod
    def of(cls, request: Txt2Img | Img2Img, render: RenderSettings) -> Self | None:
        return cls(request=request) if isinstance(request, Txt2Img) and request.enable_hr else None

    def cost(self, work: Workload) -> Workload:
        size = hires_size(self.request)
        return replace(work, width=max(work.width, size.width), height=max(work.height, size.height))


@dataclass(frozen=True)
class HiresSize:
    """In pixels; `cut_x` and `cut_y` in latent pixels."""

    first_width: int
    first_height: int
    width: int
    height: int
    cut_x: int = 0
    cut_y: int = 0
    """What is cut off the enlarged latents, half of it on each side."""


def hires_size(request: Txt2Img, factor: int = 8) -> HiresSize:
    """From the request's width, height and either its scale or its target size. factor: pixels per latent pixel."""
    width, height = request.width, request.height
    wide, high = request.hr_resize_x, request.hr_resize_y
    if not wide and not high:
        return HiresSize(width, height, int(width * request.hr_scale), int(height * request.hr_scale))
    if not high:
        return HiresSize(width, height, wide, wide * height // width)
    if not wide:
        return HiresSize(width, height, high * width // height, high)
    if width / height < wide / high:
        to_width, to_height = wide, wide * height // width
    else:
        to_width, to_height = high * width // height, high
    return HiresSize(width, height, to_width, to_height, (to_width - wide) // factor, (to_height - high) // factor)

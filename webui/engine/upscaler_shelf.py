"""Upscaler models by the names in requests, lent out of the one budget for all that lies in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind, Residents
from webui.engine.upscalers.models import OnTile, Upscaler, enlarged_by, opened
from webui.engine.upscalers.resize import Enlarge, plain
from webui.request.plan import UpscalerRef
from webui.request.tiles import WHOLE, TileSize


@dataclass(frozen=True)
class UpscalerShelf:
    """Upscalers by the names in requests."""

    residents: Residents

    def enlargers(
        self, refs: Mapping[str, UpscalerRef], tiles: Mapping[str, TileSize], on_tile: OnTile
    ) -> dict[str, Enlarge]:
        """Name -> what enlarges by that name: those that need no file, and these. A model is opened when it is used.

        tiles: by kinds of networks; a kind that is not among them sees the picture as a whole.
        """
        device = self.residents.profile.device

        def enlarger(ref: UpscalerRef) -> Enlarge:
            def enlarge(picture: Image.Image, _factor: float) -> Image.Image:
                with self.residents.lend(UPSCALER, ref.model) as upscaler:
                    return enlarged_by(upscaler, picture, tiles.get(upscaler.kind, WHOLE), device, on_tile)

            return enlarge

        return {**plain(), **{name: enlarger(ref) for name, ref in refs.items() if ref.path}}


def _placed(path: Path, profile: Profile) -> Upscaler:
    return opened(path, profile.device, profile.half if profile.device.type == "cuda" else torch.float32)


UPSCALER = ResidentKind("upscaler", open=_placed, size=lambda upscaler: bytes_of(upscaler.network))

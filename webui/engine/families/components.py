"""Parts of models that lie beside checkpoints: text encoders in `models/text_encoder`, VAEs in `models/VAE`,
depth networks in `models/depth`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webui.base.errors import ModelError
from webui.engine.families.weights import WeightsFile, open_weights

TEXT_ENCODERS, VAES, DEPTH = "text_encoder", "VAE", "depth"


@dataclass(frozen=True)
class Components:
    """The files beside the checkpoints; only headers are read to look for one."""

    models: Path | None = None
    """The folder `models`."""

    def text_encoders(self) -> Iterator[WeightsFile]:
        return self._files(TEXT_ENCODERS)

    def vae(self, channels: int, hints: tuple[str, ...]) -> WeightsFile | None:
        """A VAE of so many latent channels; of several the one whose name holds a hint, or the first."""
        found = [file for file in self._files(VAES) if _latent_channels(file) == channels]
        named = [file for file in found if any(hint in file.path.name.lower() for hint in hints)]
        return next(iter([*named, *found]), None)

    def tokenizer(self) -> Path | None:
        """T5's `tokenizer.json`."""
        folder = self.models / TEXT_ENCODERS if self.models else None
        return next(iter(sorted(folder.rglob("*tokenizer.json"))), None) if folder and folder.is_dir() else None

    def depth(self) -> Path | None:
        """The folder of a depth network: its `config.json` and safetensors."""
        folder = self.models / DEPTH if self.models else None
        found = sorted(folder.rglob("config.json")) if folder and folder.is_dir() else []
        return next((path.parent for path in found if any(path.parent.glob("*.safetensors"))), None)

    def pipeline(self, name: str) -> Path | None:
        """The folder of diffusers of this name."""
        folders = (self.models / kind for kind in ("diffusers", "Stable-diffusion")) if self.models else ()
        found = (path.parent for folder in folders for path in sorted(folder.rglob(f"{name}/model_index.json")))
        return next(found, None)

    def _files(self, folder: str) -> Iterator[WeightsFile]:
        where = self.models / folder if self.models else None
        for path in sorted(where.rglob("*.safetensors")) if where and where.is_dir() else ():
            try:
                yield open_weights(path)
            except ModelError:
                continue  # it is not asked for; a better one may follow


def _latent_channels(file: WeightsFile) -> int:
    for prefix in ("", "first_stage_model.", "vae."):
        if shape := file.shapes.get(f"{prefix}decoder.conv_in.weight"):
            return shape[1]
    return 0

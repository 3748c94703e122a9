"""Parts of models that lie beside checkpoints: text encoders in `models/text_encoder`, VAEs in `models/VAE`,
depth networks in `models/depth`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webui.base.errors import ModelError
from webui.catalog.brought import folders_in
from webui.catalog.files import find_files
from webui.engine.families.weights import WeightsFile, open_weights

TEXT_ENCODERS, VAES, DEPTH = "text_encoder", "VAE", "depth"


@dataclass(frozen=True)
class Components:
    """The files beside the checkpoints; only headers are read to look for one."""

    models: Path | None = None
    """The folder `models`."""
    brought: Path | None = None
    """The file that says which folders of other programs are used as well; it is read at each look."""

    def text_encoders(self) -> Iterator[WeightsFile]:
        return self._files(TEXT_ENCODERS)

    def vae(self, channels: int, hints: tuple[str, ...]) -> WeightsFile | None:
        """A VAE of so many latent channels; of several the one whose name holds a hint, or the first."""
        found = [file for file in self._files(VAES) if _latent_channels(file) == channels]
        named = [file for file in found if any(hint in file.path.name.lower() for hint in hints)]
        return next(iter([*named, *found]), None)

    def tokenizer(self) -> Path | None:
        """T5's `tokenizer.json`."""
        return next(iter(self._found(TEXT_ENCODERS, "tokenizer.json")), None)

    def depth(self) -> Path | None:
        """The folder of a depth network: its `config.json` and safetensors."""
        folders = (path.parent for path in self._found(DEPTH, "config.json") if path.name == "config.json")
        return next((folder for folder in folders if find_files(folder, (".safetensors",), deep=False)), None)

    def pipeline(self, name: str) -> Path | None:
        """The folder of diffusers of this name."""
        indexes = (path for kind in ("diffusers", "Stable-diffusion") for path in self._found(kind, "model_index.json"))
        return next((path.parent for path in indexes if path.parent.name == name), None)

    def _files(self, folder: str) -> Iterator[WeightsFile]:
        for path in self._found(folder, ".safetensors"):
            try:
                yield open_weights(path)
            except ModelError:
                continue  # it is not asked for; a better one may follow

    def _found(self, folder: str, ending: str) -> list[Path]:
        """Those of one's own come first."""
        places = [self.models / folder] if self.models else []
        places += folders_in(self.brought, folder) if self.brought else ()
        return [path for place in places for path in sorted(found.path for found in find_files(place, (ending,)))]


def _latent_channels(file: WeightsFile) -> int:
    for prefix in ("", "first_stage_model.", "vae."):
        if shape := file.shapes.get(f"{prefix}decoder.conv_in.weight"):
            return shape[1]
    return 0

"""TAESD, a small VAE that stands in for a model's own: faster and with less memory, for a little detail.

Its files lie in `models/VAE-taesd` (A1111), `VAE-approx` or `vae_approx`, named as their author names them:
`taesd_decoder.pth`, `taesdxl_encoder.safetensors`, ... https://github.com/madebyollin/taesd
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from webui.base.errors import ModelError
from webui.engine.batch import Loaded
from webui.engine.families.family import Draw, Model, PictureMaker
from webui.engine.families.weights import open_weights
from webui.engine.memory import bytes_of
from webui.engine.residents import ResidentKind, Residents
from webui.request.model_ref import ModelRef
from webui.request.settings import RenderSettings

Side = Literal["encoder", "decoder"]
Note = Callable[[str, object], None]

FOLDERS = ("VAE-taesd", "VAE-approx", "vae_approx")
ENDINGS = (".safetensors", ".pth", ".pt")
STEMS: Mapping[str, str] = {"SD1": "taesd", "SD2": "taesd", "SDXL": "taesdxl", "SD3": "taesd3", "Flux": "taef1"}
"""Family -> the beginning of its files' names."""
FACTOR = 8
"""Pixels along a side of what one latent of theirs stands for."""
TAESD = "TAESD"


@dataclass(frozen=True)
class SmallVaes:
    """The small VAEs of an installation, opened when they are asked for."""

    models: Path | None = None
    """The folder of models; None: there are none."""
    residents: Residents | None = None

    def around(
        self, loaded: Loaded, loans: ExitStack, render: RenderSettings, note: Note, remark: Callable[[str], None]
    ) -> Loaded:
        """The model with a small VAE where the settings ask for one and its file is there; else as it is, and said.

        What is lent for it is lent until `loans` are given back.

        Raises:
            ModelError: a file is there, and broken.
        """
        found: dict[Side, nn.Module | None] = {"encoder": None, "decoder": None}
        asked: tuple[tuple[Side, str, str], ...] = (
            ("encoder", render.sd_vae_encode_method, "VAE Encoder"),
            ("decoder", render.sd_vae_decode_method, "VAE Decoder"),
        )
        for side, method, label in asked:
            if method == TAESD:
                found[side] = loans.enter_context(self.lent(loaded.model, side))
                if found[side] is None:
                    note(label, "Full")
                    remark(f"There is no {TAESD} {side} for this model; its own VAE is used.")
        if found["encoder"] is None and found["decoder"] is None:
            return loaded
        model = _WithSmallVae(loaded.model, found["encoder"], found["decoder"])
        return replace(loaded, model=cast("PictureMaker", model))

    @contextmanager
    def lent(self, model: Model, side: Side) -> Iterator[nn.Module | None]:
        """The encoder or decoder for a model, on its device; None where there is no file. Raises ModelError."""
        usual = model.picture_maker is None or has_usual_latents(model.picture_maker)
        stem = STEMS.get(model.family.name.removesuffix(" refiner"), "") if usual else ""
        path = self._file(f"{stem}_{side}")
        if path is None or self.residents is None:
            yield None
            return
        with self.residents.lend(KINDS[side], ModelRef(str(path), path.stem)) as half:
            yield half

    def _file(self, stem: str) -> Path | None:
        if self.models is None or stem.startswith("_"):
            return None
        paths = (self.models / folder / f"{stem}{ending}" for folder in FOLDERS for ending in ENDINGS)
        return next((path for path in paths if path.is_file()), None)


def _half(path: Path, side: Side) -> nn.Module:
    file = open_weights(path)
    tensors = {name: file.tensor(name).float() for name in file.shapes}
    last = max((name for name in tensors if name.endswith(".weight")), key=lambda name: int(name.split(".")[0]))
    first = "1.weight" if side == "decoder" else "0.weight"
    try:
        channels = tensors[first].shape[1] if side == "decoder" else tensors[last].shape[0]
        half: nn.Module = getattr(AutoencoderTiny(latent_channels=channels), side)
        # The author's decoder begins with a clamp that is a layer; here it is a part of the call.
        shift = 1 if side == "decoder" else 0
        half.load_state_dict({f"layers.{_moved(name, shift)}": tensor for name, tensor in tensors.items()})
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise ModelError(f"{path.name} is not a {TAESD} {side}: {error}.") from error
    return half.eval().requires_grad_(False)


def _kind(side: Side) -> ResidentKind[nn.Module]:
    return ResidentKind(
        f"small VAE ({side})", open=lambda path, profile: _half(path, side).to(profile.device), size=bytes_of
    )


KINDS: Mapping[Side, ResidentKind[nn.Module]] = {"encoder": _kind("encoder"), "decoder": _kind("decoder")}


def _moved(name: str, shift: int) -> str:
    number, _, rest = name.partition(".")
    return f"{int(number) - shift}.{rest}"


def has_usual_latents(model: PictureMaker) -> bool:
    """Whether a file of this family can be for it: its latents lie as the family's usually do."""
    return model.latent.factor == FACTOR and model.latent.channels == model.family.capabilities.channels


class _WithSmallVae:
    """A model whose pictures another VAE reads or makes; in all else the model itself."""

    def __init__(self, model: PictureMaker, encoder: nn.Module | None, decoder: nn.Module | None) -> None:
        self._model, self._encoder, self._decoder = model, encoder, decoder

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def encode_image(
        self, pixels: Tensor, *, scaled: bool = True, tiled: bool = False, noise: Draw | None = None
    ) -> Tensor:
        if self._encoder is None or not scaled:  # it knows no latents but scaled ones
            return self._model.encode_image(pixels, scaled=scaled, tiled=tiled, noise=noise)
        latents: Tensor = self._encoder(pixels.to(self._model.device, torch.float32))
        return latents

    def decode(self, latents: Tensor, *, tiled: bool = False) -> Tensor:
        if self._decoder is None:
            return self._model.decode(latents, tiled=tiled)
        pixels: Tensor = self._decoder(latents.to(self._model.device, torch.float32))
        return pixels

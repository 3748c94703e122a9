"""Upscalers: those that need no file, and the model files on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from webui import registry
from webui.base.errors import NotFound, did_you_mean
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.packaged import COMMAND, table
from webui.request.plan import UpscalerRef

FOLDERS = ("ESRGAN", "RealESRGAN", "SwinIR", "DAT", "HAT", "ScuNET", "BSRGAN", "upscale_models")
"""Below `models/`; the last is what other programs call it."""
PACKAGED = "upscalers of packages"
"""What comes in packages; a file of one's own comes first."""
ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt")
# A1111: what pictures name after "Hires upscaler" -> the published file's stem.
PUBLISHED: Mapping[str, str] = {
    "R-ESRGAN 4x+": "RealESRGAN_x4plus",
    "R-ESRGAN 4x+ Anime6B": "RealESRGAN_x4plus_anime_6B",
    "R-ESRGAN 2x+": "RealESRGAN_x2plus",
    "R-ESRGAN General 4xV3": "realesr-general-x4v3",
    "R-ESRGAN General WDN 4xV3": "realesr-general-wdn-x4v3",
    "R-ESRGAN AnimeVideo": "realesr-animevideov3",
    "ESRGAN_4x": "ESRGAN",
    "SwinIR_4x": "SwinIR_4x",
    "DAT x2": "DAT_x2",
    "DAT x3": "DAT_x3",
    "DAT x4": "DAT_x4",
    "DAT light x2": "DAT_light_x2",
    "DAT light x3": "DAT_light_x3",
    "DAT light x4": "DAT_light_x4",
    "ScuNET GAN": "scunet_color_real_gan",
    "ScuNET PSNR": "scunet_color_real_psnr",
}
ALSO: Mapping[str, tuple[str, ...]] = {
    "SwinIR_4x": ("003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_GAN",),
    "ScuNET GAN": ("ScuNET", "ScuNET_GAN"),
    "ScuNET PSNR": ("ScuNET_PSNR",),
}
"""What else such a file's stem may be: what its authors call it, or A1111, which downloads it."""
LIKE: Mapping[str, str] = {
    "DAT x2": "DAT light x2",
    "DAT x3": "DAT light x3",
    "DAT x4": "DAT light x4",
    **dict.fromkeys(
        (
            "ESRGAN_4x",
            "SwinIR_4x",
            "R-ESRGAN 2x+",
            "R-ESRGAN General 4xV3",
            "R-ESRGAN General WDN 4xV3",
            "ScuNET GAN",
            "ScuNET PSNR",
            "LDSR",
            "4x-UltraSharp",
            "4x_UltraSharp",
            "RealESRGAN_x2plus",
        ),
        "R-ESRGAN 4x+",
    ),
    **dict.fromkeys(("4x-AnimeSharp", "4x_AnimeSharp"), "R-ESRGAN 4x+ Anime6B"),
}
"""What programs and presets ask for -> the packaged one that is for the same pictures, where there is no such file."""


@dataclass(frozen=True)
class UpscalerFile:
    """A model file."""

    name: str
    """What people call it."""
    folder: str
    path: Path
    stamp: tuple[int, int]


class Upscalers:
    """The upscalers of an installation. Looked for anew each time: there are few."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._models = paths.models
        self._packages = paths.packages
        self._folders = folders

    def files(self) -> list[UpscalerFile]:
        """Model files, folder by folder; a name that occurs twice stands for the first."""
        published = {stem.casefold(): name for name, stem in PUBLISHED.items()}
        published |= {stem.casefold(): name for name, stems in ALSO.items() for stem in stems}
        found: dict[str, UpscalerFile] = {}
        places = {folder: self._models / folder for folder in FOLDERS} | {PACKAGED: self._packages}
        for folder, place in places.items():
            for _, file in self._folders.look(folder, [SearchFolder(place, ENDINGS)]):
                name = published.get(file.stem.casefold(), file.stem)
                found.setdefault(name, UpscalerFile(name, folder, file.path, file.stamp))
        return list(found.values())

    def names(self) -> list[str]:
        """What a dropdown offers."""
        return [*registry.plain_upscalers(), *(file.name for file in self.files())]

    def ref(self, name: str, field: str = "") -> UpscalerRef:
        """The upscaler of this name, or of this file, in any letter case; else a packaged one that is like it, which
        says so (`UpscalerRef.instead_of`). field: where it was asked for.

        Raises:
            NotFound: there is none.
        """
        folded = name.casefold()
        for plain in registry.plain_upscalers():
            if plain.casefold() == folded:
                return UpscalerRef(plain)
        files = self.files()
        for file in files:
            if folded in (file.name.casefold(), *(named(part).casefold() for part in (file.path.stem, file.path.name))):
                return UpscalerRef(file.name, str(file.path), file.stamp)
        # A1111 offers "SwinIR 4x" while there is no file, and calls that which it downloads "SwinIR_4x".
        spelt = {_spelt(each.name): each for each in reversed(files)}
        if _spelt(name) in spelt:
            file = spelt[_spelt(name)]
            return UpscalerRef(file.name, str(file.path), file.stamp)
        like = spelt.get(_spelt(next((LIKE[each] for each in LIKE if _spelt(each) == _spelt(name)), "")))
        if like is not None:
            return UpscalerRef(like.name, str(like.path), like.stamp, instead_of=name)
        stem = next((stem for each, stem in PUBLISHED.items() if _spelt(each) == _spelt(name)), None)
        if stem:
            packaged = f"{stem}.safetensors" in (file.becomes for wheel in table() for file in wheel.files)
            hint = f"Put {stem}.pth (or .safetensors) into models/{_folder_for(name)}" + (
                f", or fetch it with: {COMMAND}" if packaged else "."
            )
        else:
            hint = did_you_mean(name, [*registry.plain_upscalers(), *(file.name for file in files)])
        raise NotFound(f"There is no upscaler named {name!r}.", hint=hint, field=field)


def _folder_for(name: str) -> str:
    return next((folder for folder in ("SwinIR", "DAT", "ScuNET") if name.startswith(folder)), "RealESRGAN")


def _spelt(name: str) -> str:
    return name.casefold().replace(" ", "_")

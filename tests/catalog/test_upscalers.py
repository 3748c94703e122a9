"""Upscaler files by the names that programs send."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog

FILES = {
    "SwinIR/003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_GAN.pth": ("SwinIR_4x", "SwinIR 4x", "swinir_4x"),
    "ScuNET/ScuNET.pth": ("ScuNET GAN", "scunet gan", "ScuNET"),
    "ScuNET/scunet_color_real_psnr.pth": ("ScuNET PSNR", "ScuNET_PSNR"),
    "DAT/DAT_x4.safetensors": ("DAT x4", "DAT_x4"),
}


def test_published_files_have_a1111_s_names(tmp_path: Path) -> None:
    paths = Paths(data=tmp_path, packages=tmp_path / "none")
    for name in FILES:
        path = paths.models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"weight": torch.zeros(1)}, path)
    catalog = Catalog(paths)
    listed = catalog.upscalers.names()
    for file, names in FILES.items():
        assert names[0] in listed
        for name in names:
            assert Path(catalog.upscaler(name).path).name == Path(file).name, name
    catalog.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SwinIR 4x", "SwinIR_4x.pth (or .safetensors) into models/SwinIR"),
        ("ScuNET GAN", "scunet_color_real_gan.pth (or .safetensors) into models/ScuNET"),
    ],
)
def test_one_that_is_missing_says_which_file_goes_where(name: str, said: str, tmp_path: Path) -> None:
    catalog = Catalog(Paths(data=tmp_path, packages=tmp_path / "none"))
    with pytest.raises(NotFound) as caught:
        catalog.upscaler(name)
    assert said in caught.value.hint
    catalog.close()

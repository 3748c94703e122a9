"""Upscaler files by the names that programs send."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

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


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("SwinIR 4x", "R-ESRGAN 4x+"),
        ("ESRGAN_4x", "R-ESRGAN 4x+"),
        ("LDSR", "R-ESRGAN 4x+"),
        ("dat x4", "DAT light x4"),
    ],
)
def test_a_packaged_one_answers_for_one_that_it_is_like_and_says_so(name: str, like: str, tmp_path: Path) -> None:
    paths = Paths(data=tmp_path, packages=tmp_path / "packages")
    paths.packages.mkdir()
    for stem in ("RealESRGAN_x4plus", "DAT_light_x4"):
        save_file({"weight": torch.zeros(1)}, paths.packages / f"{stem}.safetensors")
    catalog = Catalog(paths)
    found = catalog.upscaler(name)
    assert (found.name, found.instead_of) == (like, name)
    assert f"There is no {name} here, so {like}" in found.remark
    assert not catalog.upscaler(like).remark
    catalog.close()

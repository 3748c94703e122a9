"""What users of the extension reported: with "Only masked" everything that belongs to a unit is cropped as the picture
is, whatever its size and preprocessor, and the switch works both ways; a picture that stands for a prompt is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.engine.test_generate import png
from tests.tensors import drawn as drawn_tensors
from tests.tensors import write_tensors
from webui.base.errors import UserError
from webui.catalog.control_networks import family_of
from webui.engine.preprocessors.picture import Bytes
from webui.features.controlnet.parameters import LEAVE_OUT, Params
from webui.features.controlnet.picture import hint_of, pictures_of, region_of
from webui.request.capabilities import of_family
from webui.request.model_ref import ModelRef
from webui.request.settings import Settings

WHOLE, BOX, SIZE = (96, 64), (48, 0, 96, 64), (64, 64)
"""img2img's picture, the part of it that is made anew, and the size that this is made at: (width, height)."""


def halves(size: tuple[int, int]) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", size, "#d02020")
    picture.paste("#2020d0", (size[0] // 2, 0, *size))
    return picture


def right_half(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """White on the right."""
    picture = Image.new(mode, size)
    picture.paste(Image.new(mode, size, "white"), (size[0] // 2, 0))
    return picture


def context(**pictures: Image.Image) -> Any:
    """As much of a pass as is asked of: "Only masked", with the right half of the picture to be made anew."""
    images = {
        name: png(picture) for name, picture in {"init": halves(WHOLE), "hole": right_half(WHOLE), **pictures}.items()
    }
    picture = SimpleNamespace(init_image="init", seed=1, subseed=1, request=SimpleNamespace(subseed_strength=0))
    given = SimpleNamespace(
        resize_mode=0, mask="hole", inpainting_mask_invert=False, mask_blur_x=0, mask_blur_y=0, inpaint_full_res=True
    )
    cut = SimpleNamespace(box=BOX, whole=halves(WHOLE))
    return SimpleNamespace(
        this=SimpleNamespace(size=SIZE, start=SimpleNamespace(givens=[cut]), phase="img2img"),
        loaded=SimpleNamespace(model=SimpleNamespace(latent=SimpleNamespace(factor=8))),
        batch=SimpleNamespace(
            request=SimpleNamespace(from_picture=given), pictures=[picture], render=Settings().render
        ),
        services=SimpleNamespace(
            plan=SimpleNamespace(images=images, batches=[[picture]]),
            residents=None,
            watch=SimpleNamespace(remark=print),
        ),
    )


def unit(**values: object) -> Params:
    return Params.made(**{"image": "own", "resize_mode": "Just Resize", **values})


def drawn(pixels: Any) -> Bytes:
    return np.array(pixels.shown if hasattr(pixels, "shown") else pixels)[..., :3]


SIZES = [WHOLE, (192, 128), (30, 90)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("module", ["none", "invert", "tile_resample", "inpaint"])
def test_a_map_shows_the_part_that_is_made_anew(module: str, size: tuple[int, int]) -> None:
    around = context(own=halves(size), mask=right_half(size))
    mask = "mask" if module == "inpaint" else ""
    cropped = drawn(hint_of(unit(module=module, mask=mask), around)).astype(int)
    assert cropped.shape[:2] == SIZE
    assert np.ptp(cropped[:, 10:-2].reshape(-1, 3), axis=0).max() <= 40, "one colour: there is only blue"
    whole = drawn(hint_of(unit(module=module, mask=mask, inpaint_crop_input_image=False), around))
    assert abs(whole[:, 2].mean(axis=0) - whole[:, -3].mean(axis=0)).max() > 60, "both colours"


def test_what_is_filled_is_cropped_as_the_picture_is() -> None:
    """Its mask, painted by hand or img2img's."""
    around = context(own=halves(WHOLE), mask=right_half(WHOLE))
    for image, mask in (("own", "mask"), ("", "")):
        for crop, share in ((True, 1.0), (False, 0.5)):
            wish = unit(image=image, mask=mask, module="inpaint", inpaint_crop_input_image=crop)
            hole = hint_of(wish, around).hole
            assert hole is not None and float(hole.float().mean()) == pytest.approx(share, abs=0.05), (image, crop)


@pytest.mark.parametrize("size", SIZES)
def test_the_region_is_cropped_as_the_picture_is(size: tuple[int, int]) -> None:
    around = context(own=halves(WHOLE), region=right_half(size))
    wish = unit(module="none", effective_region_mask="region")
    cropped = region_of(wish, around)
    assert cropped is not None and cropped.shape == SIZE and cropped.min() > 127
    whole = region_of(wish.changed(inpaint_crop_input_image=False), around)
    assert whole is not None and whole.mean() == pytest.approx(127.5, abs=3)


def test_a_picture_that_stands_for_a_prompt_is_whole() -> None:
    around = context(own=halves((40, 30)))
    (seen,) = pictures_of(unit(module="ip-adapter-auto"), around)
    assert seen.shape == (30, 40, 3) and abs(int(seen[0, 0, 0]) - int(seen[0, -1, 0])) > 100


def test_a_mask_of_another_size_is_refused() -> None:
    around = context(own=halves(WHOLE), mask=right_half((40, 30)))
    with pytest.raises(UserError, match="the mask has 40x30 pixels, but the picture has 96x64"):
        hint_of(unit(module="inpaint", mask="mask"), around)


@pytest.mark.parametrize(
    ("width", "family", "said"), [(2048, "SD1", "it was made for SDXL, not SD1"), (768, "SD1", ""), (5, "SDXL", "")]
)
def test_a_network_of_another_family_is_refused_before_it_is_opened(
    width: int, family: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    shapes = {"controlnet_cond_embedding.conv_in.weight": (1, 3, 1, 1), "a.attn2.to_k.weight": (1, width)}
    write_tensors(path, drawn_tensors(shapes))
    ref = ModelRef(str(path), "net", family=family_of(path))
    names = SimpleNamespace(control_network=lambda _: ref, towers=lambda: ())
    told: list[str] = []
    resolving: Any = SimpleNamespace(names=names, family=of_family(family), remark=told.append)
    for program in (False, True):
        wish = unit(model="net", impossible=LEAVE_OUT if program else "Refuse")
        if said and not program:
            with pytest.raises(UserError, match=said):
                wish.resolve(resolving)
        else:
            assert (wish.resolve(resolving).network is None) == bool(said)
    assert [said in each for each in told] == [True] * bool(said)

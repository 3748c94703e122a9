"""What the form begins with, in A1111's file."""

from __future__ import annotations

import json

import pytest

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.catalog.ui_defaults import UiDefaults
from webui.request.fields import REQUESTS
from webui.request.params import default_of


def test_without_a_file_the_declared_defaults_hold(paths: Paths) -> None:
    values = UiDefaults(paths).values("txt2img")
    assert values["cfg_scale"] == 7.0
    assert values["steps"] == default_of(REQUESTS["txt2img"], "steps")
    assert "init_images" not in UiDefaults(paths).values("img2img")
    with pytest.raises(NotFound):
        UiDefaults(paths).values("txt3img")


def test_an_a1111_file_is_understood(paths: Paths) -> None:
    theirs = {
        "txt2img/CFG Scale/value": 5,
        "txt2img/CFG Scale/visible": True,
        "txt2img/CFG Scale/maximum": 50.0,
        "customscript/sampler.py/txt2img/Sampling steps/value": 33,
        "img2img/Resize mode/value": "Crop and resize",
        "img2img/Width/value": "wide",
        "txt2img/Nonesuch/value": 1,
        "txt2img/Tabs@x/selected": None,
        "nonsense": 1,
    }
    paths.ui_config.write_text(json.dumps(theirs))
    defaults = UiDefaults(paths)
    assert defaults.saved("txt2img") == {"cfg_scale": 5.0, "steps": 33}
    assert defaults.saved("img2img") == {"resize_mode": 1}
    assert defaults.ranges("txt2img") == {"cfg_scale": {"maximum": 50.0}}


@pytest.mark.parametrize("kind", REQUESTS)
def test_every_default_can_be_saved_and_is_read_again(paths: Paths, kind: str) -> None:
    values = UiDefaults(paths).values(kind)
    values |= {"steps": 11, "seed": 5, "styles": ("a", "b"), "width": 640}
    if kind == "img2img":
        values |= {"inpainting_fill": 2, "inpaint_full_res": True, "resize_mode": 3}
    UiDefaults(paths).save(kind, values)
    assert UiDefaults(paths).values(kind) == values


def test_saving_keeps_the_rest_of_the_file_and_has_the_last_word(paths: Paths) -> None:
    paths.ui_config.write_text(
        '{"extras/Upscaler/value": "x", "customscript/sampler.py/txt2img/Sampling steps/value": 33,'
        ' "txt2img/CFG Scale/value": 5, "txt2img/Sampling steps/maximum": 200}'
    )
    defaults = UiDefaults(paths)
    defaults.save("txt2img", {"steps": 9})
    assert UiDefaults(paths).saved("txt2img") == {"steps": 9, "cfg_scale": 5.0}
    table = json.loads(paths.ui_config.read_text())
    assert table["extras/Upscaler/value"] == "x"
    assert table["txt2img/Sampling steps/maximum"] == 200


def test_what_does_not_fit_is_not_saved(paths: Paths) -> None:
    defaults = UiDefaults(paths)
    with pytest.raises(UserError, match="Sampling steps"):
        defaults.save("txt2img", {"cfg_scale": 3, "steps": 0})
    with pytest.raises(NotFound):
        defaults.save("txt2img", {"mask": ""})
    assert not paths.ui_config.exists()

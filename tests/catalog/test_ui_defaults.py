"""What the form begins with, in A1111's file."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.catalog.problems import Problems
from webui.catalog.ui_defaults import ControlLook, UiDefaults
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


def read(paths: Paths, table: dict[str, object] | str) -> tuple[UiDefaults, Problems]:
    paths.ui_config.write_text(table if isinstance(table, str) else json.dumps(table))
    problems = Problems()
    lists = {"upscalers": ["None", "Lanczos"], "hires_upscalers": ["Latent"], "samplers": ["Euler a", "DPM++ SDE"]}
    return UiDefaults(paths, problems, lambda source: lists.get(source, [])), problems


def test_other_scripts_keys_are_theirs(paths: Paths) -> None:
    defaults, problems = read(
        paths,
        {
            "customscript/sampler.py/txt2img/Sampling method/value": "Euler a",
            "customscript/seed.py/txt2img/Seed/value": 7,
            "customscript/some_faceswap.py/txt2img/Upscaler/value": "None",
            "customscript/lora_weights.py/txt2img/Seed/value": 0,
            "customscript/outpainting.py/img2img/Mask blur/value": 40,
            "txt2img/Custom script/Width/value": 8,
            "txt2img/Upscaler/value": "Latent",
            "txt2img/Sampling steps/value": 30,
            "customscript/sampler.py/txt2img/Sampling steps/value": 50,
        },
    )
    assert defaults.saved("txt2img") == {"sampler_name": "Euler a", "seed": 7, "hr_upscaler": "Latent", "steps": 30}
    assert defaults.saved("img2img") == {}
    assert not problems.all()


def test_an_old_sampler_s_name_becomes_sampler_and_schedule_and_what_is_gone_is_told(paths: Paths) -> None:
    defaults, problems = read(
        paths, {"txt2img/Sampling method/value": "DPM++ SDE Karras", "txt2img/Upscaler/value": "1x-Skin.pth"}
    )
    assert defaults.saved("txt2img") == {"sampler_name": "DPM++ SDE", "scheduler": "Karras"}
    (problem,) = problems.all()
    assert problem.name == "txt2img/Upscaler/value"
    assert "1x-Skin.pth" in problem.reason


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ('"minimum": 60, "maximum": 50', {"minimum": 60}),
        ('"minimum": 1e400', {}),
        ('"maximum": NaN', {}),
        ('"maximum": -1', {}),
        ('"step": 0', {}),
        ('"step": -1', {}),
        ('"maximum": true', {}),
        ('"maximum": [1]', {}),
        (f'"maximum": 1{"0" * 500}', {}),
        ('"minimum": 5, "maximum": 50, "step": 5', {"minimum": 5, "maximum": 50, "step": 5}),
    ],
)
def test_a_slider_without_sense_is_passed_over_and_told(paths: Paths, lines: str, kept: dict[str, float]) -> None:
    defaults, problems = read(paths, "{" + re.sub(r'"(\w+)"', r'"txt2img/Sampling steps/\1"', lines) + "}")
    assert defaults.ranges("txt2img").get("steps", {}) == kept
    assert len(problems.all()) == lines.count(":") - len(kept)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    f"{kind}/{title}/{part}"
    for kind in ("txt2img", "extras")
    for part in ("value", "maximum", "minimum", "step")
    for title in ("CFG Scale", "Width", "Sampling method", "Styles", "Upscaler", "Upscaler 1", "Resize")
]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=8))
def test_whatever_stands_in_the_file_the_form_has_its_values(paths: Paths, table: dict[str, object]) -> None:
    defaults, _ = read(paths, json.dumps(table))
    for kind in ("txt2img", "extras"):
        assert defaults.values(kind)
        for ends in defaults.ranges(kind).values():
            assert all(abs(end) < 1e12 for end in ends.values())
    defaults.look()


def test_what_is_hidden_and_what_a_list_offers(paths: Paths) -> None:
    defaults, problems = read(
        paths,
        {
            "txt2img/CFG Scale/visible": False,
            "txt2img/Seed/visible": True,
            "txt2img/Sampling method/choices": ["Euler a"],
            "txt2img/Sampling steps/maximum": 40,
            "txt2img/Sampling steps/visible": False,
            "img2img/Image CFG Scale/visible": False,
            "txt2img/Upscaler/choices": ["Latent", "gone"],
            "txt2img/Width/visible": "yes",
            "txt2img/Height/choices": [64],
        },
    )
    assert defaults.looks("txt2img") == {
        "cfg_scale": ControlLook(hidden=True),
        "seed": ControlLook(),
        "sampler_name": ControlLook(choices=("Euler a",)),
        "steps": ControlLook(range={"maximum": 40}, hidden=True),
    }
    assert defaults.looks("img2img") == {}  # A1111 writes so of a control that comes by itself.
    told = {problem.name: problem.reason for problem in problems.all()}
    assert set(told) == {"txt2img/Upscaler/choices", "txt2img/Width/visible", "txt2img/Height/choices"}
    assert "'gone'" in told["txt2img/Upscaler/choices"]


def test_the_whole_file_can_be_written_and_taken_back(paths: Paths) -> None:
    mine = {
        "txt2img/CFG Scale/value": 5,
        "customscript/other.py/txt2img/Width/value": 1,
        "extras/Resize/visible": False,
    }
    paths.ui_config.write_text(json.dumps(mine))
    defaults = UiDefaults(paths)
    before = {kind: (defaults.values(kind), defaults.looks(kind)) for kind in ("txt2img", "extras")}
    assert defaults.write_whole(["txt2img", "extras"]) > 100
    table = json.loads(paths.ui_config.read_text())
    assert table.items() >= mine.items()
    assert {part for key in table if key.startswith("txt2img/Sampling steps/") for part in [key.rsplit("/", 1)[1]]} == {
        "value",
        "visible",
        "minimum",
        "maximum",
        "step",
    }
    again = UiDefaults(paths)
    for kind, (values, looks) in before.items():
        assert again.values(kind) == values
        shown = {name: look for name, look in again.looks(kind).items() if look.hidden or name in looks}
        assert {name: look.hidden for name, look in shown.items()} == {n: look.hidden for n, look in looks.items()}
    assert again.write_whole(["txt2img", "extras"]) == 0
    assert again.reset(["txt2img", "extras"]) > 100
    assert json.loads(paths.ui_config.read_text()) == {"customscript/other.py/txt2img/Width/value": 1}
    assert UiDefaults(paths).values("txt2img")["cfg_scale"] == 7.0

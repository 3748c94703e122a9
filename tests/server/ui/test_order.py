"""The form and the page as people want them: order of parts and tabs, lists, settings in a form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.server.stand_in import StandIn
from webui import registry
from webui.app import App
from webui.flags import Flags
from webui.request.fields import REQUESTS
from webui.request.settings import FORM_PARTS, Settings, UiSettings
from webui.server.ui.controls import Controls
from webui.server.ui.extra_options import extra_options
from webui.server.ui.order import lay_out, ordered, tabs_of
from webui.server.ui.wiring import form, told


def test_the_nth_of_the_wanted_comes_after_the_nth_of_the_usual() -> None:
    usual = ["a", "b", "c", "d"]
    assert ordered(usual, []) == usual
    assert ordered(usual, ["d", "c"]) == ["a", "d", "b", "c"]
    assert ordered(usual, ["nothing", "d", "d"]) == ["a", "b", "d", "c"]


@pytest.mark.parametrize(
    "wanted", [[], ["seed", " cfg ", "nonsense"], list(reversed(FORM_PARTS)), ["seed"] * 5], ids=len
)
def test_every_part_is_laid_out_once_whatever_is_wanted(wanted: list[str]) -> None:
    made: list[str] = []
    lay_out({name: partial(made.append, name) for name in FORM_PARTS}, wanted)
    assert sorted(made) == sorted(FORM_PARTS)
    assert "seed" not in wanted[:1] or made.index("seed") == 1


def test_tabs_come_in_the_wanted_order_and_hidden_ones_do_not() -> None:
    names = [entry.name for entry in registry.TABS]
    found = tabs_of(registry.TABS, UiSettings(ui_tab_order=("Queue", "img2img"), hidden_tabs=("Extras", "gone")))
    assert [entry.name for entry in found][:2] == ["Queue", "img2img"]
    assert {entry.name for entry in found} == {*names} - {"Extras"}
    everything = tabs_of(registry.TABS, UiSettings(hidden_tabs=tuple(names)))
    assert [entry.name for entry in everything] == names


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


def app_with(data: Path, **settings: Any) -> App:
    (data / "config.json").write_text(json.dumps(settings))
    return App(Flags(data_dir=data), StandIn())


@pytest.fixture
def embedded(data: Path) -> Iterator[tuple[App, Controls]]:
    """A form with three settings in it, one of which is named twice, and one that is nothing."""
    keys = ["CLIP_stop_at_last_layers", "clip_skip", "eta_noise_seed_delta", "gone", "samples_format"]
    app = app_with(data, extra_options_txt2img=keys, eta_noise_seed_delta=5)

    async def built() -> Controls:
        with gr.Blocks():
            controls = form(app, "txt2img")
            controls.add_all(("prompt", "override_settings"))
            extra_options(app, controls)
        return controls

    yield app, asyncio.run(built())
    app.close()


def data_of(controls: Controls, **values: Any) -> dict[Any, Any]:
    found = {component: component.value for component in controls.components}
    by_id = {component.elem_id: component for component in controls.components}
    return found | {by_id[f"txt2img_{name}"]: value for name, value in values.items()}


def test_a_setting_in_a_form_holds_for_its_jobs_alone(embedded: tuple[App, Controls]) -> None:
    app, controls = embedded
    assert "override_settings" in controls and controls.values(data_of(controls))["override_settings"] == {}
    said = data_of(controls, extra_clip_skip=2, override_settings=["RNG: CPU", "Clip skip: 3"])
    # What came with an infotext was meant for this picture.
    render = Settings().with_options(controls.values(said)["override_settings"]).render
    assert (render.clip_skip, render.randn_source) == (3, "CPU")
    said = data_of(controls, extra_clip_skip=2, extra_samples_format="jpg")
    assert controls.values(said)["override_settings"] == {"clip_skip": 2, "samples_format": "jpg"}
    assert app.settings.current.render.clip_skip == 1


def test_a_pasted_infotext_goes_into_it(embedded: tuple[App, Controls]) -> None:
    app, controls = embedded
    text = "a cat\nSteps: 20, Clip skip: 4, Eta: 0.5, Size: 64x64"
    values, _ = told(app, text, REQUESTS["txt2img"])
    updates, remarks = controls.show(values)
    shown = {component.elem_id: update.get("value") for component, update in updates.items()}
    assert shown["txt2img_extra_clip_skip"] == 4
    assert shown["txt2img_extra_eta_noise_seed_delta"] == 0  # It was made without.
    assert shown["txt2img_override_settings"] == ["Eta: 0.5"] and not remarks


def test_hidden_samplers_are_not_listed_but_can_be_pasted(data: Path) -> None:
    app = app_with(data, hide_samplers=["DPM++ 2M", "Euler"], samplers_in_dropdown=False)

    async def built() -> Controls:
        with gr.Blocks():
            controls = form(app, "txt2img")
            controls.add_all(("sampler_name", "hr_sampler_name"))
        return controls

    try:
        controls = asyncio.run(built())
        sampler, second = controls["sampler_name"], controls["hr_sampler_name"]
        assert type(sampler).__name__ == "Radio" and type(second).__name__ == "Dropdown"
        names = [name for name, _ in second.choices]
        assert "Euler" not in names and "Euler a" in names
        update = controls.show({"hr_sampler_name": "Euler"})[0][second]
        assert update["value"] == "Euler" and "Euler" in update["choices"]
    finally:
        app.close()

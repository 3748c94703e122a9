"""The form as a person wants it: compact, with settings of their own in it, in their order; and frozen settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Enter
from tests.browser.test_gallery import shot
from tests.browser.visitor import TINY
from tests.conftest import RunningServer

WANTED = {
    "compact_prompt_box": True,
    "extra_options_txt2img": ["CLIP_stop_at_last_layers", "samples_format"],
    "ui_tab_order": ["img2img", "txt2img"],
    "hidden_tabs": ["Checkpoint Merger", "Queue"],
    "ui_reorder_list": ["seed"],
    "postprocessing_enable_in_main_ui": ["Upscale", "CodeFormer"],
    "postprocessing_operation_order": ["Create flipped copies", "Upscale"],
    "postprocessing_disable_in_extras": ["Caption", "GFPGAN"],
}


@pytest.mark.long
def test_a_form_of_one_s_own(installation: Path, serving: Callable[..., RunningServer], enter: Enter) -> None:
    (installation / "config.json").write_text(json.dumps(WANTED))
    (installation / "ui-config.json").write_text(json.dumps({"txt2img/CFG Scale/visible": False}))
    server = serving("--freeze-specific-settings", "jpeg_quality")
    server.wait_for_page()
    page = enter(url=server.url, arrive=False)
    page.page.goto(server.url)
    page.page.wait_for_selector("html.arrived")
    names = page.page.locator("#tabs > .tab-wrapper button[role=tab]").all_inner_texts()
    assert names[:2] == ["img2img", "txt2img"] and not {"Checkpoint Merger", "Queue"} & {*names}
    page.open("txt2img")
    page.settled()
    tops = "ids => ids.map(id => document.getElementById(id).getBoundingClientRect().top)"
    prompt, seed, sampler = page.page.evaluate(tops, ["txt2img_prompt", "txt2img_seed", "txt2img_sampler_name"])
    assert prompt < seed < sampler
    assert not page.page.locator("#txt2img_cfg_scale").is_visible()
    page.page.check("#txt2img_postprocessing_enabled input")
    assert page.page.locator("#txt2img_postprocessing_codeformer_visibility").is_visible()
    assert not page.page.locator("#txt2img_postprocessing_focal_crop").count()
    width, factor = (page.page.locator(f"#txt2img_postprocessing_upscaling_resize{end}") for end in ("_w", ""))
    assert factor.is_visible() and not width.is_visible()
    page.page.locator("#txt2img_postprocessing_resize_mode").get_by_label("Scale to").check()
    width.wait_for(state="visible")
    assert not factor.is_visible()
    shot(page, "form-with-operations")
    wide = page.page.viewport_size
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.page.locator("#txt2img_postprocessing").scroll_into_view_if_needed()
    assert page.overflow == 0
    shot(page, "operations-390")
    page.page.set_viewport_size(wide or {"width": 1280, "height": 900})
    page.page.uncheck("#txt2img_postprocessing_enabled input")
    assert page.page.locator("#txt2img_results #txt2img_generate").is_visible()
    page.set("txt2img", extra_clip_skip=2, **TINY).write("txt2img_prompt", "a cat").generate()
    assert "Clip skip: 2" in page.infotext()
    page.open("settings")
    page.page.click("#settings_show_all_pages")
    page.until("() => document.querySelector('#settings_pages.searching')")
    assert page.page.locator("#setting_jpeg_quality").is_visible()
    assert page.page.locator("#setting_token_merging_ratio").is_visible()
    assert page.page.locator("#setting_jpeg_quality input").first.is_disabled()
    page.page.click("#settings_show_all_pages")
    page.until("() => !document.querySelector('#settings_pages.searching')")

    page.open("extras")
    flips, upscale, parts = page.page.evaluate(tops, ["extras_flips", "extras_upscale", "extras_split"])
    assert flips < upscale < parts
    assert page.page.locator("#extras_codeformer").is_visible()
    assert not page.page.locator("#extras_caption, #extras_gfpgan").count()
    shot(page, "extras-in-order")

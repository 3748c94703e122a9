"""The page itself: narrow and wide, dark and light, by keyboard and by name."""

from __future__ import annotations

import json

import pytest

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY, Visitor
from tests.conftest import RunningServer

TABS = ("txt2img", "img2img", "extras", "pnginfo", "merge", "settings")


@pytest.mark.parametrize("width", [390, pytest.param(1440, marks=pytest.mark.long)])
def test_nothing_is_wider_than_the_window(enter: Enter, width: int) -> None:
    visitor = enter(width=width, height=844, dark=width == 390)
    for tab in TABS:
        visitor.open(tab)
        visitor.page.wait_for_selector(f"#tab_{tab} :is(button, input):visible")
        assert visitor.overflow <= 0, tab
    visitor.open("txt2img")
    visitor.page.click("#txt2img_enable_hr input")
    visitor.page.click("#txt2img_subseed_show input")
    assert visitor.overflow <= 0
    visitor.set("txt2img", **TINY)
    visitor.page.click("#txt2img_enable_hr input")
    visitor.generate()
    visitor.shown_picture()
    assert visitor.overflow <= 0
    box = visitor.see("#txt2img_generate").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 844, "Generate is out of sight"


def test_only_what_is_seen_is_built(enter: Enter) -> None:
    visitor = enter(width=1440)
    counted = "() => document.body.querySelectorAll('*').length"
    assert visitor.page.evaluate(counted) <= 469, "half of what the page had before anything was built late"
    page = visitor.page
    page.fill("#txt2img_prompt textarea", "a tree\nSteps: 2, Seed: 3, Hires upscale: 3, Variation seed: 7, Size: 64x64")
    page.click("#txt2img_paste")
    visitor.until("() => modules.dom.field('txt2img_seed').value === '3'")
    visitor.until("() => modules.dom.field('txt2img_hr_scale')?.value === '3'")  # it opens with what was pasted
    page.click("#txt2img_subseed_show input")
    visitor.until("() => modules.dom.field('txt2img_subseed')?.value === '7'")
    page.click("#txt2img_features > button")
    assert not page.locator("#txt2img_freeu_b1").count()
    page.click("#txt2img_freeu_enabled input")
    visitor.see("#txt2img_freeu_b1")
    visitor.choose("txt2img_script_list", "X/Y/Z plot")
    visitor.see("#txt2img_script_x_y_z_plot_x_values textarea")
    visitor.open("settings")
    page.click("#settings_submit")  # of all settings, most of which are not built
    assert "No settings were changed." in visitor.see("#settings_result .notice").inner_text()


def test_nothing_jumps_while_the_page_comes_and_a_tab_opens(enter: Enter) -> None:
    visitor = enter(width=1440, arrive=False)
    visitor.page.add_init_script("""window.jumped = 0; new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) jumped += entry.hadRecentInput ? 0 : entry.value;
    }).observe({ type: "layout-shift", buffered: true });""")
    visitor.arrive().set("txt2img", **TINY).generate()
    visitor.shown_picture()
    for tab in TABS:
        visitor.open(tab)
    assert visitor.page.evaluate("() => jumped") < 0.05


def test_every_button_and_every_field_has_a_name(visitor: Visitor) -> None:
    for tab in TABS:
        visitor.open(tab)
        visitor.page.wait_for_selector(f"#tab_{tab} :is(button, input):visible")
        nameless = visitor.page.evaluate(
            """tab => [...document.querySelectorAll(`#tab_${tab} :is(button, input, textarea), #quicksettings button`)]
              .filter(item => item.offsetParent)
              .filter(item => !(item.getAttribute('aria-label') || item.title || item.textContent.trim()
                || item.closest('label')?.textContent.trim() || document.querySelector(`label[for="${item.id}"]`)))
              .map(item => item.outerHTML.slice(0, 200))""",
            tab,
        )
        assert not nameless, f"{tab}: {nameless}"


def test_no_rule_stands_outside_a_layer(visitor: Visitor) -> None:
    for tab in TABS:  # each brings sheets of its own when it is opened
        visitor.open(tab)
        visitor.page.wait_for_selector(f"#tab_{tab} :is(button, input):visible")
    sheets, outside = visitor.page.evaluate(
        """() => [document.styleSheets.length, [...document.styleSheets].flatMap(sheet => [...sheet.cssRules]
          .filter(rule => !(rule instanceof CSSLayerBlockRule || rule instanceof CSSLayerStatementRule))
          .map(rule => `${sheet.href} ${rule.cssText.slice(0, 100)}`))]"""
    )
    assert sheets > 10
    assert not outside


@pytest.mark.long
def test_dark_follows_the_system_and_the_choice_is_kept(enter: Enter) -> None:
    visitor = enter(dark=True)
    assert visitor.page.evaluate("() => document.body.classList.contains('dark')")
    visitor.page.click("#theme_toggle")
    visitor.until("() => !document.body.classList.contains('dark')")
    visitor.reload()
    assert not visitor.page.evaluate("() => document.body.classList.contains('dark')")
    visitor.page.evaluate("() => localStorage.clear()")


@pytest.mark.long
def test_weights_and_order_are_changed_by_keys(visitor: Visitor) -> None:
    visitor.write("txt2img_prompt", "a red apple, a cat")
    page = visitor.page
    place = "at => { const box = modules.dom.field('txt2img_prompt'); box.focus(); box.setSelectionRange(at, at); }"
    page.evaluate(place, 3)
    page.keyboard.press("Control+ArrowUp")
    assert visitor.value("txt2img_prompt") == "a (red:1.1) apple, a cat"
    page.keyboard.press("Control+ArrowUp")
    assert visitor.value("txt2img_prompt") == "a (red:1.2) apple, a cat"
    page.keyboard.press("Control+ArrowDown")
    page.keyboard.press("Control+ArrowDown")
    assert visitor.value("txt2img_prompt") == "a red apple, a cat"
    page.keyboard.press("Alt+ArrowRight")
    assert visitor.value("txt2img_prompt") == "a cat, a red apple"
    visitor.write("txt2img_prompt", "<lora:x:0.8> [cat]")
    page.evaluate(place, 4)
    page.keyboard.press("Control+ArrowDown")
    assert visitor.value("txt2img_prompt") == "<lora:x:0.75> [cat]"
    page.evaluate(place, 16)
    page.keyboard.press("Control+ArrowUp")
    assert visitor.value("txt2img_prompt") == "<lora:x:0.75> (cat:1.0091)"


@pytest.mark.long
def test_tokens_are_counted_while_typing(visitor: Visitor) -> None:
    visitor.write("txt2img_prompt", "a red apple")
    visitor.until("() => document.querySelector('#txt2img_prompt_tokens').textContent === '3/75'")
    visitor.write("txt2img_prompt", "a ((red apple")
    visitor.until("() => document.querySelector('#txt2img_prompt_tokens.bad')")


@pytest.mark.long
def test_hires_fix_says_what_comes_out(visitor: Visitor) -> None:
    says = "text => document.querySelector('#txt2img_hires_text').textContent.trim() === text"
    visitor.set("txt2img", width=512, height=512)
    visitor.page.click("#txt2img_enable_hr input")
    visitor.until(says, "from 512×512 to 1024×1024")
    visitor.set("txt2img", width=640)
    visitor.until(says, "from 640×512 to 1280×1024")
    visitor.page.click("#txt2img_res_switch_btn")
    visitor.until(says, "from 512×640 to 1024×1280")
    visitor.set("txt2img", hr_resize_y=960)
    visitor.until(says, "from 512×640 to 768×960")


@pytest.mark.long
def test_pasted_values_beyond_a_slider_and_of_other_settings_are_taken(visitor: Visitor) -> None:
    visitor.write(
        "txt2img_prompt",
        "a tree\nSteps: 2, Sampler: Euler, CFG scale: 35.5, Seed: 9, Size: 64x64, Clip skip: 2, ENSD: 31337",
    )
    visitor.page.click("#txt2img_paste")
    visitor.until("() => modules.dom.field('txt2img_cfg_scale').value === '35.5'")
    chips = visitor.see("#txt2img_override_settings .token").all_inner_texts()
    assert {chip.strip() for chip in chips} == {"Clip skip: 2", "ENSD: 31337"}
    visitor.generate()
    assert "CFG scale: 35.5" in visitor.infotext()
    assert "Clip skip: 2" in visitor.infotext()


def test_settings_are_searched_changed_and_kept(visitor: Visitor, page_server: RunningServer) -> None:
    option = "async (n) => (await (await fetch('sdapi/v1/options')).json()).CLIP_stop_at_last_layers === n"
    visitor.see("#quicksettings #setting_sd_vae")
    for layer in (2, 1):  # in the bar a change is kept at once
        visitor.set("setting", clip_skip=layer)
        visitor.until(option, layer)
    visitor.open("settings")
    visitor.page.fill("#settings_search", "precision attention")
    shown = "[...document.querySelectorAll('#settings_pages [id^=setting_]')].filter(item => item.offsetParent)"
    visitor.until(f"() => {shown}.length === 1")
    visitor.set("setting", keyedit_precision_attention=0.05)
    visitor.page.click("#settings_submit")
    assert "1 setting changed: keyedit_precision_attention" in visitor.see("#settings_result .notice").inner_text()
    kept = json.loads((page_server.data / "config.json").read_text("utf-8"))
    assert kept["keyedit_precision_attention"] == 0.05
    visitor.set("setting", keyedit_precision_attention=0.1)
    visitor.page.click("#settings_submit")
    visitor.until("() => !document.querySelector('#settings_result .notice').textContent.includes('No settings')")


@pytest.mark.long
def test_forms_can_begin_with_what_stands_in_them(visitor: Visitor, page_server: RunningServer) -> None:
    visitor.set("txt2img", steps=33).open("settings")
    visitor.page.click("#settings_defaults-button")
    visitor.page.click("#settings_defaults_view")
    assert "txt2img, Sampling steps: 20 becomes 33" in visitor.see("#settings_defaults_report .notice").inner_text()
    file = page_server.data / "ui-config.json"
    assert not file.exists(), "looking changes nothing"
    visitor.page.click("#settings_defaults_apply")
    visitor.see("#settings_defaults_report .notice.good")
    assert json.loads(file.read_text("utf-8"))["txt2img/Sampling steps/value"] == 33
    visitor.page.click("#settings_defaults_view")
    visitor.until("() => document.querySelector('#settings_defaults_report').textContent.includes('already show')")
    file.unlink()


def test_a_style_is_made_picked_and_written_into_the_prompt(visitor: Visitor) -> None:
    visitor.page.click("#txt2img_style_edit")
    page = visitor.page
    page.fill("#styles_name input", "Oil")
    page.press("#styles_name input", "Enter")
    visitor.write("styles_prompt", "{prompt}, oil painting").write("styles_negative", "photo")
    page.click("#styles_save")
    assert "Saved" in visitor.see("#styles_notice .notice").inner_text()
    page.keyboard.press("Escape")
    visitor.until("() => !document.querySelector('#styles_dialog.open')")
    visitor.write("txt2img_prompt", "a boat").choose("txt2img_styles", "Oil")
    page.keyboard.press("Escape")
    page.click("#txt2img_style_apply")
    visitor.until("() => modules.dom.field('txt2img_prompt').value === 'a boat, oil painting'")
    assert visitor.value("txt2img_negative_prompt") == "photo"

"""A newcomer who has A1111 already: its models are offered, one click uses them where they lie, one more does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.browser.conftest import Enter
from tests.browser.visitor import TINY
from tests.conftest import RunningServer

LISTED = """name => fetch('sdapi/v1/sd-models').then(answer => answer.json())
    .then(models => models.some(model => model.model_name === name))"""


def test_models_of_another_program_are_used_where_they_lie(
    enter: Enter, serving: Callable[..., RunningServer], installation: Path
) -> None:
    old = installation.parent / "stable-diffusion-webui"
    for folder in ("modules", "models/Lora", "models/Stable-diffusion"):
        (old / folder).mkdir(parents=True)
    (old / "webui.py").touch()
    (old / "config.json").write_text('{"CLIP_stop_at_last_layers": 2, "eta_noise_seed_delta": "no number"}')
    own = installation / "models" / "Stable-diffusion"
    for ending in ("safetensors", "yaml"):
        shutil.move(own / f"other.{ending}", old / "models" / "Stable-diffusion" / f"painter.{ending}")

    server = serving()
    server.wait_for_page()
    visitor = enter(url=server.url)
    page = visitor.page
    offer = visitor.see(".bring-offer")
    assert "A1111" in offer.inner_text()
    assert str(old) in offer.inner_text()
    assert visitor.overflow <= 0
    page.click(".bring-offer :text('Use them where they lie')")
    visitor.until(LISTED, "painter")
    visitor.until("() => !document.querySelector('.bring-offer')")
    visitor.choose("setting_sd_model_checkpoint", "painter")
    visitor.set("txt2img", **TINY).write("txt2img_prompt", "a cat")
    assert visitor.job(visitor.generate())["state"] == "done"
    assert "Model: painter" in visitor.infotext()

    page.set_viewport_size({"width": 1440, "height": 900})
    visitor.open("settings")
    page.click("#settings_about-button")
    page.click("#setting_about :text('Models of other programs')")
    page.set_viewport_size({"width": 390, "height": 844})
    page.click(".bring-dialog :text('Take over its settings')")
    page.click(".bring-entry summary")
    told = page.inner_text(".bring-entry details")
    assert "CLIP_stop_at_last_layers" in told
    assert "eta_noise_seed_delta" in told
    assert visitor.overflow <= 0
    page.click(".bring-dialog :text('Use no more')")
    visitor.see(".bring-dialog :text('None yet.')")
    assert not page.evaluate(LISTED, "painter")
    assert (old / "models" / "Stable-diffusion" / "painter.safetensors").is_file()

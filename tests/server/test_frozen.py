"""What the command line freezes stays as it is, whoever asks: the page, the API, a job."""

from __future__ import annotations

import asyncio
from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.base.errors import UserError
from webui.request.frozen import Freeze, Frozen
from webui.request.sections import SECTIONS
from webui.request.settings import Settings
from webui.server.api import errors, options
from webui.server.ui.quicksettings import quicksettings
from webui.server.ui.tabs.settings import settings as settings_tab


@pytest.mark.parametrize(
    ("line", "frozen", "free"),
    [
        ("--freeze-settings", ("clip_skip", "jpeg_quality", "most_steps"), ()),
        ("--freeze-settings-in-sections=sd,saving-images", ("clip_skip", "jpeg_quality"), ("eta_ddim",)),
        ("--freeze-settings-in-sections limits", ("most_steps",), ("clip_skip",)),
        ("--freeze-specific-settings=CLIP_stop_at_last_layers", ("clip_skip",), ("jpeg_quality",)),
        ("--freeze-specific-settings=clip_skip,rho", ("CLIP_stop_at_last_layers", "rho"), ("jpeg_quality",)),
        ("--hide-ui-dir-config", ("outdir_samples", "samples_filename_pattern"), ("jpeg_quality",)),
        ("", (), ("clip_skip", "outdir_samples")),
    ],
)
def test_a_flag_freezes_what_it_names(line: str, frozen: tuple[str, ...], free: tuple[str, ...]) -> None:
    freeze = flags.read(line.split()).freeze
    assert all(freeze.why(key) and freeze.why(key) in line for key in frozen)
    assert not any(freeze.why(key) for key in free)
    assert not freeze.unknown()


def test_names_that_are_nothing_s_are_told_at_the_start() -> None:
    given = flags.read(["--freeze-settings-in-sections", "sd,sampling", "--freeze-specific-settings", "eta_ddmi,rho"])
    told = "\n".join(flags.unheard(given))
    assert "no section 'sampling'" in told and "no setting 'eta_ddmi'" in told
    assert "'sd'" not in told and "'rho'" not in told


def test_what_stays_the_same_is_no_change() -> None:
    freeze, settings = Freeze(everything=True), Settings()
    freeze.check(settings, settings.options())
    freeze.check(settings, {"something of an extension": 1})
    wanted = {"clip_skip": 2, "jpeg_quality": settings.save.jpeg_quality}
    with pytest.raises(Frozen, match="Clip skip"):
        freeze.check(settings, wanted)
    assert freeze.thawed(settings, wanted) == {"jpeg_quality": settings.save.jpeg_quality}
    with pytest.raises(UserError):
        freeze.check(settings, {"clip_skip": "many"})


def test_every_section_of_a1111_is_known_by_its_settings() -> None:
    keys = [key for keys in SECTIONS.values() for key in keys]
    assert len(keys) == len(set(keys)) == 324


def app_with(data: Path, *line: str) -> App:
    data.mkdir(exist_ok=True)
    return App(flags.read([f"--data-dir={data}", *line]), StandIn())


def test_neither_a_program_nor_a_job_changes_it(tmp_path: Path) -> None:
    app = app_with(tmp_path / "data", "--freeze-settings")
    server = FastAPI()
    errors.install(server)
    server.include_router(options.routes(app).router)
    client = TestClient(server)
    try:
        assert client.post("/sdapi/v1/options", json=client.get("/sdapi/v1/options").json()).status_code == 200
        answer = client.post("/sdapi/v1/options", json={"jpeg_quality": 1})
        assert answer.status_code == 403 and "--freeze-settings" in answer.text
        assert app.settings.current == Settings()
        app.settings.change({"jpeg_quality": 1}, by_program=True)
        assert app.settings.current.save.jpeg_quality == 1
    finally:
        app.close()


def test_the_page_shows_it_and_lets_nobody_at_it(tmp_path: Path) -> None:
    async def built(*line: str) -> dict[str, gr.blocks.Block]:
        app = app_with(tmp_path / "data", *line)
        try:
            with gr.Blocks() as blocks:
                quicksettings(app)
                settings_tab(app)
        finally:
            app.close()
        return {block.elem_id: block for block in blocks.blocks.values() if getattr(block, "elem_id", None)}

    half = asyncio.run(built("--freeze-settings-in-sections=saving-images", "--hide-ui-dir-config"))
    assert not half["setting_jpeg_quality"].interactive and half["setting_sd_vae"].interactive
    assert "setting_outdir_samples" not in half and "setting_samples_filename_pattern" not in half
    whole = asyncio.run(built("--freeze-settings"))
    shown = [block for name, block in whole.items() if name.startswith("setting_") and hasattr(block, "interactive")]
    assert shown and not any(block.interactive for block in shown if block.elem_id in {f"setting_{k}" for k in KEYS})
    assert "refresh_sd_model_checkpoint" not in whole


KEYS = [name for _, name, _ in Settings.walk()]

"""Nobody's change of a setting is lost: two pages, a program, a text editor and restarts, in any order."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.server.stand_in import StandIn
from webui.app import App
from webui.base.paths import Paths
from webui.catalog.settings_store import SettingsStore
from webui.flags import Flags
from webui.request.settings import Settings
from webui.server.api import options
from webui.server.ui.tabs.settings import settings as settings_tab

VALUES: dict[str, tuple[Any, ...]] = {
    "clip_skip": (1, 2, 12),
    "eta_noise_seed_delta": (0, 31337, 2**60 + 1),
    "sigma_max": (0.0, 14.6, 0.1),
    "sd_vae": ("Automatic", "None", "gone.safetensors"),
    "samples_format": ("png", "jpg"),
    "save_to_dirs": (True, False),
    "outdir_samples": ("", "pictures", "C:\\pictures"),
    "grid_background_color": ("#ffffff", "#102030"),
    "quicksettings_list": ((), ("sd_model_checkpoint",), ("samples_format", "sd_vae")),
    "infotext_skip_pasting": ((), ("Seed",), ("No such label",)),
    "sd_lora": ("None", "gone"),
    "memory_profile": ("Automatic", "Layer by layer"),
}
"""One of each kind of control, also of what its list does not offer; the default comes first or not at all."""
ALIAS = {"clip_skip": "CLIP_stop_at_last_layers"}
UNKNOWN = {
    "training_image_repeats_per_epoch": 100,
    "control_net_allow_script_control": 3,
    "restore_config_state_file": None,
}
"""What A1111 and its extensions wrote into the file."""
NAMES = st.sampled_from(sorted(VALUES))


def now(app: App) -> dict[str, Any]:
    found = app.settings.current
    return {name: getattr(getattr(found, Settings.keys()[name][0]), name) for name in VALUES}


class Server:
    """The tab over an installation that begins anew with each story."""

    def __init__(self, data: Path) -> None:
        (data / "config.json").write_text('{"quicksettings_list": []}')  # What stands in the bar is not on the tab.
        self.app = App(Flags(data_dir=data), StandIn())
        asyncio.run(self._build())  # Gradio asks for an event loop, and would leave one of its own open.
        server = FastAPI()
        server.include_router(options.routes(self.app).router)
        self.client = TestClient(server)

    async def _build(self) -> None:
        with gr.Blocks() as blocks:
            self.form = settings_tab(self.app).form
        noted = [event for event in blocks.fns.values() if event.inputs and self.form.note in event.inputs]
        self.save: Any = noted[0].fn

    def restart(self, data: Path) -> None:
        """The settings are those of the file; pages stand open meanwhile."""
        self.app.settings = SettingsStore(Paths(data=data))


class Browser:
    """A page: what its controls hold, as the browser keeps it."""

    def __init__(self, server: Server) -> None:
        self.server, self.form = server, server.form
        self.held = {component: component.value for component in self.form.components}
        self.load()

    def take(self, updates: dict[Any, Any]) -> None:
        """Updates come as JSON; a browser's numbers are doubles."""
        for component in self.form.components:
            if component in updates and "value" in updates[component]:
                value = json.loads(json.dumps(updates[component]["value"]), parse_int=lambda text: int(float(text)))
                self.held[component] = value

    def load(self) -> None:
        self.take(self.form.shown(self.server.app.settings.current))

    def control(self, name: str) -> Any:
        return next(controls[name] for controls in self.form.controls.values() if name in controls)

    def apply(self) -> dict[Any, Any]:
        answer: dict[Any, Any] = self.server.save(dict(self.held), SimpleNamespace(username=""))
        self.take(answer)
        return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("settings"))
    with made.client:
        yield made
    made.app.close()


class Household(RuleBasedStateMachine):
    """Whoever wrote a key last is right about it, and nobody else's key moves."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "config.json"
        self.path.write_text(json.dumps({**UNKNOWN, "quicksettings": "sd_vae, clip_skip"}))
        self.server.restart(self.path.parent)
        self.right = now(self.server.app)
        assert self.right["quicksettings_list"] == ("sd_vae", "clip_skip")
        self.pages = [Browser(self.server), Browser(self.server)]
        self.edits: list[dict[str, Any]] = [{}, {}]

    @rule(page=st.integers(0, 1))
    def reload(self, page: int) -> None:
        self.pages[page].load()
        self.edits[page] = {}
        for name, value in self.right.items():
            shown = self.pages[page].held[self.pages[page].control(name)]
            assert shown == (list(value) if isinstance(value, tuple) else value) or float(shown) == float(value)

    @rule(page=st.integers(0, 1), name=NAMES, choice=st.integers(0, 2))
    def choose(self, page: int, name: str, choice: int) -> None:
        value = VALUES[name][choice % len(VALUES[name])]
        value = list(value) if isinstance(value, tuple) else value
        browser = self.pages[page]
        before = self.edits[page].get(name, (browser.held[browser.control(name)], None))[0]
        browser.held[browser.control(name)] = value
        self.edits[page][name] = (before, value)

    @rule(page=st.integers(0, 1))
    def apply(self, page: int) -> None:
        self.pages[page].apply()
        for name, (before, value) in self.edits[page].items():
            if value != before:
                self.right[name] = tuple(value) if isinstance(value, list) else value
        self.edits[page] = {}

    @rule(name=NAMES, choice=st.integers(0, 2), whole=st.booleans())
    def program(self, name: str, choice: int, whole: bool) -> None:
        """One key over the API, or all of them with one changed, as A1111's clients do."""
        value = VALUES[name][choice % len(VALUES[name])]
        client = self.server.client
        everything = client.get("/sdapi/v1/options").json() if whole else {}
        everything.pop("sd_model_checkpoint", None)
        body = {**everything, ALIAS.get(name, name): list(value) if isinstance(value, tuple) else value}
        assert client.post("/sdapi/v1/options", json=body).status_code == 200
        self.right[name] = value

    @rule(name=NAMES, choice=st.integers(0, 2), then=NAMES)
    def editor(self, name: str, choice: int, then: str) -> None:
        """Somebody writes into the file; it holds from the next change on."""
        value = VALUES[name][choice % len(VALUES[name])]
        table = json.loads(self.path.read_text("utf-8"))
        table[ALIAS.get(name, name)] = list(value) if isinstance(value, tuple) else value
        self.path.write_text(json.dumps(table), "utf-8")
        self.right[name] = value
        self.server.app.settings.change({then: VALUES[then][-1]})
        self.right[then] = VALUES[then][-1]

    @rule()
    def restart(self) -> None:
        self.server.restart(self.path.parent)

    @invariant()
    def everybody_is_right(self) -> None:
        assert now(self.server.app) == self.right
        table = json.loads(self.path.read_text("utf-8"))
        assert {key: table[key] for key in UNKNOWN} == UNKNOWN

    def teardown(self) -> None:
        self.folder.cleanup()


def test_whoever_wrote_a_key_last_is_right_about_it(server: Server) -> None:
    household = type("Household", (Household,), {"server": server})
    run_state_machine_as_test(household, settings=settings(max_examples=12, stateful_step_count=20, deadline=None))


def test_a_page_that_does_not_know_what_it_showed_changes_nothing(server: Server, tmp_path: Path) -> None:
    server.restart(tmp_path)
    page = Browser(server)
    page.held[page.control("clip_skip")] = 2
    for note in ("", "{}", "[1]", "null", "{", "[" * 50_000, None, 7):
        page.held[page.form.note] = note
        assert len(page.apply()) == 1, "a refusal"
    assert server.app.settings.current == Settings()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_file_that_breaks_while_the_program_runs_loses_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**UNKNOWN, "clip_skip": 2}))
    store = SettingsStore(Paths(data=tmp_path))
    path.write_text(content)
    store.change({"samples_format": "jpg"})
    assert json.loads(path.read_text()) == {**UNKNOWN, "CLIP_stop_at_last_layers": 2, "samples_format": "jpg"}

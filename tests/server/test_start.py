"""A start that fails: one clear sentence, and everything that was begun is ended again, however far it came."""

from __future__ import annotations

import codecs
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MACHINE, ROOT, RunningServer
from tests.server.stand_in import StandIn
from webui import app as app_module
from webui import flags as flags_module
from webui.app import App
from webui.base.errors import StorageError, UserError, WebuiError
from webui.flags import Flags
from webui.server.access import accounts_of
from webui.server.jobs.engine_client import Heard
from webui.server.serve import Server, listen


class Watched(StandIn):
    """Says whether it was started and ended."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.refuses = refuses
        self.told: list[str] = []

    def start(self, hear: Callable[[Heard], None]) -> None:
        self.told.append("started")
        if self.refuses:
            raise RuntimeError("can't start new thread")
        super().start(hear)

    def close(self) -> None:
        self.told.append("ended")


@pytest.fixture
def flags(tmp_path: Path) -> Flags:
    folder = tmp_path / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (folder / "any.safetensors").write_bytes(b"never opened")
    return Flags(data_dir=tmp_path, ckpt="any", vae_path=None)


IN_ORDER = (
    "_housekeeping._closing.set",
    "queue._runs._aside.shutdown",
    "catalog.checkpoints.close",
    "catalog.database.close",
)
"""What ends what was begun."""
STAGES = (
    "catalog.pictures.forget_unsaved",
    "catalog.job_pictures.recover",
    "catalog.checkpoint",
    "settings.change",
    "queue._table.recover",
    "queue._settings.subscribe",
    "queue._engines.configure",
    "queue._dispatcher.thread.start",
    "catalog.hash_in_background",
    "_housekeeping.start",
    "_housekeeping._thread.start",
    "catalog.look_for_pictures",
)


def at(thing: Any, stage: str) -> tuple[Any, str]:
    *path, name = stage.split(".")
    for part in path:
        thing = getattr(thing, part)
    return thing, name


def noted(name: str, end: Callable[[], None], order: list[str]) -> Callable[[], None]:
    def ended() -> None:
        order.append(name)
        end()

    return ended


@pytest.mark.parametrize("stage", STAGES)
def test_a_failure_at_any_stage_ends_what_was_begun(flags: Flags, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    before = set(threading.enumerate())
    engine = Watched()
    app = App(flags, engine)
    order: list[str] = []
    for name in IN_ORDER:
        owner, method = at(app, name)
        monkeypatch.setattr(owner, method, noted(name, getattr(owner, method), order))

    def fail(*_: object, **__: object) -> None:
        raise StorageError("The disk is on fire.")

    owner, method = at(app, stage)
    monkeypatch.setattr(owner, method, fail)
    with pytest.raises(StorageError, match="on fire"):
        app.start()
    assert order == list(IN_ORDER)
    assert engine.told in ([], ["started", "ended"], ["ended"])
    assert set(threading.enumerate()) <= before, "no thread is left"
    app.close()
    again = App(flags, Watched())  # The folder is free.
    again.start()
    again.close()
    assert set(threading.enumerate()) <= before


def test_an_engine_that_cannot_be_started_is_no_riddle(flags: Flags) -> None:
    before = set(threading.enumerate())
    engine = Watched(refuses=True)
    app = App(flags, engine)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        app.start()
    assert engine.told == ["started", "ended"]
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("part", ["Catalog", "Tokens", "Access", "SettingsStore", "JobQueue", "Housekeeping"])
def test_a_failure_while_the_program_is_put_together_frees_the_folder(
    flags: Flags, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageError("The disk is on fire.")

    with monkeypatch.context() as patch:
        patch.setattr(app_module, part, fail)
        with pytest.raises(StorageError, match="on fire"):
            App(flags, StandIn())
    App(flags, StandIn()).close()


def test_a_second_server_does_not_even_look_into_the_database(flags: Flags, monkeypatch: pytest.MonkeyPatch) -> None:
    first = App(flags, StandIn())

    def looked(*_: object) -> None:
        raise AssertionError("It was opened.")

    monkeypatch.setattr(app_module, "Catalog", looked)
    with pytest.raises(UserError, match="Another server"):
        App(flags, StandIn())
    first.close()


PLAIN = ("", "nonsense", "-1", "99999", "9" * 400, "nan", "1e9", "((", "a" * 300, "name:")
NONSENSE = (*PLAIN, "\N{COLLISION SYMBOL}", "caf\udce9", "FILE", "FOLDER", "FILE/below")


BY_THE_SERVER = ("--cors-allow-origins", "--cors-allow-origins-regex", "--subpath", "--allow-host")
"""What is read when the routes are laid, which takes a while."""


def takers() -> list[str]:
    """Every flag that takes a value."""
    plain = {name: value for name, (_, _, value) in flags_module.declared().items() if not isinstance(value, bool)}
    return [flags_module.spelling(name) for name in plain]


@pytest.mark.parametrize("flag", takers())
def test_nonsense_behind_any_flag_is_taken_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "bind", unresolved(socket.socket.bind))
    file, folder = tmp_path / "FILE", tmp_path / "FOLDER"
    file.write_bytes(b"\xff\xfen\x00o\x00")
    folder.mkdir()
    for value in NONSENSE:
        told = value.replace("FILE", str(file)).replace("FOLDER", str(folder))
        given = [f"{flag}={told}"]
        given += ["--data-dir=here"] if flag != "--data-dir" else []
        given += ["--port=0"] if flag != "--port" else []
        given += [f"--tls-certfile={file}"] if flag == "--tls-keyfile" else []
        given += [f"--tls-keyfile={file}"] if flag == "--tls-certfile" else []
        try:
            begun(given)
        except WebuiError as error:
            assert error.message.endswith((".", "?")) and "\n" not in error.message


def unresolved(bind: Any) -> Any:
    """Binds, but asks no name server."""

    def bound(made: socket.socket, address: tuple[str, int]) -> None:
        name = address[0].encode("idna").decode()
        if name[:1].isalpha():
            raise socket.gaierror(-2, "Name or service not known")
        bind(made, address)

    return bound


def begun(given: list[str]) -> None:
    """What `serve` does, with an engine that stands in."""
    chosen = flags_module.read(given)
    with listen(chosen) as bound:
        app = App(chosen, StandIn())
        try:
            app.start()
            flag, _, value = given[0].partition("=")
            if (flag in BY_THE_SERVER and value in ("((", "name:", "\N{COLLISION SYMBOL}")) or flag.startswith("--tls"):
                Server(app, bound)
        finally:
            app.close()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_names_and_passwords_are_read_however_an_editor_wrote_them(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "names.txt"
    lines = "ada:first\r\n\r\nünal:zweites\r\n"
    content = codecs.BOM_UTF16_LE + lines.encode("utf-16-le") if "bom" in encoding else lines.encode(encoding)
    file.write_bytes(content)
    accounts = accounts_of(Flags(data_dir=tmp_path, gradio_auth_path=file))
    assert accounts.users == {"ada": "first", "ünal": "zweites"}


@pytest.mark.parametrize("content", [b"ada:f\xfcrst", "ada:first".encode("utf-16-le"), b"\xff\xfea", b"ada"])
def test_what_is_no_list_of_names_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes(content)
    with pytest.raises(UserError):
        accounts_of(Flags(data_dir=tmp_path, gradio_auth_path=file))


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "webui", "--port", "0", *MACHINE, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_people_read_one_sentence(serving: Callable[..., RunningServer]) -> None:
    """The real program: a second server of a folder, and a checkpoint that is not there."""
    server = serving("--nowebui")
    folder = str(server.data)
    code, said = run("--data-dir", folder)
    assert (code, said.count("Another server"), said.count("Traceback")) == (1, 1, 0), said
    assert str(server.process.pid) in said
    with server.client() as client:
        assert client.get("internal/ping").status_code == 200, "the first one goes on"
    server.stop()
    code, said = run("--data-dir", folder, "--ckpt", "nope")
    assert (code, said.count("Traceback"), said.count("'nope'")) == (1, 0, 1), said
    assert "AttributeError" not in said
    code, said = run("--data-dir", folder, "--port", "99999")
    assert (code, said.count("Traceback"), said.count("99999")) == (1, 0, 1), said
    code, said = run("--data-dir", folder, "--vae-path", "nope.pt")
    assert (code, said.count("Traceback"), said.count("nope.pt")) == (1, 0, 1), said

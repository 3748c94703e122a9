"""Folders are opened on the machine itself, for whoever sits there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from webui.base.errors import NotFound, UserError
from webui.base.paths import Paths
from webui.catalog.pictures import SavedPicture
from webui.request.settings import Settings
from webui.server import folder_window
from webui.server.folder_window import folder_to_show, is_here, show

PICTURE = SavedPicture("txt2img", "j", 0, "", "", 8, 8, 1, "m", "s", 1.0, "id")


def connection(client: str | None, host: str, **headers: str) -> HTTPConnection:
    given = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope: dict[str, Any] = {"type": "http", "client": client and (client, 1)}
    return HTTPConnection(scope | {"headers": [(name.encode(), value.encode()) for name, value in given.items()]})


@pytest.mark.parametrize(
    ("client", "host", "headers", "here"),
    [
        ("127.0.0.1", "127.0.0.1:7860", {}, True),
        ("::1", "[::1]:7860", {}, True),
        ("127.0.0.1", "localhost:7860", {}, True),
        ("192.168.0.7", "localhost:7860", {}, False),
        ("127.0.0.1", "abc.gradio.live", {}, False),
        ("127.0.0.1", "studio.local", {}, False),
        ("127.0.0.1", "localhost", {"x_forwarded_for": "192.168.0.7"}, False),
        ("127.0.0.1", "localhost", {"forwarded": "for=1.2.3.4"}, False),
        ("127.0.0.1", "", {}, False),
        ("127.0.0.1", "[", {}, False),
        (None, "localhost", {}, False),
    ],
)
def test_who_sits_at_the_machine(client: str | None, host: str, headers: dict[str, str], here: bool) -> None:
    assert is_here(connection(client, host, **headers)) is here


def test_the_settings_say_which_folder_is_meant(tmp_path: Path) -> None:
    paths = Paths(data=tmp_path)
    root, day = tmp_path / "outputs" / "txt2img-images", tmp_path / "outputs" / "txt2img-images" / "2024-05-06"
    with pytest.raises(NotFound):
        folder_to_show(None, "txt2img", Settings(), paths)
    day.mkdir(parents=True)
    paths.unsaved.mkdir(parents=True)
    saved, unsaved = replace(PICTURE, path=str(day / "1.png")), replace(PICTURE, path=str(paths.unsaved / "1.png"))

    def shown(picture: SavedPicture | None, choice: str = "Subdirectory") -> Path:
        return folder_to_show(picture, "txt2img", Settings().with_options({"open_dir_button_choice": choice}), paths)

    assert [shown(None), shown(saved), shown(saved, "Output Root")] == [root, day, root]
    assert [shown(unsaved), shown(unsaved, "Subdirectory (even temp dir)")] == [root, paths.unsaved]
    private = Settings().with_options({"outdir_samples": str(paths.state)})
    with pytest.raises(NotFound):
        folder_to_show(None, "txt2img", private, paths)


def test_a_machine_without_a_desktop_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(folder_window.sys, "platform", "linux")
    with pytest.raises(UserError, match="no program that shows folders"):
        show(tmp_path)
    told = tmp_path / "told"
    opener = tmp_path / "xdg-open"
    opener.write_text(f'#!/bin/sh\n/bin/echo "$1" > {told}.part && /bin/mv {told}.part {told}\n')
    opener.chmod(0o755)
    show(tmp_path / "a folder; rm -rf x")
    for _ in range(200):
        if told.exists():
            break
        folder_window.subprocess.run(["/bin/sleep", "0.02"], check=True)
    assert told.read_text().strip() == str(tmp_path / "a folder; rm -rf x")

"""Nobody gets at a file through the page but what they themselves have dropped into it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.api.conftest import opened as opened_api
from tests.conftest import ROOT
from tests.server.hostile import SECRET, hostile_names
from tests.server.watched_page import Caller, Page, opened
from webui.base.paths import Paths
from webui.catalog.accounts import AccountFile
from webui.server import passwords

PICTURE = (ROOT / "tests" / "golden" / "a1111.png").read_bytes()
META = {"_type": "gradio.FileData"}
WORD = "secret-of-somebody"
"""In the names of all files that nobody may open."""
ROLES = ("visitor", "user", "admin")
LATER = pytest.mark.long
"""For roles whose answers come from the same lines."""


class Canary:
    """A server of this machine that nobody may be made to call."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/x.png"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                heard, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            heard.close()

    def close(self) -> None:
        self._socket.close()


class Town:
    """An open server and one with accounts, and secrets beside them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.secret = folder / f"{WORD}.png"
        told = PngInfo()
        told.add_text("parameters", SECRET)
        Image.new("RGB", (8, 8)).save(self.secret, pnginfo=told)
        self.canary = Canary()
        stack.callback(self.canary.close)
        closed = folder / "closed"
        accounts = AccountFile(Paths(data=closed).accounts)
        accounts.put("ada", "admin", passwords.hashed("first"))
        accounts.put("una", "user", passwords.hashed("second"))
        self.open = stack.enter_context(opened(folder / "open", watched=WORD))
        self.closed = stack.enter_context(opened(closed, watched=WORD))

    def caller(self, role: str) -> tuple[Page, Caller]:
        match role:
            case "visitor":
                return self.open, self.open.caller()
            case "user":
                return self.closed, self.closed.caller("una", "second")
        return self.closed, self.closed.caller("ada", "first")

    def another(self, role: str) -> Caller:
        """Somebody else at the same server."""
        return self.caller({"visitor": "visitor", "user": "admin", "admin": "user"}[role])[1]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with ExitStack() as stack:
        yield Town(tmp_path_factory.mktemp("town"), stack)


def places(caller: Caller) -> list[tuple[Any, int]]:
    """(event, position) of each input of the page that takes files."""
    return [
        (event, position)
        for event in caller.events
        for position, one in enumerate(event["inputs"])
        if caller.components[one]["type"] in ("image", "file", "gallery", "video", "audio", "uploadbutton")
    ]


def each_once(caller: Caller) -> list[tuple[Any, int]]:
    """One of those events for each component: the one that brings least beside it."""
    found = sorted(places(caller), key=lambda place: -len(place[0]["inputs"]))
    return list({event["inputs"][position]: (event, position) for event, position in found}.values())


def filled(caller: Caller, event: Any, position: int, file: object) -> object:
    """The value of a component that holds this file."""
    if caller.components[event["inputs"][position]]["type"] == "gallery":
        return [{"image": file, "caption": None}]
    return file


def stolen(page: Page, own: str, others: str, town: Town) -> list[str]:
    """Paths of files that the caller has not uploaded."""
    visitors = Path(own).parents[2]
    state = page.data / "config"
    own_folder = str(Path(own).parent)
    return [
        *(str(path) for path in (town.secret, state / "secret.key", state / "gesso.sqlite3", "/etc/passwd", visitors)),
        *hostile_names(town.secret),
        others,
        f"{own_folder}/../../../../../{WORD}.png",
        f"{own_folder}/{os.path.relpath(town.secret, own_folder)}",
        f"{own}/../{Path(own).name}",
        f"{own}/",
        f"{own}\0",
        own_folder,
        own.upper(),
        f"{visitors}/{WORD}.png",
        "",
        "CON",
        "\\\\.\\PhysicalDrive0",
        "\\\\evil.example\\share\\x.png",
        town.canary.url,
        f"/gradio_api/file={town.secret}",
        f"/gradio_api/proxy={town.canary.url}",
        "data:image/png;base64,AAAA",
        "\ud800",
    ]


@pytest.mark.parametrize("role", ["visitor", pytest.param("user", marks=LATER), "admin"])
def test_no_place_of_the_page_takes_a_file_that_its_visitor_has_not_uploaded(town: Town, role: str) -> None:
    page, caller = town.caller(role)
    found = places(caller)
    assert {caller.components[event["inputs"][position]]["type"] for event, position in found} == {
        "image",
        "file",
        "gallery",
    }
    assert len(found) > 20
    own = caller.upload(PICTURE, "own.png")
    others = town.another(role).upload(PICTURE, "others.png")
    paths = stolen(page, own, others, town)
    thorough = {(event["id"], position) for event, position in each_once(caller)}
    for event, position in found:
        values = caller.usual(event)
        for path in paths if (event["id"], position) in thorough else paths[:1]:
            values[position] = filled(caller, event, position, {"path": path, "meta": META})
            answer = caller.send(event, values)
            assert 400 <= answer.status_code < 500, (event["id"], path, answer.text)
            assert SECRET not in answer.text
    seen = page.seen()["opened"]
    assert not seen, seen
    assert not town.canary.calls


@pytest.mark.parametrize("role", ["visitor", pytest.param("user", marks=LATER), pytest.param("admin", marks=LATER)])
def test_no_other_way_of_writing_a_file_is_taken(town: Town, role: str) -> None:
    page, caller = town.caller(role)
    own = caller.upload(PICTURE, "own.png")
    path, url = str(town.secret), town.canary.url
    fine = {"path": own, "meta": META}
    forms: list[Any] = [
        path,
        [path],
        {"path": path},
        {"path": path, "url": path},
        {"path": path, "meta": {}},
        {"path": path, "meta": None},
        {"path": path, "meta": META, "orig_name": "x.svg"},
        {"path": path, "meta": META, "is_stream": True},
        {"path": None, "url": f"file://{path}", "meta": META},
        {"path": None, "url": "data:image/png;base64,AAAA", "meta": META},
        {"path": [own], "meta": META},
        {"path": {"path": own}, "meta": META},
        {"url": url, "meta": META},
        {"url": url},
        {"value": {"path": path, "meta": META}},
        [[fine]],
        [fine, {"path": path, "meta": META}],
        {"image": {"path": path, "meta": META}},
        {"0": fine},
        [fine] * 3000,
        path.encode().hex(),
        7,
        True,
    ]
    for event, position in each_once(caller):
        values = caller.usual(event)
        for given in forms:
            values[position] = filled(caller, event, position, given)
            answer = caller.send(event, values)
            assert 400 <= answer.status_code < 500, (event["id"], str(given)[:200], answer.text)
    event = caller.event("pnginfo_image", "input")
    for given in forms:
        answer = caller.send(event, [None], event_data=given)
        assert answer.status_code < 500, (str(given)[:200], answer.text)
        assert SECRET not in answer.text
    assert not page.seen()["opened"]
    assert not town.canary.calls


@pytest.mark.parametrize("role", ROLES)
def test_what_somebody_dropped_in_is_taken_from_them_and_shown_to_them_alone(town: Town, role: str) -> None:
    page, caller = town.caller(role)
    other = town.another(role)
    own = caller.upload(PICTURE, "my picture.png")
    event = caller.event("pnginfo_image", "input")
    told = caller.send(event, [{"path": own, "url": "http://evil.example/", "meta": META, "is_stream": True}])
    assert told.status_code == 200
    assert "a red cat sitting" in told.text
    shown = caller.file(own)
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, PICTURE, "image/png")
    assert other.file(own).status_code == 404
    assert other.send(event, [{"path": own, "meta": META}]).status_code == 404
    for path in stolen(page, own, other.upload(PICTURE, "others.png"), town):
        answer = caller.http.get("/gradio_api/file=" + quote(path.encode("utf-8", "replace"), safe=""))
        assert answer.status_code in (403, 404), path
    # What is no picture is never shown by a browser as what it says it is.
    page_of_theirs = caller.file(caller.upload(b"<script>alert(1)</script>", "x.html"))
    assert page_of_theirs.headers["content-type"] == "application/octet-stream"
    assert page_of_theirs.headers["content-disposition"].startswith("attachment")
    assert not page.seen()["opened"]


def test_the_names_of_uploads_stay_in_their_folder(town: Town) -> None:
    caller = town.open.caller()
    own = Path(caller.upload(b"x", "a.png"))
    names = (
        "../../x",
        "/etc/passwd",
        "a/b\\c",
        "NUL",
        "con.png",
        "x" * 3000 + ".png",
        "..",
        " ",
        "\u202e.png",
        "a:b",
    )
    for name in names:
        path = Path(caller.upload(b"content", name))
        assert path.parents[1] == own.parents[1], name
        assert path.read_bytes() == b"content"
        assert caller.file(str(path)).content == b"content"


def test_no_folder_that_an_administrator_names_leads_into_the_programs_own(town: Town) -> None:
    page, caller = town.caller("admin")
    _, other = town.caller("user")
    dropped = Path(other.upload(PICTURE, "others.png"))
    event = caller.event("extras_generate", "click")
    values = caller.usual(event)
    ids = {caller.components[one]["props"].get("elem_id"): at for at, one in enumerate(event["inputs"])}
    link = page.data / "looks-harmless"
    link.symlink_to(dropped.parent, target_is_directory=True)
    values[ids["extras_place"]] = "folder"
    for folder in (str(dropped.parent), str(page.data / "config"), str(link), f"{page.data}/outputs/../config"):
        values[ids["extras_batch_input_dir"]] = folder
        told = caller.send(event, values)
        assert "contains no pictures" in told.text or "cannot be read" in told.text, (folder, told.text)
    (page.data / "given").mkdir()
    (page.data / "given" / "a.png").write_bytes(PICTURE)
    values[ids["extras_batch_input_dir"]] = str(page.data / "given")
    values[ids["extras_batch_output_dir"]] = str(page.data / "config" / "gradio")
    assert "used by Gesso itself" in caller.send(event, values).text
    values[ids["extras_batch_output_dir"]] = ""
    assert "1 picture submitted" in caller.send(event, values).text


def test_the_history_shows_no_pictures_of_the_programs_own_folder(tmp_path: Path) -> None:
    with opened_api(tmp_path) as api:
        dropped = api.app.catalog.visitor_files.put("una", PICTURE, "others.png")
        (tmp_path / "outputs").mkdir(exist_ok=True)
        (tmp_path / "outputs" / "link.png").symlink_to(dropped)
        (tmp_path / "outputs" / "own.png").write_bytes(PICTURE)
        save = api.app.settings.current.save.model_copy(update={"outdir_samples": "config"})
        api.app.catalog.folders.wait()
        api.app.catalog.look_for_pictures(save)
        api.app.catalog.folders.wait()
        found = api.client.get("/internal/history/pictures?limit=60").json()
        assert [Path(one["name"]).name for one in found["pictures"]] == ["own.png"]


def test_the_routes_that_the_page_does_not_need_are_closed(town: Town) -> None:
    _, caller = town.caller("admin")
    for path in (
        f"/gradio_api/file/{town.secret}",
        f"/gradio_api/proxy={town.canary.url}",
        "/gradio_api/stream/a/b/1/playlist.m3u8",
        "/gradio_api/heartbeat/a",
        "/gradio_api/deep_link?session_hash=a",
        "/gradio_api/custom_component/a/client/component/index.js",
        "/gradio_api/dev/reload",
        "/gradio_api/runs",
        "/monitoring",
        "/monitoring/summary",
        "/pwa_icon/100000",
        "/gradio_api/call/predict/a",
        "/gradio_api/startup-events",
    ):
        assert caller.http.get(path).status_code in (403, 404), path
    for path in (
        "component_server",
        "process_recording",
        "vibe-edit",
        "cancel",
        "reset",
        "stream/a",
        "call/predict",
        "call/v2/predict",
        "api/predict",
        "run-history/connect",
    ):
        body = {"data": [], "session_hash": "a", "fn_index": 1, "component_id": 1, "fn_name": "ls", "event_id": "a"}
        assert caller.http.post(f"/gradio_api/{path}", json=body).status_code == 404, path
    assert not town.canary.calls


def test_an_event_of_the_queue_goes_through_the_same_door_and_is_answered_to_its_sender(town: Town) -> None:
    _, caller = town.caller("user")
    _, admin = town.caller("admin")
    event = caller.event("pnginfo_image", "input")
    own = caller.upload(PICTURE, "own.png")
    body = {"data": [{"path": str(town.secret), "meta": META}], "fn_index": event["id"], "session_hash": "s"}
    assert caller.http.post("/gradio_api/queue/join", json=body).status_code == 404
    body["data"] = [{"path": own, "meta": META}]
    assert caller.http.post("/gradio_api/queue/join", json=body).status_code == 200
    assert admin.http.get("/gradio_api/queue/data?session_hash=s").status_code == 404
    lines = caller.http.get("/gradio_api/queue/data?session_hash=s").text
    assert "a red cat sitting" in lines
    messages = [json.loads(line.removeprefix("data: ")) for line in lines.split("\n") if line.startswith("data: ")]
    assert [one["msg"] for one in messages][-2:] == ["process_completed", "close_stream"]


def test_what_a_component_refuses_in_an_event_for_the_queue_is_refused_without_a_traceback(town: Town) -> None:
    page, caller = town.caller("user")
    event = caller.event("pnginfo_image", "input")
    own = caller.upload(b"no picture", "own.png")
    begin = len(page.output)
    for _ in range(3):
        body = {"data": [{"path": own, "meta": META}], "fn_index": event["id"], "session_hash": "refused"}
        answer = caller.http.post("/gradio_api/queue/join", json=body)
        assert answer.status_code == 422, answer.text
    assert caller.http.get("/gradio_api/queue/data?session_hash=refused").status_code == 404
    assert not [line for line in page.output[begin:] if "Traceback" in line]

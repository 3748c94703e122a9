"""The gate: every route, asked by everybody."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.conftest import PATIENCE, ROOT
from tests.server.routes import basic, paths
from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.server.attempts import Attempts
from webui.server.guard import LOGIN_COOKIE, SESSION_COOKIE, Guard
from webui.server.routes import RouteTable
from webui.server.serve import application

OPEN_TO_ALL = ("/app_id", "/user", "/token")
"""They tell strangers that they are strangers."""
LOCAL = "http://127.0.0.1:7860"
HERE = {"host": "127.0.0.1:7860"}


class House:
    """An App with its gate, and the routes behind it."""

    def __init__(self, data: Path, *line: str) -> None:
        chosen = flags.read(["--data-dir", str(data), "--nowebui", *line])
        self.app = App(chosen, StandIn())
        self.app.queue.start(preload=False)
        self.inner = application(self.app)
        self.guard = Guard(self.inner, chosen, self.app.access)

    def client(self, url: str = LOCAL) -> TestClient:
        return TestClient(self.guard, base_url=url, follow_redirects=False)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[type[House]]:
    opened: list[House] = []

    class Opened(House):
        def __init__(self, *line: str) -> None:
            super().__init__(tmp_path / str(len(opened)), *line)
            opened.append(self)

    yield Opened  # type: ignore[misc]
    for one in opened:
        one.app.close()


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Where nobody logs in, known by one more name; for tests that leave it as it is."""
    made = House(tmp_path_factory.mktemp("open"), "--allow-host", "sd.example.org")
    yield made
    made.app.close()


def test_nobody_enters_anything_without_a_password(house: type[House]) -> None:
    here = house("--gradio-auth", "anna:one")  # type: ignore[arg-type]
    client = here.client()
    found = list(paths(list(here.inner.router.routes)))
    assert len(found) > 40
    assert {("POST", "/sdapi/v1/txt2img"), ("GET", "/internal/events"), ("GET", "/openapi.json")} <= set(found)
    for method, path in found:
        if path in OPEN_TO_ALL:
            continue
        answer = client.request(method, path)
        assert answer.status_code == 401, (method, path)
        assert client.request(method, path, headers=basic("anna", "wrong")).status_code in (401, 429), (method, path)
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/internal/ws", headers=HERE):
        pass


def test_nobody_enters_the_page_without_a_password(tmp_path: Path) -> None:
    """Gradio's own routes: files, uploads, events, configuration. It leaves some of them open by itself."""
    command = [sys.executable, "-m", "tests.server.page_routes", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    answers = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    anna = {path: status for path, status in answers.items() if path.startswith("ANNA")}
    anybody = {path: status for path, status in answers.items() if path not in anna}
    assert len(anybody) > 80
    ours = {path for path in anybody if path.split()[1] in ("/login", "/logout", *OPEN_TO_ALL)}
    assert {status for path, status in anybody.items() if path not in ours} <= {"401", "403"}, anybody
    assert anna.pop("ANNA /config") == "200"
    assert set(anna.values()) <= {"403", "404"}, "not even she gets files that are no pictures of hers"


def test_a_person_logs_in_on_a_page_of_ours_and_is_sent_on(house: type[House]) -> None:
    here = house("--gradio-auth", "anna:one")  # type: ignore[arg-type]
    client = here.client()
    away = client.get("/docs", headers={"accept": "text/html"})
    assert (away.status_code, away.headers["location"]) == (303, "/login?next=/docs")
    page = client.get(away.headers["location"])
    assert page.status_code == 200
    assert '<input type="hidden" name="next" value="/docs">' in page.text
    assert client.post("/login", data={"username": "anna", "password": "two"}).status_code == 401
    entered = client.post("/login", data={"username": "anna", "password": "one", "next": "/docs"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/docs")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert client.get("/docs").status_code == 200
    cookie = f"{LOGIN_COOKIE}={client.cookies[LOGIN_COOKIE]}"
    with client.websocket_connect("/internal/ws", headers={**HERE, "cookie": cookie}) as socket:
        assert socket.receive_json()["type"] == "state"
    client.get("/logout")
    assert client.get("/docs").status_code == 401


@pytest.mark.parametrize(
    "target", ["//evil.org", "https://evil.org", "/\\evil.org", "javascript:x", "/a\r\nset-cookie:x"]
)
def test_the_login_sends_nobody_elsewhere(house: type[House], target: str) -> None:
    client = house("--gradio-auth", "anna:one").client()  # type: ignore[arg-type]
    entered = client.post("/login", data={"username": "anna", "password": "one", "next": target})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")


def test_programs_show_a_password_each_time(house: type[House]) -> None:
    here = house("--gradio-auth", "anna:one", "--api-auth", "bot:beep")  # type: ignore[arg-type]
    client = here.client()
    assert client.get("/sdapi/v1/samplers", headers=basic("anna", "one")).status_code == 200
    assert client.get("/sdapi/v1/samplers", headers=basic("bot", "beep")).status_code == 200
    assert client.get("/internal/ping", headers=basic("bot", "beep")).status_code == 401
    assert client.get("/sdapi/v1/samplers", headers={"authorization": "Basic !!"}).status_code == 401


def test_an_api_password_alone_leaves_the_page_open(house: type[House]) -> None:
    client = house("--api-auth", "bot:beep").client()  # type: ignore[arg-type]
    assert client.get("/internal/ping").status_code == 200
    assert client.get("/sdapi/v1/samplers").status_code == 401
    assert client.get("/sdapi/v1/samplers", headers=basic("bot", "beep")).status_code == 200


def test_guessing_is_slowed_down_and_the_right_password_gets_in(house: type[House]) -> None:
    here = house("--gradio-auth", "anna:one,bert:two")  # type: ignore[arg-type]
    client = here.client()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    here.app.access._attempts = Attempts(lambda: 0.0, sleep)
    for _ in range(50):
        assert client.post("/login").status_code == 401
        assert client.post("/login", data={"username": "anna", "password": ""}).status_code == 401
        assert client.get("/sdapi/v1/samplers", headers=basic("anna", "old")).status_code == 401
    assert not slept, "empty logins, and a program with an old password"
    answers = [client.get("/sdapi/v1/samplers", headers=basic("anna", str(n))) for n in range(20)]
    assert [answer.status_code for answer in answers] == [401] * 14 + [429] * 6
    assert int(answers[-1].headers["retry-after"]) > 0
    assert "Try again in" in client.post("/login", data={"username": "anna", "password": "x"}).text
    assert client.get("/sdapi/v1/samplers", headers=basic("bert", "two")).status_code == 200
    here.app.access._attempts = Attempts(lambda: 60.0, sleep)
    assert client.get("/sdapi/v1/samplers", headers=basic("anna", "one")).status_code == 200
    assert client.post("/login", data={"username": "anna", "password": "one"}).status_code == 303


@pytest.mark.parametrize(
    "host",
    ["evil.org", "evil.org:7860", "localhost.evil.org", "192.168.1.5.evil.org", "docker.internal", "mypc.local"],
)
def test_another_name_for_this_machine_is_not_answered(open_house: House, host: str) -> None:
    client = open_house.client()
    answer = client.get("/internal/ping", headers={"host": host})
    assert answer.status_code == 421
    assert "--allow-host" in answer.json()["detail"]


NAMES = ["localhost", "127.0.0.1:7860", "[::1]:7860", "127.0.0.2", "sd.example.org", "sd.localhost:7860"]
OF_CONTAINERS = ["host.docker.internal:7860", "host.containers.internal", "0.0.0.0:7860", "192.168.1.5", "[fe80::1]"]


@pytest.mark.parametrize("host", NAMES + OF_CONTAINERS)
def test_the_names_that_it_has(open_house: House, host: str) -> None:
    """Addresses cannot be rebound as names can; a program in a container calls its host by a name of its own."""
    assert open_house.client().get("/internal/ping", headers={"host": host}).status_code == 200


def test_on_a_network_it_answers_addresses_and_names_of_networks_alone(house: type[House]) -> None:
    client = house("--listen", "--no-auth").client()  # type: ignore[arg-type]
    for host in ("192.168.1.5:7860", "mypc", "mypc.local", "[fd00::5]:7860"):
        assert client.get("/internal/ping", headers={"host": host}).status_code == 200, host
    assert client.get("/internal/ping", headers={"host": "evil.org"}).status_code == 421


def test_another_site_s_page_changes_nothing(open_house: House) -> None:
    client = open_house.client()
    for headers in (
        {"origin": "https://evil.org"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert client.post("/sdapi/v1/interrupt", headers=headers).status_code == 403, headers
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/internal/ws", headers={**HERE, **headers}):
            pass
    for fine in ({}, {"origin": LOCAL}, {"origin": LOCAL, "sec-fetch-site": "same-origin"}):
        assert client.post("/sdapi/v1/interrupt", headers=fine).status_code == 200, fine
        with client.websocket_connect("/internal/ws", headers={**HERE, **fine}) as socket:
            assert socket.receive_json()["type"] == "state"


AS_PROGRAMS_SEND_JSON = (
    None,
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "application/json",
    "text/json",
    "application/javascript",
    "application/octet-stream",
    "image/png",
    "multipart/form-data",
)
ELSEWHERE = (
    {"origin": "https://evil.org"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://host.docker.internal:9999"},
    {"origin": "http://["},
    {"origin": "https://evil.org", "sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
)


@pytest.mark.parametrize("kind", AS_PROGRAMS_SEND_JSON)
def test_json_is_taken_by_any_name_but_from_no_other_site(open_house: House, kind: str | None) -> None:
    """`requests.post(data=json.dumps(...))`, `fetch(body: JSON.stringify(...))`, `curl -d`. A browser sends the same
    from any site's page without asking first."""
    client = open_house.client()
    named = {"content-type": kind} if kind else {}
    body = json.dumps({"samples_format": "webp"}).encode()
    for path in ("/sdapi/v1/options", "/sdapi/v1/options/"):
        for foreign in ELSEWHERE:
            assert client.post(path, content=body, headers={**named, **foreign}).status_code == 403, foreign
        assert client.get("/sdapi/v1/options").json()["samples_format"] == "png"
    assert client.post("/sdapi/v1/options", content=body, headers=named).status_code == 200
    assert client.get("/sdapi/v1/options").json()["samples_format"] == "webp"
    client.post("/sdapi/v1/options", json={"samples_format": "png"})
    # What bounds and cleans JSON sees it, whatever it is called.
    halved = client.post("/sdapi/v1/options", content=b'{"samples_filename_pattern": "a\\ud800"}', headers=named)
    assert halved.status_code == 200, halved.text
    assert client.get("/sdapi/v1/options").json()["samples_filename_pattern"] == "a\ufffd"
    client.post("/sdapi/v1/options", json={"samples_filename_pattern": ""})
    many = b'{"prompt": [' + b"[]," * 1_000_000 + b"1]}"
    assert client.post("/sdapi/v1/txt2img", content=many, headers=named).status_code == 413


def test_a_slash_at_the_end_changes_nothing(house: type[House]) -> None:
    here = house()
    client = here.client()
    for one in RouteTable(here.inner.routes).listed:
        if one.catches_all or one.method == "WEBSOCKET" or one.path.endswith("/events"):
            continue
        path = one.path.replace("{", "").replace("}", "")
        plain, slashed = (client.request(one.method, address).status_code for address in (path, f"{path}/"))
        assert plain == slashed, one
        assert slashed not in (307, 308), "a redirect loses the body"
    assert client.post("/sdapi/v1/options//", json={"samples_format": "webp"}).status_code == 200
    assert client.get("/sdapi/v1/nothing/").status_code == 404
    guarded = house("--gradio-auth", "anna:one").client()  # type: ignore[arg-type]
    assert guarded.post("/internal/restart/").status_code == 401


def test_what_programs_show_by_habit_is_passed_over_where_nobody_logs_in(open_house: House) -> None:
    client = open_house.client()
    for shown in ("Bearer sk-anything", "Bearer", "Bearer ", "Basic eDp5", "Basic", "Digest x", "nonsense"):
        assert client.get("/sdapi/v1/samplers", headers={"authorization": shown}).status_code == 200, shown
    assert client.get("/sdapi/v1/samplers", headers={"authorization": "Bearer gesso_gone"}).status_code == 401


def test_a_site_that_may_call_can_read_why_it_was_refused(house: type[House]) -> None:
    line = ("--gradio-auth", "anna:one", "--cors-allow-origins", "https://plugin.org")
    client = house(*line).client()  # type: ignore[arg-type]
    refused = client.post("/sdapi/v1/txt2img", headers={"origin": "https://plugin.org"}, json={})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://plugin.org")
    assert (refused.headers["access-control-allow-credentials"], refused.headers["vary"]) == ("true", "Origin")
    stranger = client.get("/sdapi/v1/samplers", headers={"origin": "https://evil.org"})
    assert stranger.status_code == 401
    assert "access-control-allow-origin" not in stranger.headers


def test_gradio_3_s_ways_of_asking_who_one_is(house: type[House]) -> None:
    here = house("--gradio-auth", "anna:one")  # type: ignore[arg-type]
    client, anna = here.client(), basic("anna", "one")
    assert (client.get("/user").json(), client.get("/user", headers=anna).json()) == (None, "anna")
    assert client.get("/token", headers=anna).json() == {"token": None, "user": "anna"}
    assert (client.get("/login_check").status_code, client.get("/login_check", headers=anna).status_code) == (401, 200)
    assert client.get("/app_id").json() == client.get("/app_id/").json()
    for path in ("/queue/status", "/startup-events", "/info", "/redoc"):
        assert (client.get(path).status_code, client.get(path, headers=anna).status_code) == (401, 200), path


def test_sites_that_are_named_may_call(house: type[House]) -> None:
    line = ("--cors-allow-origins", "https://plugin.org", "--cors-allow-origins-regex", r"https://.*\.fine\.org")
    client = house(*line).client()  # type: ignore[arg-type]
    for origin in ("https://plugin.org", "https://a.fine.org"):
        answer = client.post("/sdapi/v1/interrupt", headers={"origin": origin})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        asked = client.options("/sdapi/v1/txt2img", headers={"origin": origin, "access-control-request-method": "POST"})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin)
    foreign = client.get("/sdapi/v1/samplers", headers={"origin": "https://evil.org"})
    assert "access-control-allow-origin" not in foreign.headers


def test_a_browser_is_asked_before_it_asks_with_credentials(house: type[House]) -> None:
    line = ("--gradio-auth", "anna:one", "--cors-allow-origins", "https://plugin.org")
    client = house(*line).client()  # type: ignore[arg-type]
    headers = {"access-control-request-method": "POST"}
    allowed = client.options("/sdapi/v1/txt2img", headers={**headers, "origin": "https://plugin.org"})
    assert allowed.status_code == 200
    assert client.options("/sdapi/v1/txt2img", headers={**headers, "origin": "https://evil.org"}).status_code == 401


def test_other_servers_pages_are_not_fetched(open_house: House) -> None:
    client = open_house.client()
    for path in ("/gradio_api/file=http://evil.org/x", "/gradio_api/file=https://evil.org", "/gradio_api/proxy=x"):
        assert client.get(path).status_code == 403, path


def test_every_answer_says_how_it_is_to_be_read(house: type[House]) -> None:
    client = house("--gradio-auth", "anna:one").client()  # type: ignore[arg-type]
    for answer in (client.get("/login"), client.get("/sdapi/v1/samplers")):
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_browsers_without_login_are_told_apart(house: type[House]) -> None:
    here = house()
    one, two = here.client(), here.client()
    for client in (one, two):
        client.get("/internal/ping", headers={"accept": "text/html"})
    assert len(one.cookies[SESSION_COOKIE]) == 32
    assert one.cookies[SESSION_COOKIE] != two.cookies[SESSION_COOKIE]
    assert "set-cookie" not in one.get("/internal/ping", headers={"accept": "text/html"}).headers


def test_below_a_subpath(house: type[House]) -> None:
    client = house("--subpath", "sd", "--gradio-auth", "anna:one").client()  # type: ignore[arg-type]
    away = client.get("/sd/docs", headers={"accept": "text/html"})
    assert away.headers["location"] == "/sd/login?next=/docs"
    assert client.get("/sd/login").status_code == 200
    assert client.get("/login").status_code == 200, "a proxy may take the prefix away"
    signed = client.post("/sd/login", data={"username": "anna", "password": "one", "next": "/docs"})
    assert signed.headers["location"] == "/sd/docs"
    assert client.get("/sd/internal/ping").status_code == 200
    assert client.get("/internal/ping").status_code == 200
    assert client.get("/sdx/internal/ping").status_code == 404

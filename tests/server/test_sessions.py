"""Logins: listed, ended by their owner, by an admin, by time, by another password, by the end of the account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.server.routes import basic
from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.base.errors import NotFound, StorageError
from webui.base.paths import Paths
from webui.catalog.accounts import AccountFile, Role
from webui.catalog.database import Database
from webui.catalog.sessions import LOOKED_UP_EVERY, MOST_OF_ONE, SESSION_SECONDS, Sessions
from webui.server import live, passwords
from webui.server.browsers import told
from webui.server.guard import LOGIN_COOKIE, RIGHT_LASTS, Caller, Guard, StreamRight
from webui.server.jobs.stream import server_sent
from webui.server.serve import application

ROUTE = "/internal/access/sessions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HERE = {"host": "127.0.0.1"}


class House:
    """A server with an admin and a user, each in browsers of their own."""

    def __init__(self, data: Path) -> None:
        self.accounts = AccountFile(Paths(data=data).accounts)
        self.set("ada", "admin", "first")
        self.set("una", "user", "second")
        self.data = data
        self.opened: list[App] = []
        self.start()

    def set(self, name: str, role: Role, password: str) -> None:
        self.accounts.put(name, role, passwords.hashed(password))

    def start(self) -> None:
        """Start the server, after ending the one before."""
        for app in self.opened:
            app.close()
        chosen = flags.read(["--data-dir", str(self.data), "--nowebui"])
        self.app = App(chosen, StandIn())
        self.opened = [self.app]
        self.app.queue.start(preload=False)
        self.guard = Guard(application(self.app), chosen, self.app.access)

    def browser(self, name: str, password: str, agent: str = FIREFOX) -> TestClient:
        """Somebody's browser, logged in."""
        client = self.stranger(agent)
        assert client.post("/login", data={"username": name, "password": password}).status_code == 303
        return client

    def stranger(self, agent: str = FIREFOX) -> TestClient:
        headers = {"user-agent": agent}
        return TestClient(self.guard, base_url="http://127.0.0.1", follow_redirects=False, headers=headers)

    def again(self, client: TestClient) -> TestClient:
        """The same browser, at the server that runs now."""
        other = self.stranger()
        other.cookies = client.cookies
        return other


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    for app in made.opened:
        app.close()


def is_in(client: TestClient) -> bool:
    status = client.get("/internal/ping").status_code
    assert status in (200, 401)
    return status == 200


def test_logins_are_listed_and_ended_by_who_made_them_and_by_admins(house: House) -> None:
    ada, una, phone = house.browser("ada", "first"), house.browser("una", "second"), house.browser("una", "second", "x")
    hers = una.get(ROUTE).json()
    assert [(one["owner"], one["browser"], one["current"]) for one in hers] == [
        ("una", "Firefox on Linux", True), ("una", "x", False),
    ]  # fmt: skip
    assert {one["owner"] for one in ada.get(ROUTE).json()} == {"ada", "una"}
    (of_ada,) = (one["id"] for one in ada.get(ROUTE).json() if one["owner"] == "ada")
    assert una.delete(f"{ROUTE}/{of_ada}").status_code == 404
    assert is_in(ada)
    assert una.delete(f"{ROUTE}/{hers[1]['id']}").status_code == 200
    assert (is_in(una), is_in(phone)) == (True, False)
    assert ada.delete(f"{ROUTE}/{hers[0]['id']}").status_code == 200
    assert (is_in(una), is_in(ada)) == (False, True)


def test_all_others_are_ended_at_once_and_one_s_own_by_logging_out(house: House) -> None:
    one, two, three = (house.browser("una", "second") for _ in range(3))
    ada = house.browser("ada", "first")
    assert one.delete(ROUTE).json() == {"ended": 2}
    assert [is_in(client) for client in (one, two, three, ada)] == [True, False, False, True]
    assert ada.get("/logout", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    kept = ada.cookies[LOGIN_COOKIE]
    assert ada.get("/logout").status_code == 303
    ada.cookies.set(LOGIN_COOKIE, kept)
    assert not is_in(ada), "the cookie opens nothing any more, wherever it was copied to"


def test_a_login_outlives_a_restart_and_no_other_password(house: House) -> None:
    una, ada = house.browser("una", "second"), house.browser("ada", "first")
    house.start()
    una, ada = house.again(una), house.again(ada)
    assert (is_in(una), is_in(ada)) == (True, True)
    house.set("una", "user", "third")
    assert (is_in(una), is_in(ada)) == (False, True), "at once, while the server runs"
    assert house.stranger().post("/login", data={"username": "una", "password": "second"}).status_code == 401
    una = house.browser("una", "third")
    assert is_in(una)
    house.accounts.remove("una")
    assert not is_in(una)
    house.set("una", "user", "third")
    assert not is_in(una), "an account of the same name is another one"


def test_a_role_that_changes_holds_at_once(house: House) -> None:
    una = house.browser("una", "second")
    assert una.post("/internal/queue/pause").status_code == 403
    account = house.accounts.read()["una"]
    house.accounts.put("una", "admin", account.password)
    assert una.post("/internal/queue/resume").status_code == 200


def test_a_running_server_is_opened_neither_by_a_broken_file_nor_by_the_last_account_s_end(house: House) -> None:
    ada = house.browser("ada", "first")
    before = house.accounts.path.read_bytes()
    house.accounts.path.write_bytes(b"{")
    assert (is_in(ada), is_in(house.stranger())) == (True, False)
    house.accounts.path.write_bytes(before + b"\n")
    house.accounts.remove("una")
    assert is_in(ada)
    away = house.accounts.path.rename(house.accounts.path.with_name("away"))
    assert (is_in(ada), is_in(house.stranger())) == (False, False)
    away.rename(house.accounts.path)
    assert is_in(ada), "the folder was gone for a moment"
    house.accounts.remove("ada")
    assert (is_in(ada), is_in(house.stranger())) == (False, False)


def test_what_an_open_page_hears_ends_with_its_login(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STILL_HERE", 0.01)
    una, other = house.browser("una", "second"), house.browser("una", "second")
    cookie = {**HERE, "cookie": f"{LOGIN_COOKIE}={una.cookies[LOGIN_COOKIE]}"}
    with una.websocket_connect("/internal/ws", headers=cookie) as socket:
        assert socket.receive_json()["type"] == "state"
        assert other.delete(ROUTE).json() == {"ended": 1}
        with pytest.raises(WebSocketDisconnect):
            while True:
                socket.receive_json()


def test_what_a_program_hears_ends_with_its_token(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STILL_HERE", 0.01)
    token, secret = house.app.tokens.make("una", "", ["read"])
    shown = {**HERE, "authorization": f"Bearer {secret}"}
    with house.stranger().websocket_connect("/internal/ws", headers=shown) as socket:
        assert socket.receive_json()["type"] == "state"
        house.app.tokens.revoke(token.id, "una")
        with pytest.raises(WebSocketDisconnect):
            while True:
                socket.receive_json()


def test_the_stream_for_programs_ends_with_what_it_was_opened_with(house: House) -> None:
    """The lines themselves: an HTTP client of the tests waits for the end of an answer before it shows any of it."""
    allowed = True

    async def read() -> list[str]:
        nonlocal allowed
        lines = server_sent(house.app.queue.hub, "una", silence=0.01, allowed=lambda: allowed)
        heard = [await anext(lines), await anext(lines)]
        allowed = False
        return heard + [line async for line in lines]

    heard = asyncio.run(read())
    assert "event: state" in heard[0]
    assert heard[1:] == [":\n\n"]
    for caller, entered in (
        (Caller("una", "una"), True),
        (Caller("una", "una", token="gone"), True),
        (Caller("gone", "gone"), False),
        (Caller("una", "una", session="none"), False),
        (Caller("~x"), False),
    ):
        may_read = StreamRight(
            caller, house.app.access, iter([0.0, RIGHT_LASTS / 2, RIGHT_LASTS, RIGHT_LASTS]).__next__
        )
        assert may_read(), "it was let in a moment ago"
        assert may_read() is entered, caller


def test_a_program_ends_no_login(house: House) -> None:
    una = house.browser("una", "second")
    (session,) = una.get(ROUTE).json()
    for path in (ROUTE, f"{ROUTE}/{session['id']}"):
        answer = house.stranger().delete(path, headers=basic("una", "second"))
        assert answer.status_code >= 400
        assert "program" in answer.json()["detail"]
    assert is_in(una)


def test_cookies_of_earlier_versions_and_forged_ones_mean_to_log_in_again(tmp_path: Path) -> None:
    key = Paths(data=tmp_path).state / "secret.key"
    key.parent.mkdir(parents=True)
    key.write_bytes(b"k" * 32)
    house = House(tmp_path)
    assert not key.exists(), "nothing is signed any more"
    client = house.stranger()
    for cookie in ("dW5h.9999999999." + "0" * 64, "", "..", "x" * 5000, "\u00e9", '"'):
        answer = client.get("/internal/ping", headers={"cookie": f"{LOGIN_COOKIE}={cookie}".encode()})
        assert answer.status_code == 401
        away = client.get("/docs", headers={"cookie": f"{LOGIN_COOKIE}={cookie}".encode(), "accept": "text/html"})
        assert away.headers["location"] == "/login?next=/docs"
    house.app.close()


class Ground:
    """Sessions over a database, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "db"
        self.now = 1_000_000.0
        self.database = Database(self.path)
        self.sessions = self.others()

    def others(self) -> Sessions:
        """What another process sees."""
        return Sessions(self.database, lambda: self.now)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.database.close()


def kept(password: str | None) -> Callable[[str], str | None]:
    return lambda _name: password


def test_a_session_is_kept_as_a_hash_and_ends_in_time(ground: Ground) -> None:
    session, secret = ground.sessions.open("una", "hash", "192.0.2.1", "Firefox on Linux")
    content = ground.path.read_bytes() + ground.path.with_name("db-wal").read_bytes()
    assert session.id.encode() in content
    assert secret.encode() not in content
    assert b"hash" not in content.replace(b"hashes", b""), "nor can the password be tried at what is kept"
    assert ground.sessions.holder(secret, kept("hash")) == session
    assert ground.others().holder(secret, kept("hash")) == session
    assert ground.sessions.holder(secret + "x", kept("hash")) is None
    ground.now += SESSION_SECONDS - 1
    assert ground.sessions.holder(secret, kept("hash"), "192.0.2.9") is not None
    assert (ground.others().of("una")[0].seen, ground.others().of("una")[0].address) == (ground.now, "192.0.2.9")
    ground.now += 2
    assert ground.sessions.of() == ()
    assert ground.sessions.holder(secret, kept("hash")) is None


@pytest.mark.parametrize("password", ["another", None])
def test_another_password_ends_a_session_for_good(ground: Ground, password: str | None) -> None:
    _, secret = ground.sessions.open("una", "hash", "", "")
    assert ground.sessions.holder(secret, kept(password)) is None
    assert ground.sessions.holder(secret, kept("hash")) is None
    assert ground.others().of() == ()


def test_what_another_process_ends_is_over_soon(ground: Ground) -> None:
    session, secret = ground.sessions.open("una", "hash", "", "")
    ground.others().end(session.id)
    ground.now += LOOKED_UP_EVERY + 1
    assert ground.sessions.holder(secret, kept("hash")) is None
    assert not ground.sessions.goes_on(session.id, kept("hash"))
    with pytest.raises(NotFound):
        ground.sessions.end(session.id)


def test_one_person_s_logins_do_not_fill_the_database(ground: Ground) -> None:
    _, others = ground.sessions.open("ada", "hash", "", "")
    for _ in range(MOST_OF_ONE + 5):
        ground.now += 1
        ground.sessions.open("una", "hash", "", "")
    assert len(ground.others().of("una")) == MOST_OF_ONE
    assert ground.others().holder(others, kept("hash")) is not None


def test_a_full_disk_and_a_locked_database_keep_nobody_out(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = ground.sessions.open("una", "hash", "", "")

    def fails(*_: object) -> None:
        raise StorageError("The database cannot be used: it is full.")

    monkeypatch.setattr(ground.database, "writing", fails)
    monkeypatch.setattr(ground.database, "write", fails)
    session, secret = ground.sessions.open("una", "hash", "", "")
    ground.now += 1000
    assert ground.sessions.holder(secret, kept("hash")) is not None
    assert session.id in {one.id for one in ground.sessions.of("una")}
    monkeypatch.setattr(ground.database, "read", fails)
    assert ground.sessions.holder(before, kept("hash")) is not None
    assert ground.sessions.holder(secret, kept("another")) is None


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("\x00\x1f<b>", "<b>"),
        ("", "Unknown"),
    ],
)
def test_browsers_are_told_in_words(agent: str, words: str) -> None:
    assert told(agent) == words


def test_time_is_the_clock_s_by_default(tmp_path: Path) -> None:
    session, _ = Sessions(Database(tmp_path / "db")).open("una", "hash", "", "")
    assert abs(session.created - time.time()) < 3600

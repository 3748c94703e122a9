"""Accounts with roles, and tokens: what each may do, asked at every route of the server."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.server.routes import basic, paths
from tests.server.stand_in import StandIn
from tests.server.test_queue import small
from webui import __main__, flags
from webui.app import App
from webui.base.errors import NotFound, StorageError, UserError
from webui.base.paths import Paths
from webui.catalog.accounts import AccountFile
from webui.catalog.database import Database
from webui.catalog.tokens import Tokens
from webui.server import passwords
from webui.server.guard import Guard, needed_scope
from webui.server.serve import application

ADMIN, USER, OTHER = basic("ada", "first"), basic("una", "second"), basic("ugo", "third")


class House:
    """A server with an admin and two users."""

    def __init__(self, data: Path) -> None:
        accounts = AccountFile(Paths(data=data).accounts)
        for name, role, password in (("ada", "admin", "first"), ("una", "user", "second"), ("ugo", "user", "third")):
            accounts.put(name, role, passwords.hashed(password))  # type: ignore[arg-type]
        chosen = flags.read(["--data-dir", str(data), "--nowebui"])
        self.engine = StandIn()
        self.app = App(chosen, self.engine)
        self.app.queue.start(preload=False)
        self.inner = application(self.app)
        guard = Guard(self.inner, chosen, self.app.access)
        self.client = TestClient(guard, base_url="http://127.0.0.1", follow_redirects=False)

    def get(self, path: str, who: dict[str, str]) -> int:
        return int(self.client.get(path, headers=who).status_code)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("house")
    folder = data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (folder / "any.safetensors").write_bytes(b"never opened")
    made = House(data)
    yield made
    made.app.close()


def test_passwords_are_kept_as_hashes_alone(house: House) -> None:
    text = house.app.paths.accounts.read_text()
    assert text.count(passwords.MARK) == 3
    assert not any(password in text for password in ("first", "second", "third"))
    assert passwords.fits(passwords.hashed("x"), "x")
    assert not passwords.fits(passwords.hashed("x"), "y")
    assert not passwords.fits("no hash", "x")
    if sys.platform != "win32":
        assert house.app.paths.accounts.stat().st_mode & 0o077 == 0


def listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


OF_ADMINS = listed("""
/api/v1/queue/pause /api/v1/queue/resume
/internal/cards/card/card_id /internal/cards/card/card_id/picture/picture_id
/internal/models/unload /internal/queue/pause /internal/queue/resume /internal/restart
/sdapi/v1/create/embedding /sdapi/v1/create/hypernetwork /sdapi/v1/train/embedding /sdapi/v1/train/hypernetwork
/sdapi/v1/options
/sdapi/v1/refresh-checkpoints /sdapi/v1/refresh-embeddings /sdapi/v1/refresh-loras /sdapi/v1/refresh-vae
/sdapi/v1/reload-checkpoint /sdapi/v1/unload-checkpoint
/sdapi/v1/server-kill /sdapi/v1/server-restart /sdapi/v1/server-stop
""")
"""What changes something for everybody."""
OF_USERS = listed("""
/api/v1/history/delete /api/v1/history/pictures/picture_id /api/v1/history/search
/api/v1/jobs /api/v1/jobs/cancel /api/v1/jobs/order
/api/v1/jobs/job_id/again /api/v1/jobs/job_id/cancel /api/v1/jobs/job_id/interrupt /api/v1/jobs/job_id/skip
/internal/access/tokens /internal/access/tokens/token_id
/internal/cards/refresh/page
/internal/history/delete /internal/history/pictures/picture_id /internal/history/search
/internal/jobs/cancel /internal/jobs/forever/stop /internal/jobs/order
/internal/jobs/job_id/again /internal/jobs/job_id/cancel /internal/jobs/job_id/forever
/internal/jobs/job_id/interrupt /internal/jobs/job_id/skip
/internal/picture/picture_id/discard /internal/picture/picture_id/save /internal/progress
/sdapi/v1/extra-batch-images /sdapi/v1/extra-single-image /sdapi/v1/img2img /sdapi/v1/interrogate
/sdapi/v1/interrupt /sdapi/v1/png-info /sdapi/v1/skip /sdapi/v1/txt2img
""")
"""What changes own work, or nothing."""
READ_BY_ADMINS = ["/internal/sysinfo", "/internal/sysinfo-download"]
ENDLESS = ("/internal/events", "/api/v1/events")


def test_who_may_call_which_route(house: House) -> None:
    """Every route of the running server: what concerns everybody is for admins alone. A new route belongs into one of
    the lists. That nobody calls any without a name is seen in `test_guard.py`."""
    found = sorted(set(paths(list(house.inner.router.routes))))
    names = [root for method, root in found if method == "PUT" and not root.endswith("/x")]  # of what is not there
    served = [(method, path) for method, path in found if not path.endswith("/x") and path not in names]
    changing = {path for method, path in served if method not in ("GET", "HEAD", "OPTIONS")}
    assert changing == OF_ADMINS | OF_USERS
    for method, path in found:
        reading = method in ("GET", "HEAD", "OPTIONS")
        for_admins = path in (READ_BY_ADMINS if reading else OF_ADMINS)
        assert (needed_scope(method, path) == "admin") == for_admins, (method, path)
        if for_admins:
            assert house.client.request(method, path, headers=USER).status_code == 403, (method, path)
        elif (method, path) in served and path not in ENDLESS:
            assert house.client.request(method, path, headers=USER).status_code not in (401, 403), (method, path)


def test_a_user_sees_own_work_and_an_admin_everybody_s(house: House) -> None:
    job = house.app.queue.ended(house.app.queue.submit(small(), "una")).result(60)
    picture = job.pictures[0].id
    for path in (f"/internal/jobs/{job.id}", f"/internal/picture/{picture}", f"/internal/thumbnail/{picture}"):
        assert (house.get(path, USER), house.get(path, OTHER), house.get(path, ADMIN)) == (200, 404, 200), path
    for action in ("cancel", "interrupt", "skip", "again", "forever"):
        assert house.client.post(f"/internal/jobs/{job.id}/{action}", headers=OTHER).status_code == 404, action


def test_a_job_may_not_change_the_settings_behind_an_admin_s_back(house: House) -> None:
    before = house.app.settings.current
    body = {"override_settings": {"CLIP_stop_at_last_layers": 3}, "override_settings_restore_afterwards": False}
    small_body = {"prompt": "x", "steps": 1, "width": 64, "height": 64, **body}
    assert house.client.post("/sdapi/v1/txt2img", json=small_body, headers=USER).status_code == 403
    assert house.app.settings.current == before
    with pytest.raises(UserError):
        house.app.access.require_admin("una")
    house.app.access.require_admin("ada")


def test_a_token_opens_what_its_scope_says_until_it_is_taken_back(house: House) -> None:
    client = house.client
    login = client.post("/login", data={"username": "una", "password": "second"})
    cookie = {"cookie": login.headers["set-cookie"].split(";")[0]}
    client.cookies.clear()
    made = client.post("/internal/access/tokens", json={"name": "phone", "scopes": ["read"]}, headers=cookie).json()
    reading = {"authorization": f"Bearer {made['token']}"}
    assert house.get("/internal/jobs", reading) == 200
    assert house.get("/sdapi/v1/samplers", reading) == 200
    assert client.post("/internal/jobs/cancel", headers=reading).status_code == 403
    assert client.post("/internal/access/tokens", json={}, headers=reading).status_code == 403
    wider = client.post("/internal/access/tokens", json={"scopes": ["generate"]}, headers=cookie).json()
    working = {"authorization": f"Bearer {wider['token']}"}
    assert client.post("/internal/jobs/cancel", headers=working).status_code == 200
    assert client.post("/internal/restart", headers=working).status_code == 403
    listed = client.get("/internal/access/tokens", headers=cookie).json()
    assert [(token["name"], token["scopes"]) for token in listed] == [("phone", ["read"]), ("", ["generate"])]
    assert "token" not in listed[0]
    assert client.delete(f"/internal/access/tokens/{made['id']}", headers=OTHER).status_code == 404
    assert client.delete(f"/internal/access/tokens/{made['id']}", headers=cookie).status_code == 200
    assert house.get("/internal/jobs", reading) == 401
    assert house.get("/internal/jobs", {"authorization": "Bearer gesso_guessed"}) == 401


def test_a_user_s_token_is_no_admin_and_one_of_nobody_opens_nothing(house: House) -> None:
    _, secret = house.app.tokens.make("una", "", ["admin"])
    assert house.client.post("/internal/restart", headers={"authorization": f"Bearer {secret}"}).status_code == 403
    _, secret = house.app.tokens.make("gone", "", ["admin"])
    assert house.get("/internal/jobs", {"authorization": f"Bearer {secret}"}) == 401


def test_tokens_are_kept_as_hashes_alone(tmp_path: Path) -> None:
    tokens = Tokens(Database(tmp_path / "db"))
    token, secret = tokens.make("una", "phone", ["read", "generate"])
    held = tokens.holder(secret)
    assert held is not None
    assert (held.id, held.owner, held.scopes) == (token.id, "una", {"read", "generate"})
    assert tokens.holder(secret + "x") is None
    assert secret.encode() not in (tmp_path / "db").read_bytes() + (tmp_path / "db-wal").read_bytes()
    for wrong in ([], ["everything"]):
        with pytest.raises(UserError):
            tokens.make("una", "", wrong)
    with pytest.raises(NotFound):
        tokens.revoke(token.id, "ugo")
    tokens.revoke(token.id, "una")
    assert tokens.of("una") == ()


def test_accounts_are_managed_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["account", "--data-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret word\n"))
    assert __main__.main([*where, "add", "ada", "--role", "admin"]) == 0
    assert "admin  ada" in capsys.readouterr().out
    account = AccountFile(Paths(data=tmp_path).accounts).read()["ada"]
    assert passwords.fits(account.password, "secret word")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert __main__.main([*where, "add", "una"]) == 1
    assert __main__.main([*where, "remove", "una"]) == 1
    assert __main__.main([*where, "remove", "ada"]) == 0
    assert AccountFile(Paths(data=tmp_path).accounts).read() == {}


def test_nobody_gets_in_by_breaking_the_accounts_file(tmp_path: Path) -> None:
    file = AccountFile(tmp_path / "accounts.json")
    for text in ("", "[]", '{"a": {"role": "king", "password": "x"}}', '{"a": 1}', "\0"):
        file.path.write_text(text)
        with pytest.raises(StorageError):
            file.read()

"""Accounts with roles, and tokens: what each may do, asked at every route of the server."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from tests.server.routes import basic
from tests.server.stand_in import StandIn
from tests.server.test_queue import small
from webui import __main__, flags
from webui.app import App
from webui.base.errors import NotFound, StorageError, UserError
from webui.base.paths import Paths
from webui.catalog.accounts import AccountFile
from webui.catalog.database import Database
from webui.catalog.tokens import Tokens
from webui.jobs.merge.request import Merge
from webui.request.settings import Settings
from webui.server import passwords
from webui.server.api.own import last_event
from webui.server.guard import Guard
from webui.server.routes import Needs, RouteTable
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


ENDLESS = ("/internal/events", "/api/v1/events")
TABLE = Path(__file__).parent / "routes_by_role.txt"


def test_the_table_of_routes_is_the_one_that_was_agreed_upon(capsys: pytest.CaptureFixture[str]) -> None:
    """A new route, or another scope, is written down with intent:
    `python -m webui routes > tests/server/routes_by_role.txt`"""
    assert __main__.main(["routes"]) == 0
    assert capsys.readouterr().out == TABLE.read_text("utf-8")


def test_a_route_that_does_not_say_who_may_call_it_keeps_the_server_from_starting(house: House) -> None:
    server = FastAPI()
    server.add_api_route("/new", lambda: None, methods=["POST"])
    with pytest.raises(TypeError, match="POST /new does not say who may call it"):
        RouteTable([route for route in server.routes if getattr(route, "path", "") == "/new"])


def test_who_may_call_which_route(house: House) -> None:
    """Every route of the running server, as its declaration says: what concerns everybody is for admins alone."""
    found = [one for one in RouteTable(house.inner.routes).listed if not one.catches_all and one.method != "WEBSOCKET"]
    assert len(found) > 120
    for one in found:
        address = one.path.replace("{", "").replace("}", "")
        strange = house.client.request(one.method, address).status_code
        assert (strange == 401) == (one.needs.scope != "public"), one
        if address in ENDLESS:
            continue
        allowed = house.client.request(one.method, address, headers=USER).status_code
        assert (allowed == 403) == (one.needs.scope == "admin"), one
        assert allowed != 401, one


def test_a_token_opens_what_its_scope_says_at_every_route(house: House) -> None:
    _, reading = house.app.tokens.make("ada", "", ["read"])
    _, working = house.app.tokens.make("ada", "", ["generate"])
    for one in RouteTable(house.inner.routes).listed:
        if one.catches_all or one.method == "WEBSOCKET" or one.path in ENDLESS:
            continue
        address = one.path.replace("{", "").replace("}", "")
        for secret, scopes in ((reading, ("read",)), (working, ("read", "generate"))):
            answer = house.client.request(one.method, address, headers={"authorization": f"Bearer {secret}"})
            assert (answer.status_code != 403) == (one.needs.token in scopes or one.needs.scope == "public"), one


def test_the_page_and_programs_have_the_same_routes_for_jobs_and_pictures(house: House) -> None:
    """Declared once, mounted twice: no check can be in one and not in the other."""
    found = RouteTable(house.inner.routes).listed
    ours = {(one.method, one.path.removeprefix("/api/v1"), one.needs) for one in found if "/api/v1/" in one.path}
    internal = [one for one in found if one.path.startswith("/internal/")]
    pages = {(one.method, one.path.removeprefix("/internal"), one.needs) for one in internal}
    assert ("POST", "/jobs/{job_id}/again", Needs("user", "generate")) in ours
    assert ours <= pages
    assert not [path for _, path, _ in pages - ours if re.match("/(jobs|pictures|history|queue)(/|$)", path)]


def test_a_user_sees_own_work_and_an_admin_everybody_s(house: House) -> None:
    job = house.app.queue.ended(house.app.queue.submit(small(), "una")).result(60)
    picture = job.pictures[0].id
    for path in (f"/internal/jobs/{job.id}", f"/api/v1/pictures/{picture}", f"/internal/pictures/{picture}/thumbnail"):
        assert (house.get(path, USER), house.get(path, OTHER), house.get(path, ADMIN)) == (200, 404, 200), path
    for action in ("cancel", "interrupt", "skip", "again", "forever"):
        assert house.client.post(f"/internal/jobs/{job.id}/{action}", headers=OTHER).status_code == 404, action


@pytest.mark.parametrize("base", ["/api/v1", "/internal"])
def test_what_is_for_admins_is_not_repeated_by_others(house: House, base: str) -> None:
    """A merge that was submitted for somebody, when that person was an admin."""
    merge = Merge(primary_model_name="any", interp_method="No interpolation")
    job = house.app.queue.submit(merge, "una")
    house.app.queue.cancel(job)
    for action in ("again", "forever"):
        answer = house.client.post(f"{base}/jobs/{job}/{action}", headers=USER)
        assert answer.status_code == 403, action
        assert "admin" in answer.json()["detail"]
    again = house.client.post(f"{base}/jobs/{job}/again", headers=ADMIN)
    assert again.status_code == 202, again.text
    house.app.queue.cancel(again.json()["id"])


FOLDERS = ("outdir_samples", "outdir_txt2img_samples", "outdir_grids", "outdir_txt2img_grids", "outdir_init_images")


def test_only_an_admin_chooses_the_folder_of_ones_pictures(house: House, tmp_path: Path) -> None:
    """Who may write into any folder of the machine may do anything with it."""
    wish = {"prompt": "x", "steps": 2, "n_iter": 2, "override_settings": dict.fromkeys(FOLDERS, str(tmp_path))}
    body = {**wish, "save_images": True}
    answer = house.client.post("/sdapi/v1/txt2img", json=body, headers=USER)
    assert answer.status_code == 200, answer.text
    assert all(f"{key} has no effect" in answer.json()["info"] for key in FOLDERS)
    job = {"kind": "txt2img", "request": wish}
    assert house.client.post("/api/v1/jobs", json=job, headers=USER).status_code == 403
    mine = house.client.post("/api/v1/jobs", json={**job, "request": {"prompt": "x"}}, headers=USER).json()["id"]
    changed = {"changes": {"override_settings": wish["override_settings"]}}
    again = house.client.post(f"/internal/jobs/{mine}/again", json=changed, headers=USER).json()["id"]
    done = house.client.get(f"/internal/jobs/{again}", params={"wait": 60}, headers=USER).json()
    assert done["state"] == "done"
    assert not list(tmp_path.iterdir())
    assert house.client.post("/sdapi/v1/txt2img", json=body, headers=ADMIN).status_code == 200
    assert len(list(tmp_path.rglob("*.png"))) > 1
    assert Settings.folders() >= {*FOLDERS}
    of_pictures = {key for key in Settings().options() if key.startswith("outdir")}
    assert Settings.folders() == of_pictures | {
        "control_net_models_path",
        "control_net_modules_path",
        "font",
        "history_folders",
    }


def test_a_wish_to_change_settings_that_is_refused_begins_no_job(house: House) -> None:
    before = len(house.engine.jobs)
    body = {"prompt": "x", "override_settings": {"CLIP_stop_at_last_layers": 2}}
    body["override_settings_restore_afterwards"] = False
    assert house.client.post("/sdapi/v1/txt2img", json=body, headers=USER).status_code == 403
    assert len(house.engine.jobs) == before


@pytest.mark.parametrize("path", ["/api/v1/events", "/internal/events"])
def test_a_reader_of_events_may_say_nonsense_about_the_last_one(house: House, path: str) -> None:
    table = RouteTable(house.inner.routes)
    assert table.needs("GET", path) == Needs("user", "read")
    for last in ("\u00b2", "-1", "x", "9" * 400, "1.5", ""):
        scope = {"type": "http", "headers": [(b"last-event-id", last.encode("latin-1"))]}
        found = last_event(Request(scope))
        assert found is None or found < 10**18


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


def test_an_admin_s_token_without_that_scope_is_no_admin_s(house: House) -> None:
    _, secret = house.app.tokens.make("ada", "", ["read", "generate"])
    shown = {"authorization": f"Bearer {secret}"}
    body = {"prompt": "x", "override_settings": {"samples_format": "webp"}}
    body |= {"steps": 1, "width": 64, "height": 64, "override_settings_restore_afterwards": False}
    assert house.client.post("/sdapi/v1/txt2img", json=body, headers=shown).status_code == 403
    assert house.app.settings.current.save.samples_format == "png"
    for path in ("/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/upload"):
        answer = house.client.post(path, json={}, headers=shown)
        assert (answer.status_code, "scope 'admin'" in answer.json()["detail"]) == (403, True), path


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

"""Presets of units for programs: each caller's own, the page's as well, and used by name in a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Api, opened
from tests.api.test_generate import picture
from tests.server.routes import basic
from webui.base.paths import Paths
from webui.catalog.accounts import AccountFile
from webui.server import passwords

LINES = {"module": "reference_only", "weight": 0.5, "threshold_a": 0.25}
AT = "/api/v1/presets/ControlNet"


def saved(api: Api, name: str, *units: dict[str, Any] | None) -> dict[str, Any]:
    answer = api.client.post(AT, json={"name": name, "units": list(units)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def queued(api: Api, features: object = None, **presets: str) -> list[dict[str, Any] | None]:
    """The units that a job has which uses these presets."""
    wish = {"prompt": "a cat", "width": 64, "height": 64, "steps": 1, "features": features or {}}
    answer = api.client.post("/api/v1/jobs", json={"kind": "txt2img", "request": wish, "presets": presets})
    assert answer.status_code == 202, answer.text
    sent = api.client.get(f"/api/v1/jobs/{answer.json()['id']}/request").json()
    units: list[dict[str, Any] | None] = sent["features"]["ControlNet"]
    return units


def test_a_preset_is_saved_listed_used_and_deleted(api: Api) -> None:
    kept = saved(api, "lines", {**LINES, "image": picture()})
    assert kept["name"] == "lines" and kept["units"] == [LINES] and not kept["problem"], "without its picture"
    saved(api, "two", None, {"module": "reference_adain", "weight": 2})
    assert [each["name"] for each in api.client.get(AT).json()] == ["lines", "two"]
    assert api.app.catalog.unit_presets.names("", "ControlNet") == ["lines", "two"], "the page has them, too"
    (unit,) = queued(api, {"ControlNet": [{"image": picture()}]}, ControlNet="lines")
    assert unit is not None and {name: unit[name] for name in LINES} == LINES and unit["image"]
    (unit,) = queued(api, {"controlnet": {"weight": 1.0, "image": picture()}}, ControlNet="lines")
    assert unit is not None and (unit["weight"], unit["module"]) == (1.0, "reference_only"), (
        "a default that is said counts"
    )
    units = [{"module": "reference_only", "image": picture()}, {"image": picture()}]
    first, second = queued(api, {"ControlNet": units}, controlnet="two")
    assert first is not None and second is not None and (first["module"], second["weight"]) == ("reference_only", 2)
    saved(api, "lines", {"weight": 0.75})
    assert api.client.get(AT).json()[0]["units"] == [{"weight": 0.75}]
    assert api.client.delete(AT, params={"name": "lines"}).status_code == 200
    assert [each["name"] for each in api.client.get(AT).json()] == ["two"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/presets/Nothing", None, 404, "no feature with units named 'Nothing'"),
        ("GET", "/presets/FreeU", None, 404, "no feature with units named 'FreeU'"),
        ("DELETE", "/presets/ControlNet?name=none", None, 404, "no preset named 'none'"),
        ("POST", "/presets/ControlNet", {"name": " ", "units": [{}, LINES]}, 422, "has no name"),
        ("POST", "/presets/ControlNet", {"name": "x", "units": [None]}, 422, "no unit that is on"),
        ("POST", "/presets/ControlNet", {"name": "x", "units": [{"weight": 9}]}, 422, "9"),
        ("POST", "/presets/ControlNet", {"name": "x", "units": [{"wieght": 1}]}, 422, "no parameter named 'wieght'"),
        ("POST", "/jobs", {"presets": {"ControlNet": "none"}}, 404, "no preset named 'none'"),
        ("POST", "/jobs", {"presets": {"Nothing": "none"}}, 404, "no feature with units"),
    ],
)
def test_what_is_wrong_is_said(
    standing: Api, method: str, path: str, body: dict[str, Any] | None, status: int, said: str
) -> None:
    if path == "/jobs":
        body = {"kind": "txt2img", "request": {"prompt": "x"}, **(body or {})}
    answer = standing.client.request(method, f"/api/v1{path}", json=body)
    assert answer.status_code == status and said in answer.json()["detail"], answer.text


def test_a_preset_that_does_not_fit_any_more_is_told_and_costs_no_other(tmp_path: Path) -> None:
    state = Paths(data=tmp_path).state
    state.mkdir(parents=True)
    (state / "unit-presets.json").write_text(
        '{"": {"ControlNet": {"bad": [{"weight": "x"}], "good": [{"weight": 1}]}}}'
    )
    with opened(tmp_path) as api:
        bad, good = api.client.get(AT).json()
        assert bad["name"] == "bad" and bad["problem"] and not bad["units"]
        assert good["units"] == [{"weight": 1.0}] and not good["problem"]


def test_everybody_has_their_own_and_tokens_need_the_right_scope(tmp_path: Path) -> None:
    accounts = AccountFile(Paths(data=tmp_path).accounts)
    for name in ("ada", "una"):
        accounts.put(name, "user", passwords.hashed(name))
    with opened(tmp_path) as api:
        preset = {"name": "lines", "units": [LINES]}
        assert api.client.get(AT).status_code == 401
        assert api.client.post(AT, json=preset, headers=basic("ada", "ada")).status_code == 200
        assert len(api.client.get(AT, headers=basic("ada", "ada")).json()) == 1
        assert api.client.get(AT, headers=basic("una", "una")).json() == []
        assert api.client.delete(f"{AT}?name=lines", headers=basic("una", "una")).status_code == 404
        secrets = {scope: api.app.tokens.make("ada", scope, [scope])[1] for scope in ("read", "generate")}
        bearer = {scope: {"authorization": f"Bearer {secret}"} for scope, secret in secrets.items()}
        assert len(api.client.get(AT, headers=bearer["read"]).json()) == 1
        assert api.client.post(AT, json=preset, headers=bearer["read"]).status_code == 403
        assert api.client.delete(f"{AT}?name=lines", headers=bearer["read"]).status_code == 403
        assert api.client.post(AT, json=preset, headers=bearer["generate"]).status_code == 200


def test_the_documentation_has_them(standing: Api) -> None:
    paths = standing.client.get("/openapi.json").json()["paths"]
    assert set(paths["/api/v1/presets/{feature}"]) == {"get", "post", "delete"}

"""Whatever the documentation allows, and whatever it does not: never a 5xx, and every refusal is a sentence."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.api.conftest import Api, opened
from tests.server.routes import basic
from webui.base.paths import Paths
from webui.catalog.accounts import AccountFile
from webui.server import passwords

log = logging.getLogger(__name__)

EXAMPLES = int(os.environ.get("GESSO_SCHEMA_EXAMPLES", "3"))
"""For each route, of the fitting kind and of the other."""
LEFT_OUT = ("/api/v1/events", "/api/v1/queue/pause")
"""A stream that does not end, and what keeps all others waiting; they have tests of their own."""
FEW = ("n_iter", "batch_size")
"""What a test has no patience for, though it is allowed."""


ROLES = {"visitor": {}, "user": basic("una", "second"), "admin": basic("ada", "first")}


@pytest.mark.parametrize("role", ROLES)
def test_nothing_breaks_the_server(tmp_path: Path, role: str) -> None:
    if role != "visitor":
        accounts = AccountFile(Paths(data=tmp_path).accounts)
        accounts.put("ada", "admin", passwords.hashed("first"))
        accounts.put("una", "user", passwords.hashed("second"))
    with opened(tmp_path) as api:
        _call_everything(api, {"host": "127.0.0.1", **ROLES[role]})


def _call_everything(api: Api, headers: dict[str, str]) -> None:
    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", api.client.app, headers=headers)
    calls = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in LEFT_OUT:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
                continue

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            def never_breaks(case: Any) -> None:
                nonlocal calls
                calls += 1
                case.headers = headers
                asked = case.body.get("request", case.body) if isinstance(case.body, dict) else None
                for name in FEW if isinstance(asked, dict) else ():
                    if asked.get(name) in range(3, 10_000):
                        asked[name] = 2
                response = case.call()
                told = f"{case.method} {case.path} {case.body!r:.500}: {response.status_code} {response.text:.300}"
                assert response.status_code < 500 or response.status_code == 501, told
                if response.status_code >= 400:
                    assert response.json()["detail"], told

            never_breaks()
    log.info("%d calls", calls)
    assert calls >= (2000 if EXAMPLES >= 55 else 130)
    api.client.post("/sdapi/v1/options", json={"samples_save": True}, headers=headers)
    assert api.client.get("/sdapi/v1/progress", headers=headers).json()["state"]["job_count"] == 0, "the queue went on"

"""Whatever a browser or a program sends, as visitor, user or administrator: no 5xx, no file of somebody else's, and
nobody is kept waiting."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.server.hostile import SECRET
from tests.server.watched_page import Caller, Page, opened
from webui.base.paths import Paths
from webui.catalog.accounts import AccountFile
from webui.server import passwords

log = logging.getLogger(__name__)

EXAMPLES = int(os.environ.get("GESSO_EVENT_EXAMPLES", "2"))
"""For each event of the page and each role."""
WORD = "secret-of-somebody"
LONGEST_FREEZE = 20
"""Times the worst pause in the same run of an idle loop, or of the server while the page sends what it usually does."""
ROLES = ("visitor", "user", "admin")
MEMORY_BACK = 1.1
"""Of what it was before."""

PATHS = (
    "/etc/passwd",
    "../" * 12 + "etc/passwd",
    "C:\\CON",
    "\\\\evil.example\\x",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
)


def files(secret: Path) -> st.SearchStrategy[Any]:
    path = st.sampled_from([str(secret), *PATHS])
    return st.builds(lambda path: {"path": path, "meta": {"_type": "gradio.FileData"}}, path)


def hostile(secret: Path) -> st.SearchStrategy[Any]:
    """Values that no control of the page sends."""
    texts = st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["", "\0", "a\0b", "\ud800", "x\udfffy", "None", "NaN", "1e400", "-1", "[]", "{}", "<lora:x:1>"]
        ),
        st.sampled_from([str(secret), *PATHS]),
        st.sampled_from(["((((" * 3000, "a" * 1_000_000, "[a|" * 5000, "\\" * 5000, ": ," * 20_000]),
    )
    numbers = st.one_of(
        st.integers(), st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, -1e308, 0.5, 1e-300]), st.booleans()
    )
    flat = st.one_of(st.none(), texts, numbers)
    nested = st.recursive(
        flat,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
    return st.one_of(flat, nested, files(secret), st.lists(files(secret), max_size=2), st.just([[[[]]]] * 50))


@contextmanager
def idle_loop() -> Iterator[subprocess.Popen[str]]:
    """An event loop beside the server's that does nothing."""
    command = [sys.executable, "-m", "tests.server.watched_page", "idle"]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def worst_of(idle: subprocess.Popen[str]) -> float:
    assert idle.stdin is not None and idle.stdout is not None
    idle.stdin.write("\n")
    idle.stdin.flush()
    return float(idle.stdout.readline())


def usual_pause(page: Page, caller: Caller) -> float:
    """The longest pause of the server's loop in seconds while every event comes as a page sends it."""
    for _ in range(2):  # The first time everything is imported.
        page.seen()
        for event in caller.events:
            assert caller.send(event, caller.usual(event)).status_code < 500, event
    return float(page.seen()["worst"])


def furnished(data: Path) -> Path:
    folder = data / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    (folder / "any.safetensors").write_bytes(b"never opened")
    accounts = AccountFile(Paths(data=data).accounts)
    if data.name == "closed":
        accounts.put("ada", "admin", passwords.hashed("first"))
        accounts.put("una", "user", passwords.hashed("second"))
    return data


def fuzzed(caller: Caller, event: Any, secret: Path) -> tuple[int, list[str]]:
    """(how often it was sent, what was wrong with the answers)."""
    sent = 0
    wrong = []

    @given(drawn=st.data())
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck]
    )
    def send(drawn: Any) -> None:
        nonlocal sent
        values = caller.usual(event)
        # At least one, since without any it is what the page sends, which has been sent.
        places = drawn.draw(st.sets(st.integers(0, len(values) - 1), min_size=1, max_size=3)) if values else ()
        for position in places:
            values[position] = drawn.draw(hostile(secret))
        more = drawn.draw(st.sampled_from([{}, {"trigger_id": 3}, {"event_data": {"id": "\ud800"}}]))
        answer = caller.send(event, values, **more)
        sent += 1
        if answer.status_code >= 500 or SECRET in answer.text:
            told = json.dumps([values[position] for position in places])
            wrong.append(f"{event['id']} {event['targets']} {told[:300]}: {answer.text[:200]}")

    send()
    return sent, wrong


@pytest.mark.parametrize("role", ROLES)
def test_no_event_of_the_page_breaks_the_server_or_holds_it_up(tmp_path: Path, role: str) -> None:
    secret = tmp_path / f"{WORD}.png"
    secret.write_text(SECRET)
    data = furnished(tmp_path / ("open" if role == "visitor" else "closed"))
    with opened(data, watched=WORD) as page, idle_loop() as idle:
        caller = page.caller(*{"visitor": (), "user": ("una", "second"), "admin": ("ada", "first")}[role])
        usual = usual_pause(page, caller)
        before = page.memory()
        sent, wrong = 0, []
        for event in caller.events:
            many, bad = fuzzed(caller, event, secret)
            sent, wrong = sent + many, [*wrong, *bad]
        seen, control, after = page.seen(), worst_of(idle), page.memory()
        log.info(
            "%s: %d events, %d requests, longest freeze %.0f ms, with usual values %.0f ms, an idle loop's %.0f ms, "
            "memory %d MB, then %d MB",
            *(role, len(caller.events), sent, seen["worst"] * 1000, usual * 1000, control * 1000),
            *(before >> 20, after >> 20),
        )
        assert not wrong, "\n".join(dict.fromkeys(wrong))
        assert not seen["opened"]
        assert seen["worst"] <= LONGEST_FREEZE * max(control, usual)
        assert after <= MEMORY_BACK * before


BODIES = {
    "very many parts": b'{"prompt": [' + b"[]," * 1_000_000 + b"1]}",
    "very deep": b"[" * 300_000,
    "a very long text": b'{"prompt": 1, "image": "' + b"a" * 20_000_000 + b'"}',
    "a very long number": b'{"steps": ' + b"1" * 1_000_000 + b"}",
    "no JSON": b"\xff\xfe\x00{",
    "NaN": b'{"steps": NaN, "cfg_scale": Infinity}',
}
"""What takes long to be read, or cannot be."""
ROUTES = (
    "/sdapi/v1/txt2img",
    "/sdapi/v1/png-info",
    "/sdapi/v1/options",
    "/api/v1/jobs",
    "/gradio_api/run/predict",
    "/gradio_api/queue/join",
    "/gradio_api/upload",
)


def test_nobody_waits_while_a_hostile_body_is_read(tmp_path: Path) -> None:
    with opened(furnished(tmp_path / "open")) as page, idle_loop() as idle:
        caller = page.caller()
        usual = usual_pause(page, caller)
        for path in ROUTES:
            for name, body in BODIES.items():
                answer = caller.http.post(path, content=body, headers={"content-type": "application/json"})
                assert answer.status_code < 500, (path, name, answer.status_code, answer.text[:200])
                assert name != "very many parts" or answer.status_code == 413 or path.endswith("upload")
        many = [("files", (f"{number}.png", b"x")) for number in range(1000)]
        assert len(caller.http.post("/gradio_api/upload", files=many).json()) == 1000
        for _ in range(50):  # A page of each session is not built anew.
            event = caller.event("pnginfo_image", "clear")
            caller.send(event, [], session_hash=os.urandom(8).hex())
        seen, control = page.seen(), worst_of(idle)
        log.info(
            "longest freeze %.0f ms, usual %.0f ms, idle %.0f ms", *(1000 * x for x in (seen["worst"], usual, control))
        )
        assert seen["worst"] <= LONGEST_FREEZE * max(control, usual)

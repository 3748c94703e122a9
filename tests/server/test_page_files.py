"""The page's modules: kept for good by browsers, and never of two editions; handlers and modules know each other."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from webui.server.page_files import ASSETS, ENTRY, FILES, PageFiles, routes
from webui.server.ui import page

IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"(\./[^"]+)";', re.MULTILINE)
COMMAND = re.compile(r'\bcommand\(\s*"([\w.]+)"')
CALL = re.compile(r'\bcalls\(\s*"([\w.]+)"')


def client(files: PageFiles) -> TestClient:
    server = FastAPI()
    server.include_router(routes(files).router)
    return TestClient(server)


def test_a_file_is_kept_for_good_and_the_address_changes_with_any_file() -> None:
    old = PageFiles({"main.js": b'import "./a.js";', "a.js": b"1"})
    new = PageFiles({"main.js": b'import "./a.js";', "a.js": b"2"})
    assert old.edition != new.edition == PageFiles({"a.js": b"2", "main.js": b'import "./a.js";'}).edition
    answer = client(new).get(new.address("main.js").removeprefix("."))
    assert (answer.status_code, answer.content) == (200, b'import "./a.js";')
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")


def test_a_file_of_another_edition_or_name_is_not_there_and_nobody_remembers_that() -> None:
    files = PageFiles({"main.js": b"1"})
    for address in (f"/page/{'0' * 16}/main.js", f"/page/{files.edition}/other.js", f"/page/{files.edition}/..%2fx"):
        answer = client(files).get(address)
        assert answer.status_code == 404
        assert answer.headers.get("cache-control", "no-store") == "no-store"


def test_every_module_is_reached_from_the_entry_and_none_goes_in_a_circle() -> None:
    imports = {path.name: _imported(path) for path in ASSETS.glob("*.js")}
    assert _reached(ENTRY, imports) == set(imports)
    assert not [name for name in imports if any(name in _reached(one, imports) for one in imports[name])]
    assert FILES.content(FILES.edition, ENTRY)


def _imported(path: Path) -> set[str]:
    return {name.removeprefix("./") for name in IMPORT.findall(path.read_text("utf-8"))}


def _reached(name: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += imports[one]
    return found


def test_handlers_call_the_commands_that_there_are_and_each_is_called() -> None:
    sources = [path.read_text("utf-8") for path in Path(page.__file__).parent.rglob("*.py")]
    called = {name for text in sources for name in CALL.findall(text)}
    there = [name for path in ASSETS.glob("*.js") for name in COMMAND.findall(path.read_text("utf-8"))]
    assert sorted(there) == sorted(set(there))
    assert called == set(there)

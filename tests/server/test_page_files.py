"""The page's files: kept for good by browsers, and never of two editions; Gradio's sheets below ours; handlers and
modules know each other."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from webui.server.page_files import ENTRY, FILES, GRADIO_PLACE, SHEET, PageFiles, gradio_files, routes
from webui.server.ui import page, sheets
from webui.server.ui.sheets import ASSETS

IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"(\./[^"]+)";', re.MULTILINE)
COMMAND = re.compile(r'\bcommand\(\s*"([\w.]+)"')
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
CALL = re.compile(r'\bcalls\(\s*"([\w.]+)"')


def client(files: PageFiles, user_sheet: Path = Path("none.css")) -> TestClient:
    server = FastAPI()
    server.include_router(routes(user_sheet, files).router)
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


def test_gradios_sheets_are_given_out_in_their_layer_and_its_scripts_name_no_others() -> None:
    asked = client(FILES)
    names = [path.name for path in gradio_files().glob("*.css")]
    assert len(names) > 50
    for name in names:  # each: one that no layer can hold would come with another version of Gradio
        sheets.below_ours((gradio_files() / name).read_text("utf-8"))
    for path in (next(gradio_files().glob("index-*.css")), next(gradio_files().glob("index-*.js"))):
        answer = asked.get(f"{GRADIO_PLACE}{path.name}".removeprefix("."))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        whole = path.read_text("utf-8")
        if path.suffix == ".css":
            assert answer.text == f"@layer gradio {{\n{whole}\n}}"
        else:
            assert "./assets/" not in answer.text
            assert answer.text.replace(GRADIO_PLACE, "./assets/") == whole


def test_only_gradios_own_files_are_given_out() -> None:
    asked = client(FILES)
    folder = GRADIO_PLACE.removeprefix(".").removesuffix("/")
    for name in ("..%2findex.html", "%2e%2e/index.html", ".hidden", "none.css", "", "index.js%00", "C:%5cx.css"):
        assert asked.get(f"{folder}/{name}").status_code == 404, name
    there = next(gradio_files().glob("*.css")).name
    assert asked.get(f"/page/gradio/{'0' * 16}/{there}").status_code == 404


def test_no_rule_of_gradios_page_stands_outside_a_layer_and_all_it_loads_is_of_this_edition() -> None:
    written = (gradio_files().parent / "index.html").read_text("utf-8")
    quoted = '<script>window.x = {"text": "<style>a{}</style> src=\\"./assets/x"}</script>'
    shown = FILES.in_layers(written.replace("</head>", f"{quoted}</head>"))
    assert quoted in shown
    shown = shown.replace(quoted, "")
    own = STYLE.findall(shown)
    assert own[0] == sheets.ORDER
    assert len(own) > 1
    assert all(rules.startswith("@layer gradio {") for rules in own[1:])
    assert "./assets/" not in shown
    assert shown.count(GRADIO_PLACE) == written.count("./assets/") > 0
    # The order of the layers is told, and our sheet is on its way, before anything of Gradio's.
    assert shown.index(sheets.ORDER) < shown.index(FILES.address(SHEET)) < shown.index("@layer gradio {")


def test_a_persons_own_sheet_is_above_all_layers_and_asked_for_anew_each_time(tmp_path: Path) -> None:
    own = tmp_path / "user.css"
    assert client(FILES, own).get("/page/user.css").status_code == 404
    own.write_text("body { color: red }")
    answer = client(FILES, own).get("/page/user.css")
    assert (answer.status_code, answer.text) == (200, "body { color: red }")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/css")
    written = (gradio_files().parent / "index.html").read_text("utf-8")
    link = '<link rel="stylesheet" href="./page/user.css">'
    assert link in FILES.in_layers(written, user_sheet=True)
    assert link not in FILES.in_layers(written)


def test_every_module_is_reached_from_the_entry_and_none_goes_in_a_circle() -> None:
    found = [path for path in ASSETS.rglob("*.js") if path.parent.name != "inline"]
    imports = {path.relative_to(ASSETS).as_posix(): _imported(path) for path in found}
    assert _reached(ENTRY, imports) == set(imports)
    assert not [name for name in imports if any(name in _reached(one, imports) for one in imports[name])]
    assert FILES.content(FILES.edition, ENTRY)


def _imported(path: Path) -> set[str]:
    """As names below the folder of all of them."""
    found = IMPORT.findall(path.read_text("utf-8"))
    return {(path.parent / name).resolve().relative_to(ASSETS.resolve()).as_posix() for name in found}


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

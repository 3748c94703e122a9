"""No path in a request is ever opened: thirty ways of asking, at every route that takes a name."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.server.hostile import SECRET, hostile_names
from tests.server.routes import paths
from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.server.guard import Guard
from webui.server.serve import application


@pytest.fixture
def client(tmp_path: Path) -> Iterator[tuple[TestClient, list[tuple[str, str]], Path]]:
    data = tmp_path / "data"
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    outputs = data / "outputs"
    outputs.mkdir(parents=True)
    (outputs / "link.png").symlink_to(secret)
    chosen = flags.read(["--data-dir", str(data), "--nowebui"])
    app = App(chosen, StandIn())
    app.queue.start(preload=False)
    inner = application(app)
    guarded = Guard(inner, chosen, app.access)
    yield TestClient(guarded, base_url="http://127.0.0.1"), list(paths(list(inner.router.routes))), secret
    app.close()


def test_no_name_in_an_address_opens_a_file(client: tuple[TestClient, list[tuple[str, str]], Path]) -> None:
    asking, found, secret = client
    # `paths` takes the braces off: what was a parameter is an ordinary word, known by its ending.
    named = [(method, path) for method, path in found if re.search(r"_id|\bnumber\b|/x$|name", path)]
    assert ("GET", "/internal/pictures/picture_id") in named
    names = hostile_names(secret)
    assert len(names) >= 30
    of_files = re.compile("picture|thumb|preview|card|file|history|/x$")
    for method, path in named:
        for name in names if of_files.search(path) and method == "GET" else names[:2]:
            address = re.sub(r"[a-z_]*_id\b|\bname\b|(?<=/)x$", lambda _, name=name: name, path)
            answer = asking.request(method, address)
            assert answer.status_code < 500, (method, address)
            assert SECRET not in answer.text, (method, address)
            assert answer.status_code >= 400 or method != "GET" or "picture" not in path, (method, address)


def test_no_name_in_a_body_opens_a_file(client: tuple[TestClient, list[tuple[str, str]], Path]) -> None:
    asking, _, secret = client
    link = str(secret.parent / "data" / "outputs" / "link.png")
    for name in (str(secret), link, "../" * 12 + str(secret).lstrip("/"), f"file://{secret}", "http://127.0.0.1/x"):
        body = {"init_images": [name], "prompt": "x", "steps": 1, "width": 64, "height": 64}
        for path, given in (("/sdapi/v1/img2img", body), ("/sdapi/v1/png-info", {"image": name})):
            answer = asking.post(path, json=given)
            assert 400 <= answer.status_code < 500, (path, name)
            assert SECRET not in answer.text


def test_a_picture_that_is_cut_off_is_refused(client: tuple[TestClient, list[tuple[str, str]], Path]) -> None:
    asking, _, _ = client
    whole = (Path(__file__).parents[1] / "golden" / "a1111.png").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:40], b"", whole[:8] + bytes(100)):
        text = base64.b64encode(content).decode()
        body = {"init_images": [text], "prompt": "x", "steps": 1, "width": 64, "height": 64}
        assert asking.post("/sdapi/v1/img2img", json=body).status_code == 422

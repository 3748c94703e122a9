"""Pictures by address: off by default, never from this server's own network, however the address is disguised."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from tests.api.conftest import Api
from webui.base.errors import UserError
from webui.request.settings import Settings
from webui.server.api.fetch import fetched, is_public


class Elsewhere(BaseHTTPRequestHandler):
    """Another server, with a picture, a redirect to it, one in a circle, one to a file, and something endless."""

    def do_GET(self) -> None:
        places = {"/moved": "/picture.png", "/circle": "/circle", "/file": "file:///etc/passwd"}
        if self.path in places:
            self.send_response(302)
            self.send_header("location", places[self.path])
            self.end_headers()
            return
        if self.path == "/nothing":
            self.send_error(404)
            return
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
        content = buffer.getvalue() if self.path == "/picture.png" else bytes(2 * 2**20)
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


OPEN = Settings().with_options(
    {"api_enable_requests": True, "api_forbid_local_requests": False, "most_upload_megabytes": 1}
)


def test_a_picture_comes_from_where_the_settings_allow_it(api: Api) -> None:
    with serving() as there:
        body = {"image": f"{there}/moved", "upscaler_1": "Nearest"}

        def status() -> int:
            return api.client.post("/sdapi/v1/extra-single-image", json=body).status_code

        assert status() == 422, "off by default"
        api.app.settings.change({"api_enable_requests": True})
        assert status() == 422, "it is in this network"
        api.app.settings.change({"api_forbid_local_requests": False})
        assert status() == 200
        img2img = {"init_images": [f"{there}/picture.png"], "width": 64, "height": 64}
        assert api.client.post("/sdapi/v1/img2img", json=img2img).status_code == 200


@pytest.mark.parametrize("path", ["/circle", "/file", "/nothing", "/large", "/a b\r\nx: y", "/é"])
def test_what_is_no_picture_ends_in_a_sentence(path: str) -> None:
    with serving() as there, pytest.raises(UserError) as caught:
        fetched(there + path, "image", OPEN)
    assert caught.value.field == "image"


@pytest.mark.parametrize(
    "address", ["ftp://x/y", "http://", "http://user:word@example.org/", "http://[::1", "file:///x"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UserError):
        fetched(address, "image", OPEN)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_name_is_judged_by_all_its_addresses() -> None:
    settings = Settings().with_options({"api_enable_requests": True})
    for address in ("http://localhost/x.png", "http://2130706433/x.png", "http://0x7f.1/x.png", "http://[::1]/x.png"):
        with pytest.raises(UserError, match=r"own network|was not found"):
            fetched(address, "image", settings)

"""The addresses that are told to people at start, and how answers leave the house."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import struct
import threading
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from webui import flags
from webui.server.serve import address, address_for_others, event_loop, is_taken, listen, opens_browser


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "http://127.0.0.1:7860/"),
        ("--listen", "http://localhost:7860/"),
        ("--server-name 192.168.1.5 --subpath /sd", "http://192.168.1.5:7860/sd/"),
        ("--server-name ::1", "http://[::1]:7860/"),
    ],
)
def test_the_browser_of_this_machine_is_told_an_address_that_it_can_open(line: str, expected: str) -> None:
    assert address(flags.read(line.split()), 7860) == expected


@pytest.mark.parametrize(
    ("line", "when", "opens"),
    [
        ("--desktop", "Local", True),
        ("--desktop", "Disable", False),
        ("", "Local", False),
        ("", "Remote", True),
        ("--autolaunch", "Disable", True),
    ],
)
def test_the_setting_says_when_a_browser_is_opened(line: str, when: str, opens: bool) -> None:
    assert opens_browser(flags.read(line.split()), when) is opens


def test_others_are_told_this_machines_own_address_where_it_listens_on_all() -> None:
    told = address_for_others(flags.read(["--listen", "--subpath", "sd"]), 7861)
    if told:  # A machine without a network has none.
        parts = urlsplit(told)
        assert not ipaddress.ip_address(parts.hostname or "").is_unspecified
        assert (parts.port, parts.path) == (7861, "/sd/")
    assert address_for_others(flags.read(["--server-name", "192.168.1.5"]), 7861) == ""


def test_answers_do_not_wait_for_the_acknowledgement_of_their_headers() -> None:
    """Nagle's algorithm is off: with it every answer of two parts takes 40 ms."""

    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            side: socket.socket = writer.get_extra_info("socket")
            found.set_result(side.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        bound = listen(flags.read(["--port", "0"]))
        async with await asyncio.start_server(connected, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname()[:2])
            answer = await found
            writer.close()
            await writer.wait_closed()
        return answer

    assert asyncio.run(accepted()) == 1


@pytest.mark.parametrize(
    ("error", "platform", "taken"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "linux", True),
        (PermissionError(errno.EACCES, "a port below 1024"), "linux", False),
        (OSError(errno.EADDRNOTAVAIL, "not ours"), "darwin", False),
        (OSError(10048, "in use"), "win32", True),
        (PermissionError(10013, "another program has it to itself, or Hyper-V"), "win32", True),
        (OSError(10049, "not ours"), "win32", False),
    ],
)
def test_a_taken_port_is_told_apart_on_every_system(error: OSError, platform: str, taken: bool) -> None:
    assert is_taken(error, platform) is taken


def test_windows_gets_the_loop_that_survives_a_reset_connection() -> None:
    assert event_loop("win32") == "asyncio:SelectorEventLoop"
    assert event_loop("linux") == event_loop("darwin") == "auto"
    config = uvicorn.Config("nothing", loop=event_loop("win32"))
    factory = config.get_loop_factory()
    assert factory is asyncio.SelectorEventLoop


def test_the_server_holds_out_when_clients_reset_their_connections() -> None:
    """What closed the socket on Windows: a client that is gone before it was accepted."""
    config = uvicorn.Config(_says_yes, loop=event_loop("win32"), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(128)
        address = bound.getsockname()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            for _ in range(60):
                with socket.create_connection(address) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert httpx.get(f"http://127.0.0.1:{address[1]}/").text == "yes"
        finally:
            server.should_exit = True
            thread.join(10)


async def _says_yes(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"yes"})

"""The addresses that are told to people at start, and how answers leave the house."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

import pytest

from webui import flags
from webui.server.serve import address, address_for_others, listen


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

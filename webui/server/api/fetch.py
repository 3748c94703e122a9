"""Pictures that a request names by address: fetched so that nobody can look around in the server's own network.

Off unless the settings say otherwise. The name is looked up once, every address that it has is checked, and the
connection goes to one of these; each redirect is checked like the first address.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from contextlib import ExitStack
from urllib.parse import SplitResult, urljoin, urlsplit

from webui.base.errors import UserError
from webui.request.settings import Settings

PATIENCE = 30.0
"""Seconds for all of it. A1111: as many."""
MOST_REDIRECTS = 3
CHUNK = 64 * 1024
MOVED = (301, 302, 303, 307, 308)


def fetched(address: str, field: str, settings: Settings) -> bytes:
    """What lies at this address.

    Raises:
        UserError: the settings do not allow it, the address is of this network, or nothing comes from there.
    """
    system = settings.system
    if not system.api_enable_requests:
        raise UserError(
            "Fetching pictures from other servers is turned off.",
            hint="Send them as base64, or let an admin turn api_enable_requests on.",
            field=field,
        )
    end = time.monotonic() + PATIENCE
    for _ in range(MOST_REDIRECTS + 1):
        parts = _split(address, field)
        try:
            found = _asked(parts, end, settings, field)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UserError(f"No picture could be fetched from {parts.hostname}: {error}.", field=field) from error
        if isinstance(found, bytes):
            return found
        address = urljoin(address, found)
    raise UserError(f"{address} redirects too many times.", field=field)


def _split(address: str, field: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise UserError("Pictures cannot be fetched from this address.", hint="Use http or https.", field=field)


def _asked(parts: SplitResult, end: float, settings: Settings, field: str) -> bytes | str:
    """The content, or the address that it has moved to."""
    secure = parts.scheme == "https"
    host, port = str(parts.hostname), parts.port or (443 if secure else 80)
    where = resolved(host, port, settings.system.api_forbid_local_requests, field)
    with ExitStack() as opened:
        stream = opened.enter_context(socket.create_connection((where, port), timeout=_left(end)))
        if secure:
            stream = opened.enter_context(ssl.create_default_context().wrap_socket(stream, server_hostname=host))
        connection = http.client.HTTPConnection(host, port)
        connection.sock = stream
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        agent = settings.system.api_useragent or "Gesso"
        connection.request("GET", path, headers={"User-Agent": agent, "Accept": "image/*"})
        answer = opened.enter_context(connection.getresponse())
        if answer.status in MOVED:
            return str(answer.headers.get("location", ""))
        if answer.status != 200:
            raise UserError(f"{host} answered {answer.status} {answer.reason}.", field=field)
        return _body(answer, end, settings.limits.most_upload_megabytes * 2**20, field)


def _body(answer: http.client.HTTPResponse, end: float, most: int, field: str) -> bytes:
    content = bytearray()
    while part := answer.read1(CHUNK):
        content += part
        if len(content) > most:
            raise UserError(f"The picture has more than {most:,} bytes.", field=field)
        _left(end)
    return bytes(content)


def resolved(host: str, port: int, public_alone: bool, field: str) -> str:
    """The address of a name.

    Raises:
        UserError: it has none, or `public_alone` and one of its addresses is not of the public network.
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise UserError(f"The server {host!r} was not found.", field=field) from error
    for address in found if public_alone else ():
        if not is_public(address):
            raise UserError(
                f"{host} is in this server's own network, and fetching from there is turned off.",
                hint="Send the picture as base64, or let an admin turn api_forbid_local_requests off.",
                field=field,
            )
    return found[0]


def is_public(address: str) -> bool:
    """Whether it belongs to the world at large: not to this machine, its network, or a special use."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
        if ip in ipaddress.ip_network("64:ff9b::/96"):  # an IPv4 address behind a translator
            return ipaddress.IPv4Address(ip.packed[-4:]).is_global
    return ip.is_global and not ip.is_multicast


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left

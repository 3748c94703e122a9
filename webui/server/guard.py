"""One gate around everything: page, files, API, event streams. It says who calls, and lets pass or refuses.

The page may be opened by people; whatever changes something must come from a page of ours or from a program, never
from another site's page that happens to be open in somebody's browser.
"""

from __future__ import annotations

import base64
import binascii
import html
import ipaddress
import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from webui.base.errors import WebuiError
from webui.base.owners import ANONYMOUS
from webui.catalog.accounts import Role
from webui.catalog.sessions import SESSION_SECONDS
from webui.catalog.tokens import PREFIX, SCOPES, Token
from webui.catalog.tokens import Scope as TokenScope
from webui.flags import Flags
from webui.server.access import Access, NotAllowed, exposed
from webui.server.attempts import TooManyTries
from webui.server.browsers import told
from webui.server.routes import SAFE_METHODS, SOCKET, Needs, RouteTable

SESSION_COOKIE = "gesso_session"
LOGIN_COOKIE = "gesso_login"
CALLER = "gesso.caller"
RIGHT_LASTS = 1.0
"""Seconds for which a stream is read on without asking again."""
LARGEST_LOGIN = 10_000
"""Bytes of a login form."""
HERE = frozenset(
    {"localhost", "host.docker.internal", "gateway.docker.internal", "host.containers.internal", "host.lima.internal"}
)
"""Names of this machine, the later ones as programs in containers know it."""
LOCAL_NAMES = (".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain", ".fritz.box")
"""Endings of names that no public server of names answers for."""

BLOCKED = re.compile(r"/gradio_api/(file=https?:|proxy=)|/(file=https?:|proxy=)", re.IGNORECASE)
"""Gradio's ways of fetching other servers' pages for whoever asks."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request."""

    owner: str
    """Whose jobs and pictures the caller's are: a login name, or `~` and the number of the browser's session."""
    name: str = ""
    """The login name; "" without login."""
    program: bool = False
    """Shows a password or a token with each request, as programs do."""
    role: Role = "admin"
    """What the caller may do besides the own work; without accounts everybody may do everything."""
    sees_all: bool = False
    """May look at other people's jobs and pictures, and stop them."""
    grants: frozenset[TokenScope] = frozenset(SCOPES)
    """What the token allows; all, where none is shown."""
    session: str = ""
    """The id of the login; "": a program, or nobody logs in."""
    token: str = ""
    """The id of the token that was shown; "": none."""

    def may_see(self, owner: str) -> bool:
        """Whether what belongs to `owner` is shown to the caller."""
        return self.sees_all or owner == self.owner

    def check(self, needs: Needs) -> None:
        """
        Raises:
            Refused: the caller may not call a route of this kind.
        """
        if needs.scope == "public":
            return
        if needs.token not in self.grants and not (needs.token == "read" and self.grants):
            raise Refused(403, f"This token is not allowed to do that: it lacks the scope {needs.token!r}.")
        if needs.scope == "admin" and self.role != "admin":
            raise Refused(403, "Only an administrator may do this.", "Ask an administrator.")


class Refused(WebuiError):
    """The request is not let through."""

    def __init__(self, status: int, message: str, hint: str = "", *, retry_after: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after
        """Seconds; 0: at any time."""


STRANGER = Caller("", role="user", grants=frozenset())
"""Has not entered, and asks what everybody may."""


def caller_of(scope: AsgiScope) -> Caller:
    """Who sent this request: the one answer that everything behind the gate goes by."""
    found = scope.get(CALLER)
    return found if isinstance(found, Caller) else Caller(ANONYMOUS)


class StreamRight:
    """Whether somebody who reads a stream may go on reading it, asked for each message and looked up once a second:
    twenty pages that watch a job ask a thousand times."""

    def __init__(self, caller: Caller, access: Access, now: Callable[[], float] = time.monotonic) -> None:
        self._caller = caller
        self._access = access
        self._now = now
        self._until = now() + RIGHT_LASTS

    def __call__(self) -> bool:
        if self._now() < self._until:
            return True
        self._until = self._now() + RIGHT_LASTS
        return self._access.goes_on(self._caller.name, self._caller.session, self._caller.token)


def require_admin(scope: AsgiScope) -> None:
    """For what changes something for everybody and has no route of its own.

    Raises:
        NotAllowed: the caller is no admin.
    """
    if caller_of(scope).role != "admin":
        raise NotAllowed("Only an administrator may change this.", hint="Ask an administrator.")


class Guard:
    """The gate, as an ASGI application around the server.

    Raises:
        TypeError: a route of the server does not say who may call it.
    """

    def __init__(self, inner: Starlette, flags: Flags, access: Access) -> None:
        self._inner = inner
        self._table = RouteTable(inner.routes)
        self._access = access
        self._exposed = exposed(flags)
        self._hosts = {flags.host.lower(), *(name.lower() for name in flags.allow_host)} - HERE
        if self._exposed:
            self._hosts.add(socket.gethostname().lower())
        self._origins = {origin.strip().rstrip("/") for origin in flags.cors_allow_origins.split(",") if origin.strip()}
        self._origin_pattern = re.compile(flags.cors_allow_origins_regex) if flags.cors_allow_origins_regex else None
        self._root = "/" + flags.subpath.strip("/") if flags.subpath.strip("/") else ""

    def allow_host(self, name: str) -> None:
        """From now on the server is known by this name too: that of a tunnel."""
        self._hosts.add(name.lower())

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        request = _Request(self._below_root(scope), self._table)
        try:
            self._check_host(request)
            self._check_origin(request)
            if BLOCKED.search(request.path):
                raise Refused(403, "Pages of other servers are not fetched.")
            if request.path == "/login" and scope["type"] == "http":
                await self._answer_login(request, receive, send)
                return
            if request.path == "/logout" and scope["type"] == "http":
                await self._answer_logout(request, send)
                return
            cookies = await self._identify(request, self._table.needs(request.method, request.path))
        except WebuiError as error:
            refusal = error if isinstance(error, Refused) else Refused(error.status, error.message, error.hint)
            await self._refuse(refusal, request, receive, send)
            return
        await self._inner(request.scope, receive, _with_headers(send, cookies) if scope["type"] == "http" else send)

    # --- who calls --------------------------------------------------------------------------------------------------

    async def _identify(self, request: _Request, needs: Needs) -> list[str]:
        """Put the caller into the scope -> cookies to set.

        Raises:
            Refused: a password is needed, wrong, or was wrong too often; or the caller may not call this route.
        """
        if _is_preflight(request) and self._knows_origin(request.header("origin")):
            request.scope[CALLER] = STRANGER  # Browsers ask without credentials whether they may ask with them.
            return []
        caller = await self._named(request)
        cookies: list[str] = []
        if caller is None and self._is_open(request):
            caller, cookies = self._unnamed(request)
        if caller is None and needs.scope != "public":
            raise Refused(
                401,
                "Authentication is required.",
                "Log in, or send a user name and password by HTTP Basic authentication.",
            )
        caller = caller or STRANGER
        caller.check(needs)
        request.scope[CALLER] = caller
        return cookies

    def _is_open(self, request: _Request) -> bool:
        """Whether nobody has to log in for this."""
        return not (self._access.required or (request.of_api and self._access.accounts.programs))

    async def _named(self, request: _Request) -> Caller | None:
        """Who shows a token, a cookie or a password.

        Raises:
            Refused: it is a wrong one.
        """
        token = await self._token(request)
        if token is not None:
            return self._holder(token)
        cookie = request.cookie(LOGIN_COOKIE)
        session = await run_in_threadpool(self._access.session, cookie, request.address) if cookie else None
        if session is not None:
            return self._caller(session.owner, session=session.id)
        basic = _basic(request.header("authorization"))
        if basic is None or self._is_open(request):
            return None
        if not await self._entered(*basic, request, program=request.of_api):
            raise Refused(401, "Wrong user name or password.")
        return self._caller(basic[0], program=True)

    def _caller(self, name: str, *, program: bool = False, session: str = "") -> Caller:
        role, sees_all = self._access.role_of(name), self._access.oversees(name)
        return Caller(name, name, program, role, sees_all, session=session)

    def _unnamed(self, request: _Request) -> tuple[Caller, list[str]]:
        """Somebody where nobody logs in, and cookies to set."""
        session = request.cookie(SESSION_COOKIE)
        cookies = []
        if not re.fullmatch(r"[0-9a-f]{32}", session):
            # Programs that keep no cookies are one and the same caller.
            wants_page = "text/html" in request.header("accept")
            session = secrets.token_hex(16) if wants_page else ""
            cookies = [_cookie(SESSION_COOKIE, session, request, 365 * 24 * 3600)] if session else []
        return Caller(ANONYMOUS + session), cookies

    async def _token(self, request: _Request) -> Token | None:
        """The token of ours that is shown; what other programs show by habit is passed over.

        Raises:
            Refused: it is known no more.
        """
        kind, _, secret = request.header("authorization").partition(" ")
        if kind.lower() != "bearer" or not secret.strip().startswith(PREFIX):
            return None
        token = await run_in_threadpool(self._access.token, secret.strip())
        if token is None:
            raise Refused(401, "This token is not valid.", "It may have been revoked; create another one.")
        return token

    def _holder(self, token: Token) -> Caller:
        """Who shows a token: its owner, who may do no more than the owner may."""
        name = "" if token.owner.startswith(ANONYMOUS) else token.owner
        wholly = "admin" in token.scopes
        role, sees_all = self._access.role_of(name), self._access.oversees(name)
        role = role if wholly else "user"
        return Caller(token.owner, name, True, role, wholly and sees_all, token.scopes, token=token.id)

    async def _entered(self, name: str, password: str, request: _Request, *, program: bool = False) -> bool:
        try:
            return await self._access.enter(name, password, request.address, program=program)
        except TooManyTries as error:
            raise Refused(429, error.message, error.hint, retry_after=error.seconds) from error

    async def _answer_login(self, request: _Request, receive: Receive, send: Send) -> None:
        if request.method in ("GET", "HEAD"):
            target = _target(parse_qs(request.query).get("next", [""])[0])
            await _respond(send, 200, _login_page(target, ""), request)
            return
        if request.method != "POST":
            raise Refused(405, "This address only accepts GET and POST.")
        form = parse_qs((await _body(receive)).decode("utf-8", "replace"), keep_blank_values=True)
        name, password = form.get("username", [""])[0], form.get("password", [""])[0]
        target = _target(form.get("next", [""])[0])
        try:
            entered = await self._entered(name, password, request)
        except Refused as refusal:
            await _respond(send, refusal.status, _login_page(target, str(refusal)), request)
            return
        if not entered:
            await _respond(send, 401, _login_page(target, "Wrong user name or password."), request)
            return
        browser = told(request.header("user-agent"))
        secret = await run_in_threadpool(self._access.log_in, name, request.address, browser)
        cookie = _cookie(LOGIN_COOKIE, secret, request, SESSION_SECONDS)
        await _respond(send, 303, b"", request, location=f"{self._root}{target}", cookies=[cookie])

    async def _answer_logout(self, request: _Request, send: Send) -> None:
        if request.header("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused(403, "Requests from other websites are not allowed.")
        session = await run_in_threadpool(self._access.session, request.cookie(LOGIN_COOKIE))
        if session is not None:
            await run_in_threadpool(self._access.sessions.end, session.id)
        await _respond(send, 303, b"", request, location="login", cookies=[_expired(LOGIN_COOKIE)])

    # --- from where -------------------------------------------------------------------------------------------------

    def _check_host(self, request: _Request) -> None:
        """Against DNS rebinding: another site's name that suddenly means this machine."""
        host = _name_in(request.header("host"))
        if not host or self._knows_host(host):
            return
        raise Refused(
            421,
            f"This server does not answer to the host name {host[:100]!r}.",
            f"To allow it, start with --allow-host {host[:100]}",
        )

    def _knows_host(self, host: str) -> bool:
        if host in self._hosts or host in HERE or host.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(host.split("%")[0])
        except ValueError:
            return self._exposed and ("." not in host or host.endswith(LOCAL_NAMES))
        return True  # A page at an address cannot make that address mean another machine: only names can be rebound.

    def _check_origin(self, request: _Request) -> None:
        """Against pages of other sites that send requests from the browser of somebody who may enter here."""
        if request.method in SAFE_METHODS and request.scope["type"] == "http":
            return
        origin = request.header("origin")
        if origin:
            if self._knows_origin(origin) or _same_place(origin, request.header("host")) or self._is_own_name(origin):
                return
        elif request.header("sec-fetch-site") not in ("cross-site", "same-site"):
            return
        raise Refused(
            403, "Requests from other websites are not allowed.", "To allow them, start with --cors-allow-origins"
        )

    def _is_own_name(self, origin: str) -> bool:
        """Behind a proxy that changes the Host header, pages come from a name that was allowed by a flag."""
        return _name_in(origin.partition("://")[2]) in self._hosts - {"", "127.0.0.1", "0.0.0.0", "::", "::1"}

    def _knows_origin(self, origin: str) -> bool:
        if not origin:
            return False
        if origin in self._origins or "*" in self._origins:
            return True
        return bool(self._origin_pattern and self._origin_pattern.fullmatch(origin))

    # --- answers ----------------------------------------------------------------------------------------------------

    async def _refuse(self, refusal: Refused, request: _Request, receive: Receive, send: Send) -> None:
        if request.scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message})
            return
        if refusal.status == 401 and request.method == "GET" and "text/html" in request.header("accept"):
            address = f"{self._root}/login?next={quote(request.path)}"
            await _respond(send, 303, b"", request, location=address)
            return
        body = {"error": "Refused", "detail": str(refusal), "body": "", "errors": str(refusal)}
        headers = [(b"www-authenticate", b'Basic realm="Gesso"')] if refusal.status == 401 else []
        if refusal.retry_after:
            headers.append((b"retry-after", str(refusal.retry_after).encode()))
        origin = request.header("origin")
        if self._knows_origin(origin):
            # Or the page of that site cannot read why it was refused.
            headers += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-allow-credentials", b"true"),
                (b"vary", b"Origin"),
            ]
        content = json.dumps(body).encode()
        await _respond(send, refusal.status, content, request, kind="application/json", headers=headers)

    def _below_root(self, scope: AsgiScope) -> AsgiScope:
        """The same request with `--subpath` in front, whether the proxy has taken it away or not."""
        scope = dict(scope)
        if self._root:
            scope["root_path"] = self._root
            if not (scope["path"] + "/").startswith(self._root + "/"):
                scope["path"] = self._root + scope["path"]
        return scope


class _Request:
    """What the gate looks at."""

    def __init__(self, scope: AsgiScope, table: RouteTable) -> None:
        """`scope` is changed: its path is spelt as the route has it from now on."""
        self.scope = scope
        self.method: str = scope["method"] if scope["type"] == "http" else SOCKET
        root = scope.get("root_path", "")
        asked = scope["path"].removeprefix(root) or "/"
        self.path = table.spelt(self.method, asked)
        if self.path != asked:
            scope["path"] = root + self.path
        self.of_api = self.path.startswith(("/sdapi/", "/api/"))
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        client = scope.get("client")
        self.address: str = client[0] if client else ""
        self._headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    def cookie(self, name: str) -> str:
        jar: SimpleCookie = SimpleCookie()
        for part in self.header("cookie").split(";"):
            if part.strip().startswith(f"{name}="):
                try:
                    jar.load(part.strip())
                except CookieError:
                    return ""
        return str(jar[name].value) if name in jar else ""

    @property
    def secure(self) -> bool:
        return self.scope.get("scheme", "") in ("https", "wss")


def _is_preflight(request: _Request) -> bool:
    return request.method == "OPTIONS" and bool(request.header("access-control-request-method"))


def _basic(header: str) -> tuple[str, str] | None:
    """(name, password) of an Authorization header."""
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (ValueError, binascii.Error):
        return None
    return (name, password) if colon else None


def _name_in(host: str) -> str:
    """The name in a Host header: "[::1]:7860" -> "::1"."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return host


def _same_place(origin: str, host: str) -> bool:
    """Whether an Origin and a Host header name the same machine and port."""
    try:
        ours, theirs = urlsplit(f"//{host}"), urlsplit(origin)
        return bool(theirs.hostname) and (ours.hostname, ours.port) == (theirs.hostname, theirs.port)
    except ValueError:
        return False


def _target(path: str) -> str:
    """Where to go after the login: a path of this server, nothing else."""
    fine = path.startswith("/") and not path.startswith(("//", "/login", "/logout")) and "\\" not in path
    return quote(path, safe="/?=&%:") if fine and path.isprintable() else "/"


def _cookie(name: str, value: str, request: _Request, seconds: int) -> str:
    secure = "; Secure" if request.secure else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def _expired(name: str) -> str:
    return f"{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"


SAFETY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
)


def _with_headers(send: Send, cookies: Iterable[str]) -> Send:
    """Every answer carries the headers that keep browsers from guessing."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", [])}
            more = [(name, value) for name, value in SAFETY_HEADERS if name not in present]
            more += [(b"set-cookie", cookie.encode()) for cookie in cookies]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return sending


async def _body(receive: Receive) -> bytes:
    content = bytearray()
    while True:
        message = await receive()
        content += message.get("body", b"")
        if len(content) > LARGEST_LOGIN:
            raise Refused(413, "This is not a login form.")
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return bytes(content)


async def _respond(
    send: Send,
    status: int,
    content: bytes,
    request: _Request,
    *,
    kind: str = "text/html; charset=utf-8",
    location: str = "",
    cookies: Iterable[str] = (),
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    all_headers: list[tuple[bytes, bytes]] = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *SAFETY_HEADERS,
        *headers,
        *((b"set-cookie", cookie.encode()) for cookie in cookies),
    ]
    if location:
        all_headers.append((b"location", location.encode("latin-1", "replace")))
    start: dict[str, object] = {"type": "http.response.start", "status": status, "headers": all_headers}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else content})


def _login_page(target: str, complaint: str) -> bytes:
    shown = f'<p class="complaint" role="alert">{html.escape(complaint)}</p>' if complaint else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gesso: log in</title><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; --ground: #fbfaf8; --card: #fff; --ink: #1d1b18; --line: #d5cfc5;
  --accent: #4a47dc }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ground: #141311; --card: #1d1b18; --ink: #f4f2ee; --line: #3c3832; --accent: #8089f8 }} }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }}
form {{ width: min(20rem, 90vw); padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px }}
h1 {{ margin: 0 0 1rem; font-size: 1.4rem }}
label {{ display: block; margin: .8rem 0 .2rem; font-size: .9rem }}
input {{ width: 100%; box-sizing: border-box; padding: .6rem; font: inherit; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: 8px }}
input:focus-visible, button:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px }}
button {{ width: 100%; margin-top: 1.4rem; padding: .7rem; font: inherit; font-weight: 600; color: #fff;
  background: #4a47dc; border: 0; border-radius: 8px; cursor: pointer }}
.complaint {{ margin: 0 0 .5rem; color: #c2293f }}
@media (prefers-color-scheme: dark) {{ .complaint {{ color: #ff8a98 }} }}
</style></head>
<body><form method="post" action="login"><h1>Gesso</h1>{shown}
<label for="username">Name</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<input type="hidden" name="next" value="{html.escape(target, quote=True)}">
<button>Log in</button></form></body></html>""".encode()

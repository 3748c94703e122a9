"""The running server: routes, gate, and the page, which comes in as soon as Gradio is imported."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import logging
import os
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import HTMLResponse
from starlette.routing import Route

from webui import registry
from webui.base.errors import UserError
from webui.base.fence import fenced
from webui.base.memory import return_large_pieces
from webui.base.version import NAME, VERSION
from webui.flags import DEFAULT_PORT, Flags
from webui.registry import resolved
from webui.server import bring, cards, desk, live, page_files
from webui.server.api import errors, sdapi
from webui.server.api.content_type import JsonByAnyName
from webui.server.api.stopwatch import CallTimer
from webui.server.guard import Guard, caller_of
from webui.server.routes import checked_routes, declare, of_the_page

if TYPE_CHECKING:
    from gradio.routes import App as GradioApp

    from webui.app import App

log = logging.getLogger(__name__)

PAGE = "webui.server.ui.page"
DOOR = "webui.server.ui.door"
PORTS_TRIED = 100
COMPRESSION = 2
"""Of 9. The last levels save another fifth, and take thirty times as long for a list of LoRAs."""
STARTING = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Gesso is starting</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="1">
<style>:root{color-scheme:light dark}body{font:16px system-ui;display:grid;place-items:center;min-height:90vh}</style>
</head><body><p>Gesso is starting. This page will open automatically.</p></body></html>"""
NO_PAGE = STARTING.replace('<meta http-equiv="refresh" content="1">', "")


def listen(flags: Flags) -> socket.socket:
    """The socket to serve on: the port that was asked for, else the first free one.

    Raises:
        UserError: the port is taken, or the address is none, or not this machine's.
    """
    asked = flags.port is not None
    first = flags.port if flags.port is not None else DEFAULT_PORT
    last = first if asked else first + PORTS_TRIED
    for port in range(first, last + 1):
        try:
            return _bound(flags.host, port)
        except OSError as error:
            if is_taken(error, sys.platform):
                continue
            raise UserError(
                f"Cannot listen on the address {flags.host}, port {port}: {error.strerror or error}."
            ) from error
        except (UnicodeError, ValueError, OverflowError) as error:
            raise UserError(f"--server-name: {flags.host!r} is not a valid address or host name.") from error
    if asked:
        raise UserError(
            f"Port {first} is already in use by another program.",
            hint="Stop that program, or choose another port with --port.",
        )
    raise UserError(f"No port between {first} and {last} is free.", hint="Choose another one with --port.")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, or asyncio leaves Nagle's algorithm on, and every answer waits 40 ms for the client's acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":  # where another program could else share the port, and take our visitors
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(2048)
    except (OSError, ValueError, OverflowError):
        made.close()
        raise
    return made


WSAEACCES, WSAEADDRINUSE = 10013, 10048


def is_taken(error: OSError, platform: str) -> bool:
    """Whether a port cannot be had, so that the next one is worth a try. platform: as in `sys.platform`.

    Windows says "access denied" of ports that another program has to itself, and of those that Hyper-V keeps.
    """
    if platform == "win32":
        return getattr(error, "winerror", error.errno) in (WSAEACCES, WSAEADDRINUSE)
    return error.errno == errno.EADDRINUSE


def event_loop(platform: str) -> str:
    """uvicorn's name of the event loop. platform: as in `sys.platform`.

    Windows' own, the proactor, closes the listening socket for good when one client resets its connection before it is
    accepted (python/cpython#93821); the selector goes on. It watches 512 connections at most.
    """
    return "asyncio:SelectorEventLoop" if platform == "win32" else "auto"


def application(app: App) -> FastAPI:
    """All routes but the page's; those come in later."""
    flags = app.flags

    @asynccontextmanager
    async def lifespan(server: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            page = None
            if not flags.nowebui:
                page = asyncio.create_task(_mount_page(app, server, stack))
                page.add_done_callback(_note_failure)
                page.add_done_callback(lambda _: settled())
            else:
                settled()
            yield
            if page is not None:
                page.cancel()

    server = FastAPI(
        title=NAME,
        version=VERSION,
        lifespan=lifespan,
        description="The HTTP API of A1111, and the program's own routes.",
        docs_url=None,
        redoc_url=None,
    )
    errors.install(server)
    for part in (live, cards, bring, desk, sdapi):
        server.include_router(part.routes(app).router)
    server.include_router(page_files.routes(app.paths.user_sheet).router)
    for route in server.routes:
        if getattr(route, "path", "") == server.openapi_url:  # FastAPI's own
            declare(route, of_the_page("GET"))
    for entry in registry.routes():
        with fenced(partial(app.note_broken, entry.origin, f"routes {entry.name}")):
            server.include_router(checked_routes(resolved(entry.code)(app), server.routes).router)
    server.add_middleware(errors.PackageErrors, note=app.note_broken)
    server.add_middleware(errors.WholeLetters)
    server.add_middleware(errors.BodyLimit)
    server.add_middleware(JsonByAnyName)
    server.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=COMPRESSION)
    server.add_middleware(CallTimer, logged=flags.api_log)
    # Always there, so that Gradio adds no permissive headers of its own.
    server.add_middleware(
        CORSMiddleware,
        allow_origins=[origin.strip() for origin in flags.cors_allow_origins.split(",") if origin.strip()],
        allow_origin_regex=flags.cors_allow_origins_regex or None,
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
    )
    if not flags.nowebui:
        server.router.routes.append(_everywhere(_starting))
    return server


def _everywhere(answer: Callable[[Request], Awaitable[HTMLResponse]]) -> Route:
    """Where the page will be, until it is there."""
    route = Route("/{path:path}", answer)
    declare(route, of_the_page("GET"))
    return route


async def _starting(_request: Request) -> HTMLResponse:
    return HTMLResponse(STARTING, 503, headers={"retry-after": "1", "cache-control": "no-store"})


async def _no_page(_request: Request) -> HTMLResponse:
    text = NO_PAGE.replace(
        "Gesso is starting. This page will open automatically.", "The page cannot be shown; see the log for details."
    )
    return HTMLResponse(text, 500)


def settled() -> None:
    """The start is over: what was made by it is kept for good, and garbage is collected from now on."""
    gc.freeze()
    gc.enable()


def _note_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("The page cannot be shown", exc_info=error)


async def _mount_page(app: App, server: FastAPI, stack: AsyncExitStack) -> None:
    """Import Gradio, build the page, and put it where the waiting page was. Everything else answers meanwhile."""
    waiting = server.router.routes[-1]
    try:
        mounted = await asyncio.to_thread(_built_page, app, server)
    except BaseException:
        server.router.routes[server.router.routes.index(waiting)] = _everywhere(_no_page)
        raise
    # The server's own start-up is over by now, so what Gradio does at start-up is done here.
    await stack.enter_async_context(mounted.router.lifespan_context(mounted))
    mounted.get_blocks().run_startup_events()
    await mounted.get_blocks().run_extra_startup_events()
    server.router.routes.remove(waiting)
    app.page_ready()


def _built_page(app: App, server: FastAPI) -> GradioApp:
    """The page's application, added behind all other routes."""
    folder = app.paths.page_files
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("GRADIO_TEMP_DIR", str(folder))
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    blocks = resolved(f"{PAGE}:build")(app)
    import gradio  # after the page's own modules, which see to it that this is quick

    options = {
        "footer_links": [],
        "run_history": False,
        "show_error": True,
        "max_file_size": "128mb",
        "root_path": _root(app.flags) or None,
        "auth_dependency": lambda request: caller_of(request.scope).owner,
        **resolved(f"{PAGE}:mount_options")(app, blocks),
    }
    gradio.mount_gradio_app(server, blocks, path="/", **options)
    mounted: Any = server.router.routes[-1]
    page: GradioApp = mounted.app
    mounted.app = resolved(f"{DOOR}:Door")(app, page)
    return page


def _root(flags: Flags) -> str:
    path = flags.subpath.strip("/")
    return f"/{path}" if path else ""


def address(flags: Flags, port: int) -> str:
    """Where a browser on this machine finds the page."""
    scheme = "https" if flags.tls_certfile else "http"
    host = flags.host
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = "localhost"
        elif ":" in host:
            host = f"[{host}]"
    except ValueError:
        pass
    return f"{scheme}://{host}:{port}{_root(flags)}/"


def address_for_others(flags: Flags, port: int) -> str:
    """Where other machines of the network find the page; empty where that cannot be told."""
    with contextlib.suppress(ValueError):
        if not ipaddress.ip_address(flags.host).is_unspecified:
            return ""  # It is the address that was asked for.
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # Sends nothing: only asks which way a packet would leave.
            own = str(probe.getsockname()[0])
    except OSError:
        return ""
    scheme = "https" if flags.tls_certfile else "http"
    return f"{scheme}://{own}:{port}{_root(flags)}/"


class Server:
    """An App, served over HTTP until somebody stops it.

    Raises:
        UserError: key and certificate for https do not fit.
    """

    def __init__(self, app: App, bound: socket.socket) -> None:
        return_large_pieces()
        flags = app.flags
        self.port: int = bound.getsockname()[1]
        self.url = address(flags, self.port)
        self._bound = bound
        self.guard = Guard(application(app), flags, app.access)
        config = uvicorn.Config(
            self.guard,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=flags.timeout_keep_alive,
            timeout_graceful_shutdown=3,
            ssl_keyfile=str(flags.tls_keyfile) if flags.tls_keyfile else None,
            ssl_certfile=str(flags.tls_certfile) if flags.tls_certfile else None,
            ws="websockets-sansio",
            loop=event_loop(sys.platform),
            lifespan="on",
        )
        try:
            config.load()
        except OSError as error:  # ssl.SSLError is one.
            raise UserError(
                f"{flags.tls_certfile} and {flags.tls_keyfile} do not belong together, or are not a "
                f"certificate and its key: {error.strerror or error}.",
                hint="Both must be PEM files.",
            ) from error
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve. Returns when the process is asked to end, or `stop` was called."""
        self._server.run(sockets=[self._bound])

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._server.should_exit = True


def share(guard: Guard, port: int) -> str:
    """A public address for the server, through Gradio's tunnel.

    Raises:
        UserError: the tunnel cannot be set up.
    """
    import secrets

    from gradio.networking import setup_tunnel

    try:
        url = str(setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None))
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(
            f"--share does not work here: {str(error).rstrip('.')}.",
            hint="Gradio's tunnel needs the internet and a small download.",
        ) from error
    guard.allow_host(url.split("//", 1)[1].split("/", 1)[0])
    return url


def opens_browser(flags: Flags, when: str) -> bool:
    """Whether a start shows the page in a browser. when: the setting `auto_launch_browser`."""
    return flags.autolaunch or when == "Remote" or (when == "Local" and flags.desktop)


def open_browser(url: str, opened: Callable[[str], bool] = webbrowser.open) -> None:
    """Show the page in the browser, if there is one."""
    if not opened(url):
        log.info("No browser was found; open %s yourself.", url)

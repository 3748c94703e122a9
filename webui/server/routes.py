"""Routes, and who may call them: the scope stands on each route's declaration.

`table` lists all routes of the server. The gate goes by it, `python -m webui routes` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount, compile_path

from webui.base.errors import UserError
from webui.catalog.tokens import Scope as TokenScope

Scope = Literal["public", "user", "admin"]
"""Who may call a route: everybody; who has entered (or everybody, where nobody logs in); admins."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SOCKET = "WEBSOCKET"
"""The method of a route that is no HTTP request."""
_NEEDS = "gesso_needs"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Needs:
    """What a caller must be to call a route."""

    scope: Scope
    token: TokenScope
    """The scope that a token must have."""


def needs(scope: Scope, *, looks: bool) -> Needs:
    """`looks`: it changes nothing, so that a token for reading is enough."""
    return Needs(scope, "admin" if scope == "admin" else "read" if looks else "generate")


def of_the_page(method: str) -> Needs:
    """What Gradio's routes need, which are behind all of ours. Its events ask who somebody is and know of no tokens, so
    they are for tokens that may do everything."""
    return Needs("user", "read" if method in SAFE_METHODS else "admin")


class Routes:
    """Declares routes, each with its scope. `router` is what FastAPI includes."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        """`options` are those of `fastapi.APIRouter`."""
        self.router = APIRouter(prefix=prefix, **options)

    def get(self, path: str, scope: Scope, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """A route that changes nothing. `options` here and below are those of `APIRouter.add_api_route`."""
        return self._added(path, ["GET"], needs(scope, looks=True), options)

    def post(self, path: str, scope: Scope, *, looks: bool = False, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """`looks`: it changes nothing, though it is sent by POST."""
        return self._added(path, ["POST"], needs(scope, looks=looks), options)

    def delete(self, path: str, scope: Scope, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """A route that takes something away."""
        return self._added(path, ["DELETE"], needs(scope, looks=False), options)

    def every(self, path: str, scope: Scope, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """All methods; it changes nothing."""
        return self._added(path, list(ALL_METHODS), needs(scope, looks=True), options)

    def websocket(self, path: str, scope: Scope) -> Callable[[Endpoint], Endpoint]:
        """A stream to whoever listens."""

        def add(endpoint: Endpoint) -> Endpoint:
            self.router.add_api_websocket_route(path, endpoint)
            declare(self.router.routes[-1], needs(scope, looks=True))
            return endpoint

        return add

    def include(self, other: Routes, **options: Any) -> None:
        """All routes of another one. `options` are those of `APIRouter.include_router`."""
        self.router.include_router(other.router, **options)

    def _added(
        self, path: str, methods: list[str], wanted: Needs, options: dict[str, Any]
    ) -> Callable[[Endpoint], Endpoint]:
        def add(endpoint: Endpoint) -> Endpoint:
            self.router.add_api_route(path, endpoint, methods=methods, **options)
            declare(self.router.routes[-1], wanted)
            return endpoint

        return add


def declare(route: BaseRoute, wanted: Needs) -> None:
    """Say who may call a route that is none of `Routes`."""
    setattr(route, _NEEDS, wanted)


@dataclass(frozen=True)
class ListedRoute:
    """A route in the table."""

    method: str
    path: str
    needs: Needs
    pattern: re.Pattern[str]

    @property
    def catches_all(self) -> bool:
        """It answers where nothing else does."""
        return "{path:path}" in self.path


class RouteTable:
    """All routes of a server, in the order in which they are asked.

    Raises:
        TypeError: a route does not say who may call it.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.listed = tuple(_listed(routes))
        self._by_method: dict[str, list[ListedRoute]] = {}
        for one in self.listed:
            self._by_method.setdefault(one.method, []).append(one)

    def find(self, method: str, path: str) -> ListedRoute | None:
        """The route that answers; None: the page does, or nothing."""
        return next((one for one in self._by_method.get(method, ()) if one.pattern.match(path)), None)

    def needs(self, method: str, path: str) -> Needs:
        """What a caller must be."""
        found = self.find(method, path)
        return of_the_page(method) if found is None else found.needs

    def spelt(self, method: str, path: str) -> str:
        """The path as its route has it: a slash at the end is left out where only that is a route."""
        shorter = path.rstrip("/")
        if not path.endswith("/") or not shorter or self._names(method, path):
            return path
        known = self._names(method, shorter) or any(self._names(other, shorter) for other in ALL_METHODS)
        return shorter if known else path

    def _names(self, method: str, path: str) -> bool:
        found = self.find(method, path)
        return found is not None and not found.catches_all


def checked_routes(made: object, known: Sequence[BaseRoute]) -> Routes:
    """Routes that a package adds behind the `known` ones.

    Raises:
        UserError: it is something else, or one of its routes is known already.
        TypeError: a route does not say who may call it.
    """
    if not isinstance(made, Routes):
        raise UserError(f"It returned a value of type {type(made).__name__}, not a webui.server.routes.Routes.")
    there = RouteTable(known)
    taken = [one for one in _listed(made.router.routes) if there.find(one.method, one.path) is not None]
    if taken:
        raise UserError(f"{taken[0].method} {taken[0].path} is one of the program's own routes.")
    return made


def _listed(routes: Sequence[BaseRoute]) -> Iterator[ListedRoute]:
    for found in iter_route_contexts(routes):
        if isinstance(found.original_route, Mount):
            continue  # Gradio's
        path = found.path or ""
        methods: Iterable[str] = sorted(found.methods or ()) or (SOCKET,)
        wanted = getattr(found.original_route, _NEEDS, None)
        if not isinstance(wanted, Needs):
            raise TypeError(f"{', '.join(methods)} {path} does not say who may call it: declare it through `Routes`.")
        pattern = compile_path(path)[0]
        for method in methods:
            yield ListedRoute(method, path, wanted, pattern)


def table(routes: Sequence[BaseRoute]) -> str:
    """Who may call which route, as text: a line each."""
    methods: dict[tuple[str, Needs], list[str]] = {}
    for one in RouteTable(routes).listed:
        if not one.catches_all:
            methods.setdefault((one.path, one.needs), []).append(one.method)
    rows = [(path, "any" if len(called) == len(ALL_METHODS) else ",".join(called), wanted)
            for (path, wanted), called in methods.items()]  # fmt: skip
    page = [("everything else: the page", "GET", of_the_page("GET")),
            ("everything else: the page's events", "POST", of_the_page("POST"))]  # fmt: skip
    lines = [_row("method", "visitor", "user", "admin", "token", "route")]
    for path, called, wanted in [*sorted(rows, key=lambda row: row[:2]), *page]:
        visitor, user = ("yes" if wanted.scope in those else "-" for those in (("public",), ("public", "user")))
        lines.append(_row(called, visitor, user, "yes", wanted.token, path))
    return "\n".join(lines) + "\n"


def _row(method: str, visitor: str, user: str, admin: str, token: str, path: str) -> str:
    return f"{method:<9} {visitor:<7} {user:<4} {admin:<5} {token:<8} {path}"

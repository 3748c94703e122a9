"""What tests of the gate ask: every route, with and without a password."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def paths(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of every route, those of mounted applications too."""
    for found in iter_route_contexts(routes):
        route = found.original_route
        if isinstance(route, Mount):
            yield from paths(list(route.routes), prefix + route.path)
        elif isinstance(route, Route):
            path = str(found.path).replace("{path:path}", "x").replace("{", "").replace("}", "")
            yield from ((method, prefix + path) for method in found.methods or {"GET"})
        elif not isinstance(route, WebSocketRoute):
            raise AssertionError(f"a route of a kind that this test does not know: {route}")

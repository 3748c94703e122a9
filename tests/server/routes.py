"""What tests of the gate ask: every route, with and without a password."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from starlette.routing import Mount, Route, WebSocketRoute


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def paths(routes: list[object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of every route, those of mounted applications too."""
    for route in routes:
        if isinstance(route, Mount):
            yield from paths(list(route.routes), prefix + route.path)
        elif isinstance(route, Route):
            for method in route.methods or {"GET"}:
                yield method, prefix + route.path.replace("{path:path}", "x").replace("{", "").replace("}", "")
        elif hasattr(route, "original_router"):  # what include_router leaves
            yield from paths(list(route.original_router.routes), prefix)
        elif not isinstance(route, WebSocketRoute):
            raise AssertionError(f"a route of a kind that this test does not know: {route}")

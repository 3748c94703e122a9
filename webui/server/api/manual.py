"""`/docs`: the OpenAPI document as a page to read. It needs no script and nothing from other servers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from webui.base.version import NAME, VERSION
from webui.server.routes import Routes

Node = Mapping[str, Any]

STYLE = """:root{color-scheme:light dark}body{font:15px/1.5 system-ui;max-width:70rem;margin:auto;padding:1rem}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}td,th{text-align:left;vertical-align:top;
padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8884}code{font-size:.95em}h3{margin:2rem 0 .3rem}
summary{cursor:pointer}summary code{font-weight:600}details{margin:.3rem 0}:target{outline:2px solid #48f8}"""
BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "matching {}"),
)
"""JSON schema's words for limits -> ours."""


def routes() -> Routes:
    router = Routes(include_in_schema=False)

    @router.get("/redoc", "user")
    @router.get("/docs", "user")
    def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(page(request.app.openapi()))

    @router.get("/docs/try", "user")
    def swagger() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="../openapi.json", title=f"{NAME}: try the API")

    return router


def page(document: Node) -> str:
    """An OpenAPI document as HTML."""
    calls = "".join(
        _call(path, method, call) for path, methods in document["paths"].items() for method, call in methods.items()
    )
    shapes = "".join(_shape(name, shape) for name, shape in sorted(document["components"]["schemas"].items()))
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{NAME}: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>
<h1>{NAME} {escape(VERSION)}: the API</h1><p>{escape(document["info"].get("description", ""))}
For programs: <a href="openapi.json">openapi.json</a>. To try calls in the browser:
<a href="docs/try">Swagger UI</a>, which is loaded from the internet.</p>
<h2>Routes</h2>{calls}<h2>Request and response bodies</h2>{shapes}</body></html>"""


def _call(path: str, method: str, call: Node) -> str:
    rows = [
        (f"{place['name']}{'' if place.get('required') else ' (optional)'}", {**place["schema"], **place})
        for place in call.get("parameters", ())
    ]
    sent = [_kind(content["schema"]) for content in call.get("requestBody", {}).get("content", {}).values()]
    answers = "".join(_answer(status, answer) for status, answer in call["responses"].items())
    head = f"<code>{method.upper()} {escape(path)}</code> {escape(call.get('description', ''))}"
    return (
        f"<details><summary>{head}</summary>"
        + (_table(rows) if rows else "")
        + "".join(f"<p>Request body: {kind}</p>" for kind in sent)
        + f"<p>Responses:</p><ul>{answers}</ul></details>"
    )


def _answer(status: str, answer: Node) -> str:
    kinds = [
        _kind(content["schema"]) if content.get("schema") else escape(media) if media != "application/json" else "null"
        for media, content in answer.get("content", {}).items()
    ]
    return f"<li>{escape(status)}: {' or '.join(kinds)} ({escape(answer.get('description', ''))})</li>"


def _shape(name: str, shape: Node) -> str:
    needed = shape.get("required", ())
    rows = [
        (f"{key}{' (required)' if key in needed else ''}", field) for key, field in shape.get("properties", {}).items()
    ]
    about = escape(shape.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{about}</p>{_table(rows)}'


def _table(rows: Sequence[tuple[str, Node]]) -> str:
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_kind(field)}</td><td>{_default(field)}</td>"
        f"<td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in rows
    )
    return f"<table><tr><th>name</th><th>type</th><th>default</th><th>description</th></tr>{lines}</table>"


def _default(field: Node) -> str:
    return f"<code>{escape(json.dumps(field['default'], ensure_ascii=False))}</code>" if "default" in field else ""


def _kind(field: Node) -> str:
    """What a value may be, with its limits; shapes are links."""
    if "$ref" in field:
        name = escape(field["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(_kind(one) for one in field[key])
    if "enum" in field or "const" in field:
        return " or ".join(f"<code>{escape(json.dumps(one))}</code>" for one in field.get("enum", [field.get("const")]))
    kind = escape(str(field.get("type", "anything")))
    if kind == "array":
        kind = f"list of {_kind(field.get('items', {}))}"
    elif isinstance(inner := field.get("additionalProperties"), Mapping):
        kind = f"name to {_kind(inner)}"
    return ", ".join([kind, *_bounds(field)])


def _bounds(field: Node) -> Iterator[str]:
    for key, words in BOUNDS:
        if key in field:
            bound = field[key]
            number = f"{bound:g}" if isinstance(bound, float) else str(bound)
            yield escape(words.format(number))

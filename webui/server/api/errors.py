"""Errors of the API, in A1111's shape: `{"error", "detail", "body", "errors"}`, with a sentence in `detail`."""

from __future__ import annotations

import logging
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.base.errors import NotFound, UserError, WebuiError
from webui.base.memory import LEFTOVERS, NOTED
from webui.entry_points import blamed, origin_of
from webui.request.documented import Documented

log = logging.getLogger(__name__)

PLURAL = {"sampler_name": "Sampler not found", "sampler_index": "Sampler not found"}
"""What clients look for in `detail` when a name is nothing's."""

LARGEST_BODY = 2**30
"""Bytes. Six of the largest files that the settings allow at first, in base64; more is not even read."""
UNREADABLE = "There was an error parsing the body"
"""FastAPI's words for a body that is no text."""
TOO_LARGE = "This request is too large. Send fewer or smaller pictures at once."


MARKS = (b",", b"[", b"{", b":")
"""What JSON is built of. Base64 has none of them, and texts have few."""
MOST_MARKS = 200_000
"""In a body: while JSON is read nobody else is answered, and it takes as long as it has parts."""


class BodyLimit:
    """Around an ASGI application: requests that announce a larger body are refused, and so is JSON of very many parts.
    Routes count bodies that announce no length."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = dict(scope.get("headers", ())).get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > LARGEST_BODY:
            await shaped(413, "HTTPException", TOO_LARGE, TOO_LARGE)(scope, receive, send)
        elif scope["type"] != "http" or _is_files(scope):
            await self._inner(scope, receive, send)
        else:
            try:
                await self._inner(scope, _counted(receive), send)
            finally:
                if length.isdigit() and int(length[:20]) > NOTED:
                    LEFTOVERS.note()


def _is_files(scope: Scope) -> bool:
    kind: bytes = dict(scope.get("headers", ())).get(b"content-type", b"")
    return kind.lower().startswith(FILES)


def _counted(receive: Receive) -> Receive:
    marks = 0

    async def counting() -> Message:
        nonlocal marks
        message = await receive()
        body = message.get("body", b"")
        marks += sum(body.count(mark) for mark in MARKS)
        if marks > MOST_MARKS:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counting


class WholeLetters:
    """Around an ASGI application: in JSON that comes in, U+FFFD stands for each half of a letter (a lone surrogate).

    Both are as long as each other, so the body passes piece by piece, under the length that it announced. Files that
    are sent (`multipart/form-data`) pass as they are.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = dict(scope.get("headers", ())).get(b"content-type", b"")
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or kind.lower().startswith(FILES):
            await self._inner(scope, receive, send)
            return
        letters = Letters()

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body = letters.whole(message.get("body", b""), more=message.get("more_body", False))
                message = {**message, "body": body}
            return message

        await self._inner(scope, receiving, send)


class Letters:
    """JSON that comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def whole(self, piece: bytes, *, more: bool) -> bytes:
        """The next bytes, without halves of letters; a few are held back while `more` are to come."""
        text, self._rest = self._rest + piece, b""
        if more:
            text, self._rest = _parted(text)
        if _MAY_HOLD_HALVES.search(text) is None:
            return text
        return _LETTER.sub(lambda found: found[0] if found["pair"] else _whole(found[0]), text)


FILES = (b"multipart/", b"image/", b"application/octet-stream")
"""Types of bodies that are no text."""
_MAY_HOLD_HALVES = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
_LETTER = re.compile(
    rb"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\[^u]|\xed[\xa0-\xbf][\x80-\xbf]",
    re.DOTALL,
)
"""An escape of JSON, or half a letter written as the bytes that UTF-8 would give it."""
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
LONGEST_LETTER = 12
"""Bytes of a pair of escapes."""


def _whole(letter: bytes) -> bytes:
    if letter[:2] == b"\\u":
        return b"\\ufffd"
    return letter if letter[:1] == b"\\" else "\N{REPLACEMENT CHARACTER}".encode()


def _parted(text: bytes) -> tuple[bytes, bytes]:
    """Where no letter is cut in two: (what is before, the last few bytes)."""
    at = max(len(text) - LONGEST_LETTER, 0)
    found = re.search(rb"[\\\xed]", text[at:])
    if found is None:
        return text, b""
    at += found.start()
    if text[at] == 0xED:
        return text[:at], text[at:]
    if _FIRST_HALF.fullmatch(text[at - 6 : at]) is not None:
        at -= 6
    begin = len(text[:at].rstrip(b"\\"))
    # Of a row of backslashes every second one is a letter's end.
    at -= (at - begin) % 2
    return text[:at], text[at:]


class NotServed(WebuiError):
    """A route of A1111 behind which there is nothing yet."""

    code = "not_served"
    status = 501


class Complaint(Documented):
    """What is wrong with one value, in FastAPI's format."""

    type: str
    """The kind of error."""
    loc: list[str | int]
    """Where the value is: "body" and the field, for example."""
    msg: str
    """A readable message."""


class ErrorAnswer(Documented):
    """Why a call was refused."""

    error: str
    """The kind of error."""
    detail: str | list[Complaint]
    """A readable message: what is wrong with which value, and what to do. Under `/sdapi/v1`, as in A1111, a list of
    errors if a body or a parameter does not fit what the route accepts."""
    body: str = ""
    """Always empty; present for A1111's clients."""
    errors: str = ""
    """A more detailed message, if there is one."""
    field: str = ""
    """The field that the error is about, if there is one."""


REFUSALS: dict[int | str, dict[str, object]] = {
    "4XX": {"model": ErrorAnswer, "description": "The request cannot be fulfilled, or not for this caller."},
    422: {"model": ErrorAnswer, "description": "A value is invalid."},
    "5XX": {"model": ErrorAnswer, "description": "An error occurred on the server, or the route is not supported."},
}
"""For the documentation of every route."""


class PackageErrors:
    """Around an ASGI application: what an installed package raises is answered in words that name it, and noted."""

    def __init__(self, inner: ASGIApp, note: Callable[[str, str, Exception], None]) -> None:
        """note: (package, route, error)"""
        self._inner = inner
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._inner(scope, receive, sending)
        except Exception as error:
            theirs = blamed(error)
            if theirs is None or has_begun or scope["type"] != "http":
                raise
            self._note(origin_of(error), f"{scope['method']} {scope['path']}", error)
            await shaped(500, type(theirs).__name__, str(theirs), str(error))(scope, receive, send)


def install(server: FastAPI) -> None:
    """Let every error become a JSON answer."""
    server.add_exception_handler(WebuiError, _answer_ours)
    server.add_exception_handler(RequestValidationError, _answer_invalid)
    server.add_exception_handler(HTTPException, _answer_http)
    server.add_exception_handler(Exception, _answer_unforeseen)


async def _answer_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, WebuiError)
    detail = str(error)
    if isinstance(error, NotFound) and error.field in PLURAL and "/sdapi/" in request.url.path:
        # A1111: clients compare this text, and try again with another sampler.
        detail = PLURAL[error.field]
    return shaped(error.status, type(error).__name__, detail, str(error), field=error.field)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    sentence = _sentence(error.errors())
    detail: str | list[dict[str, object]] = sentence
    if "/sdapi/" in request.url.path:
        # A1111: FastAPI's own answer, whose list clients look through.
        detail = [{"type": e["type"], "loc": list(e["loc"]), "msg": _sentence([e])} for e in error.errors()]
    return shaped(422, "RequestValidationError", detail, sentence)


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 413:
        detail = TOO_LARGE
    elif detail == UNREADABLE:
        detail = "The body is not valid JSON: it is not text in UTF-8."
    elif detail in ("Not Found", "Method Not Allowed"):
        detail = f"{request.method} {request.url.path}: there is no such route. /docs lists all routes."
    answer = shaped(error.status_code, "HTTPException", detail, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return shaped(500, type(error).__name__, "An unexpected error occurred; see the log for details.", str(error))


def shaped(status: int, error: str, detail: str | list[dict[str, object]], errors: str, **more: object) -> JSONResponse:
    """An answer with A1111's four keys."""
    return JSONResponse({"error": error, "detail": detail, "body": "", "errors": errors, **more}, status)


def _shown(value: object) -> str:
    """A value as it is told, cut short before it is written out: it may have millions of letters."""
    short = value[:80] if isinstance(value, str | bytes) else value
    given = repr(short) if isinstance(short, str | bytes | int | float | None) else reprlib.repr(short)
    return given if len(given) < 80 else given[:77] + "..."


def _sentence(complaints: Sequence[Mapping[str, Any]]) -> str:
    """The first complaint of pydantic: which field, which value, what is allowed."""
    first = complaints[0]
    if first["type"] == "json_invalid":
        reason = str(first.get("ctx", {}).get("error", "")).rstrip(".")
        return f"The body is not valid JSON: {reason[:1].lower()}{reason[1:]}, at character {first['loc'][-1]}."
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    if first["type"] == "missing" and not where:
        return "The body is empty; a JSON object is required."
    if first["type"] in ("model_attributes_type", "dict_type", "model_type") and not where:
        return f"The body is {_named(first.get('input'))}; a JSON object ({{...}}) is required."
    given = _shown(first.get("input"))
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{where or 'The request'} cannot be {given}: {message}."


def _named(value: object) -> str:
    kinds = {str: "a string", list: "a list", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "nothing")


def bad_request(message: str, field: str = "", hint: str = "") -> UserError:
    """For values that cannot be checked by type alone."""
    return UserError(message, field=field, hint=hint)

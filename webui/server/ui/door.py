"""The one door between browsers and the page's application: what is sent to Gradio is looked at here first.

Gradio takes a path that a browser writes for a file that it uploaded, answers on forty routes of which the page uses
eight, and builds the whole page anew for each session that it has not met. Here

- only the routes that the page needs are open;
- uploads are written into folders of their owners', and only those files are taken in events and given out again;
- what an event brings is read, bounded and cleaned before any component sees it;
- sessions belong to whoever sends them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import logging
import math
import mimetypes
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

import gradio as gr
from gradio.blocks import BlockFunction
from gradio.components import Component
from gradio.data_classes import PredictBodyInternal
from gradio.exceptions import ComponentProcessingError
from gradio.route_utils import call_process_api, compile_gr_request, get_root_url
from gradio.routes import App as GradioApp
from gradio.routes import ORJSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.base.errors import NotFound, UserError, WebuiError
from webui.server.api.errors import LARGEST_BODY, TOO_LARGE, shaped
from webui.server.guard import caller_of
from webui.server.page_files import FILES
from webui.server.ui import language, sheets
from webui.server.ui.sessions import GradioSessions

if TYPE_CHECKING:
    from webui.app import App

log = logging.getLogger(__name__)

READS = re.compile(
    r"/(config/?|favicon\.ico|manifest\.json|robots\.txt|(static|assets|svelte)/.+)?"
    r"|/gradio_api/(info|app_id|user|login_check|queue/status)/?"
)
"""What Gradio itself answers: what the page is made of."""
PAGE = "/"
THEME = "/theme.css"
FILE = "/gradio_api/file="
RUN = re.compile(r"/gradio_api/run/[a-z_0-9]{1,100}/?")
JOIN = "/gradio_api/queue/join"
DATA = "/gradio_api/queue/data"
UPLOAD = "/gradio_api/upload"
PROGRESS = "/gradio_api/upload_progress"

LARGEST_EVENT = 48 * 2**20
"""Bytes. The largest thing in an event is what was painted, as a data URL."""
DEEPEST = 16
"""How far values may be nested."""
MOST_FILES = 2000
"""At one upload, and in one value."""
LARGEST_FIELD = 10_000
"""Bytes of a form's field that is no file."""
EXACT = 2**63
UNREAD = 60.0
"""Seconds for which the answers to an event wait for somebody who reads them."""
UPLOADS_TOLD = 200
"""Uploads whose progress can be asked for."""
SHOWN = frozenset(("image/png", "image/jpeg", "image/webp", "image/avif", "image/gif", "image/bmp"))
"""What a browser may show; everything else it is told to save."""


class NotTaken(UserError):
    """What was sent does not fit."""

    def __init__(self, message: str, hint: str = "", status: int = 422) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Door:
    """An ASGI application around Gradio's."""

    def __init__(self, app: App, page: GradioApp) -> None:
        self._app = app
        self._page: ASGIApp = page
        self._blocks = page.get_blocks()
        self._secret = secrets.token_bytes(32)
        self._uploads: OrderedDict[str, _Arrived] = OrderedDict()
        self._read_now: set[str] = set()
        self._kinds: dict[int, _Kind] = {}
        page.state_holder = GradioSessions(self._blocks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._page(scope, receive, send)
            return
        request = Request(scope, receive)
        path = str(scope["path"]).removeprefix(scope.get("root_path", "")) or "/"
        try:
            answer = await self._answer(request, path)
        except ClientDisconnect:
            return
        except WebuiError as error:
            # Gradio's scripts show `error` to the person.
            answer = JSONResponse({"error": str(error), "detail": str(error)}, error.status)
        if answer is not None:
            await answer(scope, receive, send)
        elif request.method == "GET" and path == DATA:
            await self._read(request, receive, send)
        else:
            await self._page(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response | None:
        """The answer; None where Gradio gives it.

        Raises:
            WebuiError: the request is refused.
        """
        match request.method:
            case "GET" | "HEAD":
                if path.startswith(FILE):
                    return await run_in_threadpool(self._file, request, path.removeprefix(FILE))
                if path == PROGRESS:
                    return self._progress(request)
                if path == THEME:
                    return Response(sheets.below_ours(self._blocks.theme_css), media_type="text/css")
                if path == PAGE and request.method == "GET":
                    return await self._front(request)
                if path == DATA or READS.fullmatch(path):
                    return None
            case "POST":
                if RUN.fullmatch(path):
                    return await self._run(request, path)
                if path == JOIN:
                    return await self._join(request)
                if path == UPLOAD:
                    return await self._upload(request)
        return shaped(404, "HTTPException", f"{request.method} {path[:200]}: not found.", "")

    async def _front(self, request: Request) -> Response:
        """Gradio's page, its rules in a layer below ours, in the visitor's language."""
        answer, content = await _taken(self._page, request)
        if answer.status_code == 200:
            content = FILES.in_layers(content, user_sheet=self._app.paths.user_sheet.is_file())
            content = await run_in_threadpool(language.spoken_to, self._app, request, content)
        return Response(content, answer.status_code, dict(answer.headers))

    # --- files ------------------------------------------------------------------------------------------------------

    def _file(self, request: Request, given: str) -> Response:
        path = self._app.catalog.visitor_files.theirs(caller_of(request.scope).owner, given)
        kind = mimetypes.guess_type(path.name)[0] or ""
        shown = kind in SHOWN
        return FileResponse(
            path,
            media_type=kind if shown else "application/octet-stream",
            filename=path.name,
            content_disposition_type="inline" if shown else "attachment",
            headers={"cache-control": "private, max-age=3600"},
        )

    async def _upload(self, request: Request) -> Response:
        """Write what is sent into the caller's folder -> the paths by which events name the files."""
        owner = caller_of(request.scope).owner
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise NotTaken("Files are uploaded as multipart/form-data.", status=400)
        most = self._app.settings.current.limits.most_upload_megabytes * 2**20
        arrived = _Arrived()
        if name := _upload_name(request):
            self._uploads[f"{owner} {name}"] = arrived
            if len(self._uploads) > UPLOADS_TOLD:
                self._uploads.popitem(last=False)
        parser = _Parser(self._app, owner, most, arrived, request)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            parser.discard()
            too_large = error.message.startswith(_Parser.TOO_LARGE)
            raise NotTaken(error.message, status=413 if too_large else 400) from error
        except BaseException:
            parser.discard()
            raise
        finally:
            arrived.done = True
        return JSONResponse([str(one.path) for one in form.getlist("files") if isinstance(one, _Arriving)])

    def _progress(self, request: Request) -> Response:
        """A stream of how much of an upload has come, as Gradio's scripts expect it."""
        name = f"{caller_of(request.scope).owner} {_upload_name(request)}"

        async def told() -> AsyncIterator[str]:
            for _ in range(60):
                if name in self._uploads:
                    break
                await asyncio.sleep(0.05)
            arrived = self._uploads.get(name, _Arrived(done=True))
            said: dict[str, int] = {}
            while not arrived.done:
                for file, size in list(arrived.sizes.items()):
                    if size > said.get(file, 0):
                        message = {"msg": "update", "orig_name": file, "chunk_size": size - said.get(file, 0)}
                        said[file] = size
                        yield f"data: {json.dumps(message)}\n\n"
                await asyncio.sleep(0.1)
            yield 'data: {"msg": "done"}\n\n'

        return StreamingResponse(told(), media_type="text/event-stream")

    # --- events -----------------------------------------------------------------------------------------------------

    async def _run(self, request: Request, path: str) -> Response:
        """Answer an event at once."""
        body, fn = await self._event(request)
        owner = caller_of(request.scope).owner
        with _refusing():
            output = await call_process_api(
                app=self._page,
                body=body,
                gr_request=compile_gr_request(body, fn=fn, username=owner, request=request),
                fn=fn,
                root_path=get_root_url(request, path, self._page.root_path),  # type: ignore[attr-defined]
            )
        language.in_their_words(output, fn.outputs, await run_in_threadpool(language.theirs, self._app, request))
        answer: Response = ORJSONResponse(output)
        return answer

    async def _join(self, request: Request) -> Response:
        """Put an event into Gradio's queue. The page's own events are not queued; those of other packages' tabs are."""
        body, fn = await self._event(request)
        if not fn.batch:
            # What the components refuse is refused here: in the queue Gradio would print a traceback each time.
            with _refusing():
                await self._blocks.preprocess_data(fn, list(body.data), None)
        queue = self._blocks._queue
        if queue.server_app is None:
            queue.set_server_app(self._page)
        owner = caller_of(request.scope).owner
        accepted, event_id, _ = await queue.push(body=body, request=request, username=owner)
        if not accepted:
            raise NotTaken(str(event_id), status=422)
        self._forget_later(str(body.session_hash))
        return JSONResponse({"event_id": event_id})

    async def _read(self, request: Request, receive: Receive, send: Send) -> None:
        """Gradio's stream of answers to the events of a session, of the caller's own."""
        session = self._session(request, request.query_params.get("session_hash", ""))
        if session not in self._blocks._queue.pending_messages_per_session:
            answer = shaped(404, "HTTPException", "No event is pending.", "")
            await answer(request.scope, receive, send)
            return
        scope = {**request.scope, "query_string": urlencode({"session_hash": session}).encode()}
        self._read_now.add(session)
        try:
            await self._page(scope, receive, send)
        finally:
            self._read_now.discard(session)
            self._forget_later(session)

    def _forget_later(self, session: str) -> None:
        asyncio.get_running_loop().call_later(UNREAD, lambda: asyncio.ensure_future(self._forget(session)))

    async def _forget(self, session: str) -> None:
        """Let go of answers that nobody reads."""
        queue = self._blocks._queue
        if session not in self._read_now:
            await queue.clean_events(session_hash=session)
            queue.pending_messages_per_session.pop(session, None)
            queue.pending_event_ids_session.pop(session, None)

    async def _event(self, request: Request) -> tuple[PredictBodyInternal, BlockFunction]:
        """(what Gradio is told, the function that it calls).

        Raises:
            NotTaken: it is no event of the page's, or a value does not fit.
        """
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_EVENT:
                raise NotTaken(TOO_LARGE, status=413)
        return await run_in_threadpool(self._understood, request, bytes(content))

    def _understood(self, request: Request, content: bytes) -> tuple[PredictBodyInternal, BlockFunction]:
        given = _parsed(content)
        number = given.get("fn_index")
        fn = self._blocks.fns.get(number) if type(number) is int else None
        if fn is None or fn.fn is None:
            raise NotTaken("This event no longer exists.", "Reload the page.", 404)
        data = given.get("data")
        if not isinstance(data, list) or len(data) < len(fn.inputs):
            raise NotTaken(f"This event has {len(fn.inputs)} values.", "Reload the page.")
        owner = caller_of(request.scope).owner
        inputs = [
            self._fitting(block, self._cleaned(value, owner)) for block, value in zip(fn.inputs, data, strict=False)
        ]
        trigger = given.get("trigger_id")
        session = given.get("session_hash")
        body = PredictBodyInternal(
            data=inputs,
            fn_index=number,
            session_hash=self._session(request, session if isinstance(session, str) else ""),
            event_data=self._cleaned(given.get("event_data"), owner),
            trigger_id=trigger if type(trigger) is int and trigger in self._blocks.blocks else None,
            request=request,
        )
        return body, fn

    def _fitting(self, block: Component, value: object) -> object:
        """A cleaned value as the component may get it: of the type that it says it takes.

        Raises:
            NotTaken: it is of another one.
        """
        if getattr(block, "data_model", None) is not None:
            if not _is_files(value):
                raise NotTaken(f"{block.label or 'This control'} only accepts files.", "Upload one.")
            return value
        kind = self._kinds.get(block._id)
        if kind is None:
            kind = self._kinds[block._id] = _Kind(block)
        if value is None:
            return kind.nothing()
        if not kind.takes(value):
            raise NotTaken(f"{block.label or 'A control'} cannot be {str(value)[:100]!r}.", "Reload the page.")
        return value

    def _cleaned(self, value: object, owner: str, depth: int = 0) -> object:
        """A value without what would break somebody further in; files are those of the owner.

        Raises:
            NotTaken: it is nested too deeply, or no number that can be told.
            NotFound: it is a file that is not the owner's.
        """
        match value:
            case str():
                return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            case int() if abs(value) >= EXACT:
                raise NotTaken("A number is too large.")
            case float() if not math.isfinite(value):
                raise NotTaken("A number is too large.")
            case dict() | list() if depth > DEEPEST:
                raise NotTaken("This is nested too deeply.")
            case dict() if "path" in value or ("url" in value and "meta" in value):
                return self._file_named(value, owner)
            case dict():
                return {self._cleaned(name, owner): self._cleaned(one, owner, depth + 1) for name, one in value.items()}
            case list():
                return [self._cleaned(one, owner, depth + 1) for one in value]
        return value

    def _file_named(self, given: Mapping[str, object], owner: str) -> dict[str, object]:
        """What Gradio is told of a file: nothing that the browser says but which of the owner's it is, and its name.

        Raises:
            NotFound: it is none of the owner's.
        """
        path = given.get("path")
        if not isinstance(path, str):
            raise NotFound("This file was not uploaded here.", hint="Upload it again.")
        found = self._app.catalog.visitor_files.theirs(owner, path)
        return {
            "path": str(found),
            "url": None,
            "size": found.stat().st_size,
            "orig_name": found.name,
            "mime_type": mimetypes.guess_type(found.name)[0],
            "is_stream": False,
            "meta": {"_type": "gradio.FileData"},
        }

    def _session(self, request: Request, given: str) -> str:
        """A session's name, which means another one from whoever else it comes."""
        owner = caller_of(request.scope).owner
        told = f"{owner}\0{given}".encode("utf-8", "replace")
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest()[:32]


async def _taken(page: ASGIApp, request: Request) -> tuple[Response, str]:
    """(status and headers of Gradio's page, its text)."""
    begun: list[Message] = []
    content = bytearray()

    async def taken(message: Message) -> None:
        if message["type"] == "http.response.start":
            begun.append(message)
        else:
            content.extend(message.get("body", b""))

    raw = [(name, value) for name, value in request.scope["headers"] if name != b"accept-encoding"]
    await page({**request.scope, "headers": raw}, request.receive, taken)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in begun[0]["headers"]}
    headers.pop("content-length", None)
    return Response(None, begun[0]["status"], {**headers, "vary": "cookie, accept-language"}), content.decode("utf-8")


@contextmanager
def _refusing() -> Iterator[None]:
    """What Gradio's components make of values that do not fit, as a refusal and a line in the log.

    Raises:
        NotTaken: a value does not fit, or a handler says so.
    """
    try:
        yield
    except gr.Error as error:
        log.info("An event was refused: %s", error.message)
        raise NotTaken(str(error.message)) from error
    except (ComponentProcessingError, ValidationError) as error:
        if isinstance(error, ComponentProcessingError) and not str(error).startswith("Could not preprocess"):
            raise
        log.info("An event was refused: %s", str(error.__cause__ or error).splitlines()[0])
        raise NotTaken("A value that was sent does not fit its control.", "Reload the page.") from error


def _parsed(content: bytes) -> dict[str, object]:
    """The JSON object of an event.

    Raises:
        NotTaken: it is none.
    """
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotTaken("An event must be JSON.", status=400) from error
    if not isinstance(given, dict):
        raise NotTaken("An event must be a JSON object.", status=422)
    return given


def _is_files(value: object) -> bool:
    """Whether a cleaned value can stand in a component that takes files: none, one or several."""
    if isinstance(value, list):
        return len(value) <= MOST_FILES and all(isinstance(one, dict) and "path" in one for one in value)
    return value is None or (isinstance(value, dict) and "path" in value)


class _Kind:
    """What a component takes, by the schema that it gives of itself."""

    def __init__(self, block: Component) -> None:
        try:
            schema = block.api_info()
        except NotImplementedError:  # It is no control.
            schema = None
        self._type = schema.get("type") if isinstance(schema, dict) else None
        items = schema.get("items") if self._type == "array" else None
        self._of = items.get("type") if isinstance(items, dict) else None
        choices = getattr(block, "choices", None)
        self._is_chosen = choices is not None
        # Schemas call all choices strings.
        self._chosen_numbers = any(not isinstance(value, str) for _, value in choices or ())

    def takes(self, value: object) -> bool:
        """Whether a value is of its type."""
        if self._type == "array":
            return isinstance(value, list) and all(self._is(self._of, one) for one in value)
        return self._is(self._type, value)

    def nothing(self) -> object:
        """What an empty control means."""
        match self._type:
            case "string" if not self._is_chosen:
                return ""
            case "boolean":
                return False
            case "array":
                return []
        return None

    def _is(self, kind: object, value: object) -> bool:
        match kind:
            case "string":
                return isinstance(value, str) or (self._chosen_numbers and type(value) in (int, float))
            case "number":
                return type(value) in (int, float)
            case "integer":
                return type(value) is int
            case "boolean":
                return isinstance(value, bool)
        return True


def _upload_name(request: Request) -> str:
    name = parse_qs(str(request.url.query)).get("upload_id", [""])[0]
    return name if re.fullmatch(r"[0-9A-Za-z]{1,64}", name) else ""


class _Arrived:
    """How much of an upload has come, by the files' names."""

    def __init__(self, *, done: bool = False) -> None:
        self.done = done
        self.sizes: dict[str, int] = {}


class _Arriving(UploadFile):
    """A file of an upload, written straight to where it stays; no more than one of them is open at a time."""

    def __init__(self, app: App, owner: str, name: str, most: int, arrived: _Arrived) -> None:
        super().__init__(io.BytesIO(), filename=name)
        self.path: Path | None = None
        self._files, self._owner = app.catalog.visitor_files, owner
        self._most = most
        self._arrived = arrived
        self._written = 0

    async def write(self, data: bytes) -> None:
        self._written += len(data)
        if self._written > self._most:
            raise MultiPartException(f"{_Parser.TOO_LARGE} {self._most:,} bytes are allowed.")
        await run_in_threadpool(self._append, data)
        sizes = self._arrived.sizes
        sizes[self.filename or ""] = sizes.get(self.filename or "", 0) + len(data)

    async def seek(self, offset: int) -> None:  # noqa: ARG002
        """Where Starlette goes back to the beginning, the file is whole."""
        await run_in_threadpool(self._append, b"")
        self.file.close()

    def discard(self) -> None:
        """Delete what has come."""
        self.file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        if self.path is None:
            self.path = self._files.place(self._owner, self.filename or "")
            self.file = self.path.open("xb")
        self.file.write(data)


class _Parser(MultiPartParser):
    """Reads an upload into the folder of its owner."""

    TOO_LARGE = "This file is too large: at most"

    def __init__(self, app: App, owner: str, most: int, arrived: _Arrived, request: Request) -> None:
        super().__init__(
            request.headers, _bounded(request), max_files=MOST_FILES, max_fields=20, max_part_size=LARGEST_FIELD
        )
        self._app = app
        self._owner = owner
        self._most = most
        self._arrived = arrived
        self._written: list[_Arriving] = []

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        if part.file is not None:
            name = part.file.filename or ""
            part.file = _Arriving(self._app, self._owner, name, self._most, self._arrived)
            self._written.append(part.file)

    def discard(self) -> None:
        """Delete what has come."""
        for one in self._written:
            one.discard()


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise NotTaken(TOO_LARGE, status=413)
        yield chunk

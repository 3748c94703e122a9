"""The page's own routes under `/internal`, beside those of `api/own.py`: its stream of events, tokens, the restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request, Response, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from webui.base.errors import NotFound, UserError
from webui.base.text import named
from webui.catalog.tokens import Token
from webui.prompt.chunks import Count, count_tokens
from webui.request.params import by_name
from webui.server.folder_window import folder_to_show, is_here, show
from webui.server.guard import Caller, StreamRight, caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

NEVER_KEPT = {"cache-control": "no-store"}
SOUND = "notification.mp3"
"""A1111: played when pictures are done."""
STILL_HERE = 4.0
"""Seconds after which a silent stream says that it is still there; a page that hears nothing for longer connects anew
(`live.js`)."""


class FolderWish(BaseModel):
    """A folder to show."""

    tab: str = ""
    picture: str = ""
    """That is selected; "": none is."""


class TokenWish(BaseModel):
    """A token to create."""

    name: str = ""
    scopes: list[str] = ["read", "generate"]


def routes(app: App) -> Routes:
    """The routes; everything else they need is the App's."""
    router = Routes(prefix="/internal", include_in_schema=False)
    for part in (_stream, _engine, _machine, _prompts, _tokens, _logins):
        router.include(part(app))
    return router


def _stream(app: App) -> Routes:
    """The events of the page, and whether the server is there at all."""
    router = Routes()
    queue = app.queue

    @router.websocket("/ws", "user")
    async def stream(socket: WebSocket, since: int | None = None) -> None:
        caller = caller_of(socket.scope)
        await socket.accept()
        at_home = caller.role == "admin" and is_here(socket) and _shows_folders(app)
        reader = queue.hub.subscribe(caller.owner, since)
        may_read = StreamRight(caller, app.access)

        async def sends() -> None:
            while True:
                try:
                    message = await asyncio.wait_for(reader.next_message(), STILL_HERE)
                except TimeoutError:
                    message = {"type": "still"}
                if not may_read():
                    await socket.close(1008, "This login has ended.")
                    return
                if message["type"] == "state":
                    message = {**message, "page": {**by_name(message.get("page")), "at_home": at_home}}
                await socket.send_text(json.dumps(message))

        sending = asyncio.create_task(sends())
        try:
            while True:
                await socket.receive_text()  # The page says nothing; this ends when it goes.
        except WebSocketDisconnect:
            pass
        finally:
            queue.hub.unsubscribe(reader)
            sending.cancel()
            await asyncio.wait([sending])

    @router.get("/ping", "user")
    def ping() -> dict[str, str]:
        return {}

    return router


def _engine(app: App) -> Routes:
    """What the page asks of the engine beside its jobs."""
    router = Routes()
    queue = app.queue

    @router.post("/restart", "admin")
    def restart() -> None:
        app.restart()

    @router.post("/models/unload", "admin")
    def unload() -> None:
        queue.unload()

    @router.get("/preview/{job_id}/{name}", "user")
    def preview(job_id: str, name: str, request: Request) -> Response:
        if not caller_of(request.scope).may_see(queue.job(job_id).owner):
            raise NotFound(f"You have no job {job_id!r}.")
        latest = queue.preview_of(job_id)
        del name  # It keeps browsers from showing an old look; the newest is the one that is wanted.
        if latest is None:
            return Response(status_code=204, headers=NEVER_KEPT)  # The job was over sooner than the page could ask.
        return Response(latest.content, media_type=latest.media_type, headers=NEVER_KEPT)

    return router


def _shows_folders(app: App) -> bool:
    """Whether people may see where things lie."""
    return not app.settings.freeze.folders


def _machine(app: App) -> Routes:
    """What the page asks of the machine that the server runs on."""
    router = Routes()

    @router.post("/folder/show", "admin")
    def show_folder(wish: FolderWish, request: Request) -> dict[str, str]:
        """Open a window that shows where pictures are saved, for somebody who sits at that machine."""
        if not _shows_folders(app):
            raise UserError("Folders are not shown here: --hide-ui-dir-config takes them from the page.")
        if not is_here(request):
            raise UserError("Folders can only be opened on the machine that Gesso runs on.", hint="Use Save instead.")
        saved = None
        if wish.picture:
            saved = app.catalog.pictures.get(wish.picture.partition(".")[0])
            if app.access.required and not caller_of(request.scope).may_see(saved.owner):
                raise NotFound(f"You have no picture {wish.picture!r}.")
        folder = folder_to_show(saved, wish.tab, app.settings.current, app.paths)
        show(folder)
        return {"folder": named(folder)}

    @router.get("/notification", "user")
    def notification() -> Response:
        """The sound that people have put into the data folder; 204: there is none."""
        path = app.paths.data / SOUND
        if not path.is_file():
            return Response(status_code=204, headers=NEVER_KEPT)
        return FileResponse(path, media_type="audio/mpeg", headers=NEVER_KEPT)

    return router


def _prompts(app: App) -> Routes:
    """What the page asks of prompts while they are written."""
    router = Routes()

    @router.get("/tokens", "user")
    async def tokens(
        text: str = "", steps: int = 20, positive: bool = True, styles: Annotated[list[str] | None, Query()] = None
    ) -> dict[str, int]:
        """The number of tokens in a prompt, including what these styles add to it."""

        def counted() -> Count:
            whole = app.catalog.styled(*((text, "") if positive else ("", text)), known(styles or ()))
            return count_tokens(whole[not positive][:20_000], min(max(steps, 1), 1000), positive=positive)

        def known(names: Iterable[str]) -> tuple[str, ...]:
            there = app.catalog.styles.all() if names else {}
            return tuple(name for name in names if name in there)

        count = await run_in_threadpool(counted)
        return {"used": count.used, "max": count.max}

    return router


def _tokens(app: App) -> Routes:
    """The caller's tokens for programs."""
    router = Routes(prefix="/access/tokens")

    @router.get("", "user")
    def list_tokens(request: Request) -> list[dict[str, object]]:
        return [_shown(token) for token in app.tokens.of(caller_of(request.scope).owner)]

    @router.post("", "user")
    def make_token(wish: TokenWish, request: Request) -> dict[str, object]:
        """Create a token. Only this response contains the secret."""
        caller = _person(request)
        token, secret = app.tokens.make(caller.owner, wish.name, wish.scopes)
        return {**_shown(token), "token": secret}

    @router.delete("/{token_id}", "user")
    def revoke_token(token_id: str, request: Request) -> None:
        app.tokens.revoke(token_id, caller_of(request.scope).owner)

    return router


def _logins(app: App) -> Routes:
    """Who is logged in."""
    router = Routes(prefix="/access/sessions")

    @router.get("", "user")
    def list_sessions(request: Request) -> list[dict[str, object]]:
        """The caller's logins; an admin sees everyone's."""
        caller = caller_of(request.scope)
        if not app.access.required:
            return []
        found = app.access.sessions.of(None if caller.role == "admin" else caller.owner)
        shown = ({**asdict(session), "current": session.id == caller.session} for session in found)
        return sorted(shown, key=lambda session: (not session["current"], session["owner"] != caller.owner))

    @router.delete("/{session_id}", "user")
    def end_session(session_id: str, request: Request) -> None:
        """End a login: your own or, as an admin, anyone's."""
        caller = _person(request)
        app.access.sessions.end(session_id, None if caller.role == "admin" else caller.owner)

    @router.delete("", "user")
    def end_other_sessions(request: Request) -> dict[str, int]:
        """End all of the caller's logins except the one making this request."""
        caller = _person(request)
        return {"ended": app.access.sessions.end_all(caller.owner, but=caller.session)}

    return router


def _person(request: Request) -> Caller:
    """The caller, who is no program: whoever finds a token or a password in one shall not get further by it."""
    caller = caller_of(request.scope)
    if caller.program:
        raise UserError("This is not available to programs.", hint="Use the web page instead.")
    return caller


def _shown(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created": token.created,
        "used": token.used,
    }

"""The page's own routes under `/internal`: the stream of events, pictures by number, and what buttons do to jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from webui.base.errors import NotFound, UserError
from webui.catalog.tokens import Token
from webui.prompt.chunks import count_tokens
from webui.server.guard import caller_of
from webui.server.jobs.job import Job

if TYPE_CHECKING:
    from webui.app import App

MIME = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}
KEPT_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
NEVER_KEPT = {"cache-control": "no-store"}
SILENCE = 15.0
"""Seconds after which a silent event stream says that it is still there."""
STILL_HERE = 4.0
"""The same for a page, which connects anew when it hears nothing for longer (`live.js`)."""


class Again(BaseModel):
    """What shall be different when a job is submitted once more."""

    changes: dict[str, Any] = {}
    """Field name -> value, such as {"seed": 7, "steps": 30}."""


class TokenWish(BaseModel):
    """A token to be made."""

    name: str = ""
    scopes: list[str] = ["read", "generate"]


class Order(BaseModel):
    """Waiting jobs in the order in which they shall run."""

    ids: list[str]


def routes(app: App) -> APIRouter:
    """The routes; everything else they need is the App's."""
    router = APIRouter(prefix="/internal", include_in_schema=False)
    queue, pictures = app.queue, app.catalog.pictures

    def own_job(job_id: str, connection: HTTPConnection) -> Job:
        """The job, if it is the caller's; somebody else's is as if it were not there."""
        job = queue.job(job_id)
        if not caller_of(connection.scope).may_see(job.owner):
            raise NotFound(f"There is no job {job_id!r} of yours.")
        return job

    @router.websocket("/ws")
    async def stream(socket: WebSocket, since: int | None = None) -> None:
        await socket.accept()
        reader = queue.hub.subscribe(caller_of(socket.scope).owner, since)

        async def sends() -> None:
            while True:
                try:
                    message = await asyncio.wait_for(reader.next_message(), STILL_HERE)
                except TimeoutError:
                    message = {"type": "still"}
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

    @router.get("/events")
    async def events(request: Request, since: int | None = None) -> StreamingResponse:
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isdigit() else since

        async def lines() -> AsyncIterator[str]:
            reader = queue.hub.subscribe(caller_of(request.scope).owner, after)
            try:
                while True:
                    try:
                        message = await asyncio.wait_for(reader.next_message(), SILENCE)
                    except TimeoutError:
                        yield ":\n\n"
                        continue
                    yield f"id: {message['seq']}\nevent: {message['type']}\ndata: {json.dumps(message)}\n\n"
            finally:
                queue.hub.unsubscribe(reader)

        return StreamingResponse(lines(), media_type="text/event-stream", headers=NEVER_KEPT)

    @router.get("/jobs")
    def list_jobs(request: Request) -> dict[str, Any]:
        return dict(queue.snapshot(caller_of(request.scope).owner))

    @router.post("/jobs/order")
    def reorder(order: Order, request: Request) -> None:
        queue.reorder([own_job(job_id, request).id for job_id in order.ids])

    @router.post("/jobs/cancel")
    def cancel_all(request: Request) -> dict[str, int]:
        return {"cancelled": queue.cancel_all(caller_of(request.scope).owner)}

    @router.post("/jobs/forever/stop")
    def stop_forever(request: Request) -> None:
        queue.forever(caller_of(request.scope).owner)

    @router.get("/jobs/{job_id}")
    def job(job_id: str, request: Request) -> dict[str, Any]:
        """With `request`: every field as it was submitted, for the form."""
        found = own_job(job_id, request)
        return {**found.message(mine=True), "request": found.request.model_dump(mode="json")}

    @router.post("/jobs/{job_id}/again")
    def again(job_id: str, request: Request, wish: Again | None = None) -> dict[str, str]:
        found = own_job(job_id, request)
        return {"id": queue.again(found.id, found.owner, wish.changes if wish else None)}

    @router.post("/jobs/{job_id}/forever")
    def forever(job_id: str, request: Request) -> dict[str, str]:
        found = own_job(job_id, request)
        queue.forever(found.owner, found.id)
        return {"id": queue.repeated(found.owner)}

    @router.post("/jobs/{job_id}/interrupt")
    def interrupt(job_id: str, request: Request) -> None:
        queue.interrupt(own_job(job_id, request).id)

    @router.post("/jobs/{job_id}/skip")
    def skip(job_id: str, request: Request) -> None:
        queue.skip(own_job(job_id, request).id)

    @router.post("/jobs/{job_id}/cancel")
    def cancel(job_id: str, request: Request) -> None:
        queue.cancel(own_job(job_id, request).id)

    @router.post("/queue/pause")
    def pause() -> None:
        queue.pause(True)

    @router.post("/queue/resume")
    def resume() -> None:
        queue.pause(False)

    @router.post("/restart")
    def restart() -> None:
        app.restart()

    @router.post("/models/unload")
    def unload() -> None:
        queue.unload()

    def own_picture(picture_id: str, request: Request) -> None:
        """Pictures of named users are theirs alone; those of browsers without login are known by their number."""
        owner = pictures.get(picture_id).owner
        if app.access.required and not caller_of(request.scope).may_see(owner):
            raise NotFound(f"There is no picture {picture_id!r} of yours.")

    @router.get("/picture/{picture_id}")
    def picture(picture_id: str, request: Request) -> Response:
        own_picture(picture_id, request)
        content, kind = pictures.content(picture_id)
        return Response(content, media_type=MIME.get(kind, "application/octet-stream"), headers=KEPT_FOR_EVER)

    @router.get("/picture/{picture_id}/extra/{name}")
    def extra_picture(picture_id: str, name: str, request: Request) -> Response:
        """A picture that comes with another: its mask."""
        own_picture(picture_id, request)
        content, kind = pictures.extras.content(picture_id, name)
        return Response(content, media_type=MIME.get(kind, "application/octet-stream"), headers=KEPT_FOR_EVER)

    @router.post("/picture/{picture_id}/save")
    def save_picture(picture_id: str, request: Request) -> dict[str, str]:
        """Try again to write a picture that could not be saved."""
        own_picture(picture_id, request)
        saved = pictures.save_again(picture_id)
        queue.picture_saved(saved.job_id)
        return {"path": saved.path}

    @router.post("/picture/{picture_id}/discard")
    def discard_picture(picture_id: str, request: Request) -> None:
        """Give up a picture that could not be saved."""
        own_picture(picture_id, request)
        job_id = pictures.get(picture_id).job_id
        pictures.give_up(picture_id)
        queue.picture_saved(job_id)

    @router.get("/thumbnail/{picture_id}")
    def thumbnail(picture_id: str, request: Request) -> Response:
        own_picture(picture_id, request)
        return Response(pictures.thumbnail(picture_id), media_type="image/webp", headers=KEPT_FOR_EVER)

    @router.get("/preview/{job_id}/{number}.jpg")
    def preview(job_id: str, number: int, request: Request) -> Response:
        own_job(job_id, request)
        latest = queue.preview_of(job_id)
        del number  # It keeps browsers from showing an old look; the newest is the one that is wanted.
        if latest is None:
            return Response(status_code=204, headers=NEVER_KEPT)  # The job was over sooner than the page could ask.
        return Response(latest.jpeg, media_type="image/jpeg", headers=NEVER_KEPT)

    @router.get("/tokens")
    async def tokens(text: str = "", steps: int = 20, positive: bool = True) -> dict[str, int]:
        count = await run_in_threadpool(count_tokens, text[:20_000], min(max(steps, 1), 1000), positive=positive)
        return {"used": count.used, "max": count.max}

    @router.get("/access/tokens")
    def list_tokens(request: Request) -> list[dict[str, Any]]:
        return [_shown(token) for token in app.tokens.of(caller_of(request.scope).owner)]

    @router.post("/access/tokens")
    def make_token(wish: TokenWish, request: Request) -> dict[str, Any]:
        """The secret is in this answer alone."""
        caller = caller_of(request.scope)
        if caller.program:
            raise UserError("A program cannot make tokens.", hint="Make it on the page.")
        token, secret = app.tokens.make(caller.owner, wish.name, wish.scopes)
        return {**_shown(token), "token": secret}

    @router.delete("/access/tokens/{token_id}")
    def revoke_token(token_id: str, request: Request) -> None:
        app.tokens.revoke(token_id, caller_of(request.scope).owner)

    @router.get("/ping")
    def ping() -> dict[str, str]:
        return {}

    return router


def _shown(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created": token.created,
        "used": token.used,
    }

"""Routes of the history: pictures listed by page, judged, deleted."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.requests import HTTPConnection

from webui.base.errors import WebuiError
from webui.base.text import path_named
from webui.catalog.history import HistoryPicture, Wanted
from webui.request.documented import Documented
from webui.request.infotext import Mark, marks
from webui.server.api.documented import PictureId
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

MOST_AT_ONCE = 1000


class Listed(Documented):
    """A picture of the history."""

    id: str
    """The id to use in `/api/v1/pictures/{id}`."""
    kind: str
    """"txt2img", "img2img", ..."""
    prompt: str
    """The prompt in its infotext."""
    infotext: str
    """Its infotext."""
    marks: tuple[Mark, ...] = ()
    """Where the infotext's labels and values begin and end, in UTF-16 units."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    seed: int
    """The picture's own seed."""
    model: str
    """The checkpoint's name; empty if unknown."""
    sampler: str
    """The sampler's name; empty if unknown."""
    created: float
    """Seconds since 1970."""
    parent: str
    """The id of the picture that it was made from, or ""."""
    rating: int
    """Stars, 0 to 5; 0: not rated."""
    favourite: bool
    """Whether it is a favourite."""
    tags: tuple[str, ...]
    """The tags that people gave it."""
    name: str
    """The size of the file in bytes."""
    missing: bool
    """Whether the file no longer exists."""
    url: str
    """The address of its file, relative to the page."""
    thumb_url: str
    """The address of its thumbnail, relative to the page."""


class Page(Documented):
    """A page of pictures, newest first."""

    pictures: list[Listed]
    """At most as many as requested."""
    next: str
    """The value of `before` for the next page; empty if this is the last one."""


class Choices(Documented):
    """The values that occur in the history."""

    model: list[str]
    """Checkpoints."""
    sampler: list[str]
    """Samplers."""
    kind: list[str]
    """"txt2img", "img2img", "extras"."""


class Opinion(Documented):
    """A rating of a picture; what is left out stays unchanged."""

    rating: Annotated[int, Field(ge=0, le=5)] | None = None
    """Stars, 0 to 5; 0: not rated."""
    favourite: bool | None = None
    """Whether it is a favourite."""
    tags: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=100)] | None = None
    """All of its tags; they replace the ones it had."""


class Doomed(Documented):
    """Pictures to delete."""

    ids: Annotated[list[str], Field(max_length=MOST_AT_ONCE)]
    """The ids of the pictures."""
    for_good: bool = False
    """Deletes permanently instead of moving to the trash."""


class NotDeleted(Documented):
    """A picture that could not be deleted."""

    id: str
    """The picture."""
    message: str
    """Why."""


class Deleted(Documented):
    """The result of a deletion."""

    deleted: list[str]
    """The ids of the deleted pictures."""
    failed: list[NotDeleted]
    """The pictures that could not be deleted."""


class Search(Documented):
    """The progress of the search for pictures in the output folders."""

    running: bool
    """Whether the search is running."""
    seen: int
    """The number of files examined so far."""
    new: int
    """The number of new pictures among them."""


def viewer_of(app: App, connection: HTTPConnection) -> str | None:
    """Whose pictures the caller sees: their own where people have names; None is everybody's."""
    caller = caller_of(connection.scope)
    return caller.owner if app.access.required and not caller.sees_all else None


def routes(app: App) -> Routes:
    """The routes, below `/history`; everything else they need is the App's."""
    router = Routes(prefix="/history", tags=["history"])
    history = app.catalog.history

    @router.get("/pictures", "user")
    def pictures(
        request: Request,
        search: Annotated[str, Query(max_length=1000, description="Words in the prompt or the tags.")] = "",
        model: Annotated[str, Query(description="Only pictures made with this checkpoint.")] = "",
        sampler: Annotated[str, Query(description="Only pictures made with this sampler.")] = "",
        kind: Annotated[str, Query(description="Only pictures of this kind, such as img2img.")] = "",
        since: Annotated[
            float | None,
            Query(ge=0, le=9e9, description="Only pictures made at this time or later, in seconds since 1970."),
        ] = None,
        until: Annotated[
            float | None,
            Query(ge=0, le=9e9, description="Only pictures made at this time or earlier, in seconds since 1970."),
        ] = None,
        rating: Annotated[int, Query(ge=0, le=5, description="The minimum number of stars.")] = 0,
        favourite: Annotated[bool, Query(description="Only favourites.")] = False,
        parent: Annotated[str, Query(description="Only pictures made from the picture with this id.")] = "",
        before: Annotated[
            str,
            Query(pattern="^[0-9]{0,18}$|^[0-8][0-9]{18}$", description="The value of `next` in the previous page."),
        ] = "",
        limit: Annotated[int, Query(ge=1, le=500, description="The maximum number to return.")] = 60,
    ) -> Page:
        """Pictures, newest first; `search` looks for words in the prompt and the tags, `rating` is the minimum number
        of stars."""
        wanted = Wanted(search, model, sampler, kind, since, until, rating, favourite, parent)
        found = history.page(wanted, owner=viewer_of(app, request), before=int(before) if before else None, limit=limit)
        return Page(pictures=[_listed(one) for one in found], next=str(found[-1].number) if len(found) == limit else "")

    @router.get("/pictures/{picture_id}", "user")
    def picture(picture_id: PictureId, request: Request) -> Listed:
        """One picture of the history."""
        return _listed(history.get(picture_id, viewer_of(app, request)))

    @router.post("/pictures/{picture_id}", "user")
    def judge(picture_id: PictureId, opinion: Opinion, request: Request) -> Listed:
        """Rate a picture, mark it as a favourite, or tag it."""
        judged = history.judge(
            picture_id,
            owner=viewer_of(app, request),
            rating=opinion.rating,
            favourite=opinion.favourite,
            tags=None if opinion.tags is None else tuple(opinion.tags),
        )
        return _listed(judged)

    @router.get("/choices", "user")
    def choices(request: Request) -> Choices:
        """The models, samplers and kinds that occur in the history."""
        return Choices(**history.choices(viewer_of(app, request)))

    @router.post("/delete", "user")
    def delete(doomed: Doomed, request: Request) -> Deleted:
        """Move pictures to the system's trash."""
        return _deleted(app, doomed, viewer_of(app, request))

    router.include(_search(app))
    return router


def _search(app: App) -> Routes:
    """The search for pictures that lie in the output folders."""
    router = Routes()

    @router.get("/search", "user")
    def search_state() -> Search:
        """The progress of the search for pictures in the output folders."""
        return Search(**asdict(app.catalog.folders.looked))

    @router.post("/search", "user")
    def search() -> Search:
        """Search the output folders for new pictures, in the background."""
        app.catalog.look_for_pictures(app.settings.current.save)
        return Search(**asdict(app.catalog.folders.looked))

    return router


def _deleted(app: App, doomed: Doomed, owner: str | None) -> Deleted:
    """Delete what is the owner's, of None what is anybody's -> what became of each."""
    answer = Deleted(deleted=[], failed=[])
    jobs = set()
    for picture_id in dict.fromkeys(doomed.ids):
        try:
            jobs.add(app.catalog.history.delete(picture_id, owner=owner, for_good=doomed.for_good).job_id)
            answer.deleted.append(picture_id)
        except WebuiError as error:
            answer.failed.append(NotDeleted(id=picture_id, message=str(error)))
    for job_id in jobs - {""}:
        app.queue.picture_saved(job_id)  # Its pictures are fewer now: the page is told.
    return answer


def _listed(picture: HistoryPicture) -> Listed:
    shown: dict[str, object] = {name: value for name, value in asdict(picture).items() if name in Listed.model_fields}
    return Listed(
        **shown,
        marks=marks(picture.infotext),
        missing=not os.path.exists(path_named(picture.path)),  # noqa: PTH110 - never raises, whatever the name
        name=picture.path.replace("\\", "/").rsplit("/", 1)[-1],
        url=f"internal/pictures/{picture.id}",
        thumb_url=f"internal/pictures/{picture.id}/thumbnail",
    )

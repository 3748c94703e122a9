"""Routes of the history: pictures listed by page, judged, deleted."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.requests import HTTPConnection

from webui.base.errors import NotFound, WebuiError
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
    """The file's name."""
    bytes: int
    """The size of the file; -1: not known."""
    missing: bool
    """Whether the file no longer exists."""
    url: str
    """The address of its file, relative to the page."""
    thumb_url: str
    """The address of its thumbnail, relative to the page."""


class Filters(Documented):
    """Which pictures are meant; what is left out does not matter."""

    search: Annotated[str, Field(max_length=1000)] = ""
    """Words in the prompt or the tags."""
    model: str = ""
    """Only pictures made with this checkpoint."""
    sampler: str = ""
    """Only pictures made with this sampler."""
    kind: str = ""
    """Only pictures of this kind, such as img2img."""
    since: Annotated[float | None, Field(ge=0, le=9e9)] = None
    """Only pictures made at this time or later, in seconds since 1970."""
    until: Annotated[float | None, Field(ge=0, le=9e9)] = None
    """Only pictures made before this time, in seconds since 1970."""
    rating: Annotated[int, Field(ge=0, le=5)] = 0
    """The minimum number of stars."""
    favourite: bool = False
    """Only favourites."""
    parent: str = ""
    """Only pictures made from the picture with this id."""
    album: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Only pictures in the album with this id."""
    size: Annotated[str, Field(pattern="^([0-9]{1,6}x[0-9]{1,6})?$")] = ""
    """Only pictures of this width and height, such as 512x768."""
    tag: Annotated[str, Field(max_length=200)] = ""
    """Only pictures with this tag."""
    lora: Annotated[str, Field(max_length=200)] = ""
    """Only pictures whose prompt uses this LoRA."""

    def wanted(self, album: int) -> Wanted:
        """What the history is asked for; `album`: the album's id, once it is known that the caller may see it."""
        return Wanted(
            self.search, self.model, self.sampler, self.kind, self.since, self.until, self.rating, self.favourite,
            self.parent, album, self.size, self.tag, self.lora,
        )  # fmt: skip


class PageQuery(Filters):
    """Which page of them."""

    before: Annotated[str, Field(pattern="^[0-9]{0,18}$|^[0-8][0-9]{18}$")] = ""
    """The value of `next` in the previous page."""
    limit: Annotated[int, Field(ge=1, le=500)] = 60
    """The maximum number to return."""


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


def album_owner(app: App, connection: HTTPConnection) -> str:
    """Whose albums the caller has: their own where people have names, else everybody's."""
    return caller_of(connection.scope).owner if app.access.required else ""


def wanted_by(app: App, connection: HTTPConnection, filters: Filters) -> Wanted:
    """What these filters ask for. Raises NotFound: the album is not the caller's."""
    album = filters.album
    if album and all(album != own.id for own in app.catalog.albums.all(album_owner(app, connection))):
        raise NotFound(f"There is no album {album}.", field="album")
    return filters.wanted(album)


def routes(app: App) -> Routes:
    """The routes, below `/history`; everything else they need is the App's."""
    router = Routes(prefix="/history", tags=["history"])
    history = app.catalog.history

    @router.get("/pictures", "user")
    def pictures(request: Request, page: Annotated[PageQuery, Query()]) -> Page:
        """Pictures, newest first; `search` looks for words in the prompt and the tags, `rating` is the minimum number
        of stars."""
        wanted, owner = wanted_by(app, request, page), viewer_of(app, request)
        before = int(page.before) if page.before else None
        found = history.page(wanted, owner=owner, before=before, limit=page.limit)
        last = str(found[-1].number) if len(found) == page.limit else ""
        return Page(pictures=[listed(one) for one in found], next=last)

    @router.get("/pictures/{picture_id}", "user")
    def picture(picture_id: PictureId, request: Request) -> Listed:
        """One picture of the history."""
        return listed(history.get(picture_id, viewer_of(app, request)))

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
        return listed(judged)

    @router.get("/choices", "user")
    def choices(request: Request) -> Choices:
        """The models, samplers and kinds that occur in the history."""
        return Choices(**history.choices(viewer_of(app, request)))

    @router.post("/delete", "user")
    def delete(doomed: Doomed, request: Request) -> Deleted:
        """Move pictures to the trash, from where they can be restored."""
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
            if doomed.for_good:
                jobs.add(app.catalog.history.destroy(picture_id, owner=owner).job_id)
            else:
                jobs.add(app.catalog.trash.put(picture_id, owner=owner))
            answer.deleted.append(picture_id)
        except WebuiError as error:
            answer.failed.append(NotDeleted(id=picture_id, message=str(error)))
    tell_of(app, jobs)
    return answer


def tell_of(app: App, jobs: set[str]) -> None:
    """The pictures of these jobs are other ones now: the page is told."""
    for job_id in jobs - {""}:
        app.queue.picture_saved(job_id)


def listed(picture: HistoryPicture) -> Listed:
    shown: dict[str, object] = {name: value for name, value in asdict(picture).items() if name in Listed.model_fields}
    return Listed(
        **shown,
        marks=marks(picture.infotext),
        missing=not os.path.exists(path_named(picture.path)),  # noqa: PTH110 - never raises, whatever the name
        name=picture.path.replace("\\", "/").rsplit("/", 1)[-1],
        url=f"internal/pictures/{picture.id}",
        thumb_url=f"internal/pictures/{picture.id}/thumbnail",
    )

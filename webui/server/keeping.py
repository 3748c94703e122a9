"""Routes of the history beyond its pages: outline, facets, likeness, albums, trash, storage, export."""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Path as PathParameter
from fastapi import Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection

from webui.base.errors import NotFound, UserError, WebuiError
from webui.base.files import storage_error
from webui.catalog.stripping import without_words
from webui.request.documented import Documented
from webui.server.api.documented import PictureId
from webui.server.api.pictures import KEPT_FOR_EVER, SMALL, ZIP
from webui.server.history import (
    MOST_AT_ONCE,
    Deleted,
    Filters,
    Listed,
    NotDeleted,
    album_owner,
    listed,
    tell_of,
    viewer_of,
    wanted_by,
)
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

Ids = Annotated[list[str], Field(max_length=MOST_AT_ONCE)]
Name = Annotated[str, Field(max_length=200)]
AlbumId = Annotated[int, PathParameter(description="The album's id.", ge=0, le=2**62)]
MOST_ALIKE = 120


class OutlineQuery(Filters):
    """Which pictures, and how many there are between two anchors."""

    step: Annotated[int, Field(ge=10, le=500)] = 100
    """A page's length."""


class OutlineAnswer(Documented):
    """Where a long list begins, ends and passes by."""

    total: int
    """How many pictures there are."""
    anchors: list[str]
    """The number of the first one of each page. A page's `before` is one more than its anchor."""


class FacetAnswer(Documented):
    """A value that occurs."""

    value: str
    """The value, as its filter takes it."""
    count: int
    """How many of the pictures have it."""


class Facets(Documented):
    """What occurs in the pictures, the most frequent first."""

    model: list[FacetAnswer]
    """Checkpoints."""
    sampler: list[FacetAnswer]
    """Samplers."""
    kind: list[FacetAnswer]
    """"txt2img", "img2img", "extras"."""
    size: list[FacetAnswer]
    """Width and height in pixels."""
    rating: list[FacetAnswer]
    """Stars."""
    tag: list[FacetAnswer]
    """Tags."""
    lora: list[FacetAnswer]
    """LoRAs named in prompts."""
    month: list[FacetAnswer]
    """Year and month."""


class AlikePicture(Documented):
    """A picture that looks like another one."""

    picture: Listed
    """The picture."""
    distance: float
    """0: it cannot be told from it; 1: nothing in common."""


class AlikeAnswer(Documented):
    """The pictures that look most like one, which comes first."""

    pictures: list[AlikePicture]
    """The most similar ones first."""
    known: int
    """Of so many pictures it is known what they look like."""
    total: int
    """So many there are."""
    running: bool
    """Whether the others are being looked at, in the background."""


class AlbumAnswer(Documented):
    """An album."""

    id: int
    """Its id."""
    name: str
    """Its name."""
    count: int
    """The number of pictures in it."""
    cover: str
    """The id of the picture that was added last; empty if there is none."""


class AlbumBody(Documented):
    """What an album is to be called."""

    name: Name
    """Its name."""


class AlbumPictures(Documented):
    """Pictures to put into an album, or to take out."""

    add: Ids = []
    """The ids of those to put in."""
    remove: Ids = []
    """The ids of those to take out."""


class Changed(Documented):
    """How many were put in and taken out."""

    added: int
    """Pictures that were not in it."""
    removed: int
    """Pictures that were."""


class TrashedAnswer(Documented):
    """A deleted picture."""

    id: str
    """Its id."""
    since: float
    """When it was deleted, in seconds since 1970."""
    prompt: str
    """The prompt in its infotext."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    thumb_url: str
    """The address of its thumbnail, relative to the page."""


class TrashAnswer(Documented):
    """The pictures in the trash."""

    pictures: list[TrashedAnswer]
    """What was deleted last comes first."""
    days: int
    """After so many days they are deleted permanently; 0: never."""


class TrashBody(Documented):
    """Pictures in the trash."""

    ids: Ids = []
    """Their ids."""


class Restored(Documented):
    """What was restored."""

    restored: list[str]
    """The ids of the restored pictures."""
    failed: list[NotDeleted]
    """Those that could not be restored."""


class StoredAnswer(Documented):
    """What the pictures of a checkpoint take on the disk."""

    model: str
    """The checkpoint; empty if unknown."""
    count: int
    """The number of its pictures."""
    bytes: int
    """The size of their files."""


class ExportBody(Documented):
    """Pictures to export."""

    ids: Annotated[list[str], Field(min_length=1, max_length=MOST_AT_ONCE)]
    """Their ids."""
    metadata: bool = True
    """Whether the files keep their infotext and other metadata."""


def routes(app: App) -> Routes:
    """The routes, below `/history`; everything else they need is the App's."""
    router = Routes(prefix="/history", tags=["history"])
    history, looks = app.catalog.history, app.catalog.looks

    @router.get("/outline", "user")
    def outline(request: Request, query: Annotated[OutlineQuery, Query()]) -> OutlineAnswer:
        """How many pictures there are, and where the pages of a long list begin, so that any of them can be fetched."""
        found = history.outline(wanted_by(app, request, query), owner=viewer_of(app, request), step=query.step)
        return OutlineAnswer(total=found.total, anchors=[str(anchor) for anchor in found.anchors])

    @router.get("/facets", "user")
    def facets(request: Request, query: Annotated[Filters, Query()]) -> Facets:
        """The checkpoints, samplers, sizes, LoRAs, tags and months that occur, each with its number of pictures."""
        found = history.facets(wanted_by(app, request, query), owner=viewer_of(app, request))
        return Facets(**{name: [FacetAnswer(**asdict(one)) for one in values] for name, values in found.items()})

    @router.get("/pictures/{picture_id}/alike", "user")
    def alike(picture_id: PictureId, request: Request) -> AlikeAnswer:
        """The pictures that look most like this one. Those not looked at yet are looked at in the background."""
        owner = viewer_of(app, request)
        found = looks.like(picture_id, owner=owner, limit=MOST_ALIKE)
        looks.look_at_all()
        distances = {one.number: one.distance for one in found}
        pictures = history.numbered([one.number for one in found], owner)
        known = looks.known()
        return AlikeAnswer(
            pictures=[AlikePicture(picture=listed(one), distance=distances[one.number]) for one in pictures],
            known=known.known,
            total=known.total,
            running=known.running,
        )

    @router.get("/storage", "user")
    def storage(request: Request) -> list[StoredAnswer]:
        """What the pictures of each checkpoint take on the disk."""
        return [StoredAnswer(**asdict(one)) for one in history.storage(viewer_of(app, request))]

    @router.post("/export", "user", response_class=FileResponse, responses=ZIP)
    def export(wish: ExportBody, request: Request) -> FileResponse:
        """A zip file of pictures, with their metadata or without."""
        path = _exported(app, wish, viewer_of(app, request))
        return FileResponse(
            path,
            media_type="application/zip",
            filename="pictures.zip",
            background=BackgroundTask(path.unlink, missing_ok=True),
        )

    router.include(_albums(app))
    router.include(_trash(app))
    return router


def _albums(app: App) -> Routes:
    router = Routes(prefix="/albums")
    albums = app.catalog.albums

    def owner_of(connection: HTTPConnection) -> str:
        return album_owner(app, connection)

    @router.get("", "user")
    def every(request: Request) -> list[AlbumAnswer]:
        """The caller's albums, by name."""
        return [AlbumAnswer(**asdict(album)) for album in albums.all(owner_of(request))]

    @router.post("", "user")
    def create(body: AlbumBody, request: Request) -> AlbumAnswer:
        """Make an album."""
        made = albums.create(owner_of(request), body.name)
        return next(AlbumAnswer(**asdict(album)) for album in albums.all(owner_of(request)) if album.id == made)

    @router.post("/{album}", "user")
    def rename(album: AlbumId, body: AlbumBody, request: Request) -> None:
        """Rename an album."""
        albums.rename(owner_of(request), album, body.name)

    @router.delete("/{album}", "user")
    def delete(album: AlbumId, request: Request) -> None:
        """Delete an album; its pictures stay."""
        albums.delete(owner_of(request), album)

    @router.post("/{album}/pictures", "user")
    def change(album: AlbumId, body: AlbumPictures, request: Request) -> Changed:
        """Put pictures into an album, and take others out."""
        owner = owner_of(request)
        removed = albums.remove(owner, album, body.remove)
        return Changed(added=albums.add(owner, album, body.add, viewer_of(app, request)), removed=removed)

    return router


def _trash(app: App) -> Routes:
    router = Routes(prefix="/trash")
    trash = app.catalog.trash

    @router.get("", "user")
    def every(request: Request) -> TrashAnswer:
        """The pictures in the trash."""
        found = trash.listed(viewer_of(app, request))
        return TrashAnswer(
            pictures=[
                TrashedAnswer(
                    id=one.id,
                    since=one.since,
                    prompt=one.prompt,
                    width=one.width,
                    height=one.height,
                    thumb_url=f"internal/history/trash/{one.id}/thumbnail",
                )
                for one in found
            ],
            days=app.settings.current.limits.keep_trash_days,
        )

    @router.get("/{picture_id}/thumbnail", "user", response_class=Response, responses=SMALL)
    def thumbnail(picture_id: PictureId, request: Request) -> Response:
        """A picture in the trash as a WebP of at most 256 pixels per side."""
        try:
            content = trash.thumbnail(picture_id, viewer_of(app, request))
        except NotFound:
            raise
        except UserError:
            return Response(status_code=204)  # The file is damaged.
        return Response(content, media_type="image/webp", headers=KEPT_FOR_EVER)

    @router.post("/restore", "user")
    def restore(body: TrashBody, request: Request) -> Restored:
        """Restore pictures from the trash."""
        answer, owner, jobs = Restored(restored=[], failed=[]), viewer_of(app, request), set()
        for picture_id in dict.fromkeys(body.ids):
            try:
                jobs.add(trash.restore(picture_id, owner))
                answer.restored.append(picture_id)
            except WebuiError as error:
                answer.failed.append(NotDeleted(id=picture_id, message=str(error)))
        tell_of(app, jobs)
        return answer

    @router.post("/delete", "user")
    def delete(body: TrashBody, request: Request) -> Deleted:
        """Delete pictures in the trash permanently."""
        answer, owner = Deleted(deleted=[], failed=[]), viewer_of(app, request)
        for picture_id in dict.fromkeys(body.ids):
            try:
                trash.destroy(picture_id, owner)
                answer.deleted.append(picture_id)
            except WebuiError as error:
                answer.failed.append(NotDeleted(id=picture_id, message=str(error)))
        return answer

    return router


def _exported(app: App, wish: ExportBody, owner: str | None) -> Path:
    """A zip file of these, which the caller deletes. Raises NotFound, StorageError, UserError."""
    found = [app.catalog.history.get(picture_id, owner) for picture_id in dict.fromkeys(wish.ids)]
    used: set[str] = set()
    try:
        handle, place = tempfile.mkstemp(prefix="export-", suffix=".zip", dir=app.paths.state)
        path = Path(place)
    except OSError as error:
        raise storage_error(app.paths.state, error) from error
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for one in found:
                content, ending = app.catalog.pictures.content(one.id)
                name = one.path.replace("\\", "/").rsplit("/", 1)[-1] if wish.metadata else f"{one.id}.{ending}"
                while name in used:
                    name = f"_{name}"
                used.add(name)
                archive.writestr(name, content if wish.metadata else without_words(content))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(path, error) from error
        raise
    return path

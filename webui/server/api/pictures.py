"""Finished pictures by their number: their files, what comes with them, and those that could not be saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import Path, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from webui.base.errors import NotFound, UserError
from webui.catalog.decoding import TooManyPixels
from webui.request.documented import Documented
from webui.server.api.documented import PictureId
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

MIME = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}
KEPT_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
"""A picture's address changes with the picture."""
BINARY: dict[int | str, dict[str, object]] = {200: {"content": {"image/*": {}}, "description": "The picture."}}
"""For the documentation."""
ZIP: dict[int | str, dict[str, object]] = {200: {"content": {"application/zip": {}}, "description": "The zip file."}}
SMALL = BINARY | {204: {"description": "The file is damaged: there is no thumbnail of it."}}


ExtraName = Annotated[str, Path(description="Its name, from the job.")]


class SavedFile(Documented):
    """A picture that is a file now."""

    path: str
    """The file."""


class KeepBody(Documented):
    """Pictures to keep."""

    ids: list[str] = Field(min_length=1, max_length=1000)
    """Their ids. `ID.NAME` is one that comes with the picture ID, such as its grid."""


class KeptFile(Documented):
    """A picture that was kept."""

    id: str
    """As it was asked for."""
    name: str
    """The name of its file."""


class KeptPicturesAnswer(Documented):
    """What was kept, and where."""

    folder: str
    """The folder, as the settings name it."""
    files: list[KeptFile]
    """In the order of the ids."""
    remarks: list[str]
    """What could not be done besides, such as a table that cannot be written."""


def routes(app: App) -> Routes:
    """The routes, below `/pictures`."""
    router = Routes(prefix="/pictures", tags=["own"])
    queue, pictures = app.queue, app.catalog.pictures

    def check(picture_id: str, request: Request) -> None:
        """Pictures of named users are theirs alone; those of browsers and programs without login are known by their
        number."""
        if app.access.required and not caller_of(request.scope).may_see(pictures.get(picture_id).owner):
            raise NotFound(f"You have no picture {picture_id!r}.")

    def file(content: bytes, kind: str, headers: Mapping[str, str] = KEPT_FOR_EVER) -> Response:
        return Response(content, media_type=MIME.get(kind, "application/octet-stream"), headers=headers)

    @router.get("/{picture_id}", "user", response_class=Response, responses=BINARY)
    def picture(picture_id: PictureId, request: Request) -> Response:
        """The file of a finished picture, including its infotext."""
        check(picture_id, request)
        return file(*pictures.content(picture_id))

    @router.get("/{picture_id}/thumbnail", "user", response_class=Response, responses=SMALL)
    def thumbnail(picture_id: PictureId, request: Request) -> Response:
        """The picture as a WebP of at most 256 pixels per side."""
        check(picture_id, request)
        try:
            return file(pictures.thumbnail(picture_id), "webp")
        except (NotFound, TooManyPixels):
            raise
        except UserError:
            return Response(status_code=204)  # Who asked did nothing wrong: the file is damaged.

    @router.get("/{picture_id}/extra/{name}", "user", response_class=Response, responses=BINARY)
    def extra(picture_id: PictureId, name: ExtraName, request: Request) -> Response:
        """An additional picture of a result, such as its mask."""
        check(picture_id, request)
        return file(*pictures.extras.content(picture_id, name))

    @router.post("/keep", "user")
    def keep(wish: KeepBody, request: Request) -> KeptPicturesAnswer:
        """Copy pictures into the folder of the Save button, and note them in its table."""
        for name in wish.ids:
            check(name.partition(".")[0], request)
        save, user = app.settings.current.save, caller_of(request.scope).name
        kept, remarks = app.catalog.kept.keep(wish.ids, save, user)
        files = [KeptFile(id=each.id, name=each.path.name) for each in kept]
        return KeptPicturesAnswer(folder=save.outdir_save, files=files, remarks=remarks)

    @router.post("/keep-as-zip", "user", response_class=FileResponse, responses=ZIP)
    def keep_as_zip(wish: KeepBody, request: Request) -> FileResponse:
        """The same, and a zip file of them beside, which is the response."""
        for name in wish.ids:
            check(name.partition(".")[0], request)
        save, user = app.settings.current.save, caller_of(request.scope).name
        path, remarks = app.catalog.kept.keep_as_zip(wish.ids, save, user)
        headers = {"x-remarks": quote(" ".join(remarks))} if remarks else {}
        return FileResponse(path, media_type="application/zip", filename=path.name, headers=headers)

    @router.post("/{picture_id}/save", "user")
    def save(picture_id: PictureId, request: Request) -> SavedFile:
        """Try again to write a picture that could not be saved."""
        check(picture_id, request)
        saved = pictures.save_again(picture_id)
        queue.picture_saved(saved.job_id)
        return SavedFile(path=saved.path)

    @router.post("/{picture_id}/discard", "user")
    def discard(picture_id: PictureId, request: Request) -> None:
        """Discard a picture that could not be saved."""
        check(picture_id, request)
        job_id = pictures.get(picture_id).job_id
        pictures.give_up(picture_id)
        queue.picture_saved(job_id)

    return router

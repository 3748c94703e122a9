"""Finished pictures: encoded, written, recorded, found again by their number, shown small."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

from PIL import Image

from webui.base.errors import NotFound, StorageError
from webui.base.files import storage_error
from webui.base.paths import Paths
from webui.base.text import named, path_named
from webui.catalog.database import Database
from webui.catalog.extra_pictures import ExtraPictures
from webui.catalog.image_files import EncodedPicture, as_format, encode, picture_of, read_infotext
from webui.catalog.picture_files import PictureFile, PictureFiles
from webui.catalog.picture_words import note_words
from webui.catalog.thumbnails import Thumbnails
from webui.request import infotext
from webui.request.filenames import Naming, apply_pattern, folder_parts, sanitized
from webui.request.messages import ExtraPicture
from webui.request.settings import SaveSettings

__all__ = ["NotSaved", "Pictures", "SavedPicture", "read_infotext", "shown"]

log = logging.getLogger(__name__)

MOST_PENDING_BYTES = 512 * 2**20
"""What is kept in memory of pictures that could not be written; beyond it the oldest are given up."""


@dataclass(frozen=True)
class SavedPicture:
    """A picture that the page can show by its `id`; `path` is "" while it could not be written."""

    kind: str
    """ "txt2img", "img2img", ... """
    job_id: str
    position: int
    owner: str
    infotext: str
    width: int
    height: int
    seed: int
    model: str
    """The checkpoint's name."""
    sampler: str
    created: float
    """Seconds since 1970."""
    id: str = ""
    path: str = ""
    parent: str = ""
    """The id of the picture that this one was made of, by img2img or an upscaler."""


_COLUMNS = ", ".join(column.name for column in fields(SavedPicture))


class NotSaved(StorageError):
    """The picture could not be written; it waits in memory, and can be shown by its id and saved again."""

    def __init__(self, picture: SavedPicture, reason: StorageError) -> None:
        super().__init__(
            f"A picture could not be saved. {reason.message}",
            hint=f"{reason.hint} It stays in memory until you save it again or discard it.".strip(),
        )
        self.picture = picture

    def __reduce__(self) -> tuple[object, ...]:
        return (StorageError, (self.message,), {"hint": self.hint})


@dataclass(frozen=True)
class _Pending:
    picture: SavedPicture
    file: PictureFile
    subseed: int = 0


class Pictures:
    """The pictures of an installation. Any thread may call any method."""

    def __init__(self, database: Database, paths: Paths) -> None:
        self._database = database
        self._paths = paths
        self._lock = threading.Lock()
        self._files = PictureFiles()
        self._pending: dict[str, _Pending] = {}
        self.thumbnails = Thumbnails(paths.state / "thumbnails")
        self.extras = ExtraPictures(paths.state / "extra")

    def save(
        self,
        rgb: bytes,
        picture: SavedPicture,
        naming: Naming,
        save: SaveSettings,
        *,
        subseed: int = 0,
        alpha: bytes = b"",
    ) -> SavedPicture:
        """Write a picture (8-bit RGB rows from the top, and its opacity) where the settings say, and record it.

        `picture` says everything but `id` and `path`, which come with the answer. It counts as underway until
        `settle` is called: should the program be killed before, `found_again` gives it at the next start.

        Raises:
            NotSaved: the disk is full or not writable.
        """
        encoded = _encoded(picture, rgb, alpha, save)
        pattern = save.samples_filename_pattern or ("[seed]" if save.save_to_dirs else "[seed]-[prompt_spaces]")
        stem = apply_pattern(pattern, naming)
        file = PictureFile(
            encoded.content,
            self._folder(picture.kind, naming, save),
            encoded.kind,
            stem,
            numbered=save.save_images_add_number or not stem or not save.samples_save,
            text=picture.infotext if save.save_txt or not encoded.holds_infotext else None,
            replaces=partial(_may_replace, self._database, picture.job_id, save),
        )
        return self._keep(_Pending(replace(picture, id=secrets.token_hex(8)), file, subseed))

    def save_extras(
        self,
        rgb: bytes,
        picture: SavedPicture,
        stem: str,
        chunks: Mapping[str, str],
        save: SaveSettings,
        *,
        alpha: bytes = b"",
    ) -> SavedPicture:
        """Write what became of a picture, called `stem`, or by its number. `chunks`: the texts of a PNG by name.

        Raises:
            NotSaved: the disk is full or not writable.
        """
        encoded = _encoded(picture, rgb, alpha, save, chunks)
        folder = self._paths.data / (save.outdir_samples or save.outdir_extras_samples)
        file = PictureFile(
            encoded.content,
            folder if save.samples_save else self._paths.unsaved,
            encoded.kind,
            sanitized(stem, spaces=True),
            numbered=not stem or not save.samples_save,
            text=picture.infotext if save.save_txt or not encoded.holds_infotext else None,
        )
        return self._keep(_Pending(replace(picture, id=secrets.token_hex(8)), file))

    def keep_beside(self, saved: SavedPicture, copies: Sequence[ExtraPicture], save: SaveSettings) -> None:
        """Write copies and masks of a picture as NAME-mask.png beside it, with its infotext; the log names those that
        cannot be written. What is not saved itself has none.

        A1111: counts each of them as a picture of its own, 00001-7-mask.png beside 00000-7.png; here they share the
        name.
        """
        path = path_named(saved.path)
        if not save.samples_save:
            return
        for extra in copies:
            with Image.open(io.BytesIO(extra.content)) as image:
                encoded = encode(image, "png", saved.infotext if save.enable_pnginfo else "")
            try:
                self._files.write_beside(path, f"-{extra.name}", encoded)
            except StorageError as error:
                log.warning("A picture's %s is not saved: %s", extra.name, error)

    def get(self, picture_id: str) -> SavedPicture:
        """
        Raises:
            NotFound: there is no such picture.
        """
        with self._lock:
            waiting = self._pending.get(picture_id)
        if waiting is not None:
            return waiting.picture
        rows = self._database.read(f"SELECT {_COLUMNS} FROM pictures WHERE id = ?", picture_id)
        if not rows:
            raise NotFound(f"There is no picture {picture_id!r}.")
        return _picture(rows[0])

    def id_of(self, digest: str) -> str:
        """The id of the newest picture whose file has this sha256; "" is none."""
        rows = self._database.read(
            "SELECT id FROM pictures WHERE digest = ? AND digest != '' ORDER BY number DESC LIMIT 1", digest
        )
        return str(rows[0][0]) if rows else ""

    def content(self, picture_id: str) -> tuple[bytes, str]:
        """(bytes of the file, its kind: "png", "jpg", "webp", "avif")

        Raises:
            NotFound: there is no such picture, or its file is gone.
        """
        with self._lock:
            waiting = self._pending.get(picture_id)
        if waiting is not None:
            return waiting.file.content, waiting.file.ending
        path = path_named(self.get(picture_id).path)
        if self._paths.is_private(path):
            raise NotFound(f"The picture {picture_id!r} is outside the folders that may be shown.")
        try:
            return path.read_bytes(), path.suffix[1:].lower()
        except OSError as error:
            raise NotFound(f"The file {path} is gone: {error.strerror or error}.") from error

    def thumbnail(self, picture_id: str) -> bytes:
        """A WebP of at most 256 pixels a side, made when it is first asked for.

        Raises:
            NotFound: there is no such picture, or its file is gone.
            UserError: the file is broken.
        """
        self.get(picture_id)  # whoever asks by another name than an id gets no further
        return self.thumbnails.get(picture_id, lambda: self.content(picture_id)[0])

    def forget(self, picture_id: str) -> None:
        """Drop the record, the thumbnail and the extra pictures; the file, if there is one, stays."""
        self._database.write("DELETE FROM pictures WHERE id = ?", picture_id)
        self.extras.forget(picture_id)
        self.thumbnails.forget(picture_id)

    def newest(
        self, *, owner: str | None = None, limit: int = 100, before: float | None = None
    ) -> tuple[SavedPicture, ...]:
        """The latest pictures, of one owner or of all, made before a time."""
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM pictures WHERE (? IS NULL OR owner = ?) AND (? IS NULL OR created < ?)"
            " ORDER BY number DESC LIMIT ?",
            owner,
            owner,
            before,
            before,
            limit,
        )
        return tuple(_picture(row) for row in rows)

    def pending(self) -> tuple[SavedPicture, ...]:
        """Those that could not be written, oldest first."""
        with self._lock:
            return tuple(waiting.picture for waiting in self._pending.values())

    def save_again(self, picture_id: str) -> SavedPicture:
        """Try once more to write a pending picture.

        Raises:
            NotFound: it is not pending.
            NotSaved: it cannot be written now either.
        """
        with self._lock:
            waiting = self._pending.get(picture_id)
        if waiting is None:
            raise NotFound(f"There is no picture {picture_id!r} waiting to be saved.")
        saved = self._keep(waiting)
        self.settle(picture_id)
        return saved

    def settle(self, picture_id: str) -> None:
        """This picture is written, recorded, and a result of its job; or waits in memory to be saved again."""
        try:
            self._database.write("DELETE FROM underway WHERE id = ?", picture_id)
        except StorageError as error:
            log.warning("A picture is still recorded as being written: %s", error)

    def found_again(self) -> Iterator[tuple[SavedPicture, int]]:
        """At start: the pictures, with their subseeds, that were written when the program was killed, and recorded now
        at the latest. Those of which there is no file were not, and are forgotten.

        Raises:
            StorageError: the database cannot be used.
        """
        for row in self._database.read("SELECT id, path, digest, subseed, picture FROM underway"):
            path = path_named(row["path"])
            try:
                there = hashlib.sha256(path.read_bytes()).hexdigest() == row["digest"]
            except OSError:
                there = False
            if not there:
                self.settle(row["id"])
                continue
            picture = SavedPicture(**{**json.loads(row["picture"]), "path": named(path)})
            with self._database.writing() as connection:
                if not connection.execute("SELECT 1 FROM pictures WHERE id = ?", (picture.id,)).fetchone():
                    record(connection, picture, row["digest"])
            yield picture, row["subseed"]

    def give_up(self, picture_id: str) -> None:
        """Forget a pending picture."""
        with self._lock:
            self._pending.pop(picture_id, None)

    def discard(self, picture_id: str) -> None:
        """Delete a picture that was never meant to be kept (`samples_save` off); any other stays."""
        try:
            path = path_named(self.get(picture_id).path)
        except NotFound:
            return
        if path.parent != self._paths.unsaved:
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays: %s", path, error.strerror or error)
            return
        self._database.write("DELETE FROM pictures WHERE id = ?", picture_id)
        self.extras.forget(picture_id)

    def forget_unsaved(self) -> None:
        """At start: delete the files that were never meant to be kept (`samples_save` off)."""
        for path in self._paths.state.glob("unsaved/*"):
            try:
                path.unlink()
                for row in self._database.read("SELECT id FROM pictures WHERE path = ?", named(path)):
                    self.extras.forget(str(row[0]))
                self._database.write("DELETE FROM pictures WHERE path = ?", named(path))
            except OSError as error:
                log.warning("%s stays: %s", path, error.strerror or error)

    def _keep(self, pending: _Pending) -> SavedPicture:
        try:
            path = self._there(pending)
            picture = replace(pending.picture, path=named(path))
            pending = replace(pending, picture=picture)
            with self._database.writing() as connection:
                record(connection, picture, pending.file.digest)
        except (StorageError, OSError) as error:
            reason = error if isinstance(error, StorageError) else storage_error(pending.file.folder, error)
            log.error("%s", reason)
            self._wait(pending)
            raise NotSaved(pending.picture, reason) from error
        with self._lock:
            self._pending.pop(picture.id, None)
        return picture

    def _there(self, pending: _Pending) -> Path:
        """Where its file is, which is written now, unless only its record had failed before. Raises StorageError."""
        if pending.picture.path:
            return path_named(pending.picture.path)
        return self._files.write(pending.file, partial(self._announce, pending))

    def _announce(self, pending: _Pending, path: Path) -> None:
        """Note which file is about to be written, so that it is known whose it is, whenever the program ends."""
        try:
            self._database.write(
                "INSERT OR REPLACE INTO underway (id, path, digest, subseed, picture) VALUES (?, ?, ?, ?, ?)",
                pending.picture.id,
                named(path),
                pending.file.digest,
                pending.subseed,
                json.dumps(asdict(pending.picture)),
            )
        except StorageError as error:
            log.warning("A picture is being written without having been recorded first: %s", error)

    def _wait(self, pending: _Pending) -> None:
        with self._lock:
            self._pending[pending.picture.id] = pending
            while sum(len(waiting.file.content) for waiting in self._pending.values()) > MOST_PENDING_BYTES:
                oldest = next(iter(self._pending))
                if oldest == pending.picture.id:
                    break
                lost = self._pending.pop(oldest).picture
                log.error(
                    "Too many pictures are waiting to be saved: the oldest, with the seed %d, is lost.", lost.seed
                )

    def _folder(self, kind: str, naming: Naming, save: SaveSettings) -> Path:
        if not save.samples_save:
            return self._paths.unsaved
        by_kind = {
            "txt2img": save.outdir_txt2img_samples,
            "img2img": save.outdir_img2img_samples,
            "extras": save.outdir_extras_samples,
        }
        folder = self._paths.data / (save.outdir_samples or by_kind.get(kind, f"outputs/{kind}-images"))
        if save.save_to_dirs:
            folder = folder.joinpath(*folder_parts(save.directories_filename_pattern or "[prompt_words]", naming))
        return folder


def shown(pictures: Pictures, name: str) -> tuple[SavedPicture, bytes, str]:
    """What the page shows by this name: a picture by its id, or one that comes with it by ID.99-grid.png -> the picture
    that it belongs to, the bytes of its file, and their kind.

    Raises:
        NotFound: there is none of this name, or its file is gone.
    """
    picture_id, dot, extra = name.partition(".")
    saved = pictures.get(picture_id)
    return saved, *(pictures.extras.content(picture_id, extra) if dot else pictures.content(picture_id))


def _may_replace(database: Database, job_id: str, save: SaveSettings, path: Path) -> bool:
    """Whether a picture of this job may take the place of the file there: of no other one of the same job's.

    A1111: of any.
    """
    if save.save_images_replace_action != "Replace" or not path.is_file():
        return False
    rows = database.read("SELECT job_id FROM pictures WHERE path = ?", named(path))
    return all(row["job_id"] != job_id for row in rows)


def _encoded(
    picture: SavedPicture, rgb: bytes, alpha: bytes, save: SaveSettings, chunks: Mapping[str, str] | None = None
) -> EncodedPicture:
    """The file of a picture, as the settings want it. `chunks` as `encode` takes them."""
    return encode(
        picture_of(picture.width, picture.height, rgb, alpha),
        as_format(save.samples_format),
        picture.infotext if save.enable_pnginfo else "",
        quality=save.jpeg_quality,
        lossless=save.webp_lossless,
        chunks=chunks,
    )


def record(connection: sqlite3.Connection, picture: SavedPicture, digest: str = "") -> None:
    """Write a picture's row. Its `number` is the time in nanoseconds, and with it its place in the history.

    A picture whose file it has taken the place of goes. `digest` is the sha256 of the file, in hex; "": not known.
    """
    number = int(picture.created * 1_000_000) * 1000
    if connection.execute("SELECT 1 FROM pictures WHERE number = ?", (number,)).fetchone():
        within = (number, number + 1_000_000_000)
        rows = connection.execute("SELECT max(number) + 1 FROM pictures WHERE number >= ? AND number < ?", within)
        number = rows.fetchone()[0]
    connection.execute("DELETE FROM pictures WHERE path = ?", (picture.path,))
    columns = {
        **asdict(picture),
        "number": number,
        "digest": digest,
        "prompt": infotext.read(picture.infotext).prompt,
        "bytes": bytes_of(picture.path),
    }
    connection.execute(
        f"INSERT INTO pictures ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        tuple(columns.values()),
    )
    note_words(connection, [str(columns["prompt"])])


def bytes_of(path: str) -> int:
    """The size of a picture's file; -1: not known."""
    try:
        return path_named(path).stat().st_size
    except OSError:
        return -1


def _picture(row: sqlite3.Row) -> SavedPicture:
    return SavedPicture(*row)

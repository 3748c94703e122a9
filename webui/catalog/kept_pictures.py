"""What the Save button keeps: copies of pictures in a folder of their own, a table of them, zip files."""

from __future__ import annotations

import csv
import io
import logging
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from webui.base.errors import StorageError, UserError
from webui.base.files import storage_error, write_atomically
from webui.base.paths import Paths
from webui.catalog.image_files import size_of
from webui.catalog.picture_files import PictureFile, PictureFiles
from webui.catalog.pictures import Pictures, SavedPicture, shown
from webui.request import infotext
from webui.request.fields import REQUESTS, Generation, Txt2Img
from webui.request.filenames import Naming, apply_pattern, file_name, folder_parts
from webui.request.infotext import Parsed
from webui.request.plan import CheckpointRef, Picture, Plan
from webui.request.settings import RenderSettings, SaveSettings

log = logging.getLogger(__name__)

LOG = "log.csv"
COLUMNS = (
    "prompt",
    "seed",
    "width",
    "height",
    "sampler",
    "cfgs",
    "steps",
    "filename",
    "negative_prompt",
    "sd_model_name",
    "sd_model_hash",
)
"""Of A1111's table."""
ZIP_PATTERN = "[datetime]_[[model_name]]_[seed]-[seed_last]"
"""A1111's, where the settings have none."""
TRIES = 1000


@dataclass(frozen=True)
class KeptCopy:
    """A picture that was kept."""

    id: str
    """As it was asked for."""
    path: Path
    content: bytes


@dataclass(frozen=True)
class _Pick:
    """A picture to keep, with what its infotext says."""

    id: str
    saved: SavedPicture
    content: bytes
    kind: str
    told: Parsed
    picture: Picture

    @property
    def plan(self) -> Plan:
        name, short = self.saved.model, self.told.labels.get("Model hash", "")
        return Plan(((self.picture,),), CheckpointRef("", name, name or self.told.labels.get("Model", ""), short))


class KeptPictures:
    """Any thread may call any method."""

    def __init__(self, pictures: Pictures, paths: Paths) -> None:
        self._pictures = pictures
        self._paths = paths
        self._files = PictureFiles()
        self._lock = threading.Lock()

    def keep(self, ids: Sequence[str], save: SaveSettings, user: str) -> tuple[list[KeptCopy], list[str]]:
        """Write copies of these pictures (`shown`) -> them, and what could not be done besides.

        Raises:
            NotFound: there is none of this id, or its file is gone.
            StorageError: the disk is full or not writable.
            UserError: the folder is the program's own.
        """
        picks = [self._picked(each) for each in ids]
        return self._keep(picks, save, user)

    def keep_as_zip(self, ids: Sequence[str], save: SaveSettings, user: str) -> tuple[Path, list[str]]:
        """The same, and all of them in a zip file beside -> where it is, and what could not be done.

        Raises:
            NotFound, StorageError, UserError: as `keep`.
        """
        picks = [self._picked(each) for each in ids]
        kept, remarks = self._keep(picks, save, user)
        own = [pick for pick in picks if "." not in pick.id] or picks
        first, every = own[0], tuple(pick.picture for pick in own)
        naming = _naming(first, user, save, every)
        stem = apply_pattern(save.grid_zip_filename_pattern or ZIP_PATTERN, naming)
        folder = self._folder(save)
        for turn in range(TRIES):
            path = folder / file_name(stem, "zip", suffix=f"-{turn}" if turn else "")
            if _zipped(path, kept):
                return path, remarks
        raise StorageError(f"No free file name was found in {folder}.")

    def _picked(self, name: str) -> _Pick:
        saved, content, kind = shown(self._pictures, name)
        told = infotext.read(saved.infotext)
        return _Pick(name, saved, content, kind, told, _picture_of(saved, told, content))

    def _keep(self, picks: Sequence[_Pick], save: SaveSettings, user: str) -> tuple[list[KeptCopy], list[str]]:
        root = self._folder(save)
        pattern = save.samples_filename_pattern or (
            "[seed]" if save.use_save_to_dirs_for_ui else "[seed]-[prompt_spaces]"
        )
        kept: list[KeptCopy] = []
        rows: list[dict[str, str]] = []
        for pick in picks:
            naming = _naming(pick, user, save)
            folder = root
            if save.use_save_to_dirs_for_ui:
                folder = root.joinpath(*folder_parts(save.directories_filename_pattern or "[prompt_words]", naming))
            stem = apply_pattern(pattern, naming)
            text = pick.saved.infotext if save.save_txt else None
            numbered = save.save_images_add_number or not stem
            path = self._files.write(PictureFile(pick.content, folder, pick.kind, stem, numbered, text), _unannounced)
            kept.append(KeptCopy(pick.id, path, pick.content))
            rows.append(_row(pick, path.relative_to(root).as_posix()))
        remarks: list[str] = []
        if save.save_write_log_csv:
            try:
                with self._lock:
                    note(root / LOG, rows)
            except StorageError as error:
                remarks.append(f"{error} The pictures are saved, without a line in it.")
        return kept, remarks

    def _folder(self, save: SaveSettings) -> Path:
        """Raises UserError: it is the program's own."""
        folder = self._paths.data / (save.outdir_save or "log/images")
        if self._paths.is_private(folder):
            raise UserError(f"{folder} is used by Gesso itself.", hint="Choose another folder for the Save button.")
        return folder


def note(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Add lines to a table. A1111: one of an older version, with fewer columns, gets the new ones.

    Raises:
        StorageError: it cannot be read or written, or is no such table.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = list(COLUMNS)
        with path.open("a+", encoding="utf-8", newline="") as file:
            file.seek(0)
            there = next(csv.reader(file), None)
        if there is not None:
            columns = [*there, *(column for column in COLUMNS if column not in there)]
            if columns != there:
                _widen(path, columns)
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
            if there is None:
                writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise storage_error(path, error) from error
    except (UnicodeError, csv.Error) as error:
        raise StorageError(f"{path} is not a table in UTF-8: {error}.", hint="Move it away.") from error


def _widen(path: Path, columns: list[str]) -> None:
    """Give a table these columns, the first of which it has already."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(columns)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader, None)
        for row in reader:
            writer.writerow([*row, *[""] * (len(columns) - len(row))])
    write_atomically(path, stream.getvalue().encode())


def _zipped(path: Path, kept: Sequence[KeptCopy]) -> bool:
    """Write a zip file of these pictures, as they are -> False: another file is called so.

    Raises:
        StorageError: the disk is full or not writable.
    """
    used: set[str] = set()
    try:
        with path.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for each in kept:
                name = each.path.name
                while name in used:  # of different subfolders
                    name = f"_{name}"
                used.add(name)
                archive.writestr(name, each.content)
    except FileExistsError:
        return False
    except OSError as error:
        path.unlink(missing_ok=True)
        raise storage_error(path, error) from error
    return True


def _unannounced(_path: Path) -> None:
    """Nobody asks whose copies these are."""


def _picture_of(saved: SavedPicture, told: Parsed, content: bytes) -> Picture:
    """The picture as file names speak of it: what its infotext says, where that fits."""
    cls: type[Generation] = REQUESTS.get(saved.kind, Txt2Img)
    values = infotext.fields_of(told, cls, log.debug)
    width, height = size_of(content)
    told_of = {
        name: values[name]
        for name in ("prompt", "negative_prompt", "sampler_name", "scheduler", "steps", "cfg_scale")
        if name in values
    }
    try:
        request = cls.made(**told_of, width=width, height=height, seed=saved.seed)
    except UserError as error:
        log.debug("The infotext of a picture does not fit: %s", error)
        request = cls()
    return Picture(request, RenderSettings(), saved.seed, -1, saved.position)


def _naming(pick: _Pick, user: str, save: SaveSettings, every: Sequence[Picture] = ()) -> Naming:
    """What file names speak of. every: all pictures of a zip file."""
    now = datetime.now().astimezone()
    picture, plan = pick.picture, pick.plan
    if every:
        # [seed_last] speaks of a batch, which a single picture is none of.
        changed = Picture(picture.request.changed(batch_size=max(len(every), 2)), picture.render, picture.seed, -1, 0)
        picture, plan = changed, Plan((tuple(every),), plan.checkpoint)
    return Naming(
        picture,
        plan,
        now=now,
        started=now,
        user=user,
        plain_prompt=picture.request.prompt,
        prompt_words=save.directories_max_prompt_words,
        pixels=pick.content,
    )


def _row(pick: _Pick, name: str) -> dict[str, str]:
    """The line of a picture in the table."""
    request, labels = pick.picture.request, pick.told.labels
    return {
        "prompt": pick.told.prompt,
        "seed": str(pick.saved.seed),
        "width": str(request.width),
        "height": str(request.height),
        "sampler": labels.get("Sampler", pick.saved.sampler),
        "cfgs": labels.get("CFG scale", ""),
        "steps": labels.get("Steps", ""),
        "filename": name,
        "negative_prompt": pick.told.negative,
        "sd_model_name": labels.get("Model", pick.saved.model),
        "sd_model_hash": labels.get("Model hash", ""),
    }

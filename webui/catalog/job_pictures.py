"""What becomes of the pictures that the engine has finished: infotexts, files, sheets, and their places among the
results of jobs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from PIL import Image

from webui.base.errors import NotFound, StorageError
from webui.base.files import write_atomically
from webui.base.paths import Paths
from webui.base.text import clean
from webui.catalog import grid
from webui.catalog.hashes import Hashes
from webui.catalog.init_pictures import LABEL as INIT_HASH
from webui.catalog.init_pictures import init_hash, keep_init_pictures
from webui.catalog.job_table import JobTable
from webui.catalog.pictures import NotSaved, Pictures, SavedPicture
from webui.catalog.small_copies import keep_small_copy
from webui.request.facts import facts_of, unwanted_labels
from webui.request.fields import Generation
from webui.request.filenames import Naming
from webui.request.infotext import joined, labels_of, quoted, write
from webui.request.messages import ExtraPicture, Pictured
from webui.request.plan import CheckpointRef, Picture, Plan
from webui.request.settings import Settings

log = logging.getLogger(__name__)

BEHIND_ALL = 99
"""The number of a sheet among the pictures that come with a result."""


class JobPictures:
    """The pictures of jobs. Any thread may call any method."""

    def __init__(self, pictures: Pictures, jobs: JobTable, hashes: Hashes, paths: Paths, *, remembers: bool) -> None:
        """`remembers`: the last picture's infotext is kept as a file, for the paste button."""
        self.remembers = remembers
        self._pictures = pictures
        self._jobs = jobs
        self._hashes = hashes
        self._paths = paths

    def infotext(
        self, picture: Picture, plan: Plan, settings: Settings, engine_facts: Mapping[str, str], version: str, user: str
    ) -> str:
        """The infotext of a picture, with what is known by now: hashes may have come in since the plan was made."""
        facts = facts_of(picture, self._informed(plan), settings.save, version, user)
        if settings.save.save_init_img and (told := init_hash(picture, plan)):
            facts[INIT_HASH] = told
        said = {label: text for label, text in engine_facts.items() if label not in unwanted_labels(settings.save)}
        labels = labels_of(picture.request, picture.render, {**facts, **said})
        return clean(write(picture.request.prompt, picture.request.negative_prompt, labels))

    def keep(
        self,
        pictured: Pictured,
        plan: Plan,
        settings: Settings,
        *,
        owner: str,
        version: str,
        user: str = "",
        request: Generation | None = None,
        started: float | None = None,
        now: float | None = None,
    ) -> SavedPicture:
        """Save a picture that the engine has finished, and record it as a result of its job.

        `request` is what was submitted (its styles and plain prompt serve file names), `started` when the job began.

        Raises:
            NotSaved: the disk is full or not writable; the picture waits in memory, and its job has the result.
            NotFound: the plan has no picture at that position.
        """
        now = time.time() if now is None else now
        picture = _at(plan, pictured.position)
        infotext = self.infotext(picture, plan, settings, dict(pictured.facts), version, user)
        if pictured.position == 0:
            if self.remembers:
                self._remember(infotext)
            if settings.save.save_init_img:
                keep_init_pictures(picture, plan, self._paths, settings.save)
        draft = self._draft(pictured, picture, plan, infotext=infotext, owner=owner, created=now)
        naming = Naming(
            picture=picture,
            plan=self._informed(plan),
            now=datetime.fromtimestamp(now).astimezone(),
            started=datetime.fromtimestamp(now if started is None else started).astimezone(),
            user=user,
            styles=request.styles if request else (),
            plain_prompt=request.prompt if request else picture.request.prompt,
            prompt_words=settings.save.directories_max_prompt_words,
            basename=given.basename if (given := picture.request.from_picture) is not None else "",
            pixels=pictured.rgb,
        )
        shown = [extra for extra in pictured.extras if extra.shown]
        try:
            saved = self._pictures.save(
                pictured.rgb, draft, naming, settings.save, subseed=picture.subseed, alpha=pictured.alpha
            )
        except NotSaved as error:
            self._pictures.extras.keep(error.picture.id, shown)
            self.record(error.picture, picture.seed, picture.subseed)
            raise
        self._pictures.keep_beside(saved, [extra for extra in pictured.extras if extra.saved], settings.save)
        keep_small_copy(saved, settings.save)
        self._pictures.extras.keep(saved.id, shown)
        self.record(saved, picture.seed, picture.subseed)
        return saved

    def keep_sheet(
        self, pictures: Sequence[str], plan: Plan, settings: Settings, request: Generation, *, started: float, user: str
    ) -> bool:
        """Make the sheet of a run's pictures (ids, in their order), if the settings want one -> whether they do.

        It comes with the first picture, and lies among the grids where these are saved.

        Raises:
            NotFound: a picture is gone.
            StorageError: the disk is full or not writable.
            UserError: a picture's file is broken.
        """
        save = settings.save
        wanted = save.grid_save or settings.ui.return_grid
        if not wanted or not pictures or (len(pictures) == 1 and save.grid_only_if_multiple):
            return False
        first = self._pictures.get(pictures[0])
        contents = [self._pictures.content(each)[0] for each in pictures]
        made = grid.sheet(contents, first.infotext, save, request.batch_size)
        if settings.ui.return_grid:
            extra = ExtraPicture(grid.NAME, made.kind, made.content)
            self._pictures.extras.keep(first.id, [extra], first=BEHIND_ALL)
        if save.grid_save:
            naming = Naming(
                picture=_at(plan, first.position),
                plan=self._informed(plan),
                now=datetime.now().astimezone(),
                started=datetime.fromtimestamp(started).astimezone(),
                user=user,
                styles=request.styles,
                plain_prompt=request.prompt,
                prompt_words=save.directories_max_prompt_words,
                pixels=b"",
            )
            by_kind = {"txt2img": save.outdir_txt2img_grids, "img2img": save.outdir_img2img_grids}
            grid.save_sheet(made, self._paths.data / (save.outdir_grids or by_kind[first.kind]), naming, save)
        return True

    def keep_table(
        self,
        first: str,
        images: Sequence[Image.Image],
        labels: Sequence[tuple[str, str]],
        stem: str,
        settings: Settings,
    ) -> None:
        """Keep the sheets of a table: they come with the picture `first` (its id), and lie among the grids where these
        are saved.

        Raises:
            NotFound: the picture is gone.
            StorageError: the disk is full or not writable.
        """
        save = settings.save
        picture = self._pictures.get(first)
        behind = ", ".join(f"{label}: {quoted(value)}" for label, value in labels)
        made = [grid.encoded(image, joined(picture.infotext, behind), save) for image in images]
        extras = [ExtraPicture(grid.NAME, each.kind, each.content) for each in made]
        self._pictures.extras.keep(first, extras, first=BEHIND_ALL)
        if save.grid_save:
            by_kind = {"txt2img": save.outdir_txt2img_grids, "img2img": save.outdir_img2img_grids}
            folder = self._paths.data / (save.outdir_grids or by_kind[picture.kind])
            for each in made:
                grid.save_table(each, folder, stem, picture.seed)

    def _draft(
        self, pictured: Pictured, picture: Picture, plan: Plan, *, infotext: str, owner: str, created: float
    ) -> SavedPicture:
        """All that is known of a picture before it has a file."""
        return SavedPicture(
            kind=picture.request.kind,
            job_id=pictured.job_id,
            position=pictured.position,
            owner=owner,
            infotext=infotext,
            width=pictured.width,
            height=pictured.height,
            seed=picture.seed,
            model=plan.checkpoint.name,
            sampler=picture.request.sampler_name,
            created=created,
            parent=self._parent(picture.request),
        )

    def _parent(self, request: Generation) -> str:
        """The id of the picture that this one is made of, when it is one of ours."""
        return self.made_of(request.begins_with[0]) if request.begins_with else ""

    def made_of(self, upload: str) -> str:
        """The id of the picture that was uploaded, when it is one of ours; uploads are named by their sha256."""
        try:
            return self._pictures.id_of(upload)
        except StorageError as error:
            log.warning("The parent of a picture is not known: %s", error)
            return ""

    def record(self, saved: SavedPicture, seed: int, subseed: int) -> None:
        """A saved picture is a result of its job from now on."""
        try:
            self._jobs.add_result(saved.job_id, saved.position, saved.id, seed, subseed, saved.infotext)
        except StorageError as error:
            log.error("Picture %d of the job %s is not recorded: %s", saved.position, saved.job_id, error)
        else:
            self._pictures.settle(saved.id)

    def recover(self) -> int:
        """At start: pictures whose files were written when the program was killed, and no more, become results of
        their jobs -> how many. So no picture is made, and lies there, twice.

        Raises:
            StorageError: the database cannot be used.
        """
        count = 0
        for saved, subseed in self._pictures.found_again():
            self._jobs.add_result(saved.job_id, saved.position, saved.id, saved.seed, subseed, saved.infotext)
            self._pictures.settle(saved.id)
            count += 1
        return count

    def _remember(self, infotext: str) -> None:
        """A1111: `params.txt` holds the last job's infotext, for the button that brings it back."""
        try:
            write_atomically(self._paths.data / "params.txt", infotext.encode("utf-8", "replace"))
        except StorageError as error:
            log.warning("%s", error)

    def _informed(self, plan: Plan) -> Plan:
        """The plan with hashes that have come in since it was made."""

        def informed(ref: CheckpointRef | None) -> CheckpointRef | None:
            if ref is None or ref.sha256:
                return ref
            return replace(ref, sha256=self._hashes.cached(Path(ref.path), ref.stamp) or "")

        return replace(
            plan,
            checkpoint=informed(plan.checkpoint) or plan.checkpoint,
            vae=informed(plan.vae),
            hires_checkpoint=informed(plan.hires_checkpoint),
            partners=tuple(informed(partner) or partner for partner in plan.partners),
        )


def _at(plan: Plan, position: int) -> Picture:
    for batch in plan.batches:
        for picture in batch:
            if picture.position == position:
                return picture
    raise NotFound(f"The plan has no picture {position}.")

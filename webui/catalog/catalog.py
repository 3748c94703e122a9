"""Everything that lies on disk, in one place: what the server asks, and what a plan's names are resolved by."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from PIL import Image

from webui import registry
from webui.base.errors import NotFound, StorageError
from webui.base.files import write_atomically
from webui.base.paths import Paths
from webui.base.text import clean
from webui.catalog import grid
from webui.catalog.checkpoints import Checkpoints
from webui.catalog.database import Database
from webui.catalog.embeddings import Embeddings
from webui.catalog.folders import Folders
from webui.catalog.hashes import Hashes
from webui.catalog.history import History
from webui.catalog.history_folders import FolderIndex
from webui.catalog.hypernetworks import Hypernetworks
from webui.catalog.init_pictures import LABEL as INIT_HASH
from webui.catalog.init_pictures import init_hash, keep_init_pictures
from webui.catalog.job_folders import JobFolders
from webui.catalog.job_table import JobTable
from webui.catalog.loras import Loras
from webui.catalog.pictures import NotSaved, Pictures, SavedPicture
from webui.catalog.problems import Problems
from webui.catalog.styles import Styles
from webui.catalog.ui_defaults import UiDefaults
from webui.catalog.uploads import PictureStore
from webui.catalog.upscalers import Upscalers
from webui.catalog.vaes import Vaes
from webui.catalog.visitor_files import VisitorFiles
from webui.prompt.networks import HYPERNETWORK
from webui.request.facts import facts_of, unwanted_labels
from webui.request.fields import SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE, Generation, Img2Img
from webui.request.filenames import Naming
from webui.request.infotext import Parsed, joined, labels_of, paste_labels, quoted, write
from webui.request.infotext import pasted as as_pasted
from webui.request.messages import ExtraPicture, Pictured
from webui.request.plan import CheckpointRef, NetworkRef, Picture, Plan, UpscalerRef
from webui.request.settings import SaveSettings, Settings

log = logging.getLogger(__name__)

BEHIND_ALL = 99
"""The number of a sheet among the pictures that come with a result."""


class Catalog:
    """The installation's models, pictures, styles and jobs. Implements `webui.request.plan.Names`.

    Raises:
        StorageError: the database or one of the files cannot be used.
    """

    def __init__(self, paths: Paths, *, remembers: bool = True) -> None:
        """`remembers`: the last picture's infotext is kept as a file, for the paste button."""
        self.paths = paths
        self.remembers = remembers
        self.database = Database(paths.database)
        self.hashes = Hashes(self.database)
        self.problems = Problems()
        folders = Folders(self.hashes, self.problems)
        self.checkpoints = Checkpoints(paths, self.hashes, folders)
        self.vaes = Vaes(paths, self.hashes, folders)
        self.loras = Loras(paths, self.hashes, folders)
        self.hypernetworks = Hypernetworks(paths, self.hashes, folders)
        self.embeddings = Embeddings(paths, folders)
        self.upscalers = Upscalers(paths, folders)
        self.uploads = PictureStore(paths.uploads)
        self.visitor_files = VisitorFiles(paths.page_files / "visitors")
        self.pictures = Pictures(self.database, paths)
        self.history = History(self.database, self.pictures)
        self.folders = FolderIndex(self.database, paths.is_private, self.problems)
        self.jobs = JobTable(self.database)
        self.job_folders = JobFolders(paths.jobs)
        self.styles = Styles(paths, self.problems)
        self.ui_defaults = UiDefaults(paths, self.problems, self.choices)

    def refresh(self) -> None:
        """Refresh the list, and hash what is new in the background."""
        self.checkpoints.refresh()
        self.vaes.refresh()
        self.loras.refresh()
        self.styles.refresh()
        self.hash_in_background()

    def hash_in_background(self) -> None:
        """Compute the hashes that are not known yet, in a thread of low priority."""
        self.checkpoints.hash_in_background()
        self.checkpoints.hashing.add(
            vae.path for vae in self.vaes.scan().values() if not self.hashes.cached(vae.path, vae.stamp)
        )
        self.loras.hash_in_background(self.checkpoints.hashing)

    def look_for_pictures(self, save: SaveSettings) -> None:
        """Bring pictures that lie in the output folders into the history, in a thread of its own."""
        by_kind = (save.outdir_txt2img_samples, save.outdir_img2img_samples, save.outdir_extras_samples)
        chosen = (self.paths.data / name for name in (save.outdir_samples, save.outdir_save, *by_kind) if name)
        self.folders.look((self.paths.outputs, *chosen))

    def close(self) -> None:
        """End the background work and close the database."""
        self.folders.stop()
        self.checkpoints.close()
        self.database.close()

    # --- request.plan.Names ---------------------------------------------------------------------------------------

    def checkpoint(self, name: str) -> CheckpointRef:
        """The checkpoint of this title, name, stem or hash; "" is the first. Raises NotFound."""
        found = self.checkpoints.find(name)
        try:
            return self.checkpoints.ref(found)
        except NotFound:
            self.checkpoints.refresh()  # Its file is gone; another one may go by that name, or come first.
            return self.checkpoints.ref(self.checkpoints.find(name))

    def vae(self, name: str, checkpoint: CheckpointRef, *, overrides: bool = True) -> CheckpointRef | None:
        """The external VAE for this setting, or None for the checkpoint's own. Raises NotFound."""
        found = self.vaes.resolve(name, checkpoint, overrides=overrides)
        if found is not None and not found.sha256:
            # Put there while the program runs: its picture's infotext shall name its hash.
            self.checkpoints.hashing.add([Path(found.path)], first=True)
        return found

    def styled(self, prompt: str, negative: str, styles: tuple[str, ...]) -> tuple[str, str]:
        """Both prompts with the styles applied. Raises NotFound."""
        return self.styles.apply(prompt, negative, styles)

    def picture(self, name: str) -> bytes:
        """The encoded bytes of an uploaded picture, or of one that a job has made for itself. Raises NotFound."""
        try:
            return self.uploads.get(name)
        except NotFound:
            try:
                return self.job_folders.picture(name)
            except (NotFound, OSError):
                pass
            raise

    def network(self, kind: str, name: str) -> NetworkRef | None:
        """The file that a tag `<kind:name>` of a prompt means, or None. Raises StorageError."""
        return self.hypernetworks.ref(name) if kind == HYPERNETWORK else self.loras.ref(name)

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        """The upscaler of this name; `field` asked for it. Raises NotFound."""
        return self.upscalers.ref(name, field)

    # --- lists for dropdowns --------------------------------------------------------------------------------------

    def choices(self, source: str) -> list[str]:
        """What a `Param` with this `source` can be.

        Raises:
            NotFound: no list has this name.
        """
        lists: Mapping[str, Callable[[], list[str]]] = {
            "checkpoints": self.checkpoints.titles,
            "checkpoints_or_none": lambda: ["None", *self.checkpoints.titles()],
            "checkpoints_or_same": lambda: [SAME_CHECKPOINT, *self.checkpoints.titles()],
            "vaes": self.vaes.names,
            "styles": self.styles.names,
            "loras_or_none": lambda: ["None", *self.loras.names()],
            "hypernetworks_or_none": lambda: ["None", *self.hypernetworks.names()],
            "samplers": _samplers,
            "samplers_or_same": lambda: [SAME_SAMPLER, *_samplers()],
            "schedules": _schedules,
            "schedules_or_same": lambda: [SAME_SCHEDULE, *_schedules()],
            "upscalers": self.upscalers.names,
            "face_restorers": lambda: [entry.name for entry in registry.restorers()],
            "hires_upscalers": lambda: [*registry.LATENT_UPSCALERS, *self.upscalers.names()],
            "infotext_labels": paste_labels,
            "settings": lambda: list(Settings().options()),
        }
        if source not in lists:
            raise NotFound(f"There is no list named {source!r}.")
        return lists[source]()

    # --- finished pictures ----------------------------------------------------------------------------------------

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

    def pasted(self, text: str, settings: Settings) -> Parsed:
        """What an infotext says to a form here: as the settings want it read, and LoRAs by the names of their files."""
        found = as_pasted(text, settings.ui)
        return replace(found, prompt=self.loras.called_here(found.prompt, found.labels.get("Lora hashes", "")))

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
        informed = self._informed(plan)
        infotext = self.infotext(picture, plan, settings, dict(pictured.facts), version, user)
        if pictured.position == 0:
            if self.remembers:
                self._remember(infotext)
            if settings.save.save_init_img:
                keep_init_pictures(picture, plan, self.paths, settings.save)
        draft = SavedPicture(
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
            created=now,
            parent=self._parent(picture.request),
        )
        naming = Naming(
            picture=picture,
            plan=informed,
            now=datetime.fromtimestamp(now).astimezone(),
            started=datetime.fromtimestamp(now if started is None else started).astimezone(),
            user=user,
            styles=request.styles if request else (),
            plain_prompt=request.prompt if request else picture.request.prompt,
            prompt_words=settings.save.directories_max_prompt_words,
            basename=picture.request.basename if isinstance(picture.request, Img2Img) else "",
            pixels=pictured.rgb,
        )
        shown = [extra for extra in pictured.extras if extra.shown]
        try:
            saved = self.pictures.save(
                pictured.rgb, draft, naming, settings.save, subseed=picture.subseed, alpha=pictured.alpha
            )
        except NotSaved as error:
            self.pictures.extras.keep(error.picture.id, shown)
            self.record(error.picture, picture.seed, picture.subseed)
            raise
        self.pictures.keep_beside(saved, [extra for extra in pictured.extras if extra.saved], settings.save)
        self.pictures.extras.keep(saved.id, shown)
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
        first = self.pictures.get(pictures[0])
        contents = [self.pictures.content(each)[0] for each in pictures]
        made = grid.sheet(contents, first.infotext, save, request.batch_size)
        if settings.ui.return_grid:
            extra = ExtraPicture(grid.NAME, made.kind, made.content)
            self.pictures.extras.keep(first.id, [extra], first=BEHIND_ALL)
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
            grid.save_sheet(made, self.paths.data / (save.outdir_grids or by_kind[first.kind]), naming, save)
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
        picture = self.pictures.get(first)
        behind = ", ".join(f"{label}: {quoted(value)}" for label, value in labels)
        made = [grid.encoded(image, joined(picture.infotext, behind), save) for image in images]
        extras = [ExtraPicture(grid.NAME, each.kind, each.content) for each in made]
        self.pictures.extras.keep(first, extras, first=BEHIND_ALL)
        if save.grid_save:
            by_kind = {"txt2img": save.outdir_txt2img_grids, "img2img": save.outdir_img2img_grids}
            folder = self.paths.data / (save.outdir_grids or by_kind[picture.kind])
            for each in made:
                grid.save_table(each, folder, stem, picture.seed)

    def _parent(self, request: Generation) -> str:
        """The id of the picture that this one is made of, when it is one of ours."""
        return self.made_of(request.init_images[0]) if isinstance(request, Img2Img) and request.init_images else ""

    def made_of(self, upload: str) -> str:
        """The id of the picture that was uploaded, when it is one of ours; uploads are named by their sha256."""
        try:
            return self.pictures.id_of(upload)
        except StorageError as error:
            log.warning("The parent of a picture is not known: %s", error)
            return ""

    def record(self, saved: SavedPicture, seed: int, subseed: int) -> None:
        """A saved picture is a result of its job from now on."""
        try:
            self.jobs.add_result(saved.job_id, saved.position, saved.id, seed, subseed, saved.infotext)
        except StorageError as error:
            log.error("Picture %d of the job %s is not recorded: %s", saved.position, saved.job_id, error)
        else:
            self.pictures.settle(saved.id)

    def recover(self) -> int:
        """At start: pictures whose files were written when the program was killed, and no more, become results of
        their jobs -> how many. So no picture is made, and lies there, twice.

        Raises:
            StorageError: the database cannot be used.
        """
        count = 0
        for saved, subseed in self.pictures.found_again():
            self.jobs.add_result(saved.job_id, saved.position, saved.id, saved.seed, subseed, saved.infotext)
            self.pictures.settle(saved.id)
            count += 1
        return count

    def _remember(self, infotext: str) -> None:
        """A1111: `params.txt` holds the last job's infotext, for the button that brings it back."""
        try:
            write_atomically(self.paths.data / "params.txt", infotext.encode("utf-8", "replace"))
        except StorageError as error:
            log.warning("%s", error)

    def _informed(self, plan: Plan) -> Plan:
        """The plan with hashes that have come in since it was made."""

        def informed(ref: CheckpointRef | None) -> CheckpointRef | None:
            if ref is None or ref.sha256:
                return ref
            return replace(ref, sha256=self.hashes.cached(Path(ref.path), ref.stamp) or "")

        return replace(
            plan,
            checkpoint=informed(plan.checkpoint) or plan.checkpoint,
            vae=informed(plan.vae),
            refiner=informed(plan.refiner),
            hires_checkpoint=informed(plan.hires_checkpoint),
        )


def _samplers() -> list[str]:
    return [entry.name for entry in registry.samplers()]


def _schedules() -> list[str]:
    return [entry.name for entry in registry.schedules()]


def _at(plan: Plan, position: int) -> Picture:
    for batch in plan.batches:
        for picture in batch:
            if picture.position == position:
                return picture
    raise NotFound(f"The plan has no picture {position}.")

"""Everything that lies on disk, in one place: what the server asks, and what a plan's names are resolved by."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from webui import registry
from webui.base.errors import NotFound
from webui.base.paths import Paths
from webui.catalog.albums import Albums
from webui.catalog.annotator_files import AnnotatorFiles
from webui.catalog.block_presets import block_preset
from webui.catalog.brought import BroughtFolders
from webui.catalog.checkpoints import Checkpoints
from webui.catalog.control_networks import ControlNetworks, ImageEncoders
from webui.catalog.cut_out_files import CutOutFiles
from webui.catalog.database import Database
from webui.catalog.detector_files import DetectorFiles
from webui.catalog.embeddings import Embeddings
from webui.catalog.files import stamp_of
from webui.catalog.folders import Folders
from webui.catalog.form_presets import FormPresets
from webui.catalog.forms import Forms
from webui.catalog.hashes import Hashes
from webui.catalog.history import History
from webui.catalog.history_folders import FolderIndex
from webui.catalog.hypernetworks import Hypernetworks
from webui.catalog.image_files import size_of
from webui.catalog.job_folders import JobFolders
from webui.catalog.job_pictures import JobPictures
from webui.catalog.job_table import JobTable
from webui.catalog.kept_pictures import KeptPictures
from webui.catalog.localizations import Localizations
from webui.catalog.looks import Likeness
from webui.catalog.loras import Loras
from webui.catalog.pictures import Pictures
from webui.catalog.problems import Problems
from webui.catalog.ranking_lists import RankingLists
from webui.catalog.reduced import ReducedPictures
from webui.catalog.restorer_files import RestorerFiles
from webui.catalog.styles import Styles
from webui.catalog.tag_lists import TagLists
from webui.catalog.tagger_files import TaggerFiles
from webui.catalog.themes import theme_names
from webui.catalog.trash import Trash
from webui.catalog.ui_defaults import UiDefaults
from webui.catalog.unit_presets import UnitPresets
from webui.catalog.uploads import PictureStore
from webui.catalog.upscalers import Upscalers
from webui.catalog.vaes import Vaes
from webui.catalog.visitor_files import VisitorFiles
from webui.catalog.wildcards import Wildcards
from webui.prompt.filling import Lines
from webui.prompt.networks import HYPERNETWORK
from webui.request import preprocessors
from webui.request.cutting import Cutting, Edge
from webui.request.fields import SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE
from webui.request.infotext import Parsed, paste_labels
from webui.request.infotext import pasted as as_pasted
from webui.request.interrogators import BUILT_IN, FIRST, Ranking
from webui.request.model_ref import ModelRef
from webui.request.plan import CheckpointRef, NetworkRef, UpscalerRef
from webui.request.settings import InterrogateSettings, SaveSettings, Settings, UiSettings

log = logging.getLogger(__name__)


class Catalog:
    """The installation's models, pictures, styles and jobs. Implements `webui.request.plan.Names`.

    Raises:
        StorageError: the database or one of the files cannot be used.
    """

    def __init__(self, paths: Paths, *, remembers: bool = True) -> None:
        """`remembers`: the last picture's infotext is kept as a file, for the paste button."""
        self.paths = paths
        self.database = Database(paths.database)
        self.hashes = Hashes(self.database)
        self.problems = Problems()
        self.brought = BroughtFolders(paths, self.problems)
        self._model_folders = folders = Folders(self.hashes, self.problems, self.brought.folders)
        self.checkpoints = Checkpoints(paths, self.hashes, folders)
        self.vaes = Vaes(paths, self.hashes, folders)
        self.loras = Loras(paths, self.hashes, folders)
        self.hypernetworks = Hypernetworks(paths, self.hashes, folders)
        self.embeddings = Embeddings(paths, folders)
        self.upscalers = Upscalers(paths, folders)
        self.control_networks = ControlNetworks(paths, folders)
        self.image_encoders = ImageEncoders(paths, folders)
        self.annotator_files = AnnotatorFiles(paths, folders)
        self.detectors = DetectorFiles(paths, folders)
        self.restorers = RestorerFiles(paths, folders)
        self.taggers = TaggerFiles(paths, folders)
        self.cut_outs = CutOutFiles(paths, folders)
        self.ranking_lists = RankingLists(paths, folders, self.known)
        self.uploads = PictureStore(paths.uploads)
        self.visitor_files = VisitorFiles(paths.page_files / "visitors")
        self.localizations = Localizations(paths, self.problems)
        self.pictures = Pictures(self.database, paths)
        self.history = History(self.database, self.pictures)
        self.trash = Trash(self.database, self.pictures, paths)
        self.albums = Albums(self.database)
        self.looks = Likeness(self.database, self.pictures)
        self.folders = FolderIndex(self.database, paths.is_private, self.problems)
        self.jobs = JobTable(self.database)
        self.job_folders = JobFolders(paths.jobs)
        self.job_pictures = JobPictures(self.pictures, self.jobs, self.hashes, paths, remembers=remembers)
        self.kept = KeptPictures(self.pictures, paths)
        self.reduced = ReducedPictures(self.picture)
        self.forms = Forms(self.database)
        self.styles = Styles(paths, self.problems)
        self.wildcards = Wildcards(paths, self.problems)
        self.tags = TagLists(paths, self.problems)
        self.unit_presets = UnitPresets(paths.state, self.problems)
        self.form_presets = FormPresets(paths.state, self.problems)
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

    def look_for_control(self, ui: UiSettings) -> None:
        """Control networks, image encoders and preprocessors' files lie in the folders that the settings name, too."""
        own, annotators = (
            tuple(place for place in (self.paths.data / name,) if name and not self.paths.is_private(place))
            for name in (ui.control_net_models_path, ui.control_net_modules_path)
        )
        self.control_networks.also_in = own
        self.image_encoders.also_in = tuple(place / "clip_vision" for place in annotators)
        self.annotator_files.also_in = annotators

    def look_in_hidden(self, wanted: bool) -> None:
        """Whether models in hidden folders are in the lists."""
        if self._model_folders.lists_hidden != wanted:
            self._model_folders.lists_hidden = wanted
            self.refresh()

    def look_for_pictures(self, save: SaveSettings) -> None:
        """Bring pictures that lie in the output folders, and where the settings say, into the history, in a thread."""
        by_kind = (save.outdir_txt2img_samples, save.outdir_img2img_samples, save.outdir_extras_samples)
        chosen = (self.paths.data / name for name in (save.outdir_samples, save.outdir_save, *by_kind) if name)
        older = (self.paths.data / name.strip() for name in save.history_folders.splitlines() if name.strip())
        self.folders.look((self.paths.outputs, *chosen, *older))

    def close(self) -> None:
        """End the background work and close the database."""
        self.folders.stop()
        self.looks.stop()
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

    def wildcard(self, name: str) -> Lines:
        """The lines of the wildcard of this name."""
        return self.wildcards.lines(name)

    def block_weights(self, name: str) -> str:
        """The list of weights by block of this name, in the files of presets."""
        return block_preset(self.paths, name, self.problems)

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

    def picture_size(self, name: str) -> tuple[int, int]:
        """(width, height) of such a picture as it is seen. Raises NotFound, UserError."""
        return size_of(self.picture(name))

    def network(self, kind: str, name: str) -> NetworkRef | None:
        """The file that a tag `<kind:name>` of a prompt means, or None. Raises StorageError."""
        return self.hypernetworks.ref(name) if kind == HYPERNETWORK else self.loras.ref(name)

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        """The upscaler of this name; `field` asked for it. Raises NotFound."""
        found = self.upscalers.ref(name, field)
        return replace(found, sha256=self.known(found.model).sha256) if found.path else found

    def control_network(self, name: str) -> ModelRef:
        """The control network of this name. Raises NotFound."""
        return self.known(self.control_networks.ref(name))

    def towers(self) -> tuple[ModelRef, ...]:
        """The image encoders that are there."""
        return self.image_encoders.refs()

    def annotators(self, module: str) -> tuple[ModelRef, ...]:
        """The files of a preprocessor, in the order of its line in the table. Raises NotFound."""
        return self.annotator_files.refs(module)

    def detector(self, name: str) -> ModelRef:
        """The detector of this name; without a path where it is a packaged one. Raises NotFound."""
        found = self.detectors.ref(name)
        return self.known(found) if found.path else found

    def cutting(self, name: str, edge: Edge | None = None, field: str = "") -> Cutting:
        """By the network for backgrounds of this name; "" is the packaged one. Raises NotFound."""
        found = self.cut_outs.cutting(name, edge, field)
        return replace(found, network=self.known(found.network)) if found.network.path else found

    def restorer(self, name: str, field: str = "") -> ModelRef:
        """The face restorer of this name, "" is the first; `field` asked for it. Raises NotFound."""
        found = self.restorers.ref(name, field)
        return self.known(found) if found.path else found

    def tagger(self, name: str) -> ModelRef:
        """The file of the WD14 tagger of this name. Raises NotFound."""
        return self.known(self.taggers.ref(name))

    def ranking(self, chosen: InterrogateSettings) -> Ranking | None:
        """What completes the sentences of BLIP; None: no lists of words, or no model that ranks them."""
        return self.ranking_lists.ranking(chosen)

    def interrogators(self) -> list[str]:
        """What describes pictures: A1111's two, whose files may be missing, and the WD14 taggers that are there."""
        return [*BUILT_IN, *self.taggers.names()]

    def known(self, ref: ModelRef) -> ModelRef:
        """It by its content; where nobody has read that yet, it is read in the background for the next time."""
        path = Path(ref.path)
        try:
            stamp = stamp_of(path)
        except OSError:
            return ref  # It has just gone: who opens it says so.
        sha256 = self.hashes.cached(path, stamp)
        if not sha256:
            self.checkpoints.hashing.add([path])
        return replace(ref, sha256=sha256 or "", stamp=stamp)

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
            "control_networks": self.control_networks.titles,
            "detectors": self.detectors.names,
            "detectors_or_none": lambda: ["None", *self.detectors.names()],
            "detailer_control_networks": lambda: ["None", "Passthrough", *self.control_networks.titles()[1:]],
            "preprocessors": preprocessors.titles,
            "face_restorers": self.restorers.names,
            "taggers": lambda: [FIRST, *self.taggers.names()],
            "interrogate_categories": self.ranking_lists.names,
            "interrogators": self.interrogators,
            "interrogators_or_none": lambda: ["None", *self.interrogators()],
            "cut_out_models": self.cut_outs.names,
            "hires_upscalers": lambda: [*registry.LATENT_UPSCALERS, *self.upscalers.names()],
            "infotext_labels": paste_labels,
            "settings": lambda: list(Settings().options()),
            "localizations": self.localizations.names,
            "themes": lambda: theme_names(self.paths.themes),
            "tabs": lambda: [entry.name for entry in registry.tabs()],
        }
        if source not in lists:
            raise NotFound(f"There is no list named {source!r}.")
        return lists[source]()

    def pasted(self, text: str, settings: Settings) -> Parsed:
        """What an infotext says to a form here: as the settings want it read, and LoRAs by the names of their files."""
        found = as_pasted(text, settings.ui)
        return replace(found, prompt=self.loras.called_here(found.prompt, found.labels.get("Lora hashes", "")))


def _samplers() -> list[str]:
    return [entry.name for entry in registry.samplers()]


def _schedules() -> list[str]:
    return [entry.name for entry in registry.schedules()]

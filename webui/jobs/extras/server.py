"""What the server does around such a job: the pictures are saved with what was said of them before."""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path

from webui import registry
from webui.base.errors import NotFound, StorageError, UserError
from webui.base.files import write_atomically
from webui.catalog.image_files import read_infotext
from webui.catalog.pictures import NotSaved, SavedPicture
from webui.jobs.extras.request import (
    Extras,
    ExtrasPlan,
    ExtrasPreview,
    Retouch,
    cutting_of,
    resolve_extras,
    upscalers_of,
)
from webui.request import captions
from webui.request.capabilities import of_family
from webui.request.fields import Img2Img
from webui.request.infotext import fields_of, joined, quoted, read
from webui.request.interrogators import way_of
from webui.request.messages import Pictured
from webui.request.plan import LARGEST_RANDOM_SEED, Plan, chosen_models, resolve
from webui.request.postprocessing import in_order, restorers_of
from webui.request.settings import Settings
from webui.server.jobs.job import Job
from webui.server.jobs.kind import JobServer
from webui.server.jobs.work import Work

log = logging.getLogger(__name__)

PROMPTS = ("prompt", "negative_prompt")
MADE_BY = (*PROMPTS, "steps", "sampler_name", "scheduler", "cfg_scale", "seed")
"""What is taken over of how a picture says that it was made, where things in it are painted anew."""


class Server(JobServer[Extras, ExtrasPlan]):
    def plan(self, request: Extras, settings: Settings, /) -> ExtrasPlan:
        details = {name: self._detailing(request, name, settings) for name in request.images if request.details}
        models = self.catalog.paths.models
        captioning = way_of(request.caption_model, settings, self.catalog, models) if request.describes else None
        return resolve_extras(request, settings, self.catalog, details, captioning)

    def prepared(self, job: Job, request: Extras, settings: Settings) -> Work:
        plan = self.plan(request, settings)
        return Work(job, settings, plan, (request,), comments=list(plan.remarks))

    def _detailing(self, request: Extras, image: str, settings: Settings) -> Plan:
        """How things in one of the pictures are painted anew: as it was made, where it says so and that can be.

        Raises:
            NotFound: there is no such detector, or no checkpoint.
            UserError: the picture cannot be read, or the checkpoint cannot do it.
        """
        try:
            self.catalog.detector(request.detail_model)
        except NotFound as error:
            raise NotFound(error.message, hint=error.hint, field="detail_model") from error
        text = read_infotext(self.catalog.picture(image))[0]
        found = fields_of(self.catalog.pasted(text, settings), Img2Img, log.debug)
        checkpoint, _ = chosen_models(settings.render, self.catalog, log.debug)
        family = of_family(checkpoint.family)
        side = family.side if family is not None else Img2Img().width
        said = {name: found[name] for name in MADE_BY if name in found}
        try:
            return self._resolved(request.detailing(said, side), settings)
        except UserError:  # Whatever it was made by need not be here.
            said = {name: found[name] for name in PROMPTS}
            return self._resolved(request.detailing(said, side), settings)

    def _resolved(self, request: Img2Img, settings: Settings) -> Plan:
        folders = tuple(str(folder) for folder in self.catalog.paths.embeddings)
        return resolve(request, settings, self.catalog, lambda: random.randrange(LARGEST_RANDOM_SEED), folders)

    def aside(self, request: Extras, settings: Settings, /) -> ExtrasPreview:
        """Of the first picture."""
        if not request.images:
            raise UserError("There is no picture to preview.", field="images")
        names = {name: ref.name for name, ref in upscalers_of(request, self.catalog).items()}
        models = [name for name in names.values() if name not in registry.PIXEL_UPSCALERS]
        comments = (
            [f"The preview is resized with Lanczos; the result will use {' and '.join(models)}."] if models else []
        )
        if request.details:
            comments.append("What the detailer paints is not in the preview.")
        if restorers_of(request):
            comments.append("Restored faces are not in the preview.")
        small = self.catalog.reduced.of(request.images[0])
        return ExtrasPreview(
            request,
            small.png,
            (small.width, small.height),
            names,
            int(settings.limits.most_megapixels * 1e6),
            tuple(comments),
            cutting_of(request, self.catalog),
            tuple(in_order(settings.render.postprocessing_operation_order)),
        )

    def keep(self, work: Work, picture: Pictured, /) -> SavedPicture:
        """What the picture said of itself is kept, and what was done to it is said beside. Raises NotSaved."""
        assert isinstance(work.plan, ExtrasPlan)
        retouch = work.plan.at(picture.position)
        done = ", ".join(f"{label}: {quoted(value)}" for label, value in picture.facts)
        before, items = read_infotext(work.plan.images[retouch.image])
        labels = read(before).labels
        draft = SavedPicture(
            kind="extras",
            job_id=picture.job_id,
            position=picture.position,
            owner=work.job.owner,
            infotext=joined(before, done),
            width=picture.width,
            height=picture.height,
            seed=_number(labels.get("Seed", "")),
            model=labels.get("Model", ""),
            sampler=labels.get("Sampler", ""),
            created=time.time(),
            parent=self.catalog.job_pictures.made_of(retouch.image),
        )
        # A1111: the picture's own infotext stays as it was; what was done stands in two chunks of its own.
        chunks = {**items, "parameters": before, "postprocessing": done, "extras": done}
        save = work.settings.save
        stem = retouch.name if save.use_original_name_batch else ""
        if retouch.request.describes:
            save = save.changed(save_txt=False)  # a file of that name is for the caption
        try:
            saved = self.catalog.pictures.save_extras(picture.rgb, draft, stem, chunks, save, alpha=picture.alpha)
        except NotSaved as error:
            self.catalog.job_pictures.record(error.picture, retouch.seed, retouch.subseed)
            raise
        self.catalog.job_pictures.record(saved, retouch.seed, retouch.subseed)
        if retouch.request.describes and save.samples_save:
            _write_caption(Path(saved.path), _caption(retouch, picture.caption), work)
        return saved


def _caption(retouch: Retouch, made: str) -> str:
    """What stands in the text file beside a result."""
    return captions.joined(retouch.caption, made, retouch.request.existing_caption)


def _write_caption(picture: Path, words: str, work: Work) -> None:
    """Beside a result; what cannot be written is said, and costs no picture."""
    try:
        write_atomically(picture.with_suffix(captions.ENDING), words.encode())
    except StorageError as error:
        log.warning("The caption of %s was not saved: %s", picture, error)
        work.comments.append(f"The caption of {picture.name} was not saved: {error.message}")


def _number(text: str) -> int:
    """A seed as the database can hold it; -1 for none."""
    return int(text) if text.isdecimal() and len(text) < 19 else -1

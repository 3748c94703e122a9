"""What the server does around such a job: the pictures are saved with what was said of them before."""

from __future__ import annotations

import time

from webui import registry
from webui.base.errors import UserError
from webui.catalog.image_files import read_infotext
from webui.catalog.pictures import NotSaved, SavedPicture
from webui.jobs.extras.request import Extras, ExtrasPlan, ExtrasPreview, resolve_extras, upscalers_of
from webui.request.infotext import joined, quoted, read
from webui.request.messages import Pictured
from webui.request.settings import Settings
from webui.server.jobs.kind import JobServer
from webui.server.jobs.work import Work


class Server(JobServer[Extras, ExtrasPlan]):
    def plan(self, request: Extras, settings: Settings, /) -> ExtrasPlan:
        return resolve_extras(request, settings, self.catalog)

    def aside(self, request: Extras, settings: Settings, /) -> ExtrasPreview:
        """Of the first picture."""
        if not request.images:
            raise UserError("There is no picture to preview.", field="images")
        names = {name: ref.name for name, ref in upscalers_of(request, self.catalog).items()}
        models = [name for name in names.values() if name not in registry.PIXEL_UPSCALERS]
        small = self.catalog.reduced.of(request.images[0])
        return ExtrasPreview(
            request,
            small.png,
            (small.width, small.height),
            names,
            int(settings.limits.most_megapixels * 1e6),
            (f"The preview is resized with Lanczos; the result will use {' and '.join(models)}.",) if models else (),
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
        stem = retouch.name if work.settings.save.use_original_name_batch else ""
        try:
            saved = self.catalog.pictures.save_extras(
                picture.rgb, draft, stem, chunks, work.settings.save, alpha=picture.alpha
            )
        except NotSaved as error:
            self.catalog.job_pictures.record(error.picture, retouch.seed, retouch.subseed)
            raise
        self.catalog.job_pictures.record(saved, retouch.seed, retouch.subseed)
        return saved


def _number(text: str) -> int:
    """A seed as the database can hold it; -1 for none."""
    return int(text) if text.isdecimal() and len(text) < 19 else -1

"""What the server does around such a job: a result is saved like the pictures that it was made of."""

from __future__ import annotations

from webui.catalog.pictures import SavedPicture
from webui.jobs.compose.request import Compose, ComposePlan, resolve_compose
from webui.jobs.txt2img.server import Server as GenerationServer
from webui.request.messages import Pictured
from webui.request.settings import Settings
from webui.server.jobs.job import user_name
from webui.server.jobs.kind import JobServer
from webui.server.jobs.work import Work


class Server(JobServer[Compose, ComposePlan]):
    def plan(self, request: Compose, settings: Settings, /) -> ComposePlan:
        return resolve_compose(request, settings.render.img2img_background_color, self.catalog)

    def keep(self, work: Work, picture: Pictured, /) -> SavedPicture:
        """With the infotext of the request that it tells of. Raises NotSaved."""
        request, step = work.job.request, work.plan
        assert isinstance(request, Compose) and request.told is not None
        told = request.told
        generation = GenerationServer(self.catalog, self.settings, self.version).plan(told, work.settings)
        return self.catalog.job_pictures.keep(
            picture,
            generation.moved(step.batches[0][0].position),
            work.settings.with_overrides(told.override_settings),
            owner=work.job.owner,
            version=self.version,
            user=user_name(work.job.owner),
            request=told,
            started=work.job.started,
        )

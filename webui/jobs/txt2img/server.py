"""What the server does around jobs that make pictures: scripts, saving, and the sheets of finished pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from webui.base.errors import ModelError
from webui.base.text import named
from webui.catalog import grid
from webui.catalog.pictures import SavedPicture
from webui.entry_points import expected
from webui.request.fields import Generation
from webui.request.messages import Pictured
from webui.request.plan import LARGEST_RANDOM_SEED, Plan, Plans, resolve
from webui.request.settings import Settings
from webui.scripts.flow import Course, Flow, Made, Next, following
from webui.scripts.script import Table, chosen, refuse_beyond
from webui.server.jobs.job import Job, JobError, user_name
from webui.server.jobs.kind import Checked, JobServer
from webui.server.jobs.limits import within
from webui.server.jobs.tables import expanded, planned, settled, sheets_of
from webui.server.jobs.work import Work


class Server(JobServer[Generation, Plan]):
    def plan(self, request: Generation, settings: Settings, /) -> Plan:
        self.settings.freeze.check(settings, request.override_settings)
        folders = tuple(str(folder) for folder in self.catalog.paths.embeddings)
        plan = resolve(request, settings, self.catalog, _random_seed, folders)
        for batch in plan.batches:
            if batch[0].request.most_pixels > request.most_pixels:  # a feature has made it larger
                within(batch[0].request, settings.limits)
        return plan

    def checked(self, request: Generation, settings: Settings) -> Checked:
        """One picture of each cell is enough to complain of."""
        one: dict[str, object] = {"n_iter": 1, "batch_size": 1}
        if not request.script:
            first = self.plan(request.changed(**one), settings)
            picture = first.batches[0][0]
            return Checked(request.picture_count, first.model, picture.seed, picture.subseed)
        seed = request.seed if request.seed >= 0 else _random_seed()
        subseed = request.subseed if request.subseed >= 0 else _random_seed()
        if (course := self._course(request)) is not None:
            within(course, settings.limits)
            refuse_beyond(course.steps(request), settings.limits.most_pictures)
            first = self.plan(request.changed(script="", script_values={}, **one), settings)
            return Checked(course.picture_count(request), first.model, seed, subseed)
        table = self._table(request, seed, subseed, settings)
        for cell in table.cells:
            within(cell.request, settings.limits)
        plans = planned(table, lambda request: self.plan(request.changed(**one), settings))
        return Checked(table.count, plans.model, seed, subseed)

    def prepared(self, job: Job, request: Generation, settings: Settings) -> Work:
        if not request.script:
            plan = self.plan(request.changed(seed=job.seed, subseed=job.subseed), settings)
            settings = settings.with_overrides(request.override_settings)
            return Work(job, settings, plan, (request,), comments=list(plan.remarks))
        table = self._table(request, job.seed, job.subseed, settings)
        plans = planned(table, lambda cell: self.plan(cell, settings))
        return Work(job, settings, plans, plans.requests, table, comments=[*plans.remarks, *table.remarks])

    def _table(self, request: Generation, seed: int, subseed: int, settings: Settings) -> Table:
        """What a request with a script stands for, and can be made."""

        def plan(cell: Generation) -> None:
            within(cell, settings.limits)
            self.plan(cell.changed(n_iter=1, batch_size=1), settings)

        return settled(expanded(request, seed, subseed, settings.limits.most_pictures, self.catalog), plan)

    def follow(self, job: Job, request: Generation, made: Sequence[Made], /) -> Next | None:
        """As the request's script says, where that is a flow."""
        course = self._course(request)
        if course is None:
            return None
        return following(course.follow(request.changed(seed=job.seed, subseed=job.subseed), made), course)

    def steps(self, request: Generation, /) -> int:
        course = self._course(request)
        return expected(course.steps(request), int, course, "steps") if course is not None else 1

    def _course(self, request: Generation) -> Course | None:
        """What the request's script asks for in turn, where that is a flow. Raises as `_flow`, and as `Flow.course`."""
        flow = _flow(request)
        if flow is None:
            return None
        return expected(flow.course(request, self.catalog, is_fixed=request.seed >= 0), Course, flow, "course")

    def mended(self, work: Work, error: JobError, /) -> bool:
        """A checkpoint that nobody has chosen cannot be opened: the next one of the list takes its place."""
        if error.code != ModelError.code or not isinstance(work.plan, Plan):
            return False
        path = Path(work.plan.checkpoint.path)
        if work.settings.render.sd_model_checkpoint or named(path.name) not in error.message:
            return False
        return self.catalog.checkpoints.doubt(path, error.message)

    def keep(self, work: Work, picture: Pictured, /) -> SavedPicture:
        """With the settings that hold for its cell of a table. Raises NotSaved."""
        plan, request, settings = work.plan, work.job.request, work.settings
        if isinstance(work.plan, Plans):
            cell = work.plan.number_of(picture.position)
            plan, request = work.plan.parts[cell], work.plan.requests[cell]
            settings = settings.with_overrides(request.override_settings)
        assert isinstance(plan, Plan) and isinstance(request, Generation)
        if picture.half_done and not settings.save.save_incomplete_images:
            settings = settings.with_options({"samples_save": False})
        return self.catalog.job_pictures.keep(
            picture,
            plan,
            settings,
            owner=work.job.owner,
            version=self.version,
            user=user_name(work.job.owner),
            request=request,
            started=work.job.started,
        )

    @property
    def lays_out(self) -> bool:
        return True

    def lay_out(self, work: Work, ended: Job, /) -> None:
        if work.table is not None and isinstance(work.plan, Plans):
            self._lay_out_table(work.table, work.plan, work.settings, ended)
            return
        if work.flow is not None:
            assert isinstance(ended.request, Generation)
            self._lay_out_flow(ended, ended.request, work.flow.settings)
            return
        assert isinstance(work.plan, Plan) and isinstance(ended.request, Generation)
        self._lay_out_batches(ended, work.plan, work.settings, ended.request)

    def _lay_out_batches(self, ended: Job, plan: Plan, settings: Settings, request: Generation) -> None:
        self.catalog.job_pictures.keep_sheet(
            [picture.id for picture in ended.pictures],
            plan,
            settings,
            request,
            started=ended.started or ended.created,
            user=user_name(ended.owner),
        )

    def _lay_out_flow(self, ended: Job, request: Generation, settings: Settings) -> None:
        """The results as the script wants them, where there are several. A1111: Loopback's in a row, even if a call
        wants no sheets of batches; those of others where the settings want sheets."""
        flow = _flow(request)
        sheet = flow.sheet if flow is not None else "none"
        if len(ended.pictures) < 2 or sheet == "none":
            return
        contents = [self.catalog.pictures.content(picture.id)[0] for picture in ended.pictures]
        laid_out = grid.in_a_row(contents, settings.save) if sheet == "row" else grid.in_rows(contents, settings.save)
        self.catalog.job_pictures.keep_table(ended.pictures[0].id, [laid_out], (), grid.NAME, settings)

    def _lay_out_table(self, table: Table, plans: Plans, settings: Settings, ended: Job) -> None:
        if table.sheets is None:
            if len(table.cells) == 1:  # A request like others, which a script has changed.
                self._lay_out_batches(ended, plans.parts[0], settings, plans.requests[0])
            return
        stored = self.catalog.pictures
        contents = {picture.position: stored.content(picture.id)[0] for picture in ended.pictures}
        images = sheets_of(table, plans, contents, settings.save)
        if images:
            first = ended.pictures[0].id
            self.catalog.job_pictures.keep_table(first, images, table.sheets.labels, table.sheets.stem, settings)


def _flow(request: Generation) -> Flow | None:
    """The script of the request, where that is a flow.

    Raises:
        NotFound: there is no such script.
        UserError: one of its values is wrong.
    """
    script = chosen(request)[0] if request.script else None
    return script if isinstance(script, Flow) else None


def _random_seed() -> int:
    return random.randrange(LARGEST_RANDOM_SEED)

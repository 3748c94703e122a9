"""What the server does around such a job: the folder is looked through when its turn comes."""

from __future__ import annotations

from pathlib import Path

from webui.base.errors import UserError
from webui.base.text import path_named
from webui.catalog.batch_pictures import BatchPicture, files_in, may_hold_results
from webui.jobs.caption.request import Caption, Captioned, CaptionPlan
from webui.request.captions import ENDING
from webui.request.interrogators import way_of
from webui.request.settings import Settings
from webui.server.jobs.kind import JobServer


class Server(JobServer[Caption, CaptionPlan]):
    def plan(self, request: Caption, settings: Settings, /) -> CaptionPlan:
        paths = self.catalog.paths
        output = may_hold_results(request.output_dir.strip(), paths)
        if output and not Path(output).expanduser().is_absolute():
            raise UserError("Output directory: the whole path is needed.", field="output_dir")
        found = files_in(request.input_dir, "Input", paths, but=[output])
        pictures: dict[str, Captioned] = {}
        for one in found:
            text = _text_of(one, output)
            pictures.setdefault(str(text), Captioned(str(one), str(one.path), str(text)))
        way = way_of(request.model, settings, self.catalog, paths.models)
        most = int(settings.limits.most_upload_megapixels * 1e6)
        return CaptionPlan(
            pictures=tuple(pictures.values()), way=way, existing=request.existing_caption, most_pixels=most
        )


def _text_of(one: BatchPicture, output: str) -> Path:
    if not output:
        return one.path.with_suffix(ENDING)
    return path_named(output).expanduser() / one.below / f"{one.path.stem}{ENDING}"

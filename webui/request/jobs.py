"""The kinds of jobs, and of plans that come of them."""

from __future__ import annotations

from webui.request.extras import Extras, ExtrasPlan
from webui.request.fields import REQUESTS, Generation
from webui.request.interrogate import Interrogate, InterrogatePlan
from webui.request.merge import Merge, MergePlan
from webui.request.plan import Plan, Plans

Errands = Merge | Interrogate
"""Requests that no picture comes of, but a text."""
Request = Generation | Extras | Errands
"""Whatever can be a job."""
JOBS: dict[str, type[Generation] | type[Extras] | type[Merge] | type[Interrogate]] = {
    **REQUESTS,
    "extras": Extras,
    "merge": Merge,
    "interrogate": Interrogate,
}
"""The kinds of jobs by the name that tabs, routes and folders have for them."""
EnginePlan = Plan | ExtrasPlan | MergePlan | InterrogatePlan
"""What an engine is given."""
AnyPlan = EnginePlan | Plans


def kind_of(request: Request) -> str:
    """The name of a request's kind: "txt2img", "img2img", "extras", ..."""
    return next(name for name, cls in JOBS.items() if type(request) is cls)

"""Each kind of job is a line of the registry and a folder with three parts that know one another by name alone."""

from __future__ import annotations

import inspect

import pytest

from webui import registry
from webui.base.errors import NotFound
from webui.registry import JobKind
from webui.request.jobs import JobRequest, request_classes
from webui.request.settings import LimitSettings
from webui.server.jobs.kind import JobServer

KINDS = [pytest.param(kind, id=kind.name) for kind in registry.job_kinds()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_finds_its_three_parts(kind: JobKind) -> None:
    request, server = registry.resolved(kind.request), registry.resolved(kind.server)
    assert issubclass(request, JobRequest) and request.kind == kind.name
    assert issubclass(server, JobServer) and server.plan is not JobServer.plan
    assert list(inspect.signature(registry.resolved(kind.work)).parameters) == ["plan", "house"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_says_what_it_asks_for_in_fields_of_its_own(kind: JobKind) -> None:
    request = request_classes()[kind.name]()
    assert request.title or "prompt" in type(request).model_fields
    assert request.effort >= 0 and request.picture_count >= 0 and request.batch_count >= 0
    for demand in request.demands(LimitSettings()):
        assert demand.field in type(request).model_fields
        assert demand.asked <= demand.most, "what nobody has changed is within the limits that nobody has changed"


def test_a_kind_that_nothing_is_called_is_said_to_be_none() -> None:
    with pytest.raises(NotFound, match="mergee") as caught:
        registry.job_kind("mergee")
    assert "merge" in caught.value.hint

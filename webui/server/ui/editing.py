"""What goes from the queue back into the tab that it came from: a pane that takes jobs of a kind back declares so.

A new tab whose jobs can be edited has its button in the queue, without being named there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import gradio as gr

from webui.base.errors import NotFound, WebuiError
from webui.request.jobs import JobRequest
from webui.server.ui import notices
from webui.server.ui.components import Component, Shown
from webui.server.ui.controls import QUIET
from webui.server.ui.script import calls

if TYPE_CHECKING:
    from webui.app import App


@dataclass(frozen=True)
class Editing:
    """How a pane takes back what was submitted."""

    kind: str
    """Of the jobs, and of the tab."""
    shows: tuple[Component, ...]
    """The components that `take` may change."""
    take: Callable[[JobRequest, gr.Request], Shown]
    """It may raise WebuiError."""
    place: str = ""
    """The id of the sub-tab that takes them back, where the tab has several."""
    masked: str = ""
    """That of those that have a mask."""


@runtime_checkable
class Editable(Protocol):
    """A pane whose jobs can be edited."""

    def editing(self, app: App) -> Editing: ...


@dataclass(frozen=True)
class JobList:
    """Where jobs are picked: `row` is where the buttons go that edit one, `picked` carries its number."""

    row: Component
    picked: Component
    notice: Component
    """Says why a job cannot be edited."""


def connect_editing(app: App, lists: Iterable[JobList], panes: Iterable[object]) -> None:
    """Give each list of jobs a button, which the script presses, for each pane that takes jobs back."""
    editings = [pane.editing(app) for pane in panes if isinstance(pane, Editable)]
    for jobs in lists:
        with jobs.row:
            for editing in editings:
                _connect(app, jobs, editing)


def _connect(app: App, jobs: JobList, editing: Editing) -> None:
    def edit(job_id: str, request: gr.Request) -> Shown:
        try:
            asked = _asked(app, job_id, str(request.username or ""))
            return {jobs.notice: gr.update(), **editing.take(asked, request)}
        except WebuiError as error:
            return {jobs.notice: notices.failure(error)}

    name = f"queue_edit_{editing.kind}"
    button = gr.Button(f"Edit in {editing.kind}", visible="hidden", elem_id=name)
    shown = list(dict.fromkeys((*editing.shows, jobs.notice)))
    button.click(edit, jobs.picked, shown, js=calls("jobs.edit", editing.kind, editing.place, editing.masked), **QUIET)


def _asked(app: App, job_id: str, owner: str) -> JobRequest:
    """What was submitted as a job.

    Raises:
        NotFound: there is no such job, or it is somebody else's.
    """
    job = app.queue.job(job_id)
    if job.owner != owner and not app.access.oversees(owner):
        raise NotFound(f"You have no job {job_id!r}.")
    return job.request

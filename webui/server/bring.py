"""Routes of what lies in other programs' folders, below `/internal/bring`: what was found, taking it over, and back.

For administrators alone, who sit at the machine or have logged in: nobody else learns where folders lie. A request
names what was found by its number; a path is taken from whoever sits at the machine, and from nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import BaseModel

from webui.base.errors import NotFound
from webui.base.text import named
from webui.catalog.brought import Brought
from webui.catalog.installations import ModelCount, counted
from webui.catalog.products import KINDS, Installation
from webui.catalog.taken_settings import has_settings, take_settings
from webui.server.access import NotAllowed
from webui.server.folder_window import is_here
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

COMMAND = "python -m webui bring"


class FolderNamed(BaseModel):
    """A folder that somebody at the machine has typed."""

    path: str
    kind: str = ""
    """What is in it; "": as the names of its folders say."""


def routes(app: App) -> Routes:
    """The routes; everything else they need is the App's."""
    router = Routes(prefix="/internal/bring", include_in_schema=False)
    found, brought = app.installations, app.catalog.brought

    @router.get("", "admin")
    def listed(request: Request) -> dict[str, object]:
        """What was found and what is in use; the first call begins to look."""
        _check(app, request)
        found.look()
        used = {one.id for one in brought.all()}
        new = [one for one in found.all() if one.id not in used]
        return {
            "state": found.state,
            "complete": found.complete,
            "here": is_here(request),
            "kinds": dict(KINDS),
            "found": [_shown(one.id, one.installation, one.count) for one in new],
            "used": [_shown(one.id, _again(one), counted(_again(one))) for one in brought.all()],
            "problems": [str(problem) for problem in found.problems],
        }

    @router.post("/look", "admin")
    def look_again(request: Request) -> None:
        _check(app, request)
        found.look(again=True)

    @router.post("/take/{installation_id}", "admin")
    def take(installation_id: str, request: Request) -> dict[str, object]:
        """Use the models of something that was found, where they lie."""
        _check(app, request)
        one = found.get(installation_id)
        if one is None:
            raise NotFound("It was not found on this machine.", hint="Look again.")
        return _taken(app, one.installation)

    @router.post("/folder", "admin")
    def take_folder(wish: FolderNamed, request: Request) -> dict[str, object]:
        """The same with a folder that is typed by somebody who sits at the machine."""
        _check(app, request)
        if not is_here(request):
            raise NotAllowed(
                "A folder can only be named at the machine that Gesso runs on.", hint=f"There, run: {COMMAND} FOLDER"
            )
        return _taken(app, found.named(wish.path, wish.kind))

    @router.delete("/used/{brought_id}", "admin")
    def forget(brought_id: str, request: Request) -> None:
        """Use it no more. Its files stay where they are."""
        _check(app, request)
        brought.forget(brought_id)
        app.catalog.refresh()

    @router.post("/settings/{brought_id}", "admin")
    def settings(brought_id: str, request: Request) -> list[dict[str, object]]:
        """Take over settings, defaults and styles of something that is in use."""
        _check(app, request)
        one = next((one for one in brought.all() if one.id == brought_id), None)
        if one is None:
            raise NotFound("It is not in use (any more).", hint="Reload the page.")
        came = take_settings(one.root, app.catalog, app.settings)
        return [{"file": one.file, "taken": one.taken, "left": one.left} for one in came]

    return router


def _check(app: App, request: Request) -> None:
    """
    Raises:
        NotAllowed: the caller is not to know where folders lie.
    """
    if app.settings.freeze.folders or app.settings.freeze.everything:
        raise NotAllowed("Folders are fixed by the server's command line.", hint=f"There, run: {COMMAND}")
    if not (is_here(request) or caller_of(request.scope).name):
        raise NotAllowed(
            "Only somebody at the machine, or an administrator who has logged in, may see its folders.",
            hint="Start Gesso with accounts, or open it on the machine itself.",
        )


def _taken(app: App, installation: Installation) -> dict[str, object]:
    one = app.catalog.brought.take(installation)
    app.catalog.refresh()
    return _shown(one.id, _again(one), counted(_again(one)))


def _again(one: Brought) -> Installation:
    return Installation(one.product, one.root, one.folders)


def _shown(number: str, installation: Installation, count: ModelCount) -> dict[str, object]:
    return {
        "id": number,
        "program": installation.product,
        "folder": named(installation.root),
        "there": installation.root.is_dir(),
        "models": {KINDS[kind]: many for kind, many in count.by_kind.items()},
        "complete": count.complete,
        "folders": [{"kind": KINDS[kind], "folder": named(folder)} for kind, folder in installation.folders],
        "settings": has_settings(installation.root),
    }

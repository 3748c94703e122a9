"""What is broken in the folders of models and pictures, and in the files of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webui.catalog.survey import problems_in
from webui.request.documented import Documented
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


class ProblemAnswer(Documented):
    """Something that is broken or not as it should be. Everything else can still be used."""

    kind: str
    """The folder or file that it belongs to, such as "Lora" or "styles"."""
    name: str
    """Its path in that folder, or its place in the file."""
    reason: str
    """What is wrong with it."""
    todo: str
    """What to do about it; empty if that is unknown."""


class ProblemsAnswer(Documented):
    """All problems."""

    problems: list[ProblemAnswer]
    """The problems, sorted by kind and name."""


def routes(app: App) -> Routes:
    router = Routes(tags=["own"])

    @router.get("/problems", "user")
    def list_problems() -> ProblemsAnswer:
        """Files that cannot be used and settings that are not valid, each with the reason."""
        return ProblemsAnswer(problems=[ProblemAnswer(**vars(problem)) for problem in problems_in(app.catalog)])

    return router

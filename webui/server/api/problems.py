"""What is broken in the folders of models and pictures, and in the files of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webui.catalog.survey import problems_in
from webui.server.api.documented import Documented
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App


class ProblemAnswer(Documented):
    """A thing that is broken, or not as it should be. It keeps nothing else from being used."""

    kind: str
    """Which folder or file it belongs to, such as "Lora" or "styles"."""
    name: str
    """Relative to that folder; of a thing within a file, where it stands."""
    reason: str
    """What is wrong with it."""
    todo: str
    """What to do; "": nobody knows."""


class ProblemsAnswer(Documented):
    """All of them."""

    problems: list[ProblemAnswer]
    """By kind and name."""


def routes(app: App) -> Routes:
    router = Routes(tags=["own"])

    @router.get("/problems", "user")
    def list_problems() -> ProblemsAnswer:
        """Files that cannot be used, and settings that do not fit: each with its reason."""
        return ProblemsAnswer(problems=[ProblemAnswer(**vars(problem)) for problem in problems_in(app.catalog)])

    return router

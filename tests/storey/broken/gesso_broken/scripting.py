"""A script that fails over the second picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from gesso_broken.raising import raises, seven
from webui.request.fields import Generation
from webui.request.params import Toggle
from webui.scripts.flow import Flow, Made, Next


class BrokenFlow(Flow):
    """Whether it raises, or gives something that is no request."""

    title: ClassVar[str] = "Broken flow"

    gives: Annotated[bool, Toggle(ui="Gives")] = False
    """What it should not."""

    def picture_count(self, _request: Generation, /) -> int:
        return 2

    def steps(self, _request: Generation, /) -> int:
        return 2

    def follow(self, request: Generation, made: Sequence[Made], /) -> Any:
        if not made:
            return Next(request.changed(script="", script_values={}), is_result=True)
        return seven() if self.gives else raises()

"""What one job may ask for at most, as the settings say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from webui.base.errors import UserError
from webui.request.jobs import Demand
from webui.request.settings import LimitSettings


class Demanding(Protocol):
    """A request, or what a script makes of one."""

    def demands(self, limits: LimitSettings, /) -> Iterable[Demand]: ...


def within(request: Demanding, limits: LimitSettings) -> None:
    """
    Raises:
        UserError: it asks for too much; says of what, and how much would be taken.
    """
    for demand in request.demands(limits):
        if demand.asked > demand.most:
            raise UserError(
                f"{demand.asked:,} {demand.what} are too many.",
                hint=f"The limit is {demand.most:,} (Settings, Limits).",
                field=demand.field,
            )

"""What one job may ask for at most, as the settings say."""

from __future__ import annotations

from webui.base.errors import UserError
from webui.request.jobs import JobRequest
from webui.request.settings import LimitSettings


def within(request: JobRequest, limits: LimitSettings) -> None:
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

"""What would come of it, told at once."""

from __future__ import annotations

from gesso_sample.counting.request import CountingPlan
from webui.engine.residents import Residents
from webui.request.messages import AsideResult


def aside(plan: CountingPlan, _residents: Residents) -> AsideResult:
    return AsideResult(comments=(f"It will come to {plan.most * (plan.most + 1) // 2}.",))

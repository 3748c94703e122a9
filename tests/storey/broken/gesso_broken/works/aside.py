"""Fails, or gives what it should not."""

from __future__ import annotations

import sys
from typing import Any

from gesso_broken.raising import raises
from gesso_broken.works.request import WorksPlan


def aside(plan: WorksPlan, _residents: Any) -> Any:
    if plan.how == "exits":
        sys.exit(3)
    return 1 if plan.how == "gives" else raises()

"""Nothing here does what it should."""

from __future__ import annotations

from typing import Any, NoReturn


def raises(*_given: Any, **_options: Any) -> NoReturn:
    """Raises."""
    raise KeyError("the sky has fallen")


def seven(*_given: Any, **_options: Any) -> Any:
    """What nobody has asked for."""
    return 7

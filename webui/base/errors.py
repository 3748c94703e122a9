"""Errors for the person who reads them: what happened, to which thing, what to do.

Raised anywhere; caught at two edges only: the engine's command loop and the server's request handling.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from webui.base.text import named

if TYPE_CHECKING:
    from collections.abc import Iterable


class WebuiError(Exception):
    """Anything that we raise on purpose.

    `message` says what happened and to which thing, `hint` what to do about it, `field` which parameter or setting
    it concerns (its name in the request, where there is one). `code` names the kind for programs.
    """

    code = "error"
    status = 500
    """The HTTP status with which an API answers it."""

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message)
        # Errors name files, and go into JSON and the database.
        self.message = named(message)
        self.hint = named(hint)
        self.field = named(field)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt, (type(self), self.message, self.hint, self.field))


def _rebuilt(kind: type[WebuiError], message: str, hint: str, field: str) -> WebuiError:
    return kind(message, hint=hint, field=field)


class UserError(WebuiError):
    """The request cannot be done as asked; asking differently helps."""

    code = "bad_request"
    status = 422


class NotFound(UserError):
    """Something was asked for by a name that nothing has."""

    code = "not_found"
    status = 404


class ModelError(UserError):
    """A model file is broken, unsafe, or of a kind that we cannot open. Names the file."""

    code = "model_error"


class Busy(WebuiError):
    """The thing asked for is in use; the same request works later."""

    code = "busy"
    status = 503


class OutOfMemory(WebuiError):
    """The device or the host has not enough memory for this picture; the engine itself is well."""

    code = "out_of_memory"


class StorageError(WebuiError):
    """A file cannot be written or read: full disk, no permission, broken database."""

    code = "storage_error"


class DatabaseError(StorageError):
    """The program's own database cannot be used now: its disk is full, or another program has locked it. What was asked
    for may be asked for again."""


class EngineCrashed(WebuiError):
    """The engine process ended in the middle of a job; a new one is started."""

    code = "engine_crashed"


class ExtensionError(WebuiError):
    """The code of an installed package has failed. What does without it works."""

    code = "extension_error"

    def __init__(self, origin: str, reason: str) -> None:
        """origin: the package."""
        super().__init__(
            f"The package {origin} has failed: {reason}",
            hint="Leave out what it adds, update it, or uninstall it.",
        )
        self.origin = named(origin)
        self.reason = named(reason)

    def __reduce__(self) -> tuple[object, ...]:
        return (ExtensionError, (self.origin, self.reason))


class Interrupted(WebuiError):
    """The user asked to stop. Not a failure: what is finished is kept."""

    code = "interrupted"
    status = 200


def closest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or "" when nothing is near: for "Did you mean ...?"."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint: the closest of the known names as a question, else the list of them."""
    known = list(known)
    near = closest(name, known)
    if near:
        return f"Did you mean {near!r}?"
    return f"Available: {', '.join(known)}." if known else "There are none yet."

"""Tokens that programs show instead of a password: made for a person, limited to a scope, taken back at any time."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from webui.base.errors import NotFound, UserError
from webui.catalog.database import Database

Scope = Literal["read", "generate", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "gesso_"
LONGEST_NAME = 100
NOTED_EVERY = 60.0
"""Seconds between two notes that a token was used."""


@dataclass(frozen=True)
class Token:
    """What is known of a token; itself it is known to its holder alone."""

    id: str
    owner: str
    name: str
    scopes: frozenset[Scope]
    """ "read": look at own jobs and pictures; "generate": submit and stop jobs too; "admin": all that the owner may."""
    created: float
    """Seconds since 1970."""
    used: float | None


class Tokens:
    """The tokens of an installation, as hashes. Any thread may call any method."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._revoked: set[str] = set()

    def make(self, owner: str, name: str, scopes: Iterable[str]) -> tuple[Token, str]:
        """A new token -> (what is known of it, the secret, which is shown this once).

        Raises:
            UserError: there is no such scope, or the name is too long.
        """
        wanted = frozenset(scope for scope in SCOPES if scope in set(scopes))
        if unknown := set(scopes) - wanted:
            raise UserError(
                f"There is no scope named {sorted(unknown)[0]!r}.", hint=f"The scopes are {', '.join(SCOPES)}."
            )
        if not wanted:
            raise UserError("A token needs at least one scope.", hint=f"The scopes are {', '.join(SCOPES)}.")
        if len(name) > LONGEST_NAME:
            raise UserError(f"The name of a token has at most {LONGEST_NAME} characters.")
        secret = PREFIX + secrets.token_urlsafe(32)
        token = Token(secrets.token_hex(8), owner, name, wanted, time.time(), None)
        self._database.write(
            "INSERT INTO tokens (id, owner, name, digest, scopes, created) VALUES (?, ?, ?, ?, ?, ?)",
            token.id,
            owner,
            name,
            _digest(secret),
            " ".join(sorted(wanted)),
            token.created,
        )
        return token, secret

    def holder(self, secret: str) -> Token | None:
        """The token that is shown; None: it is none, or was taken back."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM tokens WHERE digest = ?", _digest(secret))
        if not rows:
            return None
        token = _token(rows[0])
        now = time.time()
        if token.used is None or now - token.used > NOTED_EVERY:
            self._database.write("UPDATE tokens SET used = ? WHERE id = ?", now, token.id)
        return token

    def of(self, owner: str) -> tuple[Token, ...]:
        """An owner's tokens, oldest first."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM tokens WHERE owner = ? ORDER BY created, id", owner)
        return tuple(map(_token, rows))

    def revoke(self, token_id: str, owner: str) -> None:
        """Take it back.

        Raises:
            NotFound: this owner has no such token.
        """
        if not self._database.write("DELETE FROM tokens WHERE id = ? AND owner = ?", token_id, owner):
            raise NotFound(f"You have no token {token_id!r}.")
        self._revoked.add(token_id)

    def goes_on(self, token_id: str) -> bool:
        """Whether a token that was shown has not been taken back since, in this process."""
        return token_id not in self._revoked


_COLUMNS = "id, owner, name, scopes, created, used"


def _token(row: Iterable[object]) -> Token:
    token_id, owner, name, scopes, created, used = row
    wanted = frozenset(scope for scope in SCOPES if scope in str(scopes).split())
    return Token(
        str(token_id), str(owner), str(name), wanted, float(str(created)), None if used is None else float(str(used))
    )


def _digest(secret: str) -> str:
    """A secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()

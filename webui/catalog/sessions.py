"""Who has logged in where: rows of the database, listed, and ended at any time.

A browser holds a random secret, of which only the hash is kept. Beside it lies a proof of the password that was shown,
which nobody can check without the secret: with another password, or without the account, the session is over.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from webui.base.errors import NotFound, StorageError
from webui.catalog.database import Database

log = logging.getLogger(__name__)

SESSION_SECONDS = 30 * 24 * 3600
"""After so long everybody logs in again."""
MOST_OF_ONE = 100
"""So many sessions has one person; the one that was seen least lately ends."""
NOTED_EVERY = 60.0
"""Seconds between two notes that a session was seen."""
LOOKED_UP_EVERY = 5.0
"""Seconds for which a row is not looked up again: another process may end sessions too."""
REMEMBERED = 10_000
LONGEST_LABEL = 200


@dataclass(frozen=True)
class Session:
    """A login on one browser; its secret is known to that browser alone."""

    id: str
    owner: str
    """The login name."""
    created: float
    """Seconds since 1970."""
    seen: float
    """When it was used last, to the minute."""
    expires: float
    address: str
    """From where it was used last."""
    browser: str
    """The browser and its system, in words."""


@dataclass
class _Kept:
    session: Session
    proof: str
    looked_up: float
    password: str | None = None
    """What was kept of the password when the session was shown last."""
    stored: bool = True
    """Off: the database could not be written to, and it lives as long as this run."""


class Sessions:
    """The sessions of an installation. Any thread may call any method."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Kept] = OrderedDict()

    def open(self, owner: str, password: str, address: str, browser: str) -> tuple[Session, str]:
        """A new session -> (what is known of it, the secret, which is told this once).

        `password` is what is kept of the password, such as its hash.
        """
        secret, now = secrets.token_urlsafe(32), self._now()
        session = Session(
            secrets.token_hex(8), owner, now, now, now + SESSION_SECONDS, address, browser[:LONGEST_LABEL]
        )
        kept = _Kept(session, _proof(secret, password), now, password)
        try:
            self._store(kept, _digest(secret))
        except StorageError as error:
            # Whoever logs in to make room on a full disk must get in.
            log.warning("A login is only remembered until the program ends: %s", error)
            kept.stored = False
        self._remember(_digest(secret), kept)
        return session, secret

    def _store(self, kept: _Kept, digest: str) -> None:
        session = kept.session
        with self._database.writing() as connection:
            connection.execute("DELETE FROM sessions WHERE expires < ?", (self._now(),))
            connection.execute(
                f"INSERT INTO sessions ({_COLUMNS}, digest, proof) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(session.id, session.owner, session.created, session.seen, session.expires),
                    *(session.address, session.browser, digest, kept.proof),
                ),
            )
            connection.execute(
                "DELETE FROM sessions WHERE owner = ? AND id NOT IN"
                " (SELECT id FROM sessions WHERE owner = ? ORDER BY seen DESC, created DESC LIMIT ?)",
                (session.owner, session.owner, MOST_OF_ONE),
            )

    def holder(self, secret: str, password_of: Callable[[str], str | None], address: str = "") -> Session | None:
        """The session that is shown; None: it is none, or is over. `password_of`: what is kept of somebody's password.

        Raises:
            StorageError: the database cannot be read, and nothing is remembered of this session.
        """
        digest, now = _digest(secret), self._now()
        with self._lock:
            kept = self._known.get(digest)
        if kept is None or (kept.stored and now - kept.looked_up > LOOKED_UP_EVERY):
            kept = self._looked_up(digest, kept)
        if kept is None:
            return None
        password = password_of(kept.session.owner)
        fits = password is not None and hmac.compare_digest(kept.proof, _proof(secret, password))
        if not fits or kept.session.expires < now:
            self._forget(kept.session.id)
            return None
        kept.password = password
        if now - kept.session.seen > NOTED_EVERY:
            kept.session = replace(kept.session, seen=now, address=address or kept.session.address)
            self._note(kept.session)
        return kept.session

    def _looked_up(self, digest: str, before: _Kept | None) -> _Kept | None:
        try:
            rows = self._database.read(f"SELECT {_COLUMNS}, proof FROM sessions WHERE digest = ?", digest)
        except StorageError:
            if before is None:
                raise
            return before
        if not rows:
            with self._lock:
                self._known.pop(digest, None)
            return None
        *columns, proof = rows[0]
        kept = _Kept(_session(columns), str(proof), self._now())
        self._remember(digest, kept)
        return kept

    def _remember(self, digest: str, kept: _Kept) -> None:
        with self._lock:
            self._known[digest] = kept
            self._known.move_to_end(digest)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _note(self, session: Session) -> None:
        try:
            self._database.write(
                "UPDATE sessions SET seen = ?, address = ? WHERE id = ?", session.seen, session.address, session.id
            )
        except StorageError as error:
            log.warning("The visit of %r could not be recorded: %s", session.owner, error)

    def _forget(self, session_id: str) -> None:
        try:
            self.end(session_id)
        except (StorageError, NotFound) as error:
            log.debug("A session that is over stays in the database: %s", error)

    def goes_on(self, session_id: str, password_of: Callable[[str], str | None]) -> bool:
        """Whether a session that was shown is not over, as far as is known without asking the database."""
        with self._lock:
            kept = next((kept for kept in self._known.values() if kept.session.id == session_id), None)
        if kept is None or kept.session.expires < self._now():
            return False
        return kept.password is not None and kept.password == password_of(kept.session.owner)

    def of(self, owner: str | None = None) -> tuple[Session, ...]:
        """A person's sessions, or everybody's, the one that was seen last first.

        Raises:
            StorageError: the database cannot be read.
        """
        condition, values = ("AND owner = ?", (owner,)) if owner is not None else ("", ())
        rows = self._database.read(
            f"SELECT {_COLUMNS} FROM sessions WHERE expires >= ? {condition} ORDER BY seen DESC, id",
            self._now(),
            *values,
        )
        listed = {session.id: session for session in map(_session, rows)}
        with self._lock:
            unstored = [kept.session for kept in self._known.values() if not kept.stored]
        listed |= {session.id: session for session in unstored if owner in (None, session.owner)}
        return tuple(sorted(listed.values(), key=lambda session: -session.seen))

    def end(self, session_id: str, owner: str | None = None) -> None:
        """End a session, of this owner if one is said.

        Raises:
            NotFound: there is no such session.
            StorageError: the database cannot be written to.
        """
        if not self._end(lambda session: session.id == session_id and owner in (None, session.owner)):
            raise NotFound(f"{'There is' if owner is None else 'You have'} no login {session_id!r}.")

    def end_all(self, owner: str, but: str = "") -> int:
        """End all of a person's sessions, but for the one with the id `but` -> how many."""
        return self._end(lambda session: session.owner == owner and session.id != but)

    def _end(self, doomed: Callable[[Session], bool]) -> int:
        ids = {session.id for session in self.of() if doomed(session)}
        for session_id in ids:
            self._database.write("DELETE FROM sessions WHERE id = ?", session_id)
        with self._lock:
            for digest in [digest for digest, kept in self._known.items() if doomed(kept.session)]:
                ids.add(self._known.pop(digest).session.id)
        return len(ids)


_COLUMNS = "id, owner, created, seen, expires, address, browser"


def _session(row: Iterable[object]) -> Session:
    session_id, owner, created, seen, expires, address, browser = map(str, row)
    return Session(session_id, owner, float(created), float(seen), float(expires), address, browser)


def _digest(secret: str) -> str:
    """A secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _proof(secret: str, password: str) -> str:
    key, text = (word.encode("utf-8", "surrogatepass") for word in (secret, password))
    return hmac.new(key, text, hashlib.sha256).hexdigest()

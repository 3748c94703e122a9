"""Who may enter, and as what: passwords, the sessions and tokens that stand for them, and when the server is open to
others at all."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import hmac
import ipaddress
import logging
import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from webui.base.errors import UserError, WebuiError
from webui.catalog.accounts import AccountFile, Role
from webui.catalog.sessions import Session, Sessions
from webui.catalog.tokens import Token, Tokens
from webui.flags import Flags
from webui.server import passwords
from webui.server.attempts import Attempts

log = logging.getLogger(__name__)

MADE_UP_USER = "gesso"
HASHED_AT_ONCE = 2
"""Each takes 19 MiB and some 30 ms."""
RIGHT_REMEMBERED = 1000


class NotAllowed(UserError):
    """The caller's account is not for this."""

    code = "not_allowed"
    status = 403


def exposed(flags: Flags) -> bool:
    """Whether others than the people at this machine can reach the server. The one place that decides it."""
    return flags.share or not _is_loopback(flags.host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        try:
            found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
        except OSError:
            return False
        return bool(found) and all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in found)


@dataclass(frozen=True)
class Accounts:
    """Names and passwords of this run."""

    users: Mapping[str, str]
    """May enter; the password, or the argon2id hash of it."""
    programs: Mapping[str, str]
    """May call `/sdapi`, by HTTP Basic."""
    made_up: str = ""
    """The password that was made for this run, because the server is exposed and nobody set one."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Of users in the accounts file. Who is named on the command line is an admin."""
    closed: bool = False
    """Nobody may enter: the last account was removed, or the folder went away, while the server ran."""


def accounts_of(flags: Flags) -> Accounts:
    """The accounts of the accounts file and those that the flags name; a made-up one where the server is exposed
    without any.

    Raises:
        UserError: an entry is no `name:password`.
        StorageError: the accounts file is broken.
    """
    kept = AccountFile(flags.paths.accounts).read()
    entries = [part for value in flags.gradio_auth for part in value.split(",")]
    if flags.gradio_auth_path is not None:
        text = _lines_in(flags.gradio_auth_path)
        entries += [part for line in text.splitlines() for part in line.split(",")]
    users = {name: account.password for name, account in kept.items()} | _pairs(entries, "--gradio-auth")
    roles = {name: account.role for name, account in kept.items()}
    programs = _pairs([part for value in flags.api_auth for part in value.split(",")], "--api-auth")
    if users or flags.no_auth or not exposed(flags):
        return Accounts(users, programs, roles=roles)
    password = secrets.token_urlsafe(9)
    return Accounts({MADE_UP_USER: password}, programs, password)


def _lines_in(path: Path) -> str:
    """A text file, as editors of all systems write it: UTF-8, or with a mark at its beginning UTF-16.

    Raises:
        UserError: it cannot be read, or is no such text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8.", hint="Save it as UTF-8.") from error
    if "\0" in text:
        raise UserError(f"{path} is not a text file in UTF-8.", hint="Save it as UTF-8.")
    return text


def _pairs(entries: list[str], flag: str) -> dict[str, str]:
    found = {}
    for entry in entries:
        if not entry.strip():
            continue
        name, colon, password = entry.strip().partition(":")
        if not (name and colon and password):
            raise UserError(f"{flag} takes name:password; {name!r} has no password.")
        if name.startswith("~"):
            raise UserError(f"A name cannot begin with ~, as {name!r} does.")
        found[name] = password
    return found


class AccountsNow:
    """The accounts of this run, as they are at each moment: the accounts file is read again when it has changed.

    Raises:
        UserError: an entry is no `name:password`.
        StorageError: the accounts file is broken.
    """

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        self._lock = threading.Lock()
        self._seen = _state_of(flags.paths.accounts)
        self._accounts = accounts_of(flags)

    def __call__(self) -> Accounts:
        """What is in force. While the file is broken, that is what was in it before."""
        with self._lock:
            seen = _state_of(self._flags.paths.accounts)
            if seen != self._seen:
                self._seen = seen
                try:
                    self._take(accounts_of(self._flags))
                except (WebuiError, OSError, UnicodeError) as error:
                    log.error("The accounts were not changed: %s", error)
            return self._accounts

    def _take(self, accounts: Accounts) -> None:
        before = self._accounts
        if accounts.made_up and before.made_up:
            return  # The password that was told at the start goes on being the one.
        if (accounts.made_up or not accounts.users) and (before.users or before.closed):
            log.warning("There are no accounts left. Nobody can log in until one is added or the server is restarted.")
            accounts = replace(accounts, users={}, made_up="", closed=True)
        self._accounts = accounts


def _state_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written anew."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


class Access:
    """Checks passwords, sessions and tokens. Any thread may call any method."""

    def __init__(
        self,
        accounts: Callable[[], Accounts],
        tokens: Tokens,
        sessions: Sessions,
        attempts: Attempts | None = None,
    ) -> None:
        """`accounts` tells who may enter at that moment."""
        self._accounts = accounts
        self._tokens = tokens
        self.sessions = sessions
        self._attempts = attempts or Attempts()
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._right: OrderedDict[bytes, None] = OrderedDict()
        # Threads of their own: tries that wait for them keep nothing else waiting.
        self._hashing = ThreadPoolExecutor(HASHED_AT_ONCE, thread_name_prefix="passwords")

    @property
    def accounts(self) -> Accounts:
        """Who may enter now."""
        return self._accounts()

    @property
    def required(self) -> bool:
        """Whether the page asks for a password."""
        accounts = self.accounts
        return bool(accounts.users) or accounts.closed

    def role_of(self, name: str) -> Role:
        """What a user, or everybody where there are no accounts, may do."""
        return self.accounts.roles.get(name, "admin")

    def oversees(self, name: str) -> bool:
        """Whether this is an admin of the accounts file, who sees everybody's jobs and pictures."""
        return self.accounts.roles.get(name) == "admin"

    def require_admin(self, name: str) -> None:
        """For what changes something for everybody. `name` is a login name, or anything where nobody logs in.

        Raises:
            NotAllowed: this is no admin.
        """
        if self.role_of(name) != "admin":
            raise NotAllowed("Only an administrator may change this.", hint="Ask an administrator.")

    def token(self, secret: str) -> Token | None:
        """The token that a program shows; None: it is none, or its owner may not enter any more."""
        found = self._tokens.holder(secret)
        if found is not None and self.required and found.owner not in self.accounts.users:
            return None
        return found

    async def enter(self, name: str, password: str, address: str, *, program: bool = False) -> bool:
        """Whether name and password belong together. Takes its time where many were wrong before.

        Raises:
            TooManyTries: so many others wait that the answer would take too long.
        """
        if not name or not password:
            return False  # Nobody has an empty password, so nothing was guessed.
        accounts = self.accounts
        kept = {**accounts.programs, **accounts.users}.get(name) if program else accounts.users.get(name)
        # With the password that is kept, so that a changed one is not taken for the wrong one that it was before.
        mark = hmac.new(self._key, _bytes(f"{kept}\n{password}"), hashlib.sha256).digest()
        async with self._attempts.turn(name, address, mark) as trying:
            if not trying.known_wrong:
                trying.right = await self._fits(kept, password, mark)
            return bool(trying.right)

    async def _fits(self, kept: str | None, password: str, mark: bytes) -> bool:
        """Whether this is the password, or the one that was hashed. Takes as long for a name that nobody has."""
        hashed = any(value.startswith(passwords.MARK) for value in self.accounts.users.values())
        if kept is not None and not kept.startswith(passwords.MARK):
            return hmac.compare_digest(_digest(password), _digest(kept))
        if not hashed:
            return False
        # Programs show their password with every call: what was right once is known by a keyed hash.
        with self._lock:
            if mark in self._right:
                return True
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._hashing, passwords.fits, kept or passwords.NOBODYS, password)
        right = right and kept is not None
        if right:
            with self._lock:
                self._right[mark] = None
                if len(self._right) > RIGHT_REMEMBERED:
                    self._right.popitem(last=False)
        return right

    def log_in(self, name: str, address: str, browser: str) -> str:
        """Begin a session for somebody who has shown the right password -> what the browser shows from now on.

        Raises:
            NotAllowed: the account was removed in this moment.
        """
        kept = self.accounts.users.get(name)
        if kept is None:
            raise NotAllowed(f"The account {name!r} no longer exists.")
        return self.sessions.open(name, kept, address, browser)[1]

    def goes_on(self, name: str, session_id: str, token_id: str) -> bool:
        """Whether somebody who has entered would still be let in, as far as is known without asking the database: for
        streams that are open all the time. "" is nobody's name, no session, no token."""
        accounts = self.accounts
        if token_id and not self._tokens.goes_on(token_id):
            return False
        if session_id:
            return self.sessions.goes_on(session_id, accounts.users.get)
        if name:
            return name in accounts.users or name in accounts.programs
        return not self.required

    def session(self, secret: str, address: str = "") -> Session | None:
        """The session that a browser shows; None: it is none, it was ended, or the password is another one now.

        Raises:
            StorageError: the database cannot be read.
        """
        accounts = self.accounts
        if not secret or accounts.closed:
            return None  # A folder that is away for a moment ends no session.
        return self.sessions.holder(secret, accounts.users.get, address)

    def close(self) -> None:
        """Check no further password."""
        self._hashing.shutdown(wait=False, cancel_futures=True)


def _digest(text: str) -> bytes:
    return hashlib.sha256(_bytes(text)).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

"""Who may enter, and as what: passwords, the cookies and tokens that stand for them, and when the server is open to
others at all."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from webui.base.errors import StorageError, UserError
from webui.base.files import write_atomically
from webui.catalog.accounts import AccountFile, Role
from webui.catalog.tokens import Token, Tokens
from webui.flags import Flags
from webui.server import passwords

MADE_UP_USER = "gesso"
LOGIN_SECONDS = 30 * 24 * 3600
WRONG_ALLOWED = 10
"""So many wrong passwords a minute from one address; then it has to wait."""
WRONG_WITHIN = 60.0
ADDRESSES_REMEMBERED = 10_000
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
        text = flags.gradio_auth_path.read_text("utf-8")
        entries += [part for line in text.splitlines() for part in line.split(",")]
    users = {name: account.password for name, account in kept.items()} | _pairs(entries, "--gradio-auth")
    roles = {name: account.role for name, account in kept.items()}
    programs = _pairs([part for value in flags.api_auth for part in value.split(",")], "--api-auth")
    if users or flags.no_auth or not exposed(flags):
        return Accounts(users, programs, roles=roles)
    password = secrets.token_urlsafe(9)
    return Accounts({MADE_UP_USER: password}, programs, password)


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


class Access:
    """Checks passwords, login cookies and tokens. Any thread may call any method."""

    def __init__(self, accounts: Accounts, secret: bytes, tokens: Tokens | None = None) -> None:
        self.accounts = accounts
        self._secret = secret
        self._tokens = tokens
        self._lock = threading.Lock()
        self._wrong: dict[str, deque[float]] = {}
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._hashing = threading.Semaphore(HASHED_AT_ONCE)

    @property
    def required(self) -> bool:
        """Whether the page asks for a password."""
        return bool(self.accounts.users)

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
            raise NotAllowed("Only an admin may change this.", hint="Ask somebody who has such an account.")

    def token(self, secret: str) -> Token | None:
        """The token that a program shows; None: it is none, or its owner may not enter any more."""
        found = self._tokens.holder(secret) if self._tokens is not None else None
        if found is not None and self.required and found.owner not in self.accounts.users:
            return None
        return found

    def login(self, name: str, password: str, address: str, *, program: bool = False) -> bool | None:
        """Whether name and password belong together; None: too many were wrong from this address, try later."""
        known = {**self.accounts.programs, **self.accounts.users} if program else self.accounts.users
        with self._lock:
            past = time.monotonic() - WRONG_WITHIN
            if len(self._wrong) > ADDRESSES_REMEMBERED:
                self._wrong = {other: times for other, times in self._wrong.items() if times and times[-1] >= past}
            wrong = self._wrong.setdefault(address, deque())
            while wrong and wrong[0] < past:
                wrong.popleft()
            if len(wrong) >= WRONG_ALLOWED:
                return None
        right = self._fits(known.get(name), password)
        with self._lock:
            if len(wrong) >= WRONG_ALLOWED:
                return None  # Others failed meanwhile: guesses sent at once learn no more than those sent one by one.
            if not right:
                wrong.append(time.monotonic())
        return right

    def _fits(self, kept: str | None, password: str) -> bool:
        """Whether this is the password, or the one that was hashed. Takes as long for a name that nobody has."""
        hashed = any(value.startswith(passwords.MARK) for value in self.accounts.users.values())
        if kept is not None and not kept.startswith(passwords.MARK):
            return hmac.compare_digest(_digest(password), _digest(kept))
        if not hashed:
            return False
        # Programs show their password with every call: what was right once is known by a keyed hash.
        mark = hmac.new(self._secret, f"{kept}\n{password}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        with self._lock:
            if mark in self._right:
                return True
        with self._hashing:
            right = passwords.fits(kept or passwords.NOBODYS, password) and kept is not None
        if right:
            with self._lock:
                self._right[mark] = None
                if len(self._right) > RIGHT_REMEMBERED:
                    self._right.popitem(last=False)
        return right

    def cookie(self, name: str) -> str:
        """What a browser shows later instead of the password."""
        expires = str(int(time.time()) + LOGIN_SECONDS)
        text = f"{base64.urlsafe_b64encode(name.encode()).decode()}.{expires}"
        return f"{text}.{self._signature(name, text)}"

    def name_in(self, cookie: str) -> str:
        """The name that a cookie stands for, "" for none: forged, too old, or the password is another one now."""
        text, _, signature = cookie.rpartition(".")
        encoded, _, expires = text.partition(".")
        try:
            name = base64.urlsafe_b64decode(encoded.encode()).decode()
        except (ValueError, binascii.Error):
            return ""
        if name not in self.accounts.users or not expires.isdigit() or int(expires) < time.time():
            return ""
        return name if hmac.compare_digest(signature, self._signature(name, text)) else ""

    def _signature(self, name: str, text: str) -> str:
        password = self.accounts.users.get(name, "")
        return hmac.new(self._secret, f"{text}\n{password}".encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def secret_in(path: Path) -> bytes:
    """The key that signs cookies; made at the first start, so that logins outlive a restart."""
    try:
        kept = path.read_bytes()
        if len(kept) >= 32:
            return kept
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from error
    made = secrets.token_bytes(32)
    write_atomically(path, made)
    path.chmod(0o600)
    return made

"""The accounts of an installation: names, roles and hashed passwords in one small file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from webui.base.errors import NotFound, StorageError, UserError
from webui.base.files import write_atomically

Role = Literal["admin", "user"]
ROLES: tuple[Role, ...] = get_args(Role)
_NAME = re.compile(r"[^\s:~\x00-\x1f][^:\x00-\x1f]{0,63}")


@dataclass(frozen=True)
class Account:
    """Manage accounts and their roles."""

    role: Role
    password: str
    """An argon2id hash."""


class AccountFile:
    """Accounts in a JSON file: `{"anna": {"role": "admin", "password": "$argon2id$..."}}`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Mapping[str, Account]:
        """All accounts; none where there is no file.

        Raises:
            StorageError: the file cannot be read, or is not of this form. (Nobody must get in by breaking it.)
        """
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        try:
            found = {str(name): Account(**values) for name, values in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{self.path} is not a valid accounts file: {error}.", hint="Repair it, or move it away."
            ) from error
        for name, account in found.items():
            if account.role not in ROLES:
                raise StorageError(
                    f"{self.path}: {name!r} has the role {account.role!r}, which does not exist.",
                    hint=f"The roles are {' and '.join(ROLES)}.",
                )
        return found

    def put(self, name: str, role: Role, password_hash: str) -> None:
        """Add an account, or change its role and password.

        Raises:
            UserError: the name cannot be one.
            StorageError: the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{name!r} cannot be used as an account name.",
                hint="A name has up to 64 characters, no colon, and does not begin with ~.",
            )
        self._write({**self.read(), name: Account(role, password_hash)})

    def remove(self, name: str) -> None:
        """
        Raises:
            NotFound: there is no such account.
        """
        accounts = dict(self.read())
        if accounts.pop(name, None) is None:
            raise NotFound(f"There is no account named {name!r}.")
        self._write(accounts)

    def _write(self, accounts: Mapping[str, Account]) -> None:
        content = json.dumps({name: asdict(account) for name, account in accounts.items()}, indent=2)
        write_atomically(self.path, f"{content}\n".encode(), private=True)

"""`python -m webui account`: who may enter, and as what."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from webui.base.errors import UserError
from webui.base.paths import PROGRAM, Paths
from webui.catalog.accounts import ROLES, AccountFile
from webui.server.passwords import hashed


def main(argv: Sequence[str]) -> int:
    """`add NAME [--role user]`, `remove NAME`, `list`.

    A running server sees changes at once, and ends the sessions of accounts that are gone or have another password.
    """
    parser = argparse.ArgumentParser(prog="python -m webui account", description="Manage accounts and their roles.")
    parser.add_argument("--data-dir", type=Path, default=PROGRAM, metavar="DIR")
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser(
        "add", help="add or change an account; asks for the password, or reads it from standard input"
    )
    adding.add_argument("name")
    adding.add_argument("--role", choices=ROLES, default="user", help="a user only sees their own jobs and pictures")
    commands.add_parser("remove", help="remove an account").add_argument("name")
    commands.add_parser("list", help="list all accounts")
    chosen = parser.parse_args(argv)
    accounts = AccountFile(Paths(data=chosen.data_dir.resolve()).accounts)
    if chosen.command == "add":
        accounts.put(chosen.name, chosen.role, hashed(_password()))
    elif chosen.command == "remove":
        accounts.remove(chosen.name)
    for name, account in accounts.read().items():
        sys.stdout.write(f"{account.role:5}  {name}\n")
    return 0


def _password() -> str:
    """From the keyboard without showing it, or from what is piped in."""
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Repeat the password: ") != password:
            raise UserError("The passwords do not match.")
    if not password:
        raise UserError("The password must not be empty.")
    return password

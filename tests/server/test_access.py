"""Names, passwords, cookies; and when the server counts as exposed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import PATIENCE
from webui import flags
from webui.base.errors import UserError
from webui.server.access import MADE_UP_USER, WRONG_ALLOWED, Access, Accounts, accounts_of, exposed, secret_in


@pytest.mark.parametrize(
    ("line", "open_to_others"),
    [
        ("", False),
        ("--server-name localhost", False),
        ("--server-name 127.0.0.1", False),
        ("--server-name ::1", False),
        ("--listen", True),
        ("--server-name 0.0.0.0", True),
        ("--server-name 192.168.1.5", True),
        ("--server-name ::", True),
        ("--share", True),
        ("--server-name no-such-name.invalid", True),
    ],
)
def test_exposed(line: str, open_to_others: bool) -> None:
    assert exposed(flags.read(line.split())) is open_to_others


def test_an_exposed_server_makes_a_password_unless_one_is_set_or_none_is_wanted() -> None:
    made = accounts_of(flags.read(["--listen"]))
    assert made.users == {MADE_UP_USER: made.made_up}
    assert len(made.made_up) >= 12
    assert accounts_of(flags.read(["--listen"])).made_up != made.made_up
    assert not accounts_of(flags.read(["--listen", "--no-auth"])).users
    assert not accounts_of(flags.read([])).users
    own = accounts_of(flags.read(["--listen", "--gradio-auth", "anna:one,bert:two", "--api-auth", "bot:three"]))
    assert (own.users, own.programs, own.made_up) == ({"anna": "one", "bert": "two"}, {"bot": "three"}, "")


def test_passwords_may_stand_in_a_file_and_hold_colons(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("anna:one:1, bert:two\ncarl:three\n")
    found = accounts_of(flags.read(["--gradio-auth-path", str(file)]))
    assert found.users == {"anna": "one:1", "bert": "two", "carl": "three"}
    for wrong in ("anna", "anna:", ":x", "~anna:x"):
        with pytest.raises(UserError):
            accounts_of(flags.read(["--gradio-auth", wrong]))


def access(**users: str) -> Access:
    return Access(Accounts(users, {"bot": "beep"}), b"k" * 32)


def test_a_name_opens_with_its_own_password_alone() -> None:
    gate = access(anna="one", bert="two")
    assert gate.login("anna", "one", "a") is True
    for name, password in (("anna", "two"), ("anna", ""), ("", ""), ("nobody", "one"), ("bot", "beep")):
        assert gate.login(name, password, "b") is False
    assert gate.login("bot", "beep", "c", program=True) is True


def test_who_guesses_has_to_wait_and_others_do_not() -> None:
    gate = access(anna="one")
    assert [gate.login("anna", "wrong", "thief") for _ in range(WRONG_ALLOWED)] == [False] * WRONG_ALLOWED
    assert gate.login("anna", "one", "thief") is None
    assert gate.login("anna", "one", "elsewhere") is True


def test_who_has_an_account_cannot_guess_for_ever_at_another() -> None:
    gate = access(anna="one", thief="mine")
    answers = []
    for number in range(WRONG_ALLOWED + 1):
        gate.login("thief", "mine", "there")
        answers.append(gate.login("anna", str(number), "there"))
    assert answers == [False] * WRONG_ALLOWED + [None]


def test_guesses_sent_at_once_learn_no_more_than_those_sent_one_by_one() -> None:
    many = 2 * WRONG_ALLOWED

    class Slow(Access):
        all_inside = threading.Barrier(many)

        def _fits(self, kept: str | None, password: str) -> bool:
            self.all_inside.wait(PATIENCE)
            return super()._fits(kept, password)

    gate = Slow(Accounts({"anna": "one"}, {}), b"k" * 32)
    with ThreadPoolExecutor(many) as pool:
        answers = list(pool.map(lambda number: gate.login("anna", str(number), "thief"), range(many)))
    assert sorted(answers, key=str) == [False] * WRONG_ALLOWED + [None] * WRONG_ALLOWED


def test_a_cookie_stands_for_its_name_until_the_password_changes() -> None:
    gate = access(anna="one", bert="two")
    cookie = gate.cookie("anna")
    assert gate.name_in(cookie) == "anna"
    assert access(anna="one").name_in(cookie) == "anna", "logins outlive a restart"
    assert access(anna="another").name_in(cookie) == ""
    assert Access(Accounts({"anna": "one"}, {}), b"x" * 32).name_in(cookie) == ""
    assert access(bert="two").name_in(cookie) == ""
    name, expires, signature = cookie.split(".")
    for forged in ("", "..", f"{name}.{int(expires) + 1}.{signature}", cookie[:-1], f"{name}.x.{signature}", "\0.1.2"):
        assert gate.name_in(forged) == ""


def test_the_key_is_made_once_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "config" / "secret.key"
    assert secret_in(path) == secret_in(path)
    assert path.stat().st_mode & 0o077 == 0

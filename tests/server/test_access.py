"""Names and passwords, and how fast they may be tried; and when the server counts as exposed."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from webui import flags
from webui.base.errors import UserError
from webui.catalog.accounts import AccountFile
from webui.catalog.database import Database
from webui.catalog.sessions import Sessions
from webui.catalog.tokens import Tokens
from webui.server.access import MADE_UP_USER, Access, Accounts, AccountsNow, accounts_of, exposed
from webui.server.attempts import APART, AT_ONCE, LONGEST_WAIT, Attempts, TooManyTries, network_of


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


def test_a_password_that_was_made_up_stays_until_there_is_an_account(tmp_path: Path) -> None:
    chosen = flags.read(["--listen", "--data-dir", str(tmp_path)])
    file = AccountFile(chosen.paths.accounts)
    now = AccountsNow(chosen)
    told = now().made_up
    file.path.parent.mkdir(parents=True)
    file.path.write_text("{}")
    assert now().users == {MADE_UP_USER: told}
    file.put("ada", "admin", "hash")
    assert now().users == {"ada": "hash"}
    file.remove("ada")
    assert (now().users, now().closed) == ({}, True)
    file.put("ada", "user", "hash")
    assert (now().roles, now().closed) == ({"ada": "user"}, False)


def test_passwords_may_stand_in_a_file_and_hold_colons(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("anna:one:1, bert:two\ncarl:three\n")
    found = accounts_of(flags.read(["--gradio-auth-path", str(file)]))
    assert found.users == {"anna": "one:1", "bert": "two", "carl": "three"}
    for wrong in ("anna", "anna:", ":x", "~anna:x"):
        with pytest.raises(UserError):
            accounts_of(flags.read(["--gradio-auth", wrong]))


class Clock:
    """Time that passes when somebody sleeps, and no sooner."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def access(tmp_path: Path, clock: Clock | None = None, **users: str) -> Access:
    clock = clock or Clock()
    database = Database(tmp_path / "db")
    accounts = Accounts(users, {"bot": "beep"})
    attempts = Attempts(lambda: clock.now, clock.sleep)
    return Access(lambda: accounts, Tokens(database), Sessions(database), attempts)


def entered(gate: Access, name: str, password: str, address: str, *, program: bool = False) -> bool:
    return asyncio.run(gate.enter(name, password, address, program=program))


def test_a_name_opens_with_its_own_password_alone(tmp_path: Path) -> None:
    gate = access(tmp_path, anna="one", bert="two")
    assert entered(gate, "anna", "one", "a")
    for name, password in (("anna", "two"), ("anna", ""), ("", ""), ("nobody", "one"), ("bot", "beep")):
        assert not entered(gate, name, password, "b")
    assert entered(gate, "bot", "beep", "c", program=True)


def test_the_right_password_gets_in_whatever_others_tried(tmp_path: Path) -> None:
    """Behind one address: somebody who guesses at other accounts, a program with an old password, and empty logins."""
    clock = Clock()
    gate = access(tmp_path, clock, anna="one", bert="two")
    for number in range(200):
        assert not entered(gate, "", "", "home")
        assert not entered(gate, "anna", "", "home")
        assert not entered(gate, "anna", "the old one", "home")
        assert not entered(gate, f"nobody {number}", "one", "home")
    assert clock.now == 1000.0, "nobody had to wait"
    for number in range(AT_ONCE + 3):
        assert not entered(gate, "bert", str(number), "home")
    assert clock.now > 1000.0, "who guesses has to"
    before = clock.now
    assert entered(gate, "anna", "one", "home")
    assert entered(gate, "bert", "two", "elsewhere")
    assert clock.now == before
    assert entered(gate, "bert", "two", "home")
    assert clock.now <= before + APART
    for _ in range(100):
        assert entered(gate, "bert", "two", "home"), "a program shows it with every call"
    assert clock.now <= before + APART


def test_nobody_guesses_faster_than_ten_a_minute(tmp_path: Path) -> None:
    """By one guess after the other, with another account of one's own, and from all addresses of an IPv6 line."""
    clock = Clock()
    gate = access(tmp_path, clock, anna="one", thief="mine")
    for number in range(600):
        assert entered(gate, "thief", "mine", "2001:db8::1")
        assert not entered(gate, "anna", f"guess {number}", f"2001:db8::{number:x}")
    assert AT_ONCE + (clock.now - 1000.0) / APART >= 600


def test_guesses_sent_at_once_learn_no_more_than_those_sent_one_by_one(tmp_path: Path) -> None:
    looked_at: list[float] = []
    clock = Clock()

    async def sleep(seconds: float) -> None:
        looked_at.append(seconds)

    gate = access(tmp_path, clock, anna="one")
    gate._attempts = Attempts(lambda: clock.now, sleep)

    async def all_at_once() -> list[bool | BaseException]:
        return await asyncio.gather(
            *(gate.enter("anna", str(number), "thief") for number in range(1000)), return_exceptions=True
        )

    answers = asyncio.run(all_at_once())
    refused = [answer for answer in answers if isinstance(answer, TooManyTries)]
    assert len(answers) - len(refused) == AT_ONCE + LONGEST_WAIT / APART
    assert sorted(looked_at) == [APART * (number + 1) for number in range(int(LONGEST_WAIT / APART))]
    assert refused[0].seconds >= LONGEST_WAIT


def test_one_right_password_sent_many_times_at_once_is_one_try(tmp_path: Path) -> None:
    clock = Clock()
    gate = access(tmp_path, clock, anna="one")
    for number in range(AT_ONCE):
        assert not entered(gate, "anna", str(number), "home")

    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*(gate.enter("anna", "one", "home") for _ in range(50)))

    assert asyncio.run(all_at_once()) == [True] * 50
    assert entered(gate, "anna", "one", "home")


def test_who_goes_away_before_the_answer_has_not_been_wrong(tmp_path: Path) -> None:
    clock = Clock()
    gate = access(tmp_path, clock, anna="one")
    for number in range(AT_ONCE):
        assert not entered(gate, "anna", str(number), "home")
    gate._attempts._sleep = lambda _seconds: asyncio.Event().wait()  # type: ignore[assignment]

    async def given_up() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gate.enter("anna", "one", "home"), 0.01)

    asyncio.run(given_up())
    gate._attempts._sleep = clock.sleep
    assert entered(gate, "anna", "one", "home")


def test_a_line_of_a_household_is_one_address() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::4")
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7") != network_of("192.0.2.8")
    assert network_of("fe80::1%eth0") == network_of("fe80::1")
    assert network_of("testclient") == "testclient"

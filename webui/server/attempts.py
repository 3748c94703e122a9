"""How fast somebody may try passwords: each account, from each address, at a pace of its own.

Nobody is locked out. Who has tried often waits for a turn, and the right password gets in when its turn comes; of
another account, or from another address, nobody waits at all. So a guess costs its maker time, and others nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from threading import Lock

from webui.base.errors import WebuiError

AT_ONCE = 10
"""So many tries need not wait, when there have been none for a minute."""
APART = 6.0
"""Seconds from one try to the next, after that: ten a minute."""
LONGEST_WAIT = 30.0
"""Seconds for which a try may wait; when more tries wait than that, they are told to come again."""
PAIRS_REMEMBERED = 10_000
WRONG_REMEMBERED = 20
"""Wrong passwords that are known to be wrong: a program that shows the same one again and again uses up no turns."""
OF_ONE_LINE = 64
"""Bits of an IPv6 address that one household has in common."""


class TooManyTries(WebuiError):
    """So many tries of one account wait at one address that another one would wait too long."""

    code = "busy"
    status = 429

    def __init__(self, seconds: float) -> None:
        super().__init__("Too many wrong passwords.", hint=f"Try again in {max(round(seconds), 1)} seconds.")
        self.seconds = max(round(seconds), 1)


@dataclass
class Try:
    """A password that is being tried."""

    known_wrong: bool = False
    """It has been tried here lately, and was wrong."""
    right: bool | None = None
    """To be set by who has checked it; None: whoever asked went away before."""


@dataclass
class _Pair:
    """An account and an address. Its tries follow the generic cell rate algorithm."""

    free_at: float = float("-inf")
    """When all turns that were given are used up, at a turn every `APART` seconds."""
    turns: dict[bytes, _Turn] = field(default_factory=dict)
    wrong: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


@dataclass
class _Turn:
    """When a password may be looked at, and how many wait for that."""

    at: float
    waiting: int = 0


class Attempts:
    """Turns for tries. Any thread and any event loop may ask for one."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._lock = Lock()
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()

    @asynccontextmanager
    async def turn(self, account: str, address: str, mark: bytes) -> AsyncIterator[Try]:
        """Waits until this password may be looked at. `mark` is a keyed hash of it.

        Raises:
            TooManyTries: too many others wait.
        """
        key = (account, network_of(address))
        trying = Try()
        turn = self._given(key, mark)
        if turn is None:
            trying.known_wrong = True
            yield trying
            return
        try:
            if (seconds := turn.at - self._now()) > 0:
                await self._sleep(seconds)
            yield trying
        finally:
            self._over(key, mark, turn, trying.right)

    def _given(self, key: tuple[str, str], mark: bytes) -> _Turn | None:
        """The turn of a password; None: it needs none, as it is wrong."""
        now = self._now()
        with self._lock:
            pair = self._pairs.setdefault(key, _Pair())
            self._pairs.move_to_end(key)
            while len(self._pairs) > PAIRS_REMEMBERED:
                self._pairs.popitem(last=False)
            if mark in pair.wrong:
                pair.wrong.move_to_end(mark)
                return None
            if (turn := pair.turns.get(mark)) is None:
                free_at = max(pair.free_at, now)
                turn = _Turn(max(now, free_at - (AT_ONCE - 1) * APART))
                if turn.at - now > LONGEST_WAIT:
                    raise TooManyTries(turn.at - now)
                pair.free_at = free_at + APART
                pair.turns[mark] = turn
            turn.waiting += 1  # The same password, sent several times at once, is one try.
            return turn

    def _over(self, key: tuple[str, str], mark: bytes, turn: _Turn, right: bool | None) -> None:
        with self._lock:
            pair = self._pairs.setdefault(key, _Pair())
            turn.waiting -= 1
            if right and pair.turns.get(mark) is turn:
                pair.free_at -= APART  # Who is right has taken nobody's turn.
                pair.turns.pop(mark)
            elif right is False:
                pair.wrong[mark] = None
                while len(pair.wrong) > WRONG_REMEMBERED:
                    pair.wrong.popitem(last=False)
            if not turn.waiting and pair.turns.get(mark) is turn:
                pair.turns.pop(mark)


def network_of(address: str) -> str:
    """What an address has in common with all that its household may choose from."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, OF_ONE_LINE), strict=False))
    return str(found)

"""The stream of what happens: one for pages and programs alike, with sequence numbers, resumed where it broke off.

Every message is the whole truth about one thing (a job, the models, the engine), so a newer one replaces an older one
of the same key: a slow reader misses nothing that still holds, and nothing piles up for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Message = Mapping[str, object]

REMEMBERED = 2000
"""So many things are remembered for readers that come back."""
LEFT_REMEMBERED = 3600.0
"""Seconds for which it is known who has read."""


@dataclass(frozen=True)
class Note:
    """A message about `key`: what its owner sees, and what others see (None: nothing)."""

    seq: int
    key: str
    owner: str
    message: Message
    others: Message | None

    def seen_by(self, viewer: str) -> Message | None:
        """The message with its number, as this viewer may see it."""
        shown = self.message if not self.owner or viewer == self.owner else self.others
        return None if shown is None else {"seq": self.seq, **shown}


class Subscription:
    """A reader's place in the stream. `next_message` belongs to the event loop in which it was made."""

    def __init__(self, viewer: str, loop: asyncio.AbstractEventLoop) -> None:
        self.viewer = viewer
        self._loop = loop
        self._pending: dict[str, Message] = {}
        self._arrived = asyncio.Event()

    async def next_message(self) -> Message:
        """The oldest message not read yet; waits for one."""
        while not self._pending:
            self._arrived.clear()
            await self._arrived.wait()
        return self._pending.pop(next(iter(self._pending)))

    def offer(self, note: Note) -> None:
        """Called from any thread."""
        message = note.seen_by(self.viewer)
        if message is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.push, note.key, message)

    def push(self, key: str, message: Message) -> None:
        """Called in the event loop: a newer message about the same thing takes the older one's place, at the end."""
        self._pending.pop(key, None)
        self._pending[key] = message
        self._arrived.set()


class Hub:
    """Where messages are published and read. `watched` is called when the first reader comes and the last one goes."""

    def __init__(self, snapshot: Callable[[str], Message], watched: Callable[[], None]) -> None:
        self._snapshot = snapshot
        self._watched = watched
        self._lock = threading.Lock()
        # From the clock, so that numbers of an earlier run of the program are smaller than all of this one.
        self._seq = self._oldest = int(time.time() * 1000)
        self._notes: OrderedDict[str, Note] = OrderedDict()
        self._readers: set[Subscription] = set()
        self._left: dict[str, float] = {}

    @property
    def watched(self) -> bool:
        """Whether anybody reads."""
        return bool(self._readers)

    def is_there(self, viewer: str, within: float) -> bool:
        """Whether this viewer reads, or did so in the last `within` seconds."""
        with self._lock:
            if any(reader.viewer == viewer for reader in self._readers):
                return True
            return time.monotonic() - self._left.get(viewer, -float("inf")) < within

    def publish(self, key: str, message: Message, *, owner: str = "", others: Message | None = None) -> None:
        """Tell all readers; with `owner`, the others see `others` instead (None: nothing)."""
        with self._lock:
            self._seq += 1
            note = Note(self._seq, key, owner, message, others)
            self._notes.pop(key, None)
            self._notes[key] = note
            if len(self._notes) > REMEMBERED:
                self._oldest = self._notes.popitem(last=False)[1].seq
            for reader in self._readers:
                reader.offer(note)

    def subscribe(self, viewer: str, since: int | None = None) -> Subscription:
        """Read on after message `since`, or, when that is unknown or too long ago, begin with the whole state."""
        reader = Subscription(viewer, asyncio.get_running_loop())
        with self._lock:
            first = not self._readers
            self._readers.add(reader)
            seq = self._seq
            missed = None
            if since is not None and self._oldest <= since <= seq:
                missed = [note for note in self._notes.values() if note.seq > since]
        if first:
            self._watched()
        if missed is None:
            reader.push("state", {"seq": seq, **self._snapshot(viewer)})
        else:
            for note in missed:
                message = note.seen_by(viewer)
                if message is not None:
                    reader.push(note.key, message)
        return reader

    def unsubscribe(self, reader: Subscription) -> None:
        """End a subscription."""
        with self._lock:
            self._readers.discard(reader)
            now = time.monotonic()
            self._left = {viewer: left for viewer, left in self._left.items() if now - left < LEFT_REMEMBERED}
            self._left[reader.viewer] = now
            last = not self._readers
        if last:
            self._watched()

"""What lies in memory, of whatever kind: one list, one budget; the least recently used goes first, never what is lent.

Checkpoints are lent by `model_manager`, which knows how they lie; every other kind is a `ResidentKind`, a line beside
the code that opens it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch

from webui.base.errors import ModelError, OutOfMemory
from webui.catalog.files import stamp_of
from webui.engine.memory import Profile, free_bytes, give_back, is_out_of_memory
from webui.request.messages import PartUse
from webui.request.model_ref import ModelRef

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class ResidentKind(Generic[T]):
    """A kind of model beside the checkpoints."""

    name: str
    """Also what the memory panel calls it."""
    open: Callable[[Path, Profile], T]
    """Reads the file or folder and places the model on its device. Raises ModelError."""
    size: Callable[[T], int]
    """Bytes of an opened one."""


class Resident:
    """A model in memory, on the device or waiting in the host's."""

    title = ""
    loans = 0
    on_device = True

    @property
    def nbytes(self) -> int:
        """Of all that it holds."""
        raise NotImplementedError

    @property
    def weights(self) -> int:
        """Bytes of what is in use of it, to be had quickly."""
        return self.nbytes

    @property
    def held(self) -> int:
        """Bytes of it on the device now, where that has memory of its own."""
        raise NotImplementedError

    @property
    def uses(self) -> tuple[PartUse, ...]:
        """What each part takes, and where it is."""
        raise NotImplementedError

    def leave(self) -> bool:
        """Move to the host's memory. False: it cannot, and is opened anew when it is wanted."""
        raise NotImplementedError


class _Opened(Resident, Generic[T]):
    """One of a `ResidentKind`. Opening it again is quick: it never waits in the host's memory."""

    def __init__(self, kind: ResidentKind[T], ref: ModelRef, thing: T, device: torch.device) -> None:
        self.title, self.thing = ref.title, thing
        self._nbytes = kind.size(thing)
        self._uses = (PartUse(ref.title, kind.name, self._nbytes, str(device)),)

    @property
    def nbytes(self) -> int:
        return self._nbytes

    @property
    def held(self) -> int:
        return self._nbytes

    @property
    def uses(self) -> tuple[PartUse, ...]:
        return self._uses

    def leave(self) -> bool:
        return False


@dataclass
class Residents:
    """Used from one thread; `uses` and `titles` may be read from any."""

    profile: Profile
    budget: int = 0
    """Bytes for all of them together; 0: half of what is free."""
    uses: tuple[PartUse, ...] = ()
    """What their parts take, the last used first."""
    titles: tuple[tuple[type[Resident], str], ...] = ()
    """What lies here, likewise."""
    _held: OrderedDict[Hashable, Resident] = field(default_factory=OrderedDict)

    def __iter__(self) -> Iterator[Resident]:
        """The least recently used first."""
        return iter(list(self._held.values()))

    @contextmanager
    def lend(self, kind: ResidentKind[T], ref: ModelRef) -> Iterator[T]:
        """The model, for the length of the block; it stays in memory afterwards while there is room.

        Raises:
            ModelError: the file cannot be opened; what is in memory stays.
            OutOfMemory: there is no room for it.
        """
        keys = _keys(kind.name, ref)
        found = next(filter(None, map(self.get, keys)), None)
        if found is None:
            self.make_room(_bytes_on_disk(Path(ref.path)), ref.title, self.profile.device)
            found = _Opened(kind, ref, self._opened(kind, ref), self.profile.device)
            self.put(keys[0], found)
            self.evict(self.is_within_budget, keep=found)
        with self.on_loan(found):
            yield cast("_Opened[T]", found).thing  # its keys have the kind's name

    def _opened(self, kind: ResidentKind[T], ref: ModelRef) -> T:
        try:
            return kind.open(Path(ref.path), self.profile)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("Out of memory while %s is opened: %s", ref.title, error)
        # Beyond the handler, so that nothing holds on to what was read.
        self.evict(lambda: False)
        give_back(self.profile.device)
        return kind.open(Path(ref.path), self.profile)

    # ------------------------------------------------------------ the list

    def get(self, key: Hashable) -> Resident | None:
        """The model, which is now the last used; None: it is not in memory."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: Hashable, resident: Resident) -> None:
        self._held[key] = resident

    @contextmanager
    def on_loan(self, resident: Resident) -> Iterator[None]:
        """Within the block it stays, whatever else is wanted."""
        resident.loans += 1
        self.tell()
        try:
            yield
        finally:
            resident.loans -= 1
            self.tell()

    def drop(self, resident: Resident) -> None:
        """Put it away, unless it is on loan."""
        if not resident.loans:
            self._held = OrderedDict((key, other) for key, other in self._held.items() if other is not resident)
            self.tell()

    def put_away(self, kind: ResidentKind[T], ref: ModelRef) -> None:
        """The model no longer stays in memory, unless it is on loan.

        Raises:
            ModelError: as `lend`, where the file cannot be read.
        """
        for found in filter(None, map(self._held.get, _keys(kind.name, ref))):
            self.drop(found)
        give_back(self.profile.device)

    def put_away_all(self, part: str) -> None:
        """None of the models that the memory panel calls so stays in memory, unless it is on loan."""
        for resident in self:
            if any(use.part == part for use in resident.uses):
                self.drop(resident)
        give_back(self.profile.device)

    def tell(self) -> None:
        """Bring up to date what others read."""
        self.titles = tuple((type(resident), resident.title) for resident in reversed(self._held.values()))
        self.uses = tuple(use for resident in reversed(self._held.values()) for use in resident.uses)

    # ------------------------------------------------------------ room

    @property
    def has_own_memory(self) -> bool:
        """The device has."""
        return self.profile.device.type in ("cuda", "xpu")

    @property
    def nbytes(self) -> int:
        return sum(resident.nbytes for resident in self._held.values())

    def is_within_budget(self) -> bool:
        return self.nbytes <= self.allowed

    @property
    def allowed(self) -> int:
        """Bytes for all models together."""
        if self.budget:
            return self.budget
        free = free_bytes(torch.device("cpu"))
        if self.has_own_memory:
            free += free_bytes(self.profile.device)
        return (free + self.nbytes) // 2

    def evict(
        self, is_enough: Callable[[], bool], *, kind: type[Resident] = Resident, keep: Resident | None = None
    ) -> None:
        """Drop models of this kind that are not on loan, the least recently used first, until there is enough."""
        dropped = False
        for key, resident in list(self._held.items()):
            if is_enough():
                break
            if not resident.loans and resident is not keep and isinstance(resident, kind):
                del self._held[key]
                dropped = True
            del resident
        if dropped:
            give_back(self.profile.device)
            self.tell()

    def make_room(self, needed: int, name: str, where: torch.device) -> None:
        """Put models away until `needed` bytes more are within the budget, and fit into the memory of a device.

        Raises:
            OutOfMemory: they would not fit even then.
        """
        host = torch.device("cpu")
        self.evict(lambda: self.nbytes + needed <= self.allowed)
        if self.has_own_memory and where != host:
            self.free_device(needed)
        free = free_bytes(where)
        if needed > free:
            raise OutOfMemory(
                f"{name} needs {needed / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free.",
                hint="Close other programs, or choose a smaller model."
                if where == host
                else "Start with --medvram, or choose a smaller model.",
            )

    def free_device(self, needed: int, keep: Resident | None = None) -> None:
        """Clear the least recently used models from the device until there is room."""
        device = self.profile.device
        for key, resident in list(self._held.items()):
            if free_bytes(device) >= needed:
                break
            if resident is keep or not resident.on_device or resident.loans:
                continue
            if resident.leave():
                resident.on_device = False
            else:
                del self._held[key]
            del resident
            give_back(device)
        self.tell()


def _keys(kind: str, ref: ModelRef) -> tuple[Hashable, ...]:
    """By content where that is known, else, or if it was opened before that, by its place, for the file as it is now: a
    file that changed is another model.

    Raises:
        ModelError: the file cannot be read, and only by its content could it be known.
    """
    try:
        stamp = stamp_of(Path(ref.path))
    except OSError as error:
        if ref.sha256:
            return ((kind, ref.sha256),)
        raise ModelError(
            f"{Path(ref.path).name} cannot be read: {error.strerror or error}.", hint="Was it moved? Refresh the list."
        ) from error
    if ref.sha256 and ref.stamp in (stamp, (0, 0)):
        return (kind, ref.sha256), (kind, ref.path, stamp)
    return ((kind, ref.path, stamp),)


def _bytes_on_disk(path: Path) -> int:
    """About what a model takes that is read from there; 0 where that is not to be seen."""
    try:
        files = [path] if path.is_file() else [file for file in path.iterdir() if file.suffix == ".safetensors"]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0

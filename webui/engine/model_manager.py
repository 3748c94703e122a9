"""Which models are in memory, and where: several at once within a budget, the least recently used go first."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from webui.base.errors import ModelError, OutOfMemory
from webui.engine.families.components import Components
from webui.engine.families.family import Model, family_of
from webui.engine.families.weights import open_weights
from webui.engine.memory import Profile, free_bytes, give_back, total_bytes
from webui.engine.networks.patches import Patches
from webui.engine.networks.wardrobe import Wardrobe
from webui.engine.passes import Loaded
from webui.request.plan import CheckpointRef

log = logging.getLogger(__name__)

Stamp = tuple[str, int, int]
"""(path, mtime in ns, size): a file that changed is another file."""
Key = tuple[Stamp, Stamp | None]
"""Of a checkpoint and the yaml file beside it."""

WORKROOM = 0.2
"""The share of a device's memory that is kept free of weights, for what the networks compute."""
MOST_VAES = 3
"""External VAEs kept with a checkpoint."""

Announce = Callable[[str, float], None]
"""(title of what is being loaded, 0) at the beginning, ("", seconds) when that is over."""


@dataclass
class Resident:
    """A model in memory, on the device or waiting in the host's."""

    ref: CheckpointRef
    key: Key
    models: OrderedDict[Stamp, Model]
    """The same networks with one VAE or another, by the file that the VAE came from; the last is the last used."""
    patches: Patches = field(default_factory=Patches)
    on_device: bool = True
    loans: int = 0

    @property
    def model(self) -> Model:
        return next(reversed(self.models.values()))

    @property
    def nbytes(self) -> int:
        others = list(self.models.values())[:-1]
        return self.model.nbytes + sum(model.vae_nbytes for model in others) + self.patches.nbytes


@dataclass
class ModelManager:
    """Lends models. Used from one thread; `resident` may be read from any."""

    profile: Profile
    limit: int = 2
    """How many checkpoints stay in memory."""
    budget: int = 0
    """Bytes for all of them together; 0: half of what is free."""
    announce: Announce = lambda _title, _seconds: None
    components: Components = field(default_factory=Components)
    """Where parts of models are looked for that a checkpoint does not hold."""
    resident: tuple[str, ...] = ()
    """Titles, the last used first."""
    wardrobe: Wardrobe = field(default_factory=Wardrobe)
    """Networks that the models wear."""
    _residents: OrderedDict[Key, Resident] = field(default_factory=OrderedDict)

    @contextmanager
    def lend(self, checkpoint: CheckpointRef, vae: CheckpointRef | None) -> Iterator[Loaded]:
        """The model on its device, for the length of the block; it stays in memory afterwards while there is room.

        Raises:
            ModelError: the file cannot be loaded; the models in memory are as before.
            OutOfMemory: there is no room for it.
        """
        resident = self._borrowed(checkpoint, vae)
        try:
            self._move_in(resident)
            yield Loaded(resident.model, checkpoint, resident.key, resident.patches)
        finally:
            resident.loans -= 1

    def preload(self, checkpoint: CheckpointRef, vae: CheckpointRef | None) -> None:
        """Have it in memory and on the device. Raises like `lend`."""
        with self.lend(checkpoint, vae):
            pass

    def configure(self, limit: int, budget: int) -> None:
        self.limit, self.budget = max(limit, 1), budget
        self._evict(lambda: len(self._residents) <= self.limit and self._bytes() <= self._allowed())

    def unload(self) -> None:
        """Put all models away that are not on loan."""
        self.wardrobe.forget()
        self._evict(lambda: False)

    # ------------------------------------------------------------ into memory

    def _borrowed(self, checkpoint: CheckpointRef, vae: CheckpointRef | None) -> Resident:
        """The model in memory, loaded now or before, with the VAE asked for, on loan."""
        key: Key = (_stamp(checkpoint.path), _stamp(checkpoint.config) if checkpoint.config else None)
        source = _stamp(vae.path) if vae else key[0]
        for old in [k for k in self._residents if k[0][0] == checkpoint.path and k != key]:
            self._drop(old)
        resident = self._residents.get(key)
        if resident is None:
            resident = self._loaded(checkpoint, vae, key, source)
            self._residents[key] = resident
        self._residents.move_to_end(key)
        if source not in resident.models:
            with self._announced(vae.title if vae else checkpoint.title):
                resident.models[source] = resident.model.with_vae(open_weights(vae.path if vae else checkpoint.path))
            if len(resident.models) > MOST_VAES:
                resident.models.popitem(last=False)
        resident.models.move_to_end(source)
        resident.loans += 1
        self._evict(lambda: len(self._residents) <= self.limit)
        self._tell()
        return resident

    def _loaded(self, checkpoint: CheckpointRef, vae: CheckpointRef | None, key: Key, source: Stamp) -> Resident:
        """Load from disk. What can be seen from names and shapes is checked before anything else is put away."""
        file = open_weights(checkpoint.path, checkpoint.config)
        load = family_of(file).prepare(file, self.components)
        with_vae = open_weights(vae.path) if vae else file
        placement = self.profile.placement(file.parameters)
        self._make_room(file.parameters * placement.dtype.itemsize, checkpoint)
        with self._announced(checkpoint.title):
            model = load(with_vae, placement)
        return Resident(checkpoint, key, OrderedDict({source: model}), Patches(self.wardrobe))

    @contextmanager
    def _announced(self, title: str) -> Iterator[None]:
        start = time.perf_counter()
        self.announce(title, 0.0)
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.announce("", seconds)
        log.info("Loaded %s in %.2f s.", title, seconds)

    # ------------------------------------------------------------ room

    def _make_room(self, needed: int, checkpoint: CheckpointRef) -> None:
        """Put models away until `needed` bytes more are within the budget.

        Raises:
            OutOfMemory: they would not fit even then.
        """
        host = torch.device("cpu")
        self._evict(lambda: self._bytes() + needed <= self._allowed())
        if self._has_own_memory:
            self._free_device(needed)
        where = self.profile.placement(0).rest
        if needed > free_bytes(where):
            raise OutOfMemory(
                f"{checkpoint.name} needs {needed / 2**30:.1f} GiB; {free_bytes(where) / 2**30:.1f} GiB are free.",
                hint="Close other programs, or choose a smaller model."
                if where == host
                else "Start with --medvram, or choose a smaller model.",
            )

    def _move_in(self, resident: Resident) -> None:
        """Bring a waiting model to the device."""
        if resident.on_device:
            return
        self._free_device(resident.nbytes)
        for model in resident.models.values():
            model.to(self.profile.device)
        resident.on_device = True

    def _free_device(self, needed: int) -> None:
        """Move the least recently used models from the device to the host until there is room and some to work in."""
        device = self.profile.device
        workroom = int(total_bytes(device) * WORKROOM)
        for other in list(self._residents.values()):
            if free_bytes(device) >= needed + workroom:
                return
            if other.on_device and not other.loans:
                for model in other.models.values():
                    model.to(torch.device("cpu"))
                other.on_device = False
                give_back(device)

    @property
    def _has_own_memory(self) -> bool:
        return self.profile.device.type in ("cuda", "xpu") and self.profile.offload == "none"

    def _bytes(self) -> int:
        return sum(resident.nbytes for resident in self._residents.values())

    def _allowed(self) -> int:
        """Bytes for all models together."""
        if self.budget:
            return self.budget
        free = free_bytes(torch.device("cpu"))
        if self._has_own_memory:
            free += free_bytes(self.profile.device)
        return (free + self._bytes()) // 2

    def _evict(self, is_enough: Callable[[], bool]) -> None:
        """Drop models that are not on loan, the least recently used first."""
        dropped = False
        for key, resident in list(self._residents.items()):
            if is_enough():
                break
            if not resident.loans:
                del self._residents[key]
                dropped = True
                del resident
        if dropped:
            give_back(self.profile.device)
            self._tell()

    def _drop(self, key: Key) -> None:
        if not self._residents[key].loans:
            del self._residents[key]

    def _tell(self) -> None:
        self.resident = tuple(resident.ref.title for resident in reversed(self._residents.values()))


def _stamp(path: str) -> Stamp:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise ModelError(
            f"{Path(path).name} cannot be read: {error.strerror or error}.", hint="Was it moved? Refresh the list."
        ) from error
    return (path, found.st_mtime_ns, found.st_size)

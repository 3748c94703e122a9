"""Which models are in memory, and where: several at once within a budget, the least recently used go first."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from webui.base.errors import ModelError, OutOfMemory
from webui.catalog.files import stamp_of
from webui.engine.batch import Lent
from webui.engine.families.components import Components
from webui.engine.families.family import Model, Placement, Prepared, family_of
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.memory import (
    FP8_NAMES,
    Profile,
    bytes_of,
    file_size,
    free_bytes,
    give_back,
    held_bytes,
    is_out_of_memory,
    model_size,
)
from webui.engine.memory_plan import Machine, MemoryProfile, ModelSize, OffloadWish, Use, Wishes, peak, plan
from webui.engine.networks.patches import Patches
from webui.engine.networks.wardrobe import Wardrobe
from webui.request.capabilities import check
from webui.request.messages import PartUse
from webui.request.plan import CheckpointRef
from webui.request.work import Work

log = logging.getLogger(__name__)

Stamp = tuple[str, int, int]
"""(path, mtime in ns, size): a file that changed is another file."""
Key = tuple[Stamp, Stamp | None, str]
"""Of a checkpoint and the yaml file beside it, and how its weights are kept."""

WHATEVER = Use()
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
    _size: tuple[object, ModelSize] | None = None
    _uses: tuple[object, tuple[PartUse, ...]] | None = None

    @property
    def model(self) -> Model:
        return next(reversed(self.models.values()))

    @property
    def nbytes(self) -> int:
        others = list(self.models.values())[:-1]
        return self.model.nbytes + sum(model.vae_nbytes for model in others) + self.patches.nbytes

    @property
    def size(self) -> ModelSize:
        """What the model needs. Looked for once, as thousands of weights are gone through."""
        if self._size is None or self._size[0] is not self.model:
            self._size = (self.model, model_size(self.model))
        return self._size[1]

    @property
    def uses(self) -> tuple[PartUse, ...]:
        """What each part takes, and where it is. Looked for again only where that can have changed."""
        model, placement = self.model, self.model.placement
        state = (id(model), placement, self.on_device)
        if self._uses is None or self._uses[0] != state or placement.offload != "none":
            parts = model.parts.items()
            found = (
                (name, bytes_of(part), next((str(p.device) for p in part.parameters()), "")) for name, part in parts
            )
            self._uses = (state, tuple(PartUse(self.ref.title, *one) for one in found))
        return self._uses[1]


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
    wanted: OffloadWish = ""
    """How models shall lie in memory, where no flag says so (`Configure.memory_profile`)."""
    ran: MemoryProfile = field(default_factory=MemoryProfile)
    """How the model that was lent last lies in memory."""
    uses: tuple[PartUse, ...] = ()
    """What the parts of the models in memory take."""
    _residents: OrderedDict[Key, Resident] = field(default_factory=OrderedDict)

    @contextmanager
    def lend(self, checkpoint: CheckpointRef, vae: CheckpointRef | None, use: Use = WHATEVER) -> Iterator[Lent[Model]]:
        """The model on its device, for the length of the block; it stays in memory afterwards while there is room.

        use: for what; decides how the model lies in memory.

        Raises:
            ModelError: the file cannot be loaded; the models in memory are as before.
            UserError: its family cannot do what it is lent for.
            OutOfMemory: there is no room for it.
        """
        resident = self._borrowed(checkpoint, vae, use)
        try:
            self._move_in(resident, use.work)
            told = self.ran.sentence if self.ran.is_lean else ""
            yield Lent(resident.model, checkpoint, resident.key, resident.patches, told)
        finally:
            resident.loans -= 1
            self._tell()

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

    def _borrowed(self, checkpoint: CheckpointRef, vae: CheckpointRef | None, use: Use) -> Resident:
        """The model in memory, loaded now or before, with the VAE asked for, on loan."""
        config = _stamp(checkpoint.config) if checkpoint.config else None
        kept = f"{use.fp8_storage} {use.keep_exact}" if use.fp8_storage in FP8_NAMES else ""
        key: Key = (_stamp(checkpoint.path), config, kept)
        source = _stamp(vae.path) if vae else key[0]
        for old in [k for k in self._residents if k[0][0] == checkpoint.path and k != key]:
            self._drop(old)
        resident = self._residents.get(key)
        if resident is None:
            resident = self._loaded(checkpoint, vae, key, source, use)
            self._residents[key] = resident
        check(resident.model.family.capabilities, use.needs)
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

    def _loaded(
        self, checkpoint: CheckpointRef, vae: CheckpointRef | None, key: Key, source: Stamp, use: Use
    ) -> Resident:
        """Load from disk. What can be seen from names and shapes is checked before anything else is put away."""
        file = open_weights(checkpoint.path, checkpoint.config)
        family = family_of(file)
        check(family.capabilities, use.needs)
        load = family.prepare(file, self.components)
        with_vae = open_weights(vae.path) if vae else file
        placement = self.profile.placement(file.parameters)
        narrow = self.profile.takes_narrow(use.fp8_storage, family.name)
        size = file_size(file, placement.dtype.itemsize)
        found = plan(self._machine(), size, use.work, self._wishes)
        # the way in is by parts or blocks; how it lies for this picture is decided when its true sizes are known
        offload = "low" if found.offload == "leaf" else found.offload
        placement = replace(placement, offload=offload, narrow=narrow, keep_exact=narrow and use.keep_exact)
        self._make_room(file.parameters * placement.dtype.itemsize, checkpoint, placement)
        with self._announced(checkpoint.title):
            model = self._read(load, with_vae, placement, checkpoint)
        return Resident(checkpoint, key, OrderedDict({source: model}), Patches(self.wardrobe))

    def _read(self, load: Prepared, vae: WeightsFile, placement: Placement, checkpoint: CheckpointRef) -> Model:
        """The model with its weights. Raises OutOfMemory: they do not fit after all; the others stay."""
        try:
            return load(vae, placement)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("Out of memory while loading %s: %s", checkpoint.name, error)
        # Beyond the handler, so that nothing holds on to what was read.
        give_back(self.profile.device)
        raise OutOfMemory(
            f"{checkpoint.name} does not fit into the memory of {self.profile.device}; what was loaded before stays.",
            hint="Close other programs, choose a smaller model, or start with --medvram.",
        )

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

    def _make_room(self, needed: int, checkpoint: CheckpointRef, placement: Placement) -> None:
        """Put models away until `needed` bytes more are within the budget.

        Raises:
            OutOfMemory: they would not fit even then.
        """
        host = torch.device("cpu")
        self._evict(lambda: self._bytes() + needed <= self._allowed())
        where = placement.rest
        if self._has_own_memory and where != host:
            self._free_device(needed)
        if needed > free_bytes(where):
            raise OutOfMemory(
                f"{checkpoint.name} needs {needed / 2**30:.1f} GiB; {free_bytes(where) / 2**30:.1f} GiB are free.",
                hint="Close other programs, or choose a smaller model."
                if where == host
                else "Start with --medvram, or choose a smaller model.",
            )

    def _move_in(self, resident: Resident, work: Work) -> None:
        """Bring the model to the device, so much of it at a time as fits beside the work."""
        size, machine = resident.size, self._machine(resident)
        self.ran = plan(machine, size, work, self._wishes)
        if self._has_own_memory:
            held = held_bytes(resident.model, self.profile.device)
            self._free_device(max(peak(self.ran, machine, size, work) - held, 0), keep=resident)
        for model in resident.models.values():
            model.arrange(offload=self.ran.offload, attention=self.ran.attention, vae_way=self.ran.vae)
            if not resident.on_device:
                model.to(self.profile.device)
        resident.on_device = True
        self._tell()

    @property
    def _wishes(self) -> Wishes:
        """Flags win over the setting."""
        wishes = self.profile.wishes
        return wishes if wishes.offload else replace(wishes, offload=self.wanted)

    def _machine(self, resident: Resident | None = None) -> Machine:
        """What there is for a model: what is free, and what it and those that are not on loan hold already."""
        device = self.profile.device
        others = [other for other in self._residents.values() if other is resident or not other.loans]
        if self._has_own_memory:
            held = sum(held_bytes(other.model, device) for other in others)
        else:  # all of it lies here: no need to go through thousands of weights for each picture
            held = sum(other.size.network + other.size.text + other.size.vae for other in others)
        return Machine(device.type, free_bytes(device) + held)

    def _free_device(self, needed: int, keep: Resident | None = None) -> None:
        """Move the least recently used models from the device to the host until there is room."""
        device = self.profile.device
        for other in list(self._residents.values()):
            if free_bytes(device) >= needed:
                return
            if other is not keep and other.on_device and not other.loans:
                for model in other.models.values():
                    model.to(torch.device("cpu"))
                other.on_device = False
                give_back(device)

    @property
    def _has_own_memory(self) -> bool:
        return self.profile.device.type in ("cuda", "xpu")

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
        self.uses = tuple(use for resident in reversed(self._residents.values()) for use in resident.uses)
        self.resident = tuple(resident.ref.title for resident in reversed(self._residents.values()))


def _stamp(path: str) -> Stamp:
    try:
        return (path, *stamp_of(Path(path)))
    except OSError as error:
        raise ModelError(
            f"{Path(path).name} cannot be read: {error.strerror or error}.", hint="Was it moved? Refresh the list."
        ) from error

"""Lends checkpoints: several lie in memory at once, among the other models there; see `residents`."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field, replace
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
    attention_on,
    bytes_of,
    file_size,
    free_bytes,
    give_back,
    held_bytes,
    is_out_of_memory,
    model_size,
)
from webui.engine.memory_plan import Machine, MemoryProfile, ModelSize, OffloadWish, Use, Wishes, peak, plan
from webui.engine.networks.adapter_cache import AdapterCache
from webui.engine.networks.patches import Patches
from webui.engine.residents import Resident, Residents
from webui.request.capabilities import check
from webui.request.engine_options import Attention as AttentionWish
from webui.request.messages import PartUse
from webui.request.plan import CheckpointRef
from webui.request.workload import Workload

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


@dataclass(eq=False)
class CheckpointResident(Resident):
    """A checkpoint in memory."""

    ref: CheckpointRef
    key: Key
    models: OrderedDict[Stamp, Model]
    """The same networks with one VAE or another, by the file that the VAE came from; the last is the last used."""
    patches: Patches = field(default_factory=Patches)
    _size: tuple[object, ModelSize] | None = None
    _uses: tuple[object, tuple[PartUse, ...]] | None = None

    def __post_init__(self) -> None:
        self.title = self.ref.title

    @property
    def model(self) -> Model:
        return next(reversed(self.models.values()))

    @property
    def nbytes(self) -> int:
        others = list(self.models.values())[:-1]
        return self.model.nbytes + sum(model.vae_nbytes for model in others) + self.patches.nbytes

    @property
    def held(self) -> int:
        return held_bytes(self.model, self.model.device)

    @property
    def weights(self) -> int:
        return self.size.weights

    def leave(self) -> bool:
        for model in self.models.values():
            model.to(torch.device("cpu"))
        return True

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
    """Lends checkpoints. Used from one thread; `resident` may be read from any."""

    profile: Profile
    limit: int = 2
    """How many checkpoints stay in memory."""
    budget: InitVar[int] = 0
    """Bytes for all models together; 0: half of what is free."""
    announce: Announce = lambda _title, _seconds: None
    components: Components = field(default_factory=Components)
    """Where parts of models are looked for that a checkpoint does not hold."""
    adapter_cache: AdapterCache = field(default_factory=AdapterCache)
    """Networks that the models apply_networks."""
    wanted: OffloadWish = ""
    """How models shall lie in memory, where no flag says so (`Configure.memory_profile`)."""
    wanted_attention: AttentionWish = ""
    """How attention is computed, whatever flags say; "": as these do (`Configure.attention`)."""
    ran: MemoryProfile = field(default_factory=MemoryProfile)
    """How the model that was lent last lies in memory."""
    residents: Residents = field(init=False)
    """All that lies in memory, other kinds of models too."""

    def __post_init__(self, budget: int) -> None:
        self.residents = Residents(self.profile, budget)

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
        with self.residents.on_loan(resident):
            self.residents.evict(lambda: self._count <= self.limit, kind=CheckpointResident)
            self._move_in(resident, use.work)
            told = self.ran.sentence if self.ran.is_lean else ""
            yield Lent(resident.model, checkpoint, resident.key, resident.patches, told)

    def preload(self, checkpoint: CheckpointRef, vae: CheckpointRef | None) -> None:
        """Have it in memory and on the device. Raises like `lend`."""
        with self.lend(checkpoint, vae):
            pass

    def configure(self, limit: int, budget: int) -> None:
        self.limit, self.residents.budget = max(limit, 1), budget
        self.residents.evict(lambda: self._count <= self.limit, kind=CheckpointResident)
        self.residents.evict(self.residents.is_within_budget)

    def unload(self) -> None:
        """Put all models away that are not on loan, of whatever kind."""
        self.adapter_cache.forget()
        self.residents.evict(lambda: False)

    # ------------------------------------------------------------ into memory

    def _borrowed(self, checkpoint: CheckpointRef, vae: CheckpointRef | None, use: Use) -> CheckpointResident:
        """The model in memory, loaded now or before, with the VAE asked for."""
        config = _stamp(checkpoint.config) if checkpoint.config else None
        kept = f"{use.fp8_storage} {use.keep_exact}" if use.fp8_storage in FP8_NAMES else ""
        key: Key = (_stamp(checkpoint.path), config, kept)
        source = _stamp(vae.path) if vae else key[0]
        self._drop_others(checkpoint.path, key)
        resident = next((one for one in self._checkpoints if one.key == key), None)
        if resident is None:
            resident = self._loaded(checkpoint, vae, key, source, use)
            self.residents.put(key, resident)
        check(resident.model.family.capabilities, use.needs)
        self.residents.get(key)  # the last used
        if source not in resident.models:
            with self._announced(vae.title if vae else checkpoint.title):
                resident.models[source] = resident.model.with_vae(open_weights(vae.path if vae else checkpoint.path))
            if len(resident.models) > MOST_VAES:
                resident.models.popitem(last=False)
        resident.models.move_to_end(source)
        return resident

    def _drop_others(self, path: str, key: Key) -> None:
        """What the file was before it changed, or under other settings. A method, so that nothing holds on to it."""
        for old in self._checkpoints:
            if old.key[0][0] == path and old.key != key:
                self.residents.drop(old)

    def _loaded(
        self, checkpoint: CheckpointRef, vae: CheckpointRef | None, key: Key, source: Stamp, use: Use
    ) -> CheckpointResident:
        """Load from disk. What can be seen from names and shapes is checked before anything else is put away."""
        file = open_weights(checkpoint.path, checkpoint.config)
        family = family_of(file)
        check(family.capabilities, use.needs)
        load = family.prepare(file, self.components)
        with_vae = open_weights(vae.path) if vae else file
        placement = self.profile.placement(file.parameters)
        fp8_storage = self.profile.stores_fp8(use.fp8_storage, family.name)
        size = file_size(file, placement.dtype.itemsize)
        found = plan(self._machine(), size, use.work, self._wishes)
        # the way in is by parts or blocks; how it lies for this picture is decided when its true sizes are known
        offload = "low" if found.offload == "leaf" else found.offload
        placement = replace(
            placement, offload=offload, fp8_storage=fp8_storage, keep_exact=fp8_storage and use.keep_exact
        )
        self.residents.make_room(file.parameters * placement.dtype.itemsize, checkpoint.name, placement.rest)
        with self._announced(checkpoint.title):
            model = self._read(load, with_vae, placement, checkpoint)
        return CheckpointResident(checkpoint, key, OrderedDict({source: model}), Patches(self.adapter_cache))

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

    def _move_in(self, resident: CheckpointResident, work: Workload) -> None:
        """Bring the model to the device, so much of it at a time as fits beside the work."""
        size, machine = resident.size, self._machine(resident)
        self.ran = plan(machine, size, work, self._wishes)
        if self.residents.has_own_memory:
            needed = peak(self.ran, machine, size, work) - resident.held
            self.residents.free_device(max(needed, 0), keep=resident)
        for model in resident.models.values():
            model.arrange(offload=self.ran.offload, attention=self.ran.attention, vae_way=self.ran.vae)
            if not resident.on_device:
                model.to(self.profile.device)
        resident.on_device = True
        self.residents.tell()

    @property
    def _wishes(self) -> Wishes:
        """Of memory, flags win over the setting. Of attention, A1111: they count where the setting is Automatic; and an
        engine that ran out of memory goes on in slices."""
        wishes = self.profile.wishes
        attention = wishes.attention
        if self.wanted_attention and attention != "sliced":
            attention = attention_on(self.wanted_attention, self.profile.device)
        return replace(wishes, offload=wishes.offload or self.wanted, attention=attention)

    def _machine(self, resident: CheckpointResident | None = None) -> Machine:
        """What there is for a model: what is free, and what it and those that are not on loan hold already."""
        device = self.profile.device
        others = [other for other in self.residents if other is resident or not other.loans]
        if self.residents.has_own_memory:
            held = sum(other.held for other in others)
        else:  # all of it lies here: no need to go through thousands of weights for each picture
            held = sum(other.weights for other in others)
        return Machine(device.type, free_bytes(device) + held)

    @property
    def resident(self) -> tuple[str, ...]:
        """Titles of the checkpoints in memory, the last used first."""
        return tuple(title for kind, title in self.residents.titles if kind is CheckpointResident)

    @property
    def _checkpoints(self) -> list[CheckpointResident]:
        return [resident for resident in self.residents if isinstance(resident, CheckpointResident)]

    @property
    def _count(self) -> int:
        return len(self._checkpoints)


def _stamp(path: str) -> Stamp:
    try:
        return (path, *stamp_of(Path(path)))
    except OSError as error:
        raise ModelError(
            f"{Path(path).name} cannot be read: {error.strerror or error}.", hint="Was it moved? Refresh the list."
        ) from error

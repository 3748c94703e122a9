"""LoRAs merged into the weights of the models that enter a pass."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from torch import Tensor

from webui.engine.batch import Facts, Loaded, Refs
from webui.engine.denoisers import Ask, Call
from webui.engine.families.family import PictureMaker
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.networks.patches import BrokenNetwork, Patches, WantedNetwork
from webui.features.lora.parameters import Params
from webui.prompt.lora_blocks import ARGUMENT, Steps, block_weights, steps_of
from webui.prompt.networks import LORA_KINDS, NetworkTag, lora_weights
from webui.request.plan import NetworkRef

Remark = Callable[[str], None]
HASHES = "Lora hashes"


class ActiveLoras(PassFeature):
    """The LoRAs of a pass."""

    def __init__(self, context: PassContext) -> None:
        self.context = context
        self.entered: list[Loaded] = []
        self.is_timed = any(_steps(tag) is not None for tag in context.this.networks if tag.kind in LORA_KINDS)
        """Whether some act in a part of the steps alone."""
        self.resting = self._resting(1)
        """The tags of those that do not act on the picture now."""

    @property
    def bends(self) -> bool:
        return self.is_timed

    def enter(self, loaded: Loaded) -> None:
        this, services, facts = self.context.this, self.context.services, self.context.batch.facts
        is_first = loaded is self.context.loaded
        hashes = apply_adapters(
            loaded.patches,
            loaded.model,
            this.networks,
            services.networks,
            services.watch.remark,
            strict=is_first,
            resting=self.resting,
        )
        self.entered.append(loaded)
        if is_first:
            note_hashes(facts, hashes)

    def predict(self, ask: Ask) -> Ask:
        return self._timed(ask) if self.is_timed else ask

    def _timed(self, ask: Ask) -> Ask:
        """Before a call of the network, those are made to act whose steps these are. The texts stay as they were read:
        with all of them."""
        this, services, clock = self.context.this, self.context.services, self.context.clock

        def asked(call: Call) -> Tensor:
            resting = self._resting(call.number // clock.per_step + 1)
            if resting != self.resting:
                self.resting = resting
                for loaded in self.entered:
                    patches, model = loaded.patches, loaded.model
                    apply_adapters(
                        patches, model, this.networks, services.networks, _unheard, strict=False, resting=resting
                    )
            return ask(call)

        return asked

    def _resting(self, step: int) -> frozenset[NetworkTag]:
        clock = self.context.clock
        total = -(-clock.total // clock.per_step)
        timed = ((tag, _steps(tag)) for tag in self.context.this.networks if tag.kind in LORA_KINDS)
        return frozenset(tag for tag, steps in timed if steps is not None and not steps.has(step, total))


def _steps(tag: NetworkTag) -> Steps | None:
    try:
        return steps_of(tag)
    except ValueError:
        return None  # remarked upon in `wanted_of`


def _unheard(_remark: str) -> None:
    """What was said when the pass began."""


def note_hashes(facts: Facts, hashes: str) -> None:
    """Have the infotext say them beside those before, each once. A1111: those of both passes."""
    if hashes:
        before = facts.noted.get(HASHES, "")
        facts.note(HASHES, ", ".join(dict.fromkeys([*filter(None, before.split(", ")), *hashes.split(", ")])))


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature:
        return ActiveLoras(context)


def apply_adapters(
    patches: Patches,
    model: PictureMaker,
    tags: Sequence[NetworkTag],
    refs: Refs,
    remark: Remark,
    *,
    strict: bool = True,
    resting: Container[NetworkTag] = (),
) -> str:
    """Merge the LoRAs of the tags into the model, and take off all others -> "name: hash, ..." for the infotext.

    As in A1111, one that is not there or cannot be read is remarked upon, and the picture is made without it.
    resting: tags of those that act on texts alone now.

    Raises:
        UserError: `strict`, and a LoRA is for another family.
    """
    wanted = wanted_of(tags, refs, remark, resting)
    while True:
        try:
            patches.apply_networks(model, wanted, strict=strict)
            break
        except BrokenNetwork as error:
            remark(f"{error.ref.name} was left out: {error.message}")
            wanted = [one for one in wanted if one.ref != error.ref]
    for fit in patches.fit:
        remark(f"{fit.ref.name}: applied {fit.applied} of {fit.total} keys.")
    hashes = {_plain(fit.ref.name): fit.ref.short_hash for fit in patches.fit if fit.ref.short_hash}
    return ", ".join(f"{name}: {short}" for name, short in hashes.items())


def wanted_of(
    tags: Sequence[NetworkTag], refs: Refs, remark: Remark, resting: Container[NetworkTag] = ()
) -> list[WantedNetwork]:
    """The LoRAs that the tags mean; one that is not there is remarked upon."""
    wanted, missing = [], []
    for tag in tags:
        if tag.kind not in LORA_KINDS:
            continue
        ref = refs.get((tag.kind, tag.name))
        if ref is None:
            missing.append(tag.name)
            continue
        try:
            weights = lora_weights(tag)
        except ValueError:
            remark(f"<{tag.kind}:{':'.join(tag.positional)}> was left out: its weight is not a number.")
            continue
        try:
            steps_of(tag)
        except ValueError:
            remark(f"{tag.name} acts in all steps: what its tag says of steps is not a number.")
        unet = 0.0 if tag in resting else weights.unet
        wanted.append(WantedNetwork(ref, weights.te, unet, weights.rank, _blocks(tag, ref, remark)))
    if missing:
        remark(f"Lora not found: {', '.join(missing)}")
    return wanted


def _blocks(tag: NetworkTag, ref: NetworkRef, remark: Remark) -> str:
    """What a tag says of blocks, by a list of weights or the name of one; "": nothing that can be used."""
    asked = tag.get(ARGUMENT)
    if not asked:
        return ""
    text = dict(ref.presets).get(asked, asked)
    try:
        block_weights(text, "")
    except ValueError as error:
        why = str(error) if "weights" in str(error) else "there is no list of this name in lbwpresets.txt"
        remark(f"{tag.name} acts in all blocks alike: {ARGUMENT}={asked} is not understood ({why}).")
        return ""
    return text


def _plain(name: str) -> str:
    return name.replace(":", "").replace(",", "")

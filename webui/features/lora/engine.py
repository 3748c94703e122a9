"""LoRAs merged into the weights of the models that enter a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webui.engine.batch import Facts, Loaded, Refs
from webui.engine.families.family import PictureMaker
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.networks.patches import BrokenNetwork, Patches, WantedNetwork
from webui.features.lora.parameters import Params
from webui.prompt.networks import LORA_KINDS, NetworkTag, lora_weights

Remark = Callable[[str], None]
HASHES = "Lora hashes"


class ActiveLoras(PassFeature):
    """The LoRAs of a pass."""

    def __init__(self, context: PassContext) -> None:
        self.context = context

    def enter(self, loaded: Loaded) -> None:
        this, services, facts = self.context.this, self.context.services, self.context.batch.facts
        is_first = loaded is self.context.loaded
        hashes = apply_adapters(
            loaded.patches, loaded.model, this.networks, services.networks, services.watch.remark, strict=is_first
        )
        if is_first:
            note_hashes(facts, hashes)


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
) -> str:
    """Merge the LoRAs of the tags into the model, and take off all others -> "name: hash, ..." for the infotext.

    As in A1111, one that is not there or cannot be read is remarked upon, and the picture is made without it.

    Raises:
        UserError: `strict`, and a LoRA is for another family.
    """
    wanted = wanted_of(tags, refs, remark)
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


def wanted_of(tags: Sequence[NetworkTag], refs: Refs, remark: Remark) -> list[WantedNetwork]:
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
        wanted.append(WantedNetwork(ref, weights.te, weights.unet, weights.rank))
    if missing:
        remark(f"Lora not found: {', '.join(missing)}")
    return wanted


def _plain(name: str) -> str:
    return name.replace(":", "").replace(",", "")

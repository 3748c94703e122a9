"""The networks that a prompt's tags name, put on a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from webui.base.errors import ModelError
from webui.engine.families.family import Model
from webui.engine.networks.hypernetworks import Hypernetwork
from webui.engine.networks.patches import BrokenNetwork, Patches, Wanted
from webui.prompt.networks import HYPERNETWORK, LORA_KINDS, NetworkTag, lora_weights, multiplier
from webui.request.plan import NetworkRef

Refs = Mapping[tuple[str, str], NetworkRef]
"""Files by (kind, name) of tags."""
Remark = Callable[[str], None]


def with_added(tags: Sequence[NetworkTag], added: Sequence[NetworkTag]) -> tuple[NetworkTag, ...]:
    """The tags of a prompt, and those that the settings add where the prompt has none for the same file."""
    named = {(tag.kind, tag.name) for tag in tags}
    return (*tags, *(tag for tag in added if (tag.kind, tag.name) not in named))


def dress(
    patches: Patches, model: Model, tags: Sequence[NetworkTag], refs: Refs, remark: Remark, *, strict: bool = True
) -> str:
    """Merge the LoRAs of the tags into the model, and take off all others -> "name: hash, ..." for the infotext.

    As in A1111, one that is not there or cannot be read is remarked upon, and the picture is made without it.

    Raises:
        UserError: `strict`, and a LoRA is for another family.
    """
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
            remark(f"<{tag.kind}:{':'.join(tag.positional)}> is left out: its weight is no number.")
            continue
        wanted.append(Wanted(ref, weights.te, weights.unet, weights.rank))
    if missing:
        remark(f"Lora not found: {', '.join(missing)}")
    while True:
        try:
            patches.wear(model, wanted, strict=strict)
            break
        except BrokenNetwork as error:
            remark(f"{error.ref.name} is left out: {error.message}")
            wanted = [one for one in wanted if one.ref != error.ref]
    for fit in patches.fit:
        remark(f"{fit.ref.name}: applied {fit.applied} of {fit.total} keys.")
    hashes = {_plain(fit.ref.name): fit.ref.short_hash for fit in patches.fit if fit.ref.short_hash}
    return ", ".join(f"{name}: {short}" for name, short in hashes.items())


def _plain(name: str) -> str:
    return name.replace(":", "").replace(",", "")


def hypernetworks(
    patches: Patches, tags: Sequence[NetworkTag], refs: Refs, remark: Remark
) -> list[tuple[Hypernetwork, float]]:
    """The hypernetworks of the tags, with their strengths; one that cannot be read is remarked upon."""
    found = []
    for tag in tags:
        if tag.kind != HYPERNETWORK:
            continue
        ref = refs.get((tag.kind, tag.name))
        if ref is None:
            remark(f"Hypernetwork not found: {tag.name}")
            continue
        try:
            strength = multiplier(tag)
        except ValueError:
            remark(f"<{tag.kind}:{':'.join(tag.positional)}> is left out: its weight is no number.")
            continue
        try:
            found.append((patches.wardrobe.hypernetwork(ref), strength))
        except ModelError as error:
            remark(f"{ref.name} is left out: {error.message}")
    return found

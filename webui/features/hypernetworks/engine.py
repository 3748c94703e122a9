"""Hypernetworks in the attention of the networks of a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from webui.base.errors import ModelError
from webui.engine.batch import Loaded, Refs, Services
from webui.engine.families.family import PictureMaker
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.engine.networks.hypernetworks import Hypernetwork, patched
from webui.engine.networks.patches import Patches
from webui.features.hypernetworks.parameters import Params
from webui.prompt.networks import HYPERNETWORK, NetworkTag, multiplier
from webui.request.capabilities import Capability

Remark = Callable[[str], None]


class Bending(PassFeature):
    """The hypernetworks of a pass, with their strengths."""

    def __init__(self, networks: Sequence[tuple[Hypernetwork, float]], services: Services) -> None:
        self.networks, self.services = networks, services

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet = loaded.model.parts.get("unet")
        if unet is None or not _can_bear(loaded.model, self.services.watch.remark):
            return nullcontext()
        return patched(unet, self.networks)


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        if context.loaded.model.parts.get("unet") is None:
            return None
        this, services = context.this, context.services
        found = hypernetworks(context.loaded.patches, this.networks, services.networks, services.watch.remark)
        return Bending(found, services) if found else None


def _can_bear(model: PictureMaker, remark: Remark) -> bool:
    if model.family.bears(Capability.UNET):
        return True
    remark(f"Hypernetworks have no effect on {model.family.name} checkpoints.")
    return False


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
            remark(f"<{tag.kind}:{':'.join(tag.positional)}> was left out: its weight is not a number.")
            continue
        try:
            found.append((patches.adapter_cache.hypernetwork(ref), strength))
        except ModelError as error:
            remark(f"{ref.name} was left out: {error.message}")
    return found

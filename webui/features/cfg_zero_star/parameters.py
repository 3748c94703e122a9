"""CFG-Zero*: guidance for flow models that scales the unconditional velocity. Fan et al. 2025, arXiv:2503.18886."""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.features.feature import FeatureParams, Touched
from webui.request.capabilities import Capability
from webui.request.params import Number


class Params(FeatureParams):
    """Its scale follows from the predictions; nothing is to be set but the zero-init."""

    title: ClassVar[str] = "CFG-Zero*"
    aliases: ClassVar[tuple[str, ...]] = ("CFG Zero Star", "CFGZeroStar")
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STEPS})
    touches: ClassVar[frozenset[Touched]] = frozenset({"guidance"})

    zero_init_steps: Annotated[int, Number(label="CFG-Zero init steps", ui="Zero-init steps", place=86, ge=0)] = 1
    """For flow models: skips the update in this many first steps, where the predicted velocity is least accurate. 0:
    none."""

"""What a LoRA's tag says beyond its weights: how strongly it acts in each block, and in which steps.

    <lora:name:1:lbw=OUTALL>  <lora:name:1:lbw=1,0,0,0,1,1,1,1,0,0,0,0>  <lora:name:1:start=5>  <lora:name:1:step=5-12>

The blocks, their order and the names of the lists are those of the extension LoRA Block Weight, by its documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from webui.prompt.networks import NetworkTag

ARGUMENT = "lbw"
BASE = "BASE"
"""The text encoders."""


def _numbered(kind: str, numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{kind}{number:02}" for number in numbers)


LISTS: Mapping[int, tuple[str, ...]] = {
    12: (BASE, *_numbered("IN", (4, 5, 7, 8)), "M00", *_numbered("OUT", range(6))),
    17: (BASE, *_numbered("IN", (1, 2, 4, 5, 7, 8)), "M00", *_numbered("OUT", range(3, 12))),
    20: (BASE, *_numbered("IN", range(9)), "M00", *_numbered("OUT", range(9))),
    26: (BASE, *_numbered("IN", range(12)), "M00", *_numbered("OUT", range(12))),
    61: (BASE, "T5", "IN", *_numbered("D", range(19)), *_numbered("S", range(38)), "OUT"),
}
"""By how many weights there are: the blocks that they are for. SDXL's LoRAs and their kin with convolutions have 12 and
20, SD1's and SD2's 17 and 26, Flux's 61. A block that is not in the list has 0."""

PRESETS = ("NONE", "ALL", "INS", "IND", "INALL", "MIDD", "OUTD", "OUTS", "OUTALL", "ALL0.5")


def block_weights(text: str, family: str) -> dict[str, float]:
    """Block -> how strongly the LoRA acts there. text: numbers between commas, or a name of `PRESETS`.

    Raises:
        ValueError: it is none of them.
    """
    name = text.strip().upper()
    if name in PRESETS:
        return _preset(name, large=family.startswith("SDXL"))
    weights = [float(number) for number in text.split(",")]
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError("a weight is no number")
    if len(weights) not in LISTS:
        known = ", ".join(map(str, LISTS))
        raise ValueError(f"it has {len(weights)} weights, and lists have {known}")
    return dict(zip(LISTS[len(weights)], weights, strict=True))


def _preset(name: str, *, large: bool) -> dict[str, float]:
    """Of SD1: its list of 17, 6 inputs and 9 outputs. Of SDXL: the same parts of its own 9 and 9."""
    blocks = LISTS[20 if large else 17]
    if name in ("NONE", "ALL", "ALL0.5"):
        return dict.fromkeys(blocks, {"NONE": 0.0, "ALL": 1.0, "ALL0.5": 0.5}[name])
    ins, outs = ([block for block in blocks if block.startswith(kind)] for kind in ("IN", "OUT"))
    shallow, deep = (6, 3) if large else (3, 4)  # inputs and outputs
    parts = {
        "INS": ins[: shallow if large else shallow - 1],
        "IND": ins[shallow:],
        "INALL": ins,
        "MIDD": [*ins[shallow:], "M00", *outs[:deep]],
        "OUTD": outs[:deep],
        "OUTS": outs[deep:],
        "OUTALL": outs,
    }
    acting = {BASE, *parts[name]}
    return {block: float(block in acting) for block in blocks}


class Steps(NamedTuple):
    """The steps in which a LoRA acts on the picture, both ends with it, counted from 1; below 1 a share of them all."""

    start: float = 0.0
    stop: float = math.inf

    def has(self, step: int, total: int) -> bool:
        start, stop = (edge * total if 0 < edge < 1 else edge for edge in self)
        return start <= step <= stop


def steps_of(tag: NetworkTag) -> Steps | None:
    """Of `start=`, `stop=` and `step=5-12`; None: it says nothing of steps.

    Raises:
        ValueError: one of them is no number.
    """
    first, dash, last = tag.get("step").partition("-")
    if not dash:
        last = first
    start, stop = tag.get("start") or first, tag.get("stop") or last
    if not start and not stop:
        return None
    found = Steps(float(start or 0), float(stop) if stop else math.inf)
    if any(math.isnan(edge) for edge in found):
        raise ValueError("a step is no number")
    return found


def read_presets(text: str) -> dict[str, str]:
    """Name -> list, of the lines `NAME:1,0,0,...` of a file; others are none."""
    found = {}
    for line in text.splitlines():
        name, colon, weights = line.partition(":")
        if colon and name.strip() and not name.strip().startswith("#"):
            found[name.strip()] = weights.strip()
    return found

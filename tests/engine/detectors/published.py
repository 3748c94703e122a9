"""YOLOv8's tensors by the names of its published files, small and random, and such a file as programs save it."""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

BINS = 4


def tensors(*, width: int = 4, classes: int = 2, masks: int = 0, seed: int = 0, blocks: int = 1) -> dict[str, Tensor]:
    """All of a network of this width; masks: of how many prototypes, 0 for one that tells boxes alone."""
    drawn = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}

    def convolution(name: str, into: int, out: int, side: int = 1) -> None:
        found[f"{name}.conv.weight"] = torch.randn(out, into, side, side, generator=drawn) / (into * side**2) ** 0.5
        found[f"{name}.bn.weight"] = torch.rand(out, generator=drawn) + 0.5
        found[f"{name}.bn.bias"] = torch.randn(out, generator=drawn) * 0.1
        found[f"{name}.bn.running_mean"] = torch.randn(out, generator=drawn) * 0.1
        found[f"{name}.bn.running_var"] = torch.rand(out, generator=drawn) + 0.5
        found[f"{name}.bn.num_batches_tracked"] = torch.tensor(1)

    def c2f(name: str, into: int, out: int) -> None:
        half = out // 2
        convolution(f"{name}.cv1", into, out)
        for block in range(blocks):
            convolution(f"{name}.m.{block}.cv1", half, half, 3)
            convolution(f"{name}.m.{block}.cv2", half, half, 3)
        convolution(f"{name}.cv2", (2 + blocks) * half, out)

    def branch(name: str, into: int, out: int) -> None:
        convolution(f"{name}.0", into, width, 3)
        convolution(f"{name}.1", width, width, 3)
        found[f"{name}.2.weight"] = torch.randn(out, width, 1, 1, generator=drawn)
        found[f"{name}.2.bias"] = torch.randn(out, generator=drawn)

    a, b, c, d, e = width, 2 * width, 3 * width, 4 * width, 5 * width
    into = 3
    for at, out in ((0, a), (1, b), (3, c), (5, d), (7, e)):
        convolution(f"model.{at}", into, out, 3)
        into = out
    for at, out in ((2, b), (4, c), (6, d), (8, e)):
        c2f(f"model.{at}", out, out)
    convolution("model.9.cv1", e, e // 2)
    convolution("model.9.cv2", 4 * (e // 2), e)
    c2f("model.12", e + d, d)
    c2f("model.15", d + c, c)
    convolution("model.16", c, c, 3)
    c2f("model.18", c + d, d)
    convolution("model.19", d, d, 3)
    c2f("model.21", d + e, e)
    for level, channels in enumerate((c, d, e)):
        branch(f"model.22.cv2.{level}", channels, 4 * BINS)
        branch(f"model.22.cv3.{level}", channels, classes)
        if masks:
            branch(f"model.22.cv4.{level}", channels, masks)
    found["model.22.dfl.conv.weight"] = torch.arange(float(BINS)).reshape(1, BINS, 1, 1)
    if masks:
        convolution("model.22.proto.cv1", c, width, 3)
        found["model.22.proto.upsample.weight"] = torch.randn(width, width, 2, 2, generator=drawn)
        found["model.22.proto.upsample.bias"] = torch.randn(width, generator=drawn)
        convolution("model.22.proto.cv2", width, width, 3)
        convolution("model.22.proto.cv3", width, masks)
    return found


@contextmanager
def foreign() -> Iterator[type[nn.Module]]:
    """A class of modules of a package that is not here: where it is while a file is written, and nowhere after."""
    names = ("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks")
    kind = type("DetectionModel", (nn.Module,), {"__module__": names[-1]})
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[names[-1]].DetectionModel = kind  # type: ignore[attr-defined]
    try:
        yield kind
    finally:
        for name in names:
            del sys.modules[name]


def save(path: Path, state: Mapping[str, Tensor], names: Mapping[int, str] | None = None) -> Path:
    """As the program that trains them does: modules in half precision, within a dictionary."""
    with foreign() as kind:
        whole = kind()
        for name, tensor in state.items():
            *places, last = name.split(".")
            at = whole
            for place in places:
                if place not in at._modules:
                    at.add_module(place, kind())
                at = at._modules[place]  # type: ignore[assignment]
            if last.startswith(("running", "num")):
                at.register_buffer(last, tensor)
            else:
                at.register_parameter(last, nn.Parameter(tensor, requires_grad=False))
        whole.names = dict(names or {0: "face", 1: "cat"})
        whole.yaml = {"nc": 2}
        torch.save({"epoch": -1, "ema": None, "model": whole.half(), "train_args": OrderedDict(imgsz=640)}, path)
    return path

"""The tensors of YOLOv8 and YOLO11 by the names of their published files, small and random, and such a file as programs
save it."""

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


def tensors11(*, width: int = 4, classes: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """All of a YOLO11 network of this width, its C3k2 blocks of both kinds."""
    drawn = torch.Generator().manual_seed(seed)
    found = tensors(width=width, classes=classes, seed=seed)
    for name in [each for each in found if each.split(".")[1] not in ("0", "1", "3", "5", "7", "9")]:
        del found[name]

    def convolution(name: str, into: int, out: int, side: int = 1) -> None:
        found[f"{name}.conv.weight"] = torch.randn(out, into, side, side, generator=drawn) / (into * side**2) ** 0.5
        for part, value in (("weight", 1.0), ("bias", 0.1), ("running_mean", 0.0), ("running_var", 1.0)):
            found[f"{name}.bn.{part}"] = torch.rand(out, generator=drawn) * 0.2 + value

    def bottleneck(name: str, channels: int, within: int) -> None:
        convolution(f"{name}.cv1", channels, within, 3)
        convolution(f"{name}.cv2", within, channels, 3)

    def c3k2(name: str, into: int, out: int, *, is_deep: bool) -> None:
        half, quarter = out // 2, out // 4
        convolution(f"{name}.cv1", into, 2 * half)
        convolution(f"{name}.cv2", 3 * half, out)
        if not is_deep:
            bottleneck(f"{name}.m.0", half, quarter)
            return
        convolution(f"{name}.m.0.cv1", half, quarter)
        convolution(f"{name}.m.0.cv2", half, quarter)
        convolution(f"{name}.m.0.cv3", 2 * quarter, half)
        for number in range(2):
            bottleneck(f"{name}.m.0.m.{number}", quarter, quarter)

    a, b, c, d, e = width, 2 * width, 3 * width, 4 * width, 5 * width
    for at, out in ((2, b), (4, c), (6, d), (8, e)):
        c3k2(f"model.{at}", out, out, is_deep=at > 4)
    inner = e // 2
    convolution("model.10.cv1", e, 2 * inner)
    convolution("model.10.cv2", 2 * inner, e)
    convolution("model.10.m.0.attn.qkv", inner, 2 * inner)
    convolution("model.10.m.0.attn.pe", 1, inner, 3)
    convolution("model.10.m.0.attn.proj", inner, inner)
    convolution("model.10.m.0.ffn.0", inner, 2 * inner)
    convolution("model.10.m.0.ffn.1", 2 * inner, inner)
    c3k2("model.13", e + d, d, is_deep=False)
    c3k2("model.16", d + c, c, is_deep=False)
    convolution("model.17", c, c, 3)
    c3k2("model.19", c + d, d, is_deep=False)
    convolution("model.20", d, d, 3)
    c3k2("model.22", d + e, e, is_deep=True)
    for level, channels in enumerate((c, d, e)):
        distances, kinds = f"model.23.cv2.{level}", f"model.23.cv3.{level}"
        convolution(f"{distances}.0", channels, a, 3)
        convolution(f"{distances}.1", a, a, 3)
        for number, into in enumerate((channels, a)):
            convolution(f"{kinds}.{number}.0", 1, into, 3)
            convolution(f"{kinds}.{number}.1", into, a)
        for name, out in ((distances, 4 * BINS), (kinds, classes)):
            found[f"{name}.2.weight"] = torch.randn(out, a, 1, 1, generator=drawn)
            found[f"{name}.2.bias"] = torch.randn(out, generator=drawn)
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

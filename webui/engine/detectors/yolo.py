"""YOLOv8 and YOLO11 in PyTorch: networks that find things, and their shapes, built from the tensors of their files.

The blocks and where they are described: `yolo_blocks`. Li et al. 2020, arXiv:2006.04388 (DFL, distances as
distributions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from webui.base.errors import ModelError
from webui.engine.detectors.found import Detection
from webui.engine.detectors.regions import Bytes
from webui.engine.detectors.yolo_answers import Answers, found_in, framed
from webui.engine.detectors.yolo_blocks import (
    C2PSA,
    NO_SUCH,
    SPPF,
    TO_ONNX,
    Branch,
    C2f,
    Convolution,
    Prototypes,
    Tensors,
)
from webui.engine.families.pickles import Forbidden, PickledModule, read_modules
from webui.engine.families.weights import broken, format_of, open_weights, reading
from webui.engine.memory import Profile, bytes_of
from webui.engine.residents import ResidentKind

STRIDES = (8, 16, 32)
"""Pixels of the picture that an answer stands for, in each of the three maps."""
WORLD = re.compile(r"model\.\d+\.cv4\.\d\.(?:bias|logit_scale)")
"""What a YOLO-World model has besides: it finds what a text names."""


class Places(NamedTuple):
    """Where the parts lie whose places differ, by their numbers in a file."""

    neck: tuple[int, int, int, int]
    again: tuple[int, int]
    """What makes the maps coarser again."""
    head: int
    attention: int | None = None
    neck_adds: bool = False


YOLO8 = Places(neck=(12, 15, 18, 21), again=(16, 19), head=22)
YOLO11 = Places(neck=(13, 16, 19, 22), again=(17, 20), head=23, attention=10, neck_adds=True)


class YoloNetwork(nn.Module):
    """The network: (1, 3, h, w) in 0..1, with sides that are multiples of 32."""

    def __init__(self, tensors: Tensors) -> None:
        """
        Raises:
            ModelError: these are the tensors of another network.
        """
        super().__init__()
        places = YOLO11 if f"model.{YOLO11.head}.cv2.0.2.weight" in tensors else YOLO8
        head = f"model.{places.head}"
        self.down = nn.ModuleList(Convolution(tensors, f"model.{at}", stride=2) for at in (0, 1, 3, 5, 7))
        self.backbone = nn.ModuleList(C2f(tensors, f"model.{at}", adds=True) for at in (2, 4, 6, 8))
        self.pooling = SPPF(tensors, "model.9")
        self.attention = nn.Identity() if places.attention is None else C2PSA(tensors, f"model.{places.attention}")
        self.neck = nn.ModuleList(C2f(tensors, f"model.{at}", adds=places.neck_adds) for at in places.neck)
        self.again = nn.ModuleList(Convolution(tensors, f"model.{at}", stride=2) for at in places.again)
        levels = range(len(STRIDES))
        self.distances = nn.ModuleList(Branch(tensors, f"{head}.cv2.{at}") for at in levels)
        self.kinds = nn.ModuleList(Branch(tensors, f"{head}.cv3.{at}") for at in levels)
        has_masks = f"{head}.proto.cv1.conv.weight" in tensors
        self.shapes = nn.ModuleList(Branch(tensors, f"{head}.cv4.{at}") for at in levels if has_masks)
        self.prototypes = Prototypes(tensors, f"{head}.proto") if has_masks else None

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """At each of the strides."""
        x = self.down[0](x)
        seen: list[Tensor] = []
        for narrower, block in zip(self.down[1:], self.backbone, strict=True):
            x = block(narrower(x))
            seen.append(x)
        coarse = self.attention(self.pooling(x))
        _, fine, middle, _ = seen
        up, last, down, end = self.neck
        middle = up(torch.cat((_doubled(coarse), middle), dim=1))
        fine = last(torch.cat((_doubled(middle), fine), dim=1))
        middle = down(torch.cat((self.again[0](fine), middle), dim=1))
        return fine, middle, end(torch.cat((self.again[1](middle), coarse), dim=1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """-> boxes (n, 4), scores (n, classes), and where it tells shapes their weights (n, k) and prototypes
        (k, h / 4, w / 4)."""
        maps = self._maps(x)
        levels = zip(self.distances, maps, STRIDES, strict=True)
        boxes = [_boxes(branch(each), each, stride) for branch, each, stride in levels]
        scores = torch.cat([branch(each) for branch, each in zip(self.kinds, maps, strict=True)], dim=2)
        found = torch.cat(boxes), scores[0].T.sigmoid()
        if self.prototypes is None:
            return *found, None, None
        weights = torch.cat([branch(each) for branch, each in zip(self.shapes, maps, strict=True)], dim=2)
        return *found, weights[0].T, self.prototypes(maps[0])[0]


def _doubled(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


def _boxes(answer: Tensor, level: Tensor, stride: int) -> Tensor:
    """(1, 4 * bins, n) -> (n, 4), in pixels. Each distance from the middle of a place to a side of its box is the mean
    of a distribution over bins, which count in strides."""
    height, width = level.shape[2:]
    bins = answer.shape[1] // 4
    counted = torch.arange(bins, device=answer.device, dtype=answer.dtype)
    left, top, right, bottom = (answer[0].reshape(4, bins, -1).softmax(dim=1) * counted[:, None]).sum(dim=1)
    y, x = torch.meshgrid(
        torch.arange(height, device=answer.device) + 0.5, torch.arange(width, device=answer.device) + 0.5, indexing="ij"
    )
    x, y = x.flatten(), y.flatten()
    return torch.stack((x - left, y - top, x + right, y + bottom), dim=1) * stride


@dataclass(frozen=True, eq=False)
class Yolo:
    """A network with the names of what it finds."""

    network: YoloNetwork
    names: Mapping[int, str]
    device: torch.device

    def __call__(self, picture: Bytes, confidence: float) -> list[Detection]:
        frame = framed(picture)
        with torch.inference_mode():
            given = torch.from_numpy(frame.pixels).to(self.device)
            answers = (None if each is None else each.float().cpu().numpy() for each in self.network(given))
        boxes, scores, weights, prototypes = answers
        assert boxes is not None and scores is not None
        return found_in(Answers(boxes, scores, weights, prototypes), frame, confidence, self.names)


def opened(path: Path, device: torch.device) -> Yolo:
    """The network in a file: what `ultralytics` saves, of which nothing is run, or its tensors as .safetensors.

    Raises:
        ModelError: it is damaged, or another network.
    """
    with reading(path):
        tensors, names = _contents(path)
        network = YoloNetwork(Tensors(path, tensors)).eval().requires_grad_(False)
        try:
            network(torch.zeros(1, 3, 64, 64))
        except RuntimeError as error:
            raise broken(path, f"its tensors do not fit together, so {NO_SUCH}", TO_ONNX) from error
        return Yolo(network.to(device), names, device)


def _contents(path: Path) -> tuple[Mapping[str, Tensor], Mapping[int, str]]:
    """Tensors by name, and the names of the classes as far as the file has them."""
    if format_of(path) != "pickle":
        file = open_weights(path)
        return {name: file.tensor(name) for name in file.shapes}, {}
    try:
        content = read_modules(path)
    except Forbidden as error:
        raise ModelError(
            f"{path.name} contains Python objects that could run code ({error}), so it is not opened."[:200],
            hint=TO_ONNX,
        ) from error
    whole = content
    if isinstance(content, Mapping):
        whole = next((content[key] for key in ("ema", "model", "state_dict") if content.get(key)), content)
    if isinstance(whole, PickledModule):
        return _without_text(path, dict(whole.tensors())), _names(whole.names)
    if isinstance(whole, Mapping):
        return _without_text(path, {str(name): each for name, each in whole.items() if isinstance(each, Tensor)}), {}
    raise broken(path, "there is no network in it", TO_ONNX)


def _without_text(path: Path, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if any(WORLD.fullmatch(name) for name in tensors):
        raise broken(path, "it is a YOLO-World model, which looks for what a text names", TO_ONNX)
    return tensors


def _names(given: object) -> dict[int, str]:
    """Class -> what it is called."""
    pairs = given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list) else ()
    return {key: name for key, name in pairs if isinstance(key, int) and isinstance(name, str)}


def _placed(path: Path, profile: Profile) -> Yolo:
    return opened(path, profile.device)


YOLO = ResidentKind("detector", open=_placed, size=lambda yolo: bytes_of(yolo.network))

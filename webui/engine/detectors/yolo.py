"""YOLOv8 in PyTorch: a network that finds things, and their shapes, built from the tensors of its file.

Written from descriptions of the architecture: Reis et al. 2023, arXiv:2305.09972, and Terven et al. 2023,
arXiv:2304.00501 (C2f blocks, a head without anchors); He et al. 2014, arXiv:1406.4729, in its sequential form (SPPF);
Li et al. 2020, arXiv:2006.04388 (DFL, distances as distributions); Bolya et al. 2019, arXiv:1904.02689 (masks). The
widths, the depths and the number of classes are as the tensors have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from webui.base.errors import ModelError
from webui.engine.detectors.found import Detection
from webui.engine.detectors.yolo_answers import Answers, found_in, framed
from webui.engine.families.pickles import Forbidden, PickledModule, read_modules
from webui.engine.families.weights import broken, format_of, open_weights, reading
from webui.engine.memory import Profile, bytes_of
from webui.engine.preprocessors.picture import Bytes
from webui.engine.residents import ResidentKind

STRIDES = (8, 16, 32)
"""Pixels of the picture that an answer stands for, in each of the three maps."""
EPSILON = 1e-3
"""Of its batch normalizations."""
HEAD = "model.22"
TO_ONNX = "Convert it where it was made (yolo export model=NAME.pt format=onnx) and put NAME.onnx here instead."
WORLD = re.compile(r"model\.\d+\.cv4\.\d\.(?:bias|logit_scale)")
"""What a YOLO-World model has besides: it finds what a text names."""


class Tensors:
    """The tensors of a file, by name, taken one by one."""

    def __init__(self, path: Path, found: Mapping[str, Tensor]) -> None:
        self.path, self._found = path, found

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def take(self, name: str, *sides: int | None) -> Tensor:
        """A tensor, float32; sides: those that it must have, None for any.

        Raises:
            ModelError: it is missing, or of another shape.
        """
        tensor = self._found.get(name)
        if tensor is None:
            raise broken(self.path, f"it is no YOLOv8 detector, or incomplete ({name} is missing)", TO_ONNX)
        fits = tensor.ndim == len(sides) and all(
            side in (None, own) for side, own in zip(sides, tensor.shape, strict=False)
        )
        if not fits:
            raise broken(self.path, f"it is no YOLOv8 detector ({name} has the shape {list(tensor.shape)})", TO_ONNX)
        return tensor.detach().float()


def _convolution(tensors: Tensors, name: str, stride: int = 1) -> nn.Conv2d:
    """With the batch normalization beside it, if there is one, folded in."""
    kernel = tensors.take(f"{name}.conv.weight", None, None, None, None)
    out = kernel.shape[0]
    if f"{name}.bn.weight" in tensors:
        scale, shift, mean, spread = (
            tensors.take(f"{name}.bn.{part}", out) for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / (spread + EPSILON).sqrt()
        kernel, bias = kernel * factor[:, None, None, None], shift - mean * factor
    else:
        bias = tensors.take(f"{name}.conv.bias", out)
    return _filled(kernel, bias, stride)


def _filled(kernel: Tensor, bias: Tensor, stride: int = 1) -> nn.Conv2d:
    out, into, high, wide = kernel.shape
    layer = nn.Conv2d(into, out, (high, wide), stride, (high // 2, wide // 2), device="meta")
    layer.weight, layer.bias = nn.Parameter(kernel), nn.Parameter(bias)
    return layer


class Convolution(nn.Module):
    """A convolution and SiLU."""

    def __init__(self, tensors: Tensors, name: str, stride: int = 1) -> None:
        super().__init__()
        self.layer = _convolution(tensors, name, stride)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.layer(x))


class Bottleneck(nn.Module):
    """Two convolutions; within the backbone, what they are given is added."""

    def __init__(self, tensors: Tensors, name: str, *, adds: bool) -> None:
        super().__init__()
        self.first, self.second = Convolution(tensors, f"{name}.cv1"), Convolution(tensors, f"{name}.cv2")
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(x))
        return x + made if self.adds else made


class C2f(nn.Module):
    """Half of the channels goes through bottlenecks one after the other; all that comes on the way is put together."""

    def __init__(self, tensors: Tensors, name: str, *, adds: bool) -> None:
        super().__init__()
        self.first, self.last = Convolution(tensors, f"{name}.cv1"), Convolution(tensors, f"{name}.cv2")
        blocks: list[nn.Module] = []
        while f"{name}.m.{len(blocks)}.cv1.conv.weight" in tensors:
            blocks.append(Bottleneck(tensors, f"{name}.m.{len(blocks)}", adds=adds))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, dim=1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        whole: Tensor = self.last(torch.cat(parts, dim=1))
        return whole


class SPPF(nn.Module):
    """Ever wider surroundings of each place: the largest within 5, 9 and 13 pixels."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.first, self.last = Convolution(tensors, f"{name}.cv1"), Convolution(tensors, f"{name}.cv2")

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(nn.functional.max_pool2d(parts[-1], 5, stride=1, padding=2))
        whole: Tensor = self.last(torch.cat(parts, dim=1))
        return whole


class Branch(nn.Module):
    """Two convolutions and a linear layer at each place of a map."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        kernel = tensors.take(f"{name}.2.weight", None, None, 1, 1)
        self.layers = nn.Sequential(
            Convolution(tensors, f"{name}.0"),
            Convolution(tensors, f"{name}.1"),
            _filled(kernel, tensors.take(f"{name}.2.bias", kernel.shape[0])),
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x).flatten(2)
        return made


class Prototypes(nn.Module):
    """The shapes that masks are sums of, at a quarter of the picture's size."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        self.first, self.second, self.last = (Convolution(tensors, f"{name}.cv{number}") for number in (1, 2, 3))
        kernel = tensors.take(f"{name}.upsample.weight", None, None, 2, 2)
        self.larger = nn.ConvTranspose2d(kernel.shape[0], kernel.shape[1], 2, stride=2, device="meta")
        self.larger.weight = nn.Parameter(kernel)
        self.larger.bias = nn.Parameter(tensors.take(f"{name}.upsample.bias", kernel.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.last(self.second(self.larger(self.first(x))))
        return made


class YOLOv8(nn.Module):
    """The network: (1, 3, h, w) in 0..1, with sides that are multiples of 32."""

    def __init__(self, tensors: Tensors) -> None:
        """
        Raises:
            ModelError: these are the tensors of another network.
        """
        super().__init__()
        names = [f"model.{number}" for number in range(22)]
        self.down = nn.ModuleList(Convolution(tensors, names[at], stride=2) for at in (0, 1, 3, 5, 7))
        self.backbone = nn.ModuleList(C2f(tensors, names[at], adds=True) for at in (2, 4, 6, 8))
        self.pooling = SPPF(tensors, names[9])
        self.neck = nn.ModuleList(C2f(tensors, names[at], adds=False) for at in (12, 15, 18, 21))
        self.again = nn.ModuleList(Convolution(tensors, names[at], stride=2) for at in (16, 19))
        levels = range(len(STRIDES))
        self.distances = nn.ModuleList(Branch(tensors, f"{HEAD}.cv2.{at}") for at in levels)
        self.kinds = nn.ModuleList(Branch(tensors, f"{HEAD}.cv3.{at}") for at in levels)
        has_masks = f"{HEAD}.proto.cv1.conv.weight" in tensors
        self.shapes = nn.ModuleList(Branch(tensors, f"{HEAD}.cv4.{at}") for at in levels if has_masks)
        self.prototypes = Prototypes(tensors, f"{HEAD}.proto") if has_masks else None

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """At each of the strides."""
        x = self.down[0](x)
        seen: list[Tensor] = []
        for narrower, block in zip(self.down[1:], self.backbone, strict=True):
            x = block(narrower(x))
            seen.append(x)
        coarse = self.pooling(x)
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

    network: YOLOv8
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
        network = YOLOv8(Tensors(path, tensors)).eval().requires_grad_(False)
        try:
            network(torch.zeros(1, 3, 64, 64))
        except RuntimeError as error:
            raise broken(path, "its tensors do not fit together, so it is no YOLOv8 detector", TO_ONNX) from error
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

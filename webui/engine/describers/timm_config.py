"""What timm's networks do not say in their tensors: the `config.json` beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn.functional import gelu

from webui.base.json_values import Json, as_object
from webui.engine.families.weights import WeightsFile

HEAD_WIDTH = 64
"""Of the transformers that timm has, whatever their size."""
LARGEST_CONFIG = 2**20
LARGEST_SIDE = 2048
TO_ONNX = "Use the model.onnx of the same tagger instead."
Activation = Callable[[Tensor], Tensor]


def _tanh_gelu(x: Tensor) -> Tensor:
    return gelu(x, approximate="tanh")


ACTIVATIONS: Mapping[str, Activation] = {"gelu": gelu, "gelu_tanh": _tanh_gelu}


@dataclass(frozen=True)
class TimmConfig:
    """What `config.json` says that no tensor does."""

    activation: Activation = gelu
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Of the pictures that it was trained on, by channel, 0 to 1."""
    side: int = 448
    """Pixels of the squares that it sees."""
    architecture: str = ""
    """Its name."""
    window: int = 0
    """Patches of the sides of the windows within which it looks; 0: it is not said."""
    first_windows: tuple[int, ...] = ()
    """Of each stage, those with which it was first trained."""
    places: int = 16
    """By how many patches of a side places were first counted."""


def count(file: WeightsFile, pattern: str) -> int:
    """How many there are, one behind the other."""
    return len({match[1] for match in map(re.compile(pattern).fullmatch, file.shapes) if match})


def config_of(file: WeightsFile) -> TimmConfig:
    """Raises ModelError: the file beside is broken, or names an activation that is not known."""
    path = file.path.with_name("config.json")
    said = _json(file, path)
    model, trained = as_object(said.get("model_args")), as_object(said.get("pretrained_cfg"))
    name = model.get("act_layer", "gelu")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise file.error(f"config.json beside it names the activation {name!r}, which is not known", TO_ONNX)
    size = trained.get("input_size")
    side = size[-1] if isinstance(size, list) and size and isinstance(size[-1], int) else TimmConfig.side
    if "pos_embed" in file.shapes and "patch_embed.proj.weight" in file.shapes:
        places = file.shapes["pos_embed"][1] if len(file.shapes["pos_embed"]) == 3 else 0
        side = int(places**0.5) * file.shapes["patch_embed.proj.weight"][-1]
    if not 16 <= side <= LARGEST_SIDE:
        raise file.error(f"it takes pictures of {side} pixels", TO_ONNX)
    mean, deviation = (_numbers(trained.get(name)) for name in ("mean", "std"))
    if len(mean) != 3 or len(deviation) != 3 or 0 in deviation:
        mean, deviation = TimmConfig.mean, TimmConfig.deviation
    called = said.get("architecture")
    return TimmConfig(
        ACTIVATIONS[name],
        mean,
        deviation,
        side,
        called if isinstance(called, str) else "",
        _side(model.get("window_size")),
        tuple(int(each) for each in _numbers(model.get("pretrained_window_sizes"))),
        _side(model.get("ref_feat_shape")) or TimmConfig.places,
    )


def _json(file: WeightsFile, path: Path) -> Mapping[str, Json]:
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > LARGEST_CONFIG:
            raise file.error("config.json beside it is too large to be read")
        return as_object(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise file.error("config.json beside it cannot be read", "Download it again.") from error


def _numbers(value: Json) -> tuple[float, ...]:
    given = value if isinstance(value, list) else []
    return tuple(float(each) for each in given if isinstance(each, int | float) and abs(each) < LARGEST_SIDE)


def _side(value: Json) -> int:
    """A length, or the first of several; 0: there is none."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, int) and 0 < first <= LARGEST_SIDE else 0

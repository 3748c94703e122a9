"""A network file (LoRA and its kin) read: whichever program wrote it, layer by layer in one set of names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from webui.catalog.network_families import family_of_network
from webui.engine.families.weights import WeightsFile, open_weights
from webui.engine.networks.deltas import Tensors
from webui.engine.networks.embeddings import Embedding, embedding_of

BUNDLE = "bundle_emb."
"""Begins the names of embeddings that a LoRA file brings along."""

_NAMES = (
    (r"(?:(?<=\.qkv_lora)|(?<=\.proj_lora)|(?<=_lora[12]))\.(up|down)\.weight", r"\1"),  # XLabs
    (r"[._]lora[._](?:up|B)(?:\.default)?\.weight", "up"),
    (r"[._]lora[._](?:down|A)(?:\.default)?\.weight", "down"),
    (r"\.lora_linear_layer\.up\.weight", "up"),
    (r"\.lora_linear_layer\.down\.weight", "down"),
    (r"\.lora_mid\.weight", "mid"),
    (r"\.(?:dora_scale|lora_magnitude_vector(?:\.default)?(?:\.weight)?)", "dora"),
    (r"\.([ab][12])\.weight", r"\1"),
    (
        r"\.(alpha|scale|rescale|hada_[wt][12](?:_[ab])?|lokr_[wt][12](?:_[ab])?|diff|diff_b|oft_blocks|oft_diag"
        r"|on_input|bias_indices|bias_values|bias_size)",
        r"\1",
    ),
    (r"\.w_norm", "w_norm"),
    (r"\.b_norm", "b_norm"),
    (r"\.weight", "weight"),
)
"""How a tensor's name ends -> what it is; what comes before is the layer."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """A network file in memory, on the CPU as it was stored."""

    path: Path
    layers: Mapping[str, Tensors]
    """By the layer's name with underscores for dots, prefix and all."""
    family: str
    """The model family that it was made for ("SD1", "SDXL"...), or "" where nothing says so."""
    embeddings: Mapping[str, Embedding] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensors in self.layers.values() for tensor in tensors.values())


def read_adapter(path: Path, sha256: str = "") -> Adapter:
    """Read a file. sha256: of it, for the infotext's hashes of embeddings that it brings.

    Raises:
        ModelError: it cannot be read, or holds no network.
    """
    file = open_weights(path)
    try:
        return _read(path, file, sha256)
    except (SafetensorError, RuntimeError, ValueError, LookupError) as error:
        cause = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise file.error(f"it is damaged ({cause})", "Download it again.") from error


def _read(path: Path, file: WeightsFile, sha256: str) -> Adapter:
    layers: dict[str, dict[str, Tensor]] = {}
    bundled: dict[str, dict[str, Tensor]] = {}
    for name in file.shapes:
        if name.startswith(BUNDLE):
            word, _, inner = name[len(BUNDLE) :].partition(".")
            bundled.setdefault(word, {})[inner.removeprefix("string_to_param.")] = file.tensor(name).clone()
        elif found := split_name(name):
            layer, part = found
            # never the mapping itself: a file that is overwritten would change or crash the model
            layers.setdefault(layer, {})[part] = file.tensor(name).clone()
    for tensors in layers.values():
        if "weight" in tensors and "on_input" not in tensors:
            del tensors["weight"]
    layers = {layer: tensors for layer, tensors in layers.items() if tensors.keys() - {"alpha"}}
    if not layers and not bundled:
        raise file.error("it is not a supported kind of network", "Check that it is a LoRA.")
    _say_alpha(layers, file)
    embeddings = {word: embedding_of(word, content, sha256) for word, content in bundled.items()}
    return Adapter(
        path,
        layers,
        family_of_network(file.shapes, file.metadata),
        {word: embedding for word, embedding in embeddings.items() if embedding is not None},
    )


def split_name(name: str) -> tuple[str, str] | None:
    """("lora_unet_..._to_q", "up") of a tensor's name; None where it says nothing of a layer."""
    for pattern, part in _NAMES:
        if match := re.search(rf"{pattern}$", name):
            layer = name[: match.start()].replace(".processor.", ".").removeprefix("base_model.model.")
            return layer.replace(".", "_"), match.expand(part)
    return None


def _say_alpha(layers: dict[str, dict[str, Tensor]], file: WeightsFile) -> None:
    """PEFT says alpha once for all layers of a part, in the file's metadata."""
    try:
        said = json.loads(file.metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        return
    for key, value in said.items() if isinstance(said, dict) else ():
        part, _, what = str(key).rpartition(".")
        if what != "lora_alpha" or not isinstance(value, int | float):
            continue
        for layer, tensors in layers.items():
            if layer.startswith(part.replace(".", "_")):
                tensors.setdefault("alpha", torch.tensor(float(value)))

"""Files of few bits: GGUF and fp8 hold the same models, and give nearly the same pictures."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.engine.conftest import OPTIONS, SMALL, Engine, levels, reference
from tests.engine.families.published import Shapes, small, written
from tests.engine.families.test_flows import SMALL_FLUX, SMALL_SD3, furnished
from webui.base.errors import ModelError
from webui.engine.families.gguf import KINDS
from webui.engine.families.weights import open_weights
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.request.fields import Txt2Img

F16, Q8_0 = 1, 8
ASKED = Txt2Img(**{**SMALL, "prompt": "a red cat", "sampler_name": "Euler", "cfg_scale": 1.0})


def gguf(tensors: Mapping[str, Tensor], path: Path) -> Path:
    """Matrices of whole blocks in 8 bits, all others in half precision."""
    header, data = b"", b""
    for name, tensor in tensors.items():
        kind, stored = (Q8_0, _eight_bits(tensor)) if tensor.ndim == 2 and tensor.shape[1] % 32 == 0 else (F16, None)
        sides = struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape))
        header += _text(name) + struct.pack("<I", tensor.ndim) + sides + struct.pack("<IQ", kind, len(data))
        data += stored if stored is not None else tensor.half().numpy().tobytes()
        data += bytes(-len(data) % 32)
    said = _text("general.architecture") + struct.pack("<I", 8) + _text("flux")
    start = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1) + said + header
    path.write_bytes(start + bytes(-len(start) % 32) + data)
    return path


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _eight_bits(tensor: Tensor) -> bytes:
    blocks = tensor.float().reshape(-1, 32)
    scale = (blocks.abs().amax(dim=1, keepdim=True) / 127).half()
    numbers = (blocks / scale.float().clamp_min(1e-9)).round().clamp(-127, 127).to(torch.int8)
    return np.concatenate([scale.numpy().view(np.uint8), numpy_of(numbers)], axis=1).tobytes()


def numpy_of(numbers: Tensor) -> np.ndarray:
    return numbers.numpy().view(np.uint8)


@pytest.mark.parametrize(
    ("kind", "scales", "checksum"),
    [
        (2, (0,), -1071),
        (3, (0, 2), 18260),
        (6, (0,), -109),
        (7, (0, 2), 33038),
        (8, (0,), -13696),
        (10, (80, 82), 501778),
        (11, (108,), 110655),
        (12, (0, 2), 33440656),
        (13, (0, 2), 51020320),
        (14, (208,), 1808828),
    ],
)
def test_blocks_are_unpacked_as_ggml_does(kind: int, scales: tuple[int, ...], checksum: int) -> None:
    """Two blocks of counting bytes with scales of 1; the sums are those of the package gguf 0.19."""
    numbers, nbytes, unpack = KINDS[kind]
    stored = ((np.arange(2 * nbytes) * 37 + 11) % 256).astype(np.uint8).reshape(2, nbytes)
    for place in scales:
        stored[:, place : place + 2] = (0x00, 0x3C)
    found = unpack(torch.from_numpy(stored)).reshape(-1).long()
    assert found.shape == (2 * numbers,)
    assert int((found * torch.arange(1, len(found) + 1)).sum()) == checksum


def picture(path: Path, models: Path) -> np.ndarray:
    manager = ModelManager(profile_of(OPTIONS), budget=2**32, components=furnished(models))
    return levels(Engine(manager, reference(path)).run(ASKED)[0])


@pytest.mark.parametrize("shapes", [SMALL_FLUX, SMALL_SD3], ids=["Flux", "SD3"])
def test_a_transformer_in_gguf_makes_nearly_the_same_picture(shapes: Shapes, tmp_path: Path) -> None:
    whole = written(shapes, tmp_path / "whole.safetensors")
    packed = gguf(load_file(whole), tmp_path / "packed.gguf")
    one, other = (picture(path, tmp_path / "models") for path in (whole, packed))
    assert 0 < np.abs(one - other).mean() < 8


@pytest.mark.parametrize("scaled", [False, True])
def test_a_transformer_in_fp8_makes_nearly_the_same_picture(scaled: bool, tmp_path: Path) -> None:
    whole = written(SMALL_FLUX, tmp_path / "whole.safetensors")
    packed: dict[str, Tensor] = {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)} if scaled else {}
    for name, tensor in load_file(whole).items():
        scale = tensor.float().abs().max() / 448 if scaled and name.endswith(".weight") else None
        if scale is not None:
            packed[name.removesuffix("weight") + "scale_weight"] = scale
        packed[name] = (tensor.float() / (1 if scale is None else scale)).to(torch.float8_e4m3fn)
    save_file(packed, tmp_path / "packed.safetensors")
    one, other = (picture(path, tmp_path / "models") for path in (whole, tmp_path / "packed.safetensors"))
    assert 0 < np.abs(one - other).mean() < 25


def test_a_checkpoint_in_fp8_is_loaded(tmp_path: Path, models: ModelManager) -> None:
    path = small("SD 1.5", tmp_path / "small.safetensors")
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in load_file(path).items()}, path)
    assert levels(Engine(models, reference(path)).run(Txt2Img(**SMALL))[0]).std() > 1
    models.unload()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-64], "incomplete"),
        (lambda content: b"GGML" + content[4:], "not a GGUF file"),
        (lambda content: content[:4] + struct.pack("<I", 9) + content[8:], "version 9"),
        (lambda content: content[:16] + struct.pack("<Q", 2**60) + content[24:], "header is damaged"),
        (lambda content: content[:40], "incomplete"),
    ],
)
def test_a_broken_gguf_file_is_refused(change, said: str, tmp_path: Path) -> None:
    path = gguf({"x": torch.ones(4, 32)}, tmp_path / "x.gguf")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError, match=said):
        open_weights(path)

"""Readers of model files, given files that are cut, flipped, or of wrong types: each reads, or says that it cannot."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from tests.engine.families.test_compressed import gguf
from webui.base.errors import ModelError
from webui.engine.families.weights import load_pickle, open_weights
from webui.engine.networks.adapter import read_adapter
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.networks.hypernetworks import read_hypernetwork
from webui.engine.upscalers.models import opened

VECTORS = torch.arange(8, dtype=torch.float32).reshape(2, 4)
EMBEDDING = {"string_to_token": {"*": 265}, "string_to_param": {"*": VECTORS}, "name": "word", "step": 100}
BEND = {"linear.0.weight": torch.ones(4, 4), "linear.0.bias": torch.ones(4)}
HYPERNETWORK = {4: (BEND, BEND), "activation_func": "relu", "step": 3}
LORA = {"lora_unet_x.lora_up.weight": torch.ones(4, 2), "lora_unet_x.lora_down.weight": torch.ones(2, 4)}
SLOW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


def everything(path: Path) -> None:
    """All that a file holds."""
    file = open_weights(path)
    for name in file.shapes:
        file.tensor(name)


def to_device(path: Path) -> None:
    opened(path, torch.device("cpu"), torch.float32)


def pickled(content: object, path: Path, *, legacy: bool = False) -> bytes:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path.read_bytes()


def survives(read: Callable[[Path], object], path: Path, content: bytes) -> bool:
    """Whether it was read; nothing but a ModelError may come of a broken one, and it names the file."""
    path.write_bytes(content)
    try:
        read(path)
    except ModelError as error:
        assert path.stem in str(error)
        return False
    return True


def flipped(content: bytes, count: int) -> Iterator[bytes]:
    chance = random.Random(7)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 8))):
            changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0x28, 0x80, 0xFF, chance.randrange(256)))
        yield bytes(changed)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickled_file_cut_anywhere_is_refused_by_name(legacy: bool, tmp_path: Path) -> None:
    content = pickled(EMBEDDING, tmp_path / "word.pt", legacy=legacy)
    assert survives(load_pickle, tmp_path / "word.pt", content)
    for length in range(len(content)):
        assert not survives(load_pickle, tmp_path / "word.pt", content[:length]), length


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickled_file_with_wrong_bytes_is_read_or_refused(legacy: bool, tmp_path: Path) -> None:
    content = pickled(EMBEDDING, tmp_path / "word.pt", legacy=legacy)
    for changed in flipped(content, 400):
        survives(load_pickle, tmp_path / "word.pt", changed)


def test_broken_embeddings_never_keep_the_others_from_being_found(tmp_path: Path) -> None:
    content = pickled(EMBEDDING, tmp_path / "good.pt", legacy=True)
    (tmp_path / "junk.pt").write_bytes(b"junk")
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "gone.pt").symlink_to(tmp_path / "nowhere.pt")
    torch.save({"clip_l": 3, "clip_g": "x"}, tmp_path / "typed.pt")
    for number, length in enumerate(range(0, len(content), 17)):
        (tmp_path / f"cut{number}.pt").write_bytes(content[:length])
    found = EmbeddingShelf().read((str(tmp_path),))
    assert list(found) == ["good"]


@pytest.mark.parametrize(
    ("read", "content", "ending"),
    [
        (everything, save(LORA, {"ss_output_name": "x"}), ".safetensors"),
        (read_adapter, save(LORA, {"ss_output_name": "x"}), ".safetensors"),
        (to_device, save(LORA), ".safetensors"),
    ],
)
def test_a_safetensors_file_cut_or_changed_is_read_or_refused(
    read: Callable[[Path], Any], content: bytes, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"word{ending}"
    for length in range(0, len(content), 3):
        assert not survives(read, path, content[:length])
    for changed in flipped(content, 400):
        survives(read, path, changed)


def test_a_gguf_file_cut_or_changed_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "word.gguf"
    content = gguf({"a": torch.ones(4, 32), "b": torch.ones(3)}, path).read_bytes()
    for length in range(len(content) - 32):
        assert not survives(everything, path, content[:length])
    for changed in flipped(content, 400):
        survives(everything, path, changed)


@pytest.mark.parametrize("read", [read_hypernetwork, to_device])
def test_a_hypernetwork_or_upscaler_with_wrong_bytes_is_read_or_refused(
    read: Callable[[Path], Any], tmp_path: Path
) -> None:
    content = pickled(HYPERNETWORK, tmp_path / "word.pt")
    for length in range(0, len(content), 13):
        assert not survives(read, tmp_path / "word.pt", content[:length])
    for changed in flipped(content, 200):
        survives(read, tmp_path / "word.pt", changed)


@SLOW
@given(junk=JUNK, place=st.sampled_from(["shape", "dtype", "data_offsets", "entry", "__metadata__", "header"]))
def test_a_safetensors_header_of_wrong_types_is_refused(
    junk: object, place: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    entry: dict[str, Any] = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header: Any = {"a": entry, "__metadata__": {"ss_output_name": "x"}}
    match place:
        case "entry":
            header["a"] = junk
        case "__metadata__":
            header[place] = junk
        case "header":
            header = junk
        case _:
            entry[place] = junk
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(8)
    path = tmp_path_factory.getbasetemp() / "word.safetensors"
    for read in (everything, read_adapter, to_device):
        survives(read, path, content)


@SLOW
@given(
    junk=JUNK, key=st.sampled_from(["state_dict", "params", "string_to_param", "clip_l", "4", "activation_func", ""])
)
def test_a_pickle_of_wrong_types_is_refused(junk: object, key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A folder of its own: the shelf reads all that lies in it.
    path = tmp_path_factory.getbasetemp() / "embeddings" / "word.pt"
    path.parent.mkdir(exist_ok=True)
    content = {**HYPERNETWORK, **EMBEDDING, "clip_g": VECTORS, int(key) if key.isdigit() else key: junk}
    torch.save(content if key else junk, path)
    for read in (everything, read_adapter, to_device, read_hypernetwork):
        survives(read, path, path.read_bytes())
    EmbeddingShelf().read((str(path.parent),))


@SLOW
@given(junk=JUNK)
def test_a_pipeline_s_index_of_wrong_types_is_refused(junk: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "word"
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    for content in (junk, {"unet": junk, "_class_name": junk}, {"unet": ["diffusers", junk]}):
        (folder / "model_index.json").write_text(json.dumps(content), "utf-8")
        try:
            open_weights(folder)
        except ModelError as error:
            assert "word" in str(error)

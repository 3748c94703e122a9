"""What is told of embeddings before they are used: from every format, and without carrying anything out."""

from __future__ import annotations

import collections
import pathlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from webui.base.errors import ModelError
from webui.catalog.checkup import check_model
from webui.catalog.embeddings import describe
from webui.engine.families.pickles import read_pickle
from webui.engine.networks.embeddings import embedding_of

A1111 = {
    "string_to_token": {"*": 265},
    "string_to_param": {"*": torch.nn.Parameter(torch.zeros(3, 768))},
    "name": "word",
    "step": 500,
    "sd_checkpoint": "abcdef0123",
    "sd_checkpoint_name": "model",
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (A1111, (768, 3, 500)),
        ({"<word>": torch.zeros(768)}, (768, 1, None)),
        ({"emb_params": torch.zeros(2, 1024)}, (1024, 2, None)),
        ({"clip_l": torch.zeros(4, 768), "clip_g": torch.zeros(4, 1280)}, (2048, 4, None)),
    ],
)
def test_pickled_embeddings_are_measured(tmp_path: Path, content: Any, told: Any, zipped: bool) -> None:
    path = tmp_path / "word.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = describe(path)
    assert (found["shape"], found["vectors"], found["step"]) == told


def test_safe_embeddings_are_measured(tmp_path: Path) -> None:
    path = tmp_path / "word.safetensors"
    save_file({"clip_l": torch.zeros(4, 768), "clip_g": torch.zeros(4, 1280)}, path)
    assert describe(path) == {
        "shape": 2048, "vectors": 4, "step": None, "sd_checkpoint": None, "sd_checkpoint_name": None,
    }  # fmt: skip
    save_file({"emb_params": torch.zeros(2, 768)}, path)
    assert (describe(path)["shape"], describe(path)["vectors"]) == (768, 2)


class OfAMac:
    """A tensor as torch writes those whose device keeps no storage."""

    def __reduce__(self) -> Any:
        numbers = np.zeros((3, 768), np.float32)
        return torch._utils._rebuild_device_tensor_from_numpy, (numbers, torch.float32, "mps", True)


PARAMETERS = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.zeros(3, 768))})
BESIDE = {"step": np.int64(5), "loss": np.float32(1), "callbacks": {pathlib.PurePosixPath("a"): collections.Counter()}}


@pytest.mark.parametrize("protocol", [1, 2, 4, 5])
@pytest.mark.parametrize("way", ["zip", "repacked on a Mac", "before torch 1.6"])
@pytest.mark.parametrize("vectors", [PARAMETERS, {"*": OfAMac()}], ids=["ParameterDict", "mps"])
def test_what_the_engine_reads_is_measured_and_whole(tmp_path: Path, vectors: Any, way: str, protocol: int) -> None:
    """Three readers see a pickled embedding: the one that uses it, the one that measures it, the one that looks for
    broken files. They agree on every way to write it."""
    path = tmp_path / "word.pt"
    content = {"string_to_param": vectors, **BESIDE}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=way != "before torch 1.6")
    if way == "repacked on a Mac":
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new.pt", "w", zipfile.ZIP_DEFLATED) as new:
            new.writestr("__MACOSX/word/._data.pkl", b"\0\5\x16\7")
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry))
        (tmp_path / "new.pt").replace(path)
    used = embedding_of("word", read_pickle(path), "")
    assert used is not None and used.towers["clip"].shape == (3, 768)
    assert (describe(path)["shape"], describe(path)["vectors"]) == (768, 3)
    check_model(path)


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_a_file_that_wants_something_done_is_not_obeyed(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "word.pt"
    for zipped in (True, False):
        torch.save({"string_to_param": {"*": torch.zeros(1, 768)}, "x": Bomb(mark)}, path,
                   _use_new_zipfile_serialization=zipped)  # fmt: skip
        with pytest.raises(ModelError, match=r"word\.pt"):
            describe(path)
    path.write_bytes(b"\x80\x02]r\xff\xff\xff\xff.")  # says that it has 4 thousand million values
    with pytest.raises(ModelError):
        describe(path)
    assert not mark.exists()


def test_a_file_cut_off_anywhere_is_a_broken_file(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.pt", tmp_path / "word.pt"
    for zipped in (True, False):
        torch.save(A1111, whole, _use_new_zipfile_serialization=zipped)
        content = whole.read_bytes()
        for length in range(0, 900, 7):
            path.write_bytes(content[:length])
            try:
                assert describe(path)["shape"] == 768
            except ModelError:
                continue
    for content in (b"", b"junk", pickle.dumps([1, 2]), pickle.dumps("text") * 4):
        path.write_bytes(content)
        with pytest.raises(ModelError):
            describe(path)

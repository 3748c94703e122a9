"""What is told of embeddings before they are used: from every format, and without carrying anything out."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from webui.base.errors import ModelError
from webui.catalog.embeddings import describe

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

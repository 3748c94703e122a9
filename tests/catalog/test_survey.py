"""Of an installation in which something of everything is broken, every broken thing is named, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broken_things import break_everything, gguf, legacy, safetensors, zipped
from webui.base.errors import ModelError
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.catalog.checkup import check_model
from webui.catalog.survey import problems_in
from webui.request.settings import Settings

GOOD = {"a.safetensors": safetensors(), "a.ckpt": legacy(), "a.pt": zipped(), "a.gguf": gguf(), "b.ckpt": safetensors()}


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_file_is_fine_and_a_cut_one_is_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD[name])
    check_model(path)
    for length in range(len(GOOD[name])):
        path.write_bytes(GOOD[name][:length])
        with pytest.raises(ModelError):
            check_model(path)


def test_every_broken_thing_is_named_and_no_other(tmp_path: Path) -> None:
    made = break_everything(tmp_path)
    folder = tmp_path / "models" / "Stable-diffusion"
    (folder / "whole.safetensors").write_bytes(safetensors())
    assert len(made) >= 60
    catalog = Catalog(Paths(tmp_path))
    catalog.look_for_pictures(Settings().save)
    catalog.folders.wait(60)
    problems = problems_in(catalog)
    assert {(problem.kind, problem.name) for problem in problems} == set(made)
    assert all(problem.reason and str(tmp_path) not in f"{problem}" for problem in problems)
    assert not catalog.checkpoints.find("").fault
    catalog.close()
    # Nothing is read again; what is mended is forgotten.
    (folder / "!empty.safetensors").write_bytes(safetensors())
    again = Catalog(Paths(tmp_path))
    left = {(problem.kind, problem.name) for problem in problems_in(again)}
    again.close()
    assert left == {one for one in made if one[0] != "outputs"} - {("Stable-diffusion", "!empty.safetensors")}

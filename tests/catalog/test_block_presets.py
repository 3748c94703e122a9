"""Names for LoRAs' weights by block, in files of ours and of A1111's extension."""

from __future__ import annotations

from pathlib import Path

from webui.base.paths import Paths
from webui.catalog.block_presets import block_preset
from webui.catalog.problems import Problems


def test_lists_are_found_by_name_in_all_files_and_a_broken_file_is_named(tmp_path: Path) -> None:
    paths, problems = Paths(tmp_path), Problems()
    theirs = tmp_path / "extensions" / "sd-webui-lora-block-weight" / "scripts"
    theirs.mkdir(parents=True)
    (theirs / "lbwpresets.txt").write_text("FACE:1,0\nHAND:0,1\n")
    paths.loras.mkdir(parents=True)
    (paths.loras / "lbwpresets.txt").write_text("FACE:0.5,0.5\n")
    assert [block_preset(paths, name, problems) for name in ("face", "HAND", "none")] == ["0.5,0.5", "0,1", ""]
    with (paths.loras / "lbwpresets.txt").open("r+b") as file:
        file.truncate(2_000_000)
    assert block_preset(paths, "FACE", problems) == "1,0"
    assert [problem.name for problem in problems.all()] == ["lbwpresets.txt"]

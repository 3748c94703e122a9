"""Names for lists of LoRAs' weights by block: the lines `FACE:1,0,0,0,0,0,0,0,1,1,1,1` of `lbwpresets.txt`."""

from __future__ import annotations

from pathlib import Path

from webui.base.errors import UserError
from webui.base.fence import read_each
from webui.base.paths import Paths
from webui.base.text import clean
from webui.catalog.problems import Problems
from webui.prompt.lora_blocks import read_presets

KIND = "lbwpresets.txt"
LARGEST = 1_000_000
"""Bytes."""


def block_preset(paths: Paths, name: str, problems: Problems) -> str:
    """The list of this name, in any letter case, of the first file that has it; "": there is none."""
    there = [path for path in paths.block_presets if path.is_file() and not paths.is_private(path)]
    read, broken = read_each(KIND, there, lambda path: path.name, _read)
    problems.found(KIND, broken)
    for _, presets in read:
        for known, weights in presets.items():
            if known.casefold() == name.strip().casefold():
                return weights
    return ""


def _read(path: Path) -> dict[str, str]:
    if path.stat().st_size > LARGEST:
        raise UserError("It has more than 1 MB.", hint="It should have a line for each list: NAME:1,0,0,...")
    return read_presets(clean(path.read_bytes().decode("utf-8-sig", "replace")))

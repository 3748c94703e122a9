"""Derive CLIP's merges from the PyPI package open-clip-torch.

    pip download --no-deps open-clip-torch
    python -m webui.prompt.clip_vocabulary.derive open_clip_torch-*.whl

writes `merges.txt.gz` beside this file: the same bytes each time.
"""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path

SOURCE = "open_clip/bpe_simple_vocab_16e6.txt.gz"
MERGES = 49152 - 256 - 2
"""The vocabulary was planned for 49,152 entries: 256 bytes, the merges and two special tokens.

The 256 bytes that end a word were forgotten in that sum, so that it has 49,408 entries. OpenAI CLIP,
simple_tokenizer.py.
"""


def derive(wheel: Path) -> bytes:
    """The merges that CLIP uses, in their order, one a line, gzipped; the package's file goes on with others."""
    with zipfile.ZipFile(wheel) as package:
        lines = gzip.decompress(package.read(SOURCE)).decode("utf-8").split("\n")
    text = "\n".join(lines[1 : MERGES + 1])  # the first line says the version
    return gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)


if __name__ == "__main__":
    Path(__file__).with_name("merges.txt.gz").write_bytes(derive(Path(sys.argv[1])))

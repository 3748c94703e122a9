"""The header of a safetensors file: JSON of a length that the file itself states, and that is not to be trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from webui.base.errors import ModelError
from webui.base.text import cleaned

LARGEST_HEADER = 64 * 2**20
"""Bytes. The format allows 100 MB; real ones, long training notes included, have a few."""


def header_length(file: BinaryIO) -> int:
    """Length in bytes of the JSON after the first 8 bytes of an open safetensors file.

    Raises:
        ModelError: it is no such file: too short, or it states a length that it cannot have.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= size - 8:
        raise ModelError(f"{file.name} is not a safetensors file, or it is incomplete.", hint="Download it again.")
    if length > LARGEST_HEADER:
        raise ModelError(f"{file.name} has a header of {length:,} bytes; at most {LARGEST_HEADER:,} are read.")
    return length


def read_header(path: Path) -> dict[str, Any]:
    """The whole header: tensor name -> dtype, shape, offsets; and "__metadata__".

    Raises:
        ModelError: the file cannot be read, or is no safetensors file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(header_length(file))
        header = json.loads(content)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The header of {path} is not valid JSON.", hint="Download the file again.") from error
    if not isinstance(header, dict):
        raise ModelError(f"The header of {path} is not a JSON object.", hint="Download the file again.")
    return {**cleaned(header)}


def read_metadata(path: Path) -> dict[str, Any]:
    """What the author wrote into the file, JSON in it unpacked; {} for other kinds of files and broken ones."""
    try:
        metadata = read_header(path).get("__metadata__", {})
    except ModelError:
        return {}
    if not isinstance(metadata, dict):
        return {}
    # A1111: the thumbnail is dropped, being large.
    return {str(key): _unpacked(value) for key, value in metadata.items() if key != "modelspec.thumbnail"}


def _unpacked(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        try:
            return cleaned(json.loads(value))
        except (ValueError, RecursionError):
            return value
    return value

"""The header of a safetensors file: JSON of a length that the file itself states, and that is not to be trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

from webui.base.errors import ModelError
from webui.base.json_values import Json, JsonObject
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


def read_header(path: Path) -> JsonObject:
    """The whole header: tensor name -> dtype, shape, offsets; and "__metadata__".

    Raises:
        ModelError: the file cannot be read, or is no safetensors file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(header_length(file))
        header: Json = cleaned(json.loads(content))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"The header of {path} is not valid JSON.", hint="Download the file again.") from error
    if not isinstance(header, dict):
        raise ModelError(f"The header of {path} is not a JSON object.", hint="Download the file again.")
    return header


def read_metadata(path: Path) -> JsonObject:
    """What the author wrote into the file, JSON in it unpacked; {} for other kinds of files and broken ones."""
    try:
        metadata = read_header(path).get("__metadata__", {})
    except ModelError:
        return {}
    if not isinstance(metadata, dict):
        return {}
    # A1111: the thumbnail is dropped, being large.
    return {str(key): _unpacked(value) for key, value in metadata.items() if key != "modelspec.thumbnail"}


def sizes_of(value: Json) -> list[int] | None:
    """A tensor's sides, or where it lies; None: it is no list of such numbers."""
    listed = value if isinstance(value, list) else [None]
    sizes = [size for size in listed if isinstance(size, int) and type(size) is int and 0 <= size < 2**63]
    return sizes if len(sizes) == len(listed) else None


def sizes_in(value: Json, name: str) -> tuple[int, ...]:
    """The sides of the tensor of this name. Raises ModelError: it has none."""
    sizes = sizes_of(value)
    if sizes is None:
        raise ModelError(f"The file's header is damaged: the entry for {name[:100]!r} is invalid.")
    return tuple(sizes)


def _unpacked(value: Json) -> Json:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = cleaned(json.loads(value))
        except (ValueError, RecursionError):
            return value
    return value

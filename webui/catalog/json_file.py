"""A JSON file that a person may edit: read with care, written whole, and moved aside when it is broken."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from webui.base.errors import StorageError
from webui.base.fence import Problem
from webui.base.files import write_atomically
from webui.base.json_values import Json, JsonObject
from webui.base.text import cleaned
from webui.catalog.problems import Problems

log = logging.getLogger(__name__)


def read_table(path: Path, problems: Problems | None = None) -> JsonObject:
    """The table in the file; {} where there is no file, or a broken one, which is then moved aside, and told as a
    problem.

    Raises:
        StorageError: the file cannot be read, or is broken and cannot be moved.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not content.strip():
        return {}
    try:
        table: Json = cleaned(json.loads(content.decode("utf-8-sig"), parse_int=_whole))
        if isinstance(table, dict):
            return table
        reason = f"it contains a {type(table).__name__} instead of an object"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        path.replace(aside)
    except OSError as error:
        raise StorageError(
            f"{path} is damaged ({reason}) and cannot be renamed: {error.strerror or error}.",
            hint="Repair, move or delete it by hand.",
        ) from error
    if problems is not None:
        said = f"It was damaged ({reason}) and has been renamed to {aside.name}; the defaults are used."
        problems.found(str(path), [Problem(path.name, path.name, said, "Repair it, and rename it back.")])
    log.error("%s is damaged (%s). It was renamed to %s; the defaults are used.", path, reason, aside)
    return {}


MOST_DIGITS = 300


def _whole(digits: str) -> int | str:
    """A number of more digits than anything counts stays a text: it spoils its own entry and not the file."""
    return int(digits) if len(digits) <= MOST_DIGITS else digits


def write_table(path: Path, table: Mapping[str, object]) -> None:
    """Write the table, indented, atomically.

    Raises:
        StorageError: the disk is full, or the folder cannot be written to.
    """
    write_atomically(path, (json.dumps(cleaned(table), indent=4, ensure_ascii=False) + "\n").encode())

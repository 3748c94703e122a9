"""What people write about a model file: a table beside it, in `<name>.json`, as A1111 keeps it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from webui.base.json_values import Json, JsonObject
from webui.base.text import cleaned

log = logging.getLogger(__name__)

EXAMPLES = "examples"
"""Of a checkpoint: prompts to begin with."""
MOST_EXAMPLES, LONGEST_EXAMPLE = 12, 200


def read_said(path: Path) -> JsonObject:
    """The table in the file; {} where there is none, or a broken one."""
    try:
        found: Json = cleaned(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s is passed over: %s", path, error)
        return {}
    return found if isinstance(found, dict) else {}


def examples_in(said: JsonObject) -> tuple[str, ...]:
    """The prompts that the table names to begin with; what is no short text is passed over."""
    named = said.get(EXAMPLES)
    if not isinstance(named, list):
        return ()
    texts = (" ".join(one.split()) for one in named if isinstance(one, str))
    return tuple(dict.fromkeys(text for text in texts if 0 < len(text) <= LONGEST_EXAMPLE))[:MOST_EXAMPLES]

"""Text and file names from outside, as JSON, SQLite and HTML take them: whatever came in, every letter is a letter.

Python's strings can hold halves of letters (lone surrogates): out of JSON's escapes, and out of file names that are no
UTF-8. None of the three can be written with them, so they end where they come in.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_HALVES = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile("%([89A-F][0-9A-F])|%u(D[89A-F][0-9A-F]{2})")
_UNDECODED = 0xDC00
"""Python adds it to a byte of a file name that is no UTF-8 (PEP 383)."""


def clean(text: str) -> str:
    """The text, with U+FFFD for each half of a letter."""
    if text.isascii() or _HALVES.search(text) is None:
        return text
    return _HALVES.sub(REPLACEMENT, text)


def cleaned(value: Any) -> Any:
    """What JSON or a program gave, with every text in it clean; equal to it where all are."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {cleaned(key): cleaned(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(cleaned(inner) for inner in value)
    return value


def named(path: str | os.PathLike[str]) -> str:
    """A path as text: a byte that is no UTF-8 stands as `%E9`. `path_named` finds the file again."""
    text = os.fspath(path)
    if text.isascii():
        return text
    return _HALVES.sub(_escape, text)


def path_named(text: str) -> Path:
    """The path that `named` gave this text for; a file that is really called so comes first."""
    path = Path(text)
    if _ESCAPED.search(text) is None or path.exists():
        return path
    meant = Path(_ESCAPED.sub(_unescape, text))
    try:
        return meant if meant.exists() else path
    except (OSError, ValueError):
        return path


def is_odd(path: str | os.PathLike[str]) -> bool:
    """Whether a file name is no text, so that `named` has to spell it."""
    return _HALVES.search(os.fspath(path)) is not None


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"%{code - _UNDECODED:02X}" if 0x80 <= code - _UNDECODED <= 0xFF else f"%u{code:04X}"


def _unescape(found: re.Match[str]) -> str:
    return chr(_UNDECODED + int(found[1], 16)) if found[1] else chr(int(found[2], 16))

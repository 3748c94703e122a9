"""Comments in a prompt: from `#` to the end of the line."""

from __future__ import annotations

import re

_WHOLE_LINE = re.compile(r"(?:^|\n)#[^\n]*(?:\n|$)")
_REST_OF_LINE = re.compile(r"#[^\n]*(?:\n|$)")


def strip_comments(text: str) -> str:
    """The text without its comments; there is no way to write a `#` that stays. Never raises.

    A1111: a comment leaves a line's end, also at the end of the text; a line that is all comment leaves one in all.
    """
    return _REST_OF_LINE.sub("\n", _WHOLE_LINE.sub("\n", text))

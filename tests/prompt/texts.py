"""Texts that a prompt may be: of every kind, and full of what the prompt language means something by."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = (
    "a cat", " ", ", ", "[", "]", "(", ")", ":", "|", "\\", "<lora:x:1>", "<", ">", "#", "\n", " AND ", " BREAK ",
    "0.5", "3", ":1.2)", ":1.2.3)", ":7]", "[a:b:0.5]", "[a|b]", "1e999", "٣", "&amp;", "’", "\ud800", "\x00",
    "é", "🐱",
)  # fmt: skip

prompts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=20).map("".join)

LONG = 10_000
HOSTILE = {
    "open square brackets": "[" * LONG,
    "open round brackets with text": "(a" * LONG,
    "closed within open": "(" * 500 + "a()" * LONG,
    "weights within weights": "(" * LONG + "a" + ":1.1)" * LONG,
    "schedules within schedules": "[a:" * LONG + "x" + ":3]" * LONG,
    "alternations within alternations": "[a|" * LONG + "]" * LONG,
    "colons and spaces": ": " * LONG,
    "spaces": " " * LONG,
    "digits": "(a:" + "1" * LONG,
    "a number": "[a:b:" + "1" * LONG + "]",
    "tags without end": "<a:" * LONG,
    "one long word": "ab" * LONG,
    "one long sign": "'" * LONG,
    "ampersands": "&" + "amp;" * LONG,
    "breaks": " BREAK" * LONG,
    "backslashes": "\\" * LONG,
}
"""With anything quadratic about them these would take hours, with recursion they would end in an error."""

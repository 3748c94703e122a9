"""The word of a prompt that pictures of a person belong to, right before the word `img`: PhotoMaker's prompts.

Li et al. 2023, arXiv:2312.04461, section 3.2; the word `img` and its place are those of TencentARC/PhotoMaker, and
`photomaker` is what other programs call it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TRIGGERS = ("img", "photomaker")
_TRIGGER = re.compile(r"(?<!\w)(?:img|photomaker)(?!\w)", re.IGNORECASE)


class Subject(NamedTuple):
    """A text, and its word for the person."""

    before: str
    """What stands before the word."""
    word: str
    closing: str
    """The brackets and the weight that end behind the word."""
    after: str
    """What stands behind the trigger."""

    def written(self, times: int) -> str:
        """The text without the trigger, with the word so many times."""
        return f"{self.before}{' '.join([self.word] * times)}{self.closing}{self.after}"


def triggers_in(text: str) -> int:
    """How often the trigger stands in a text."""
    return sum(1 for _ in _TRIGGER.finditer(text))


def subject_of(text: str) -> Subject | None:
    """The word before the first trigger; None: there is no trigger, or no word before it."""
    match = _TRIGGER.search(text)
    if match is None:
        return None
    before = text[: match.start()].rstrip()
    head = before.rstrip(") \t\n]")
    if head != before and (weighed := head.rstrip("0123456789. ")) != head and weighed.endswith(":"):
        head = weighed.removesuffix(":").rstrip()
    start = len(head)
    while start and head[start - 1].isalpha():
        start -= 1
    if start == len(head):
        return None
    return Subject(head[:start], head[start:], before[len(head) :], text[match.end() :])

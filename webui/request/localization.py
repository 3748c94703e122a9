"""Languages of the page: tables from English texts to translated ones, and which of them a visitor wants.

A table is what A1111 calls a localization: a JSON object {"English": "translation"}; `"rtl": true` says that the
language is written from right to left. A text with values has them in braces: "{count} selected". Ours are
`webui/locales/CODE.json`, people's are files in the folder `localizations`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

AUTOMATIC = "Automatic"
"""The setting's value for: what each visitor's browser asks for."""
NONE = "None"
"""For: no localization, which means English. A1111's name for it."""
ENGLISH = "en"
RTL = "rtl"
"""The key of a table that is no text."""
OWN: Mapping[str, str] = MappingProxyType(
    {
        "de": "Deutsch",
        "es": "Español",
        "fr": "Français",
        "ja": "日本語",
        "ko": "한국어",
        "zh-Hans": "简体中文",
        "zh-Hant": "繁體中文",
    }
)
"""Languages that come with the program, by their codes (BCP 47): as their speakers call them."""
_TRADITIONAL = re.compile(r"zh-(hant|tw|hk|mo)\b", re.IGNORECASE)
_WISH = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?", re.ASCII)
MOST_WISHES = 40
PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Localization:
    """A table."""

    name: str
    """As the setting has it."""
    language: str
    """Its code, for browsers and screen readers; "": nobody knows."""
    words: Mapping[str, str]
    """English text -> translation."""
    rtl: bool = False
    """Whether the language is written from right to left."""


def preferred(header: str, offered: Collection[str]) -> str:
    """The code, among `offered` ones of `OWN`, of the language that an Accept-Language header asks for first, by its
    weights (RFC 9110, 12.5.4); "": English, or none that is offered."""
    wishes = []
    for place, wish in enumerate(header.split(",")[:MOST_WISHES]):
        if found := _WISH.fullmatch(wish):
            weight = float(found[2]) if found[2] else 1.0
            wishes.append((-weight, place, found[1]))
    for weight, _, tag in sorted(wishes):
        code = code_of(tag)
        if weight and code in offered:
            return code
        if weight and code == ENGLISH:
            return ""
    return ""


def code_of(tag: str) -> str:
    """Our code for a language tag, or for a name as people give their files: "de-AT" and "de_DE" are "de", "zh-TW" is
    "zh-Hant"; "": none of ours, and not English."""
    tag = tag.replace("_", "-")
    if tag.lower().split("-")[0] == "zh":
        return "zh-Hant" if _TRADITIONAL.match(tag) else "zh-Hans"
    first = tag.lower().split("-")[0]
    return first if first in OWN or first == ENGLISH else ""

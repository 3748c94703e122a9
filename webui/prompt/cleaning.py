"""Text made plain before it is cut into tokens: what the library ftfy does to it, but for decoding mojibake.

CLIP's tokenizer was trained on text that had passed through `ftfy.fix_text`, and A1111 passes prompts through it again:
curly quotes become straight, full-width letters ordinary ones, `&amp;` an ampersand. Left out is only the guess that
text was once decoded in a wrong encoding ("cafÃ©" for "café").
"""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

MOST_ROUNDS = 8
"""What a round makes plain may bring forth more, as "&amp;lt;" does; only hostile text needs more rounds than this."""


def made_plain(text: str) -> str:
    """The text in Unicode's form NFC, with plain quotes, widths and line ends and without control characters.

    HTML's `&name;` is replaced by its character up to the first line that holds a "<". Never raises; the result can be
    encoded as UTF-8, also where the text cannot.
    """
    if text.isascii() and text.isprintable() and "&" not in text:
        return text
    first_tag = text.find("<")
    boundary = len(text) if first_tag < 0 else text.rfind("\n", 0, first_tag) + 1
    return _settled(text[:boundary], unescape=True) + _settled(text[boundary:], unescape=False)


def _settled(text: str, unescape: bool) -> str:
    for _ in range(MOST_ROUNDS):
        before = text
        if unescape:
            text = _ENTITY.sub(_character, text)
        text = text.translate(_PLAIN).replace("\r\n", "\n").replace("\r", "\n")
        text = _SURROGATE_PAIR.sub(_joined, text)
        text = _SURROGATE.sub("\ufffd", text)
        text = _TERMINAL_ESCAPE.sub("", text).translate(_DROPPED)
        text = unicodedata.normalize("NFC", text)
        if text == before:
            break
    return text


_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_TERMINAL_ESCAPE = re.compile(r"\x1b\[[\d;]*+[a-zA-Z]")

_WIDTHS = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFFF0)}
_LIGATURES = {ord(letter): unicodedata.normalize("NFKC", letter) for letter in "ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬆ"}
_WINDOWS = {code: bytes([code]).decode("cp1252", errors="ignore") or chr(code) for code in range(0x80, 0xA0)}
_PLAIN = {
    **_WIDTHS,
    **_LIGATURES,
    **_WINDOWS,  # control characters that nobody means: Windows has letters and quotes there
    0xFB05: "ſt",
    0x3000: " ",
    0x2028: "\n",
    0x2029: "\n",
    **dict.fromkeys([0x02BC, *range(0x2018, 0x201C)], "'"),
    **dict.fromkeys(range(0x201C, 0x2020), '"'),
}
_DROPPED = dict.fromkeys(
    [*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD)]
)


def _character(entity: re.Match[str]) -> str:
    """What `&name;` or `&#number;` stands for; itself where it stands for nothing."""
    text, name = entity[0], entity[0][1:]
    if name.startswith("#"):
        unescaped = html.unescape(text)
        return text if ";" in unescaped else unescaped
    if name in html5:
        return html5[name]
    lower = name.lower()
    if name == name.upper() and lower in html5 and html.unescape(text) == text:  # "P&EACUTE;REZ" in a list of names
        return html5[lower].upper()
    return text


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")

"""CLIP's tokenizer: text to numbers, in pure Python, so that the server can count tokens without torch.

Byte pair encoding: Sennrich et al. 2016, arXiv:1508.07909. Its use here: CLIP, Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

import gzip
import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import NamedTuple

from webui.prompt.cleaning import made_plain

START = 49406
"""The token before each chunk."""
END = 49407
"""The token after each chunk, and CLIP's padding."""
COMMA = 267
"""A comma at the end of a word."""
SIZE = 49408
"""How many tokens there are."""

_AT_WORD_END = 256  # tokens 0 to 255 are bytes, 256 to 511 the same at the end of a word
_FIRST_MERGE = 512


class _Vocabulary(NamedTuple):
    bytes: tuple[int, ...]
    """The token of each byte."""
    merges: Mapping[tuple[int, int], int]
    """The token that two neighbours become; lower ones go first, and it is higher than both."""


class ClipTokenizer:
    """Text to token ids. Made by `clip_tokenizer` and `open_clip_tokenizer`."""

    def __init__(self, vocabulary: _Vocabulary, special: Mapping[str, int], clean: Callable[[str], str]) -> None:
        self._vocabulary = vocabulary
        self._special = special
        self._clean = clean
        self._words = re.compile(
            "|".join(map(re.escape, special)) + r"|'s|'t|'re|'ve|'m|'ll|'d|[a-z]++|[0-9]|[^ a-z0-9]++"
        )

    def encode(self, text: str) -> list[int]:
        """The tokens of the text, however many, without start and end. Never raises."""
        text = " ".join(self._clean(text).split()).lower()
        tokens: list[int] = []
        for match in self._words.finditer(_with_stand_ins(text)):
            word = text[match.start() : match.end()]
            special = self._special.get(word)
            tokens += self._encode_word(word) if special is None else [special]
        return tokens

    def _encode_word(self, word: str) -> list[int]:
        """Byte pair encoding, in n log n: a word may be as long as the text."""
        tokens = [self._vocabulary.bytes[byte] for byte in word.encode("utf-8")]
        tokens[-1] += _AT_WORD_END
        merges, count, gone = self._vocabulary.merges, len(tokens), -1
        following = list(range(1, count + 1))
        preceding = list(range(-1, count - 1))
        waiting = [(merges[pair], left) for left, pair in enumerate(pairwise(tokens)) if pair in merges]
        heapify(waiting)
        while waiting:
            merged, left = heappop(waiting)
            right = following[left]
            if right == count or merges.get((tokens[left], tokens[right])) != merged:
                continue  # one of the two has become something else meanwhile
            tokens[left], tokens[right] = merged, gone
            after, before = following[right], preceding[left]
            following[left] = after
            if after < count:
                preceding[after] = left
                if (pair := (merged, tokens[after])) in merges:
                    heappush(waiting, (merges[pair], left))
            if before >= 0 and (pair := (tokens[before], merged)) in merges:
                heappush(waiting, (merges[pair], before))
        return [token for token in tokens if token != gone]


@cache
def clip_tokenizer() -> ClipTokenizer:
    """The tokenizer of OpenAI's CLIP (SD1, SDXL's first tower); its table is read at the first call.

    Gives what transformers' slow CLIPTokenizer gives where ftfy is installed, but for mojibake (see `cleaning`).
    """
    return ClipTokenizer(_vocabulary(), {"<|startoftext|>": START, "<|endoftext|>": END}, made_plain)


@cache
def open_clip_tokenizer() -> ClipTokenizer:
    """The tokenizer of OpenCLIP (SD2, SDXL's second tower): the same table, other special words, all HTML unescaped."""
    special = {"<start_of_text>": START, "<end_of_text>": END}
    return ClipTokenizer(_vocabulary(), special, lambda text: html.unescape(html.unescape(made_plain(text))))


@cache
def bracket_weights() -> Mapping[int, float]:
    """What each token with round or square brackets in it multiplies the weight of all that follows by."""
    factors = {"(": 1.1, ")": 1 / 1.1, "[": 1 / 1.1, "]": 1.1}
    vocabulary = _vocabulary()
    brackets = {vocabulary.bytes[ord(bracket)]: bracket for bracket in factors}
    brackets |= {token + _AT_WORD_END: bracket for token, bracket in brackets.items()}
    for (left, right), merged in vocabulary.merges.items():
        if both := brackets.get(left, "") + brackets.get(right, ""):
            brackets[merged] = both
    weights = {token: prod(factors[bracket] for bracket in found) for token, found in brackets.items()}
    return {token: weight for token, weight in weights.items() if weight != 1.0}


def token_texts() -> tuple[str, ...]:
    """What each token spells, (49406,), in letters; pieces of a letter's bytes are replacement characters."""
    vocabulary = _vocabulary()
    spelled = {token: bytes([byte]) for byte, token in enumerate(vocabulary.bytes)}
    spelled |= {token + _AT_WORD_END: text for token, text in spelled.items()}
    for (left, right), merged in vocabulary.merges.items():
        spelled[merged] = spelled[left] + spelled[right]
    return tuple(spelled[token].decode("utf-8", "replace") for token in range(len(spelled)))


@cache
def _vocabulary() -> _Vocabulary:
    # The file writes each byte as a letter: itself where Latin-1 prints it, else one from U+0100 on.
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprinted = [byte for byte in range(256) if byte not in printed]
    letters = [*map(chr, printed), *(chr(256 + position) for position in range(len(unprinted)))]
    token_of_byte = {byte: token for token, byte in enumerate([*printed, *unprinted])}

    ids = {letter: token for token, letter in enumerate(letters)}
    ids |= {f"{letter}</w>": token + _AT_WORD_END for token, letter in enumerate(letters)}
    packed = (Path(__file__).parent / "clip_vocabulary" / "merges.txt.gz").read_bytes()
    merges: dict[tuple[int, int], int] = {}
    for token, line in enumerate(gzip.decompress(packed).decode("utf-8").split("\n"), start=_FIRST_MERGE):
        left, right = line.split(" ")
        merges[ids[left], ids[right]] = token
        ids[left + right] = token
    return _Vocabulary(tuple(token_of_byte[byte] for byte in range(256)), merges)


def _with_stand_ins(text: str) -> str:
    """The text with an ASCII character of like kind for each other one: `re` cannot tell letters from numbers there."""
    return text.translate({ord(letter): _stand_in(letter) for letter in set(text) if not letter.isascii()})


def _stand_in(letter: str) -> str:
    kind = unicodedata.category(letter)[0]
    return {"L": "z", "N": "0"}.get(kind, "!")  # no "z" is in "'re", "<|endoftext|>" and the like; spaces are gone

"""Extra networks named in a prompt: `<lora:name:0.8>`, `<hypernet:name>`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple


class NetworkTag(NamedTuple):
    """`<kind:first:second:key=value>`: what it means is up to the kind."""

    kind: str
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]
    """(key, value); of equal keys only the last is here."""

    @property
    def name(self) -> str:
        """The network's name: the first positional argument, or "" when there is none."""
        return self.positional[0] if self.positional else ""

    def get(self, key: str, default: str = "") -> str:
        """The value of a named argument."""
        return dict(self.named).get(key, default)


def writable(name: str) -> str:
    """A file's name as a tag can have it: without what ends the name or the tag, or begins a comment."""
    return re.sub("[:>#]", "_", name)


class LoraWeights(NamedTuple):
    """How strongly a LoRA acts on text encoders and on the UNet, and up to which rank."""

    te: float
    unet: float
    rank: int | None


LORA_KINDS = ("lora", "lyco")
_LORA_NAME = re.compile(r"(?<=<lora:)[^:>]+")
HYPERNETWORK = "hypernet"


def renamed_loras(prompt: str, names: Callable[[str], str]) -> str:
    """The prompt with the names in its `<lora:name:...>` tags replaced."""
    return _LORA_NAME.sub(lambda found: names(found[0]), prompt)


def lora_weights(tag: NetworkTag) -> LoraWeights:
    """Of `<lora:name:te:unet:rank>`, the numbers also as `te=`, `unet=`, `dyn=`; unet is te where it is not there.

    Raises:
        ValueError: one of them is no number.
    """
    te = multiplier(tag, "te")
    unet = _number(tag.get("unet") or (tag.positional[2] if len(tag.positional) > 2 else str(te)))
    rank = tag.get("dyn") or (tag.positional[3] if len(tag.positional) > 3 else "")
    return LoraWeights(te, unet, int(rank) if rank else None)


def multiplier(tag: NetworkTag, name: str = "") -> float:
    """The first number of a tag, or that of a named argument; 1 where there is none. Raises ValueError."""
    return _number(tag.get(name) or (tag.positional[1] if len(tag.positional) > 1 else "1"))


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number")
    return value


_TAG = re.compile(r"<(\w++):([^>]+)>")


def extract_networks(text: str) -> tuple[str, tuple[NetworkTag, ...]]:
    """The text without its tags, and the tags in their order. Never raises.

    Every `<word:anything>` is a tag, of known kind or not.
    """
    tags: list[NetworkTag] = []

    def taken_out(match: re.Match[str]) -> str:
        tags.append(_tag(match[1], match[2].split(":")))
        return ""

    end = text.rfind(">") + 1  # where no tag can close, none is looked for: keeps "<a:<a:<a:" linear
    return _TAG.sub(taken_out, text[:end]) + text[end:], tuple(tags)


def _tag(kind: str, arguments: list[str]) -> NetworkTag:
    positional: list[str] = []
    named: dict[str, str] = {}
    for place, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        if place and equals and "=" not in value:  # A1111: with two equals signs it is positional; so is a name
            named[key] = value
        else:
            positional.append(argument)
    return NetworkTag(kind, tuple(positional), tuple(named.items()))

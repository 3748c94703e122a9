"""File names from patterns such as `[seed]-[prompt_words]`: A1111's tokens, and `[name]` for every parameter."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from webui.request.plan import Picture, Plan

LONGEST_PART = 128
"""Characters that a token may give."""
LONGEST_NAME = 240
"""Bytes of a whole file name: a little less than file systems allow."""

_TOKEN = re.compile(r"(.*?)(?:\[([^\[\]]+)\]|$)", re.DOTALL)
_INVALID = dict.fromkeys(map(ord, '#<>:"/|?*\\\x7f'), "_") | dict.fromkeys(range(32), "_")
_IMPOSSIBLE = {sign: to for sign, to in _INVALID.items() if sign != ord("#")}
"""What no system takes in a name; of a pattern's own letters the rest stays as a person wrote it."""
_BETWEEN_WORDS = re.compile(rf"[\s{re.escape(string.punctuation)}]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


class SkippedFile(Exception):
    """A token has nothing to say here, and the text before it goes too."""


@dataclass(frozen=True)
class Naming:
    """What the tokens speak of."""

    picture: Picture
    plan: Plan
    now: datetime
    started: datetime
    """When the job began."""
    user: str = ""
    styles: tuple[str, ...] = ()
    plain_prompt: str = ""
    """The prompt before styles were applied."""
    prompt_words: int = 8
    basename: str = ""
    """The name, without ending, of the file that the picture was made of."""
    pixels: bytes = b""

    @property
    def count(self) -> int:
        return self.picture.request.picture_count


def apply_pattern(pattern: str, naming: Naming) -> str:
    """The pattern with its tokens filled in; unknown ones stay as they are.

    `[token<argument>]` gives a token arguments: `[datetime<%H%M>]`, `[prompt_hash<12>]`, `[hasprompt<cat|no-cat>]`.
    """
    result = ""
    for match in _TOKEN.finditer(pattern):
        before, token = match[1], match[2]
        if token is None:
            result += before
            continue
        try:
            text = _filled(token, naming)
        except SkippedFile:
            continue
        result += before + (f"[{token}]" if text is None else text[:LONGEST_PART])
    return result


def sanitized(text: str, *, spaces: bool = False) -> str:
    """A part of a file name on any system; without `spaces` blanks become underscores."""
    if not spaces:
        text = text.replace(" ", "_")
    text = text.encode("utf-8", "replace").decode("utf-8").translate(_INVALID)
    return text.lstrip(" ")[:LONGEST_PART].rstrip(" .")


def file_name(stem: str, ending: str, *, suffix: str = "") -> str:
    """`stem`, `suffix` and `.ending`: one name in a folder, short enough for a file system and no device of Windows.

    What is too long is cut from the stem: names that differ in their suffix alone stay different.
    """
    stem = stem.encode("utf-8", "replace").decode("utf-8").translate(_IMPOSSIBLE)
    if _RESERVED.match(stem):
        stem = f"_{stem}"
    stem = _cut(stem, LONGEST_NAME - len(f"{suffix}.{ending}".encode())).rstrip(" .")
    return f"{stem or '_'}{suffix}.{ending}"


def _cut(text: str, most: int) -> str:
    """As much of the text as fits into so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def folder_parts(pattern: str, naming: Naming) -> tuple[str, ...]:
    """The subfolders that a pattern names, one a slash; never a way upwards."""
    applied = apply_pattern(pattern, naming)
    parts = (_cut(sanitized(part, spaces=True), LONGEST_NAME).rstrip(" .") for part in re.split(r"[/\\]", applied))
    return tuple(f"_{part}" if _RESERVED.match(part) else part for part in parts if part)


def _filled(token: str, naming: Naming) -> str | None:
    name, arguments = _with_arguments(token)
    if name.lower() in _TOKENS_WITH_ARGUMENTS:
        return _TOKENS_WITH_ARGUMENTS[name.lower()](naming, arguments)
    if name.lower() in _TOKENS:
        return _TOKENS[name.lower()](naming)
    for declared in (naming.picture.request, naming.picture.render):
        if name.lower() in type(declared).params():
            return sanitized(str(getattr(declared, name.lower())), spaces=True)
    return None


def _with_arguments(token: str) -> tuple[str, list[str]]:
    """ "datetime<%H><UTC>" -> ("datetime", ["%H", "UTC"])"""
    arguments: list[str] = []
    end = len(token)
    while end and token[end - 1] == ">":
        begin = token.rfind("<", 0, end)
        if begin < 0 or token.find(">", begin, end - 1) >= 0:
            break
        arguments.append(token[begin + 1 : end - 1])
        end = begin
    return token[:end], arguments[::-1]


def _hashed(text: str, arguments: list[str]) -> str:
    length = int(arguments[0]) if arguments and arguments[0].isdigit() else 8
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:length]


def _datetime(naming: Naming, arguments: list[str]) -> str:
    moment = naming.now
    if len(arguments) > 1:
        try:
            moment = moment.astimezone(ZoneInfo(arguments[1]))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            moment = naming.now
    pattern = arguments[0] if arguments and arguments[0] else "%Y%m%d%H%M%S"
    try:
        return sanitized(moment.strftime(pattern), spaces=True)
    except ValueError:
        return sanitized(moment.strftime("%Y%m%d%H%M%S"))


def _words(naming: Naming) -> str:
    words = [word for word in _BETWEEN_WORDS.split(naming.picture.request.prompt) if word]
    return sanitized(" ".join(words[: naming.prompt_words]) or "empty", spaces=True)


def _has_prompt(naming: Naming, arguments: list[str]) -> str | None:
    """Of each `word|default`: the word where the prompt has it, else the default."""
    if not arguments:
        return None
    prompt = naming.picture.request.prompt.lower()
    found = ""
    for argument in arguments:
        word, _, default = argument.partition("|")
        found += word.lower() if word.lower() in prompt else default
    return sanitized(found)


def _sampler_and_schedule(naming: Naming) -> str:
    request = naming.picture.request
    schedule = "" if request.scheduler == "Automatic" else f" {request.scheduler}"
    return sanitized(request.sampler_name + schedule, spaces=True)


def _denoising(naming: Naming) -> str:
    strength = naming.picture.request.strength
    if strength is None:
        raise SkippedFile
    return str(strength)


def _among(naming: Naming, number: int) -> str:
    if naming.count == 1:
        raise SkippedFile
    return str(number)


def _in_batch(naming: Naming, number: int) -> str:
    if naming.picture.request.batch_size == 1:
        raise SkippedFile
    return str(number)


def _seed_at(naming: Naming, rank: int) -> str:
    seeds = [picture.seed for batch in naming.plan.batches for picture in batch]
    return _in_batch(naming, seeds[rank] if seeds else naming.picture.seed)


_TOKENS: Mapping[str, Callable[[Naming], str | None]] = {
    # A1111: a picture that was made of no file is called img.
    "basename": lambda n: sanitized(n.basename, spaces=True) or "img",
    "seed": lambda n: str(n.picture.seed),
    "seed_first": lambda n: _seed_at(n, 0),
    "seed_last": lambda n: _seed_at(n, -1),
    "cfg": lambda n: str(n.picture.request.cfg_scale),
    "sampler": lambda n: sanitized(n.picture.request.sampler_name, spaces=True),
    "sampler_scheduler": _sampler_and_schedule,
    "scheduler": lambda n: sanitized(n.picture.request.scheduler, spaces=True),
    "model_hash": lambda n: n.plan.checkpoint.short_hash or None,
    "model_name": lambda n: sanitized(n.plan.checkpoint.name, spaces=True),
    # A1111: without a VAE file it says NoneType.
    "vae_filename": lambda n: sanitized(n.plan.vae.title, spaces=True) if n.plan.vae else "NoneType",
    "date": lambda n: n.now.strftime("%Y-%m-%d"),
    "job_timestamp": lambda n: n.started.strftime("%Y%m%d%H%M%S"),
    "prompt": lambda n: sanitized(n.picture.request.prompt),
    "prompt_spaces": lambda n: sanitized(n.picture.request.prompt, spaces=True),
    "prompt_no_styles": lambda n: sanitized(n.plain_prompt, spaces=True),
    "prompt_words": _words,
    "styles": lambda n: sanitized(", ".join(n.styles) or "None", spaces=True),
    "batch_number": lambda n: _in_batch(n, n.picture.position % n.picture.request.batch_size + 1),
    "generation_number": lambda n: _among(n, n.picture.position + 1),
    "denoising": _denoising,
    "user": lambda n: sanitized(n.user) or None,
    "none": lambda _: "",
}
_TOKENS_WITH_ARGUMENTS: Mapping[str, Callable[[Naming, list[str]], str | None]] = {
    "datetime": _datetime,
    "prompt_hash": lambda n, a: _hashed(n.picture.request.prompt, a),
    "negative_prompt_hash": lambda n, a: _hashed(n.picture.request.negative_prompt, a),
    "full_prompt_hash": lambda n, a: _hashed(f"{n.picture.request.prompt} {n.picture.request.negative_prompt}", a),
    "hasprompt": _has_prompt,
    "image_hash": lambda n, a: hashlib.sha256(n.pixels).hexdigest()[: int(a[0]) if a and a[0].isdigit() else 64],
}

"""Everything that reads what strangers wrote takes time like the length of it: a thousand times the text, at most
twenty thousand times as long.

Texts that are fast to read go from 10 KB to 10 MB. Where a megabyte has no meaning the limit is the prompt's (100,000
letters), and ten times the text takes at most two hundred times as long.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from webui.base.errors import UserError
from webui.catalog.exif_texts import _xmp_comment
from webui.catalog.image_files import read_infotext
from webui.prompt.attention import parse_attention
from webui.prompt.chunks import count_tokens
from webui.prompt.cleaning import made_plain
from webui.prompt.comments import strip_comments
from webui.prompt.composition import split_and
from webui.prompt.networks import extract_networks, renamed_loras
from webui.prompt.schedule import prompt_schedule
from webui.prompt.styles import Style, StyledPrompts, recognise_styles
from webui.prompt.tokens import clip_tokenizer
from webui.request import infotext
from webui.request.comfy import told_by_graph
from webui.request.comfy_workflow import graph_of_workflow
from webui.request.fields import Txt2Img
from webui.request.filenames import _with_arguments, sanitized
from webui.request.foreign import _without_brackets, told_infotext
from webui.request.foreign_names import named
from webui.scripts.prompts_from_file import split_words
from webui.scripts.xyz import axes, values_of

UNITS = [
    "a",
    ",",
    '"',
    ": ",
    "<",
    "(",
    "[",
    "|",
    "\\",
    "\n",
    " ",
    ">",
    "]",
    "a: ",
    'ab: "',
    '"\\',
    "<a:",
    "[a|",
    "(a:1",
]
MIXED = ["Ab: 1, ", "a, (b:1.1) [c:d:3] ", "<lora:x:1> ", "Negative prompt: a\n", " Steps: 20, A", '{}[]()<>|\\"']
SLACK = 20
"""So many times longer than in proportion."""


def _infotext(text: str) -> object:
    return infotext.fields_of(infotext.read(f"a\nSteps: 1, {text}"), Txt2Img, lambda _: None)


def _chunk(text: str) -> object:
    data = b"parameters\0" + text.encode()
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    content = buffer.getvalue()
    at = content.index(b"IDAT") - 4
    made = struct.pack(">I", len(data)) + b"tEXt" + data + struct.pack(">I", zlib.crc32(b"tEXt" + data))
    return read_infotext(content[:at] + made + content[at:])


def _styles(text: str) -> object:
    return recognise_styles(StyledPrompts(text, ""), [Style("a", "a{prompt}b"), Style("c", text[:50])])


def _json_of(text: str) -> object:
    node = {"class_type": "KSampler", "inputs": {"steps": 3, "seed": 4, "sampler_name": text, "positive": ["2", 0]}}
    written = {"class_type": "CLIPTextEncode", "inputs": {"text": text}}
    return told_infotext({"prompt": json.dumps({"1": node, "2": written})}, 8, 8)


AXES = {axis.title: axis for axis in axes(Txt2Img)}


def _values(text: str) -> None:
    """What a plot's axis of each kind makes of it, at each place where a number may stand."""
    for title in ("Seed", "CFG Scale", "Prompt order", "Prompt S/R"):
        for begin in ("", "1", "1-", "1-2 (", "1-2 ["):
            with contextlib.suppress(UserError):
                values_of(AXES[title], f"{begin}{text}x")


def _lines(text: str) -> None:
    for begin in ("--prompt ", '--prompt "'):
        with contextlib.suppress(UserError):
            list(split_words(f"{begin}{text}x"))


QUICK: dict[str, Callable[[str], object]] = {
    "infotext.read": infotext.read,
    "infotext, labels": _infotext,
    "a chunk of a PNG": _chunk,
    "InvokeAI's command": lambda text: told_infotext({"Dream": f'"{text}" -s 5'}, 8, 8),
    "InvokeAI's brackets": _without_brackets,
    "a graph of ComfyUI": _json_of,
    "any JSON": lambda text: told_infotext({"parameters": '{"prompt": ' + text}, 8, 8),
    "XMP": lambda text: _xmp_comment(f"<exif:UserComment{text}</exif:UserComment>"),
    "names of samplers": lambda text: named(text, text),
    "comments": strip_comments,
    "AND": split_and,
    "network tags": extract_networks,
    "names of LoRAs": lambda text: renamed_loras(text, lambda name: name),
    "styles": _styles,
    "arguments of a file name": lambda text: _with_arguments(text + ">"),
    "names of files": sanitized,
    "lines of prompts": _lines,
}
SLOW: dict[str, Callable[[str], object]] = {
    "attention": parse_attention,
    "schedule": lambda text: prompt_schedule(text, 20),
    "tokens": clip_tokenizer().encode,
    "cleaning": made_plain,
    "the token counter": count_tokens,
    "values of axes": _values,
}


def ratio(reads: Callable[[str], object], unit: str, short: int, long: int) -> float:
    """How much longer the long text takes: the longest of several short runs, one long run, by the processor's time,
    since others may use the machine."""

    def seconds(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        begin = time.thread_time()
        reads(text)
        return time.thread_time() - begin

    gc.disable()  # else the more there is in the process, the longer many small objects take
    try:
        return seconds(long) / max(max(seconds(short) for _ in range(3)), 1e-4)
    finally:
        gc.enable()


@pytest.mark.parametrize("unit", [*UNITS, *MIXED])
@pytest.mark.parametrize("name", QUICK)
def test_a_thousand_times_the_text_takes_at_most_twenty_thousand_times_as_long(name: str, unit: str) -> None:
    # First a hundred times: what grows with the square is seen here, and does not hold up everything.
    assert ratio(QUICK[name], unit, 10_000, 1_000_000) < 100 * SLACK
    if name in ("infotext.read", "network tags", "InvokeAI's brackets") and len(unit) == 1:
        assert ratio(QUICK[name], unit, 10_000, 10_000_000) < 1000 * SLACK


@pytest.mark.parametrize("unit", [*UNITS, *MIXED])
@pytest.mark.parametrize("name", SLOW)
def test_the_longest_prompt_takes_time_like_its_length(name: str, unit: str) -> None:
    assert ratio(SLOW[name], unit, 5_000, 100_000) < 20 * SLACK


def test_a_graph_of_many_nodes_that_all_hang_together_is_walked_once() -> None:
    def walked(count: int) -> float:
        graph = {
            str(i): {"class_type": "Any", "inputs": {f"text{j}": [str((i + j + 1) % count), 0] for j in range(4)}}
            for i in range(count)
        }
        graph["s"] = {
            "class_type": "KSampler",
            "inputs": {"steps": 4, "seed": ["1", 0], "positive": ["0", 0], "model": ["2", 0], "latent_image": ["3", 0]},
        }
        begin = time.perf_counter()
        told_by_graph(graph)
        return time.perf_counter() - begin

    assert walked(1500) / max(walked(15), 1e-3) < 100 * SLACK


def test_subgraphs_within_one_another_end() -> None:
    inner = [{"id": i, "type": "x", "inputs": [], "mode": 0} for i in range(10)]
    drawn = {"nodes": inner, "links": [], "definitions": {"subgraphs": [{"id": "x", "nodes": inner, "links": []}]}}
    assert len(graph_of_workflow(drawn)) <= 3000

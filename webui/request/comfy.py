"""The graph of nodes that ComfyUI writes into its pictures: {id: {"class_type": ..., "inputs": {name: value}}}.

An input is a value, or a link [id, number of the output]. There are thousands of classes of nodes, and no list of them
would be whole: a graph is walked along its links. What a link carries is told by the name of the input in which it
ends (its `NodeKind`), and a link whose name tells nothing may carry anything. So any node in between, be it a switch, a
merge, a text box or a pipe, is passed, until a value of the sought kind is found.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice

from webui.base.json_values import Json, objects_in
from webui.request.foreign_values import ForeignParameters, as_number, as_text, stem


@dataclass(frozen=True, eq=False)
class Node:
    """One of a graph; no two are the same, whatever they say."""

    class_type: str
    inputs: Mapping[str, Json]


Graph = Mapping[str, Node]
Number = float | int

DEEPEST = 100
"""Links in a row that are followed to a value."""
MOST_NODES = 3000
"""Of a graph that is looked at: people's have a few hundred."""


class NodeKind(Enum):
    """What a link carries."""

    MODEL = auto()
    CLIP = auto()
    VAE = auto()
    LATENT = auto()
    IMAGE = auto()
    CONDITIONING = auto()
    SAMPLING = auto()
    """Noise, guider, sampler, sigmas: the parts of a sampler of parts."""
    OTHER = auto()
    """Control networks, masks and the like, where none of what is sought lies."""
    ANY = auto()


_KINDS: tuple[tuple[NodeKind, re.Pattern[str]], ...] = (
    (NodeKind.OTHER, re.compile(r"mask|control_?net|style_model|clip_vision|ip_?adapter|upscale_model|bbox|sam_|lora")),
    (NodeKind.CONDITIONING, re.compile(r"positive|negative|cond(?!ition$)|embeds")),
    (NodeKind.SAMPLING, re.compile(r"^(noise|guider|sampler|sigmas|scheduler)$")),
    (NodeKind.MODEL, re.compile(r"model|unet|ckpt")),
    (NodeKind.CLIP, re.compile(r"^(\w+_)?clip\d?$")),
    (NodeKind.VAE, re.compile(r"vae")),
    (NodeKind.LATENT, re.compile(r"latent|samples")),
    (NodeKind.IMAGE, re.compile(r"image|pixels|frames")),
)
_TEXTS = re.compile(
    r"text|prompt|str|wildcard|caption|tag|positive|negative|t5xxl|clip_[lg]$|llama|value|body|content|descri|line|word"
    r"|source|on_true|on_false|input|any|part|concat|subject|quality|style$"
)
_NO_TEXTS = re.compile(
    r"delimiter|separator|mode|type|device|file|path|format|interpret|normali|replace|find|pattern|regex|lang|sampler"
    r"|schedul|model|name|font|seed|control|strength|strip|system|select"
)
_VALUES = ("value", "int", "float", "number", "integer", "seed", "noise_seed", "steps", "cfg", "x", "a", "input")
"""Inputs of nodes that do nothing but hold a number."""
_SELECTORS = re.compile(r"switch|select|index|choose|choice|bool|condition|toggle|enable|input$|which|state")
_NUMBERED = re.compile(r"(.*?)_?(\d{1,3})")
_SIZE = re.compile(r"\D{0,40}(\d{2,5})\s{0,3}[x×*]\s{0,3}(\d{2,5})(?!\d)")
_RATIO = re.compile(r"\D{0,40}(\d{1,3})\s?:\s?(\d{1,3})(?!\d)")
_FILE = re.compile(r"\.(safetensors|ckpt|pt|pth|bin|sft|gguf)$", re.IGNORECASE)
_MODEL_NAMES = re.compile(r"ckpt|checkpoint|unet|model|gguf|diffusion")
_NO_MODEL_NAMES = re.compile(r"lora|vae|clip|control|upscal|embed|adapter|style|t5|encoder|refiner|detect|hyper|patch")


def told_by_graph(graph: Mapping[str, Json]) -> ForeignParameters | None:
    """What a graph says; None where it is no graph, or nothing in it samples."""
    read = ((str(key), _node(value)) for key, value in islice(graph.items(), MOST_NODES))
    nodes: Graph = {key: node for key, node in read if node is not None}
    found = _first_sampler(nodes)
    if found is None:
        return None
    parts = _parts(nodes, found)
    loaders = [*_behind(nodes, parts, (NodeKind.MODEL, NodeKind.ANY))]
    width, height = _size(nodes, found)
    return ForeignParameters(
        program="ComfyUI",
        prompt=_prompt(nodes, [*parts, *loaders], "positive"),
        negative=_prompt(nodes, [*parts, *loaders], "negative"),
        steps=_number(nodes, parts, "steps"),
        sampler=_name(nodes, parts, "sampler_name") or _class_name(parts, "sampler"),
        schedule=_name(nodes, parts, "scheduler") or _class_name(parts, "scheduler"),
        cfg_scale=_guidance_scale(nodes, parts),
        seed=_number(nodes, parts, "seed", "noise_seed"),
        width=width,
        height=height,
        model=_model(nodes, parts),
        vae=_vae(nodes, found),
        loras=tuple(dict.fromkeys(_loras(nodes, [*loaders, *_behind(nodes, loaders, (NodeKind.OTHER,), "lora")]))),
        more=_more(nodes, parts, loaders),
    )


def _node(value: Json) -> Node | None:
    """None: it is no node."""
    if not isinstance(value, dict):
        return None
    class_type, inputs = value.get("class_type"), value.get("inputs")
    return Node(class_type, inputs) if isinstance(class_type, str) and isinstance(inputs, dict) else None


def _more(nodes: Graph, parts: list[Node], loaders: list[Node]) -> dict[str, str]:
    more = {"RNG": "CPU"}
    denoise = _number(nodes, parts, "denoise")
    if denoise is not None and 0 < denoise < 1:
        more["Denoising strength"] = str(denoise)
    conditioned = list(_behind(nodes, parts, (NodeKind.CONDITIONING, NodeKind.ANY)))
    if (distilled := _number(nodes, conditioned, "guidance")) is not None:
        more["Distilled CFG Scale"] = str(distilled)
    if skipped := _clip_skip(nodes, [*conditioned, *loaders]):
        more["Clip skip"] = str(skipped)
    return more


# ---------------------------------------------------------------- links


def _kind(name: str) -> NodeKind:
    folded = name.casefold()
    return next((kind for kind, pattern in _KINDS if pattern.search(folded)), NodeKind.ANY)


def _linked(nodes: Graph, value: Json) -> Node | None:
    """The node that an input is linked to."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
        return nodes.get(str(value[0]))
    return None


def _open(nodes: Graph, node: Node) -> Mapping[str, Json]:
    """The inputs of a node; of a switch, without those that it is not set to."""
    inputs = node.inputs
    links = [name for name, value in inputs.items() if isinstance(value, list)]
    if len(links) < 2 and not any(name.casefold().endswith("true") for name in inputs):
        return inputs
    closed: set[str] = set()
    for name, value in inputs.items():
        if not _SELECTORS.search(name.casefold()):
            continue
        setting = _literal(nodes, value)
        before = len(closed)
        if isinstance(setting, bool):
            closed |= {other for other in inputs if other.casefold().endswith("false" if setting else "true")}
        elif isinstance(setting, int):
            family = _numbered(other for other in inputs if other != name)
            if str(setting) in family.values():
                closed |= {other for other, number in family.items() if number != str(setting)}
        if len(closed) > before:
            closed.add(name)
    if not closed and "switch" in node.class_type.casefold():
        closed |= {*islice(_numbered(links), 1, None)}  # such a switch takes the first that there is
    return {name: value for name, value in inputs.items() if name not in closed}


def _numbered(names: Iterable[str]) -> dict[str, str]:
    """Name -> the number at its end, without zeros before it."""
    matches = ((name, _NUMBERED.fullmatch(name)) for name in names)
    return {name: match[2].lstrip("0") or "0" for name, match in matches if match}


def _literal(nodes: Graph, value: Json) -> Json:
    """A switch's or number's value, or that of the node it is linked to, if that has no other."""
    for _ in range(DEEPEST):
        node = _linked(nodes, value)
        if node is None:
            return None if isinstance(value, list | dict) else value
        values = [inner for inner in node.inputs.values() if not isinstance(inner, str)]
        if len(values) != 1:
            return None
        value = values[0]
    return None


def _behind(nodes: Graph, row: Iterable[Node], kinds: Collection[NodeKind], part: str = "") -> Iterator[Node]:
    """The nodes that these hang on through links of these kinds (and with this in their names), nearest first."""
    row = list(row)
    seen = {id(node) for node in row}
    waiting = deque(row)
    while waiting:
        node = waiting.popleft()
        links = [(name, value) for name, value in _open(nodes, node).items() if isinstance(value, list)]
        # What surely is of the kind comes before what may be.
        for name, value in sorted(links, key=lambda link: _kind(link[0]) is NodeKind.ANY):
            if _kind(name) in kinds and part in name.casefold():
                linked = _linked(nodes, value)
                if linked is not None and id(linked) not in seen:
                    seen.add(id(linked))
                    waiting.append(linked)
                    yield linked


# ---------------------------------------------------------------- the sampler

_PICTURES = (NodeKind.LATENT, NodeKind.IMAGE, NodeKind.ANY)


def _samples(node: Node) -> bool:
    names = {name.casefold() for name in node.inputs}
    steps = "steps" in names and bool(names & {"sampler_name", "sampler", "scheduler", "seed", "noise_seed"})
    parts = "sigmas" in names and bool(names & {"sampler", "guider"})
    return (steps and any(_kind(name) is not NodeKind.ANY for name in names)) or parts


def _first_sampler(nodes: Graph) -> Node | None:
    """Of the samplers that a saved picture hangs on, the one that no other comes before."""
    linked = {id(node) for one in nodes.values() for value in one.inputs.values() if (node := _linked(nodes, value))}
    results = [node for node in nodes.values() if id(node) not in linked]
    results.sort(key=lambda node: not _saves(node))
    for result in [*results, *nodes.values()]:
        if not any(isinstance(value, list) for value in result.inputs.values()):
            continue
        samplers = [node for node in [result, *_behind(nodes, [result], _PICTURES)] if _samples(node)]
        if samplers:
            return _farthest(nodes, samplers[0])
    return next((node for node in nodes.values() if _samples(node)), None)


def _farthest(nodes: Graph, sampler: Node) -> Node:
    """The sampler before which there is none; one without a prompt, as of a depth map, counts only where all are so."""
    row, at = [sampler], sampler
    for _ in range(DEEPEST):
        before = next(
            (node for node in _behind(nodes, [at], (NodeKind.LATENT, NodeKind.IMAGE)) if _samples(node)), None
        )
        if before is None or any(before is known for known in row):
            break
        row.append(before)
        at = before
    prompted = (node for node in reversed(row) if _prompt(nodes, _parts(nodes, node), "positive"))
    return next(prompted, row[-1])


def _parts(nodes: Graph, sampler: Node) -> list[Node]:
    return [sampler, *_behind(nodes, [sampler], (NodeKind.SAMPLING, NodeKind.ANY))]


def _saves(node: Node) -> bool:
    return "save" in node.class_type.casefold() or "filename_prefix" in node.inputs


# ---------------------------------------------------------------- values


def _number(nodes: Graph, chain: Iterable[Node], *names: str) -> Number | None:
    """The first of these inputs that is a number, or linked to a node that holds one."""
    for node in chain:
        for name in names:
            if name in node.inputs:
                found = _held(nodes, node.inputs[name], name)
                if found is not None:
                    return found
    return None


def _held(nodes: Graph, value: Json, name: str) -> Number | None:
    """The number that an input is, or that the nodes which it is linked to lead to; none where they reckon."""
    for _ in range(DEEPEST):
        node = _linked(nodes, value)
        if node is None:
            return as_number(value)
        inputs = _open(nodes, node)
        known = [key for key in (name, *_VALUES) if key in inputs or key.upper() in inputs or key.title() in inputs]
        numbers = [key for key, inner in inputs.items() if isinstance(inner, list) or as_number(inner) is not None]
        if known:
            key = next(key for key in (known[0], known[0].upper(), known[0].title()) if key in inputs)
        elif len(numbers) == 1:
            key = numbers[0]
        else:
            return None
        value = inputs[key]
    return None


def _guidance_scale(nodes: Graph, parts: list[Node]) -> Number | None:
    """The CFG scale; 1 where a guider has none."""
    scale = _number(nodes, parts, "cfg", "cfg_conds", "cfg_scale", "guidance_scale")
    if scale is None and any("conditioning" in node.inputs and "model" in node.inputs for node in parts):
        return 1
    return scale


def _size(nodes: Graph, sampler: Node) -> tuple[Number | None, Number | None]:
    """(width, height) of what a sampler begins with."""
    for node in (sampler, *_behind(nodes, [sampler], (NodeKind.LATENT, NodeKind.IMAGE, NodeKind.ANY, NodeKind.MODEL))):
        inputs = node.inputs
        width, height = (
            next((found for key in names if (found := _side(nodes, inputs.get(key), slot)) is not None), None)
            for slot, names in enumerate((("width", "empty_latent_width"), ("height", "empty_latent_height")))
        )
        if width and height and min(width, height) >= 16:
            return width, height
        if any(_kind(key) in (NodeKind.LATENT, NodeKind.IMAGE) or key == "batch_size" for key in inputs):
            named = _named_size(node)
            if named is not None:
                return named
    return None, None


def _side(nodes: Graph, value: Json, slot: int) -> Number | None:
    """One side; a node with both sides, or that names them, gives the one of its output."""
    node = _linked(nodes, value)
    if node is None:
        return as_number(value)
    named = _named_size(node)
    if named is not None:
        return named[slot]
    return _held(nodes, value, ("width", "height")[slot])


def _named_size(node: Node) -> tuple[int, int] | None:
    """The size in a text such as "1024 x 1024 (square)", or of a ratio "2:3" and so many megapixels."""
    texts = [text for text in node.inputs.values() if isinstance(text, str) and len(text) < 100]
    for text in texts:
        if match := _SIZE.match(text):
            return int(match[1]), int(match[2])
    megapixels, multiple = as_number(node.inputs.get("megapixels")), as_number(node.inputs.get("multiple"))
    ratio = next((match for text in texts if (match := _RATIO.match(text))), None)
    if ratio is None or not megapixels or not 0 < megapixels < 1000 or 0 in (int(ratio[1]), int(ratio[2])):
        return None
    step = int(multiple) if multiple and 0 < multiple < 1000 else 8
    width = (megapixels * 1024 * 1024 * int(ratio[1]) / int(ratio[2])) ** 0.5
    height = width * int(ratio[2]) / int(ratio[1])
    return round(width / step) * step, round(height / step) * step


def _name(nodes: Graph, chain: Iterable[Node], name: str) -> str:
    """The name of a sampler or schedule."""
    for node in chain:
        value = node.inputs.get(name)
        for _ in range(DEEPEST):
            holder = _linked(nodes, value)
            if holder is None:
                break
            inputs = _open(nodes, holder)
            texts = [key for key, inner in inputs.items() if isinstance(inner, list | str)]
            value = next((inputs[key] for key in (name, "value", "string", "text", *texts[:1]) if key in inputs), None)
        if as_text(value):
            return as_text(value)
    return ""


def _class_name(chain: Iterable[Node], what: str) -> str:
    """The sampler or schedule that a node of its own makes: "KarrasScheduler", "SamplerDPMPP_2M_SDE"."""
    for node in chain:
        name = node.class_type
        if name.casefold().endswith(what) and what == "scheduler" and "steps" in node.inputs:
            return str(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name[: -len(what)][:60])).strip("_ ").lower()
        if name.casefold().startswith(what) and what == "sampler" and "sigmas" not in node.inputs:
            return str(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name[len(what) :][:60])).strip("_ ").lower()
    return ""


# ---------------------------------------------------------------- text


def _prompt(nodes: Graph, chain: Iterable[Node], side: str) -> str:
    """The prompt of one side; a guider for one side alone has a `conditioning`; some loaders hold the prompts."""
    for node in chain:
        inputs = _open(nodes, node)
        names = [name for name in inputs if _side_of(name) == side]
        if not names:
            sought = ("cond", "embeds") if side == "positive" else ("embeds",)
            names = [name for name in inputs if not _side_of(name) and any(part in name.casefold() for part in sought)]
        for name in names:
            value = inputs[name]
            text = value if isinstance(value, str) else _text(nodes, value, side, set(), 0)
            if text.strip():
                return text.strip()
    return ""


def _side_of(name: str) -> str:
    folded = name.casefold()
    if "negative" in folded or folded.startswith("neg_") or folded in ("neg", "uncond"):
        return "negative"
    return "positive" if "positive" in folded or folded.startswith("pos_") or folded == "pos" else ""


def _text(nodes: Graph, value: Json, side: str, seen: set[int], depth: int) -> str:
    """The text that a link leads to; of several, one after the other, each once."""
    node = _linked(nodes, value)
    if node is None or id(node) in seen or depth > DEEPEST or node.class_type == "ConditioningZeroOut":
        return ""
    seen.add(id(node))
    inputs = _open(nodes, node)
    if "populated_text" in inputs:
        inputs = {"populated_text": inputs["populated_text"]}
    own = [name for name in inputs if _side_of(name) == side]
    others = [name for name in inputs if not _side_of(name)]
    for names in (own, others) if own else (others,):
        if found := _texts(nodes, inputs, names, side, seen, depth):
            between = inputs.get("delimiter", inputs.get("separator"))
            joint = between if isinstance(between, str) and ("delimiter" in inputs or between) else ", "
            return joint.join(dict.fromkeys(found))
    return ""


def _texts(
    nodes: Graph, inputs: Mapping[str, Json], names: list[str], side: str, seen: set[int], depth: int
) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        folded, value = name.casefold(), inputs[name]
        if _NO_TEXTS.search(folded) and not _side_of(name) and "text" not in folded:
            continue
        if isinstance(value, list) and _kind(name) in (NodeKind.CONDITIONING, NodeKind.ANY):
            text = _text(nodes, value, side, seen, depth + 1)
        elif isinstance(value, str) and _TEXTS.search(folded):
            shown = _NUMBERED.fullmatch(name)  # what a node that shows a text has shown, beside the link to it
            text = "" if shown and shown[1] in found and isinstance(inputs.get(shown[1]), list) else value
        else:
            continue
        if text.strip():
            found[name] = text
    if not found:
        written = [given for name in names if isinstance(given := inputs[name], str)]
        return [text for text in written if " " in text.strip() and not _FILE.search(text)][:1]
    return list(found.values())


# ---------------------------------------------------------------- models


def _model(nodes: Graph, parts: list[Node]) -> str:
    """The file that the links lead to, of merged ones the first; where none does, that of the graph, if it has one."""
    waiting, seen = parts[::-1], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if name := _model_in(nodes, node):
            return stem(name)
        links = [(_kind(name), _linked(nodes, value)) for name, value in _open(nodes, node).items()]
        for kind in (NodeKind.ANY, NodeKind.SAMPLING, NodeKind.MODEL):  # the last one is looked at first
            waiting += [linked for this, linked in reversed(links) if this is kind and linked is not None]
    known = {name for node in nodes.values() if (name := _model_in(nodes, node))}
    return stem(known.pop()) if len(known) == 1 else ""


def _model_in(nodes: Graph, node: Node) -> str:
    for key, value in node.inputs.items():
        folded = key.casefold()
        if _NO_MODEL_NAMES.search(folded) or _NO_MODEL_NAMES.search(node.class_type.casefold().replace("clip", "")):
            continue
        named = bool(_MODEL_NAMES.search(folded))
        if isinstance(value, str) and (_FILE.search(value) or (named and "name" in folded and value != "None")):
            return value
        if isinstance(value, dict) and _FILE.search(as_text(value.get("content"))):
            return as_text(value["content"])
        if isinstance(value, list) and named and "name" in folded and (text := _name(nodes, (node,), key)):
            return text
    return ""


def _vae(nodes: Graph, sampler: Node) -> str:
    """The file of a VAE of its own, where what the sampler made is decoded with one."""
    for node in nodes.values():
        inputs = node.inputs
        if any(_linked(nodes, value) is sampler for value in inputs.values()) and "vae" in inputs:
            for loader in _behind(nodes, [node], (NodeKind.VAE,)):
                if name := as_text(loader.inputs.get("vae_name")):
                    return "" if name in ("Baked VAE", "None") else stem(name)
    return ""


def _clip_skip(nodes: Graph, conditioned: list[Node]) -> int | None:
    """How many layers from the end the text is read at; where no link leads to it, what all of the graph agree on."""
    towards = [*conditioned, *_behind(nodes, conditioned, (NodeKind.CLIP, NodeKind.ANY))]
    for chain in (towards, nodes.values()):
        found = {
            number
            for node in chain
            for name in ("stop_at_clip_layer", "clip_skip")
            if (number := _held(nodes, node.inputs.get(name), name)) is not None
        }
        if found:
            first = next(iter(found))
            return abs(int(first)) if len(found) == 1 and 0 < abs(first) < 25 else None
    return None


def _loras(nodes: Graph, loaders: Iterable[Node]) -> Iterator[tuple[str, float]]:
    for node in loaders:
        inputs = node.inputs
        for key, value in inputs.items():
            if "lora" not in key.casefold():
                continue
            if isinstance(value, dict):
                yield from _lora_of(value)
            elif isinstance(value, str) and value not in ("None", "") and (_FILE.search(value) or "name" in key):
                numbered = _NUMBERED.fullmatch(key)
                number = f"_{numbered[2]}" if numbered else ""
                if as_text(inputs.get(f"switch{number}")).casefold() == "off":
                    continue
                names = ("strength_model", "model_weight", "lora_model_strength", "model_str", "lora_wt", "lora_weight")
                named = (f"{name}{number}" for name in (*names, "lora_strength", "strength", "weight"))
                weight = next((inputs[name] for name in named if name in inputs), 1)
                strength = _held(nodes, weight, "value")
                yield stem(value), 1.0 if strength is None else float(strength)


def _lora_of(value: Mapping[str, Json]) -> Iterator[tuple[str, float]]:
    """{"on": true, "lora": name, "strength": 0.8}, or {"__value__": [{"name": name, ...}]}"""
    listed = value.get("__value__")
    for one in objects_in(listed) if isinstance(listed, list) else [value]:
        if one.get("on", one.get("active", True)):
            name, strength = as_text(one.get("lora") or one.get("name")), as_number(one.get("strength"))
            if name and name != "None":
                yield stem(name), 1.0 if strength is None else float(strength)

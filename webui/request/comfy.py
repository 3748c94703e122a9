"""The graph of nodes that ComfyUI writes into its pictures: {id: {"class_type": ..., "inputs": {name: value}}}.

An input is a value, or a link [id, number of the output]. Nodes are known by the names of their inputs rather than by
their class, of which there are thousands: what has a sampler's name and steps samples, what has a checkpoint's name
loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from webui.request.told import Told, as_number, as_text, stem

Node = Mapping[str, Any]
Graph = Mapping[str, Node]

_MODEL_NAMES = ("ckpt_name", "unet_name", "base_ckpt_name", "model_name", "gguf_name", "checkpoint")
_VALUES = ("seed", "noise_seed", "value", "int", "float", "number", "Value", "INT", "FLOAT", "steps", "cfg")
"""Inputs of nodes that do nothing but hold a number."""
_TEXTS = ("text", "text_g", "text_l", "t5xxl", "clip_l", "clip_g", "prompt", "string", "value", "populated_text")
_JOINED = (
    "text1",
    "text2",
    "text_a",
    "text_b",
    "text_c",
    "string_a",
    "string_b",
    "string1",
    "string2",
    "part1",
    "part2",
)
_THROUGH = (
    "conditioning",
    "conditioning_1",
    "conditioning_2",
    "conditioning_to",
    "conditioning_from",
    "cond",
    "guider",
)
_UP_TO_MODEL = ("model", "base_model", "unet", "guider", "pipe", "basic_pipe", "context", "base_ctx")
_UP_TO_LATENT = ("latent_image", "samples", "latent", "optional_latent_image", "latents")
DEEPEST = 200
"""Links in a row that are followed to a value."""
MOST_NODES = 3000
"""Of a graph that is looked at: people's have a few hundred."""


def told_by_graph(graph: Mapping[str, Any]) -> Told | None:
    """What a graph says; None where it is no graph, or nothing in it samples."""
    nodes: Graph = {str(key): node for key, node in islice(graph.items(), MOST_NODES) if _is_node(node)}
    found = _first_sampler(nodes)
    if found is None:
        return None
    chain = [found, *_behind(nodes, found, ("noise", "guider", "sampler", "sigmas"))]
    loaders = list(_behind(nodes, found, _UP_TO_MODEL))
    size = next((node for node in _behind(nodes, found, _UP_TO_LATENT) if _side(nodes, node, "width")), {})
    denoise = _number(nodes, chain, "denoise")
    guidance = [node for side in ("positive", "guider") for node in _behind(nodes, found, (side, "conditioning"))]
    more = {"RNG": "CPU"}
    if denoise is not None and denoise < 1:
        more["Denoising strength"] = str(denoise)
    if (distilled := _number(nodes, guidance, "guidance")) is not None:
        more["Distilled CFG Scale"] = str(distilled)
    return Told(
        program="ComfyUI",
        prompt=_text_at(nodes, chain, loaders, "positive"),
        negative=_text_at(nodes, chain, loaders, "negative"),
        steps=_number(nodes, chain, "steps"),
        sampler=_name(nodes, chain, "sampler_name"),
        schedule=_name(nodes, chain, "scheduler") or _schedule_of(chain),
        cfg_scale=_number(nodes, chain, "cfg"),
        seed=_number(nodes, chain, "seed", "noise_seed"),
        width=_side(nodes, size, "width"),
        height=_side(nodes, size, "height"),
        model=_model(nodes, loaders),
        loras=tuple(_loras(nodes, loaders)),
        more=more,
    )


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _linked(nodes: Graph, value: Any) -> Node | None:
    """The node that an input is linked to."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
        return nodes.get(str(value[0]))
    return None


def _behind(nodes: Graph, start: Node, names: Iterable[str]) -> Iterator[Node]:
    """The nodes that one hangs on through inputs of these names, nearest first."""
    names = tuple(names)
    return _upwards(nodes, [start], lambda node: (node["inputs"].get(name) for name in names))


def _upwards(nodes: Graph, row: list[Node], values: Callable[[Node], Iterable[Any]]) -> Iterator[Node]:
    seen = {id(node) for node in row}
    while row:
        linked = [_linked(nodes, value) for node in row for value in values(node)]
        row = []
        for node in linked:
            if node is not None and id(node) not in seen:
                seen.add(id(node))
                row.append(node)
                yield node


def _samples(node: Node) -> bool:
    inputs = node["inputs"]
    known = "sampler_name" in inputs and "steps" in inputs
    return known or ("sigmas" in inputs and "sampler" in inputs and ("latent_image" in inputs or "guider" in inputs))


def _first_sampler(nodes: Graph) -> Node | None:
    """Of all samplers that a result hangs on, the one that no other comes before."""
    linked = {id(node) for one in nodes.values() for value in one["inputs"].values() if (node := _linked(nodes, value))}
    results = [node for node in nodes.values() if id(node) not in linked]
    used = {id(node) for node in (*results, *_upwards(nodes, results, lambda node: node["inputs"].values()))}
    samplers = [node for node in nodes.values() if _samples(node) and id(node) in used]
    before = {id(node): any(_samples(other) for other in _behind(nodes, node, _UP_TO_LATENT)) for node in samplers}
    return next((node for node in samplers if not before[id(node)]), samplers[0] if samplers else None)


# ---------------------------------------------------------------- values


def _number(nodes: Graph, chain: Iterable[Node], *names: str) -> float | int | None:
    """The first of these inputs that is a number, or linked to a node that holds one."""
    for node in chain:
        for name in names:
            if name in node["inputs"]:
                found = _held(nodes, node["inputs"][name], name)
                if found is not None:
                    return found
    return None


def _held(nodes: Graph, value: Any, name: str, seen: frozenset[int] = frozenset()) -> float | int | None:
    """The number that an input is, or that the node which it is linked to holds."""
    node = _linked(nodes, value)
    if node is None:
        return as_number(value)
    key = next((key for key in (name, *_VALUES) if key in node["inputs"]), "")
    if not key or id(node) in seen or len(seen) > DEEPEST:
        return None
    return _held(nodes, node["inputs"][key], name, seen | {id(node)})


def _side(nodes: Graph, node: Node, name: str) -> float | int | None:
    inputs = node.get("inputs", {})
    for key in (name, f"empty_latent_{name}"):
        if key in inputs and (found := _held(nodes, inputs[key], name)) is not None:
            return found
    return None


def _name(nodes: Graph, chain: Iterable[Node], name: str) -> str:
    for node in chain:
        value = node["inputs"].get(name)
        holder = _linked(nodes, value)
        values = [value] if holder is None else [holder["inputs"].get(key) for key in (name, "value", "string", "text")]
        found = next((text for text in map(as_text, values) if text), "")
        if found:
            return found
    return ""


def _schedule_of(chain: Iterable[Node]) -> str:
    """The schedule that a node of its own makes: "KarrasScheduler"."""
    known = {
        "KarrasScheduler": "karras",
        "ExponentialScheduler": "exponential",
        "AlignYourStepsScheduler": "align_your_steps",
    }
    known |= {"PolyexponentialScheduler": "polyexponential", "BetaSamplingScheduler": "beta"}
    return next((known[node["class_type"]] for node in chain if node["class_type"] in known), "")


# ---------------------------------------------------------------- text, models


def _text_at(nodes: Graph, chain: Iterable[Node], loaders: Iterable[Node], side: str) -> str:
    """The prompt of one side; a guider for one side alone has a `conditioning`; some loaders hold the prompts."""
    for node in (*chain, *loaders):
        inputs = node["inputs"]
        name = "conditioning" if side == "positive" and side not in inputs and "conditioning" in inputs else side
        if name in inputs:
            value = inputs[name]
            text = value if isinstance(value, str) else _text(nodes, value, side, set())
            if text:
                return text.strip()
    return ""


def _text(nodes: Graph, value: Any, side: str, seen: set[int]) -> str:
    """The text that an input leads to; of several, one after the other, each once."""
    if isinstance(value, str):
        return value
    node = _linked(nodes, value)
    if node is None or id(node) in seen or len(seen) > DEEPEST or node["class_type"] == "ConditioningZeroOut":
        return ""
    seen.add(id(node))
    inputs = node["inputs"]
    own = [name for name in (*_TEXTS, *_JOINED) if name in inputs]
    found = [_text(nodes, inputs[name], side, seen) for name in own or (side, *_THROUGH) if name in inputs]
    between = as_text(inputs.get("delimiter")) or ", "
    return between.join(dict.fromkeys(text for text in found if text.strip()))


def _model(nodes: Graph, loaders: Iterable[Node]) -> str:
    for node in loaders:
        for name in _MODEL_NAMES:
            value = node["inputs"].get(name)
            if text := as_text(value) or _name(nodes, (node,), name):
                return stem(text)
    return ""


def _loras(nodes: Graph, loaders: Iterable[Node]) -> Iterator[tuple[str, float]]:
    for node in loaders:
        inputs = node["inputs"]
        name = as_text(inputs.get("lora_name"))
        if name and name != "None":
            weight = next(
                (inputs[key] for key in ("strength_model", "lora_model_strength", "strength") if key in inputs), 1
            )
            strength = _held(nodes, weight, "value")
            yield stem(name), 1.0 if strength is None else strength

"""ComfyUI's graph as it was drawn (the chunk `workflow`), made what it is when it runs (the chunk `prompt`).

    {"nodes": [{"id": 3, "type": "KSampler", "mode": 0, "inputs": [{"name": "model", "type": "MODEL", "link": 7}],
      "outputs": [...], "widgets_values": [...]}], "links": [[7, 4, 0, 3, 0, "MODEL"]],
     "definitions": {"subgraphs": [...]}}

Values stand in `widgets_values` by their place. Today's files name the widgets among the inputs; older ones do not, and
there the names of the commonest nodes are known, and others' texts and numbers are taken for what they look like.
Format: https://docs.comfy.org/specs/workflow_json
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from webui.base.json_values import Json, JsonObject, as_list, as_object, objects_in

MOST_NODES = 3000
DEEPEST = 20
"""Subgraphs within one another."""
MUTED, BYPASSED = 2, 4
"""Of a node's `mode`: it does nothing; it lets through what it gets."""
_AFTER_SEED = ("fixed", "increment", "decrement", "randomize")
"""A value without a name of its own, behind a seed."""
_OUTER, _RESULT = "-10", "-20"
"""The ids of a subgraph's own inputs and outputs among its nodes."""

_EMPTY = re.compile(r"Empty(?=\w*+\Z).*Latent")
_WIDGETS: Mapping[str, tuple[str, ...]] = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler", "start_at_step", "end_at_step",
        "return_with_leftover_noise",
    ),
    "StringConcatenate": ("string_a", "string_b", "delimiter"),
    "StringReplace": ("string", "find", "replace"),
    "TextGenerate": ("prompt",),
    "ResolutionSelector": ("aspect_ratio", "megapixels", "multiple"),
    "KSampler (Efficient)": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "SamplerCustom": ("add_noise", "noise_seed", "", "cfg"),
    "RandomNoise": ("noise_seed", ""),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "KarrasScheduler": ("steps", "sigma_max", "sigma_min", "rho"),
    "ExponentialScheduler": ("steps", "sigma_max", "sigma_min"),
    "AlignYourStepsScheduler": ("model_type", "steps", "denoise"),
    "SDTurboScheduler": ("steps", "denoise"),
    "Flux2Scheduler": ("steps", "width", "height"),
    "CFGGuider": ("cfg",),
    "DualCFGGuider": ("cfg_conds", "cfg_cond2_negative", "style"),
    "FluxGuidance": ("guidance",),
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CLIPTextEncodeSDXL": ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"),
    "CLIPTextEncodeSDXLRefiner": ("ascore", "width", "height", "text"),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "VAELoader": ("vae_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "LatentUpscale": ("upscale_method", "width", "height", "crop"),
    "ImageScale": ("upscale_method", "width", "height", "crop"),
    "SaveImage": ("filename_prefix",),
    "Seed (rgthree)": ("seed",),
    "Efficient Loader": (
        "ckpt_name", "vae_name", "clip_skip", "lora_name", "lora_model_strength", "lora_clip_strength", "positive",
        "negative", "token_normalization", "weight_interpretation", "empty_latent_width", "empty_latent_height",
        "batch_size",
    ),
}  # fmt: skip
"""Names of the values in order, "" for one without; from the nodes' own declarations."""

Item = Mapping[str, Json]
Wire = tuple[str, int]
"""(id of a node, number of its output)"""


@dataclass
class _Drawn:
    """One level of a drawing: the whole, or a subgraph at the place where it is used."""

    prefix: str
    nodes: dict[str, Item]
    sources: dict[str, tuple[str, int]]
    """id of a link -> (id of the node that it comes from, number of the output)"""
    results: dict[int, str] = field(default_factory=dict)
    """A subgraph's outputs: number -> id of the link that feeds it."""
    outer: _Drawn | None = None
    entries: tuple[str, ...] = ()
    """Names of a subgraph's inputs, by number."""
    place: Item = field(default_factory=dict)
    """The node that stands for this subgraph in the level above."""
    inner: dict[str, _Drawn] = field(default_factory=dict)


def graph_of_workflow(workflow: Mapping[str, Json]) -> JsonObject:
    """{id: {"class_type": ..., "inputs": ...}}; {} where it is no drawing. Never raises."""
    listed = objects_in(as_object(workflow.get("definitions")).get("subgraphs"))
    subgraphs = {str(one.get("id")): one for one in listed}
    budget = [MOST_NODES]
    whole = _level(workflow, "", subgraphs, budget, 0)
    return {} if whole is None else dict(_made(whole))


def _level(drawing: Item, prefix: str, subgraphs: Mapping[str, Item], budget: list[int], depth: int) -> _Drawn | None:
    listed = [node for node in objects_in(drawing.get("nodes")) if "type" in node]
    if not listed or depth > DEEPEST:
        return None
    listed = listed[: max(0, budget[0])]
    budget[0] -= len(listed)
    level = _Drawn(prefix, {str(node.get("id")): node for node in listed}, {})
    for link in as_list(drawing.get("links")):
        number, source, slot, target, place = _ends(link)
        level.sources[number] = (source, slot)
        if target == _RESULT:
            level.results[place] = number
    for name, node in level.nodes.items():
        definition = subgraphs.get(str(node.get("type")))
        if definition is not None and budget[0] > 0:
            inner = _level(definition, f"{prefix}{name}:", subgraphs, budget, depth + 1)
            if inner is not None:
                inner.outer, inner.place = level, node
                named = objects_in(definition.get("inputs"))
                inner.entries = tuple(str(one.get("name")) for one in named)
                level.inner[name] = inner
    return level


def _ends(link: Json) -> tuple[str, str, int, str, int]:
    """(id, node it comes from, output, node it goes to, input)"""
    if isinstance(link, dict):
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        link = [link.get(key) for key in keys]
    values = [*link[:5], *[None] * 5][:5] if isinstance(link, list) else [None] * 5
    number, source, slot, target, place = values
    return str(number), str(source), _whole(slot), str(target), _whole(place)


def _whole(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10_000 else 0


def _made(level: _Drawn) -> Iterator[tuple[str, JsonObject]]:
    for name, node in level.nodes.items():
        if name in level.inner:
            yield from _made(level.inner[name])
        elif node.get("mode") not in (MUTED, BYPASSED):
            yield f"{level.prefix}{name}", {"class_type": str(node["type"]), "inputs": _inputs(level, node)}


def _inputs(level: _Drawn, node: Item) -> JsonObject:
    found: JsonObject = _values(node)
    for number, one in enumerate(as_list(node.get("inputs"))):
        if not isinstance(one, dict) or one.get("link") is None:
            continue
        value = _source(level, str(one["link"]), 0)
        if value is not None:
            found[str(one.get("name") or f"input{number}")] = value
    return found


def _source(level: _Drawn, link: str, depth: int) -> Json:
    """What comes through a link: [id, output], a value from outside of a subgraph, or None.

    Passes what lets through: bypassed nodes, borders of subgraphs, pairs of set and get.
    """
    while depth < 10 * DEEPEST:
        depth += 1
        if link not in level.sources:
            return None
        source, slot = level.sources[link]
        if source == _OUTER and level.outer is not None:
            name = next(islice(level.entries, slot, None), "")
            given = objects_in(level.place.get("inputs"))
            entry = next((one for one in given if one.get("name") == name), None)
            if entry is None or entry.get("link") is None:
                return _values(level.place).get(name)
            level, link = level.outer, str(entry["link"])
            continue
        node = level.nodes.get(source)
        if node is None or node.get("mode") == MUTED:
            return None
        if node.get("mode") == BYPASSED:
            through = _through(node, slot)
        elif source in level.inner:
            level = level.inner[source]
            through = level.results.get(slot)
        elif "getnode" in str(node["type"]).casefold().replace(" ", ""):
            through = _set(level, node)
        else:
            return [f"{level.prefix}{source}", slot]
        if through is None:
            return None
        link = through
    return None


def _through(node: Item, slot: int) -> str | None:
    """The link whose content a bypassed node lets out at an output: the input of the same type, at best of its rank."""
    outputs = objects_in(node.get("outputs"))
    wanted = outputs[slot].get("type") if slot < len(outputs) else None
    inputs = objects_in(node.get("inputs"))
    fitting = [one for one in inputs if one.get("type") == wanted and one.get("link") is not None]
    if slot < len(inputs) and inputs[slot] in fitting:
        return str(inputs[slot]["link"])
    return str(fitting[0]["link"]) if fitting else None


def _set(level: _Drawn, node: Item) -> str | None:
    """The link into the node that sets what this one gets."""
    name = next(iter(as_list(node.get("widgets_values"))), None)
    for other in level.nodes.values():
        if "setnode" in str(other["type"]).casefold() and name in as_list(other.get("widgets_values"))[:1]:
            inputs = objects_in(other.get("inputs"))
            return next((str(one["link"]) for one in inputs if one.get("link") is not None), None)
    return None


# ---------------------------------------------------------------- values


def _values(node: Item) -> JsonObject:
    """Name -> value of a node's widgets."""
    for written in (node.get("widgets_values_named"), node.get("widgets_values")):
        if isinstance(written, dict):
            return dict(written)
    values = as_list(written)
    names = [str(one.get("name")) for one in objects_in(node.get("inputs")) if isinstance(one.get("widget"), dict)]
    proxies = as_list(as_object(node.get("properties")).get("proxyWidgets"))
    if proxies and len(proxies) == len(values):  # of a subgraph: [id of a node in it, name]
        pairs = zip(map(as_list, proxies), values, strict=True)
        named = {str(one[1]): value for one, value in pairs if len(one) == 2}
        return {name: value for name, value in named.items() if value is not None}
    known = _WIDGETS.get(str(node.get("type")))
    if known is None and _EMPTY.match(str(node.get("type"))[:60]):
        known = ("width", "height", "length", "batch_size")
    if known is not None and not len(names) >= len([name for name in known if name]):
        return {name: value for name, value in zip(known, values, strict=False) if name}
    if names and len(names) + sum(value in _AFTER_SEED for value in values if isinstance(value, str)) >= len(values):
        return _by_names(names, values)
    return _by_looks(values)


def _by_names(names: Sequence[str], values: Sequence[Json]) -> JsonObject:
    found: JsonObject = {}
    rest = iter(values)
    previous = ""
    for name in names:
        value = next(rest, None)
        if previous.endswith("seed") and value in _AFTER_SEED:
            value = next(rest, None)
        if value is not None:
            found[name] = value
        previous = name
    return found


def _by_looks(values: Sequence[Json]) -> JsonObject:
    """Texts of more than a word are called `text`, numbers `value`; a model's file has its ending."""
    found: JsonObject = {}
    for value in values[:50]:
        if isinstance(value, bool) or value in _AFTER_SEED:
            continue
        if isinstance(value, str | int | float):
            name = "value" if not isinstance(value, str) else "text" if {*value} & {*" ,\n"} else "option"
            number = sum(key.startswith(name) for key in found)
            found[f"{name}_{number + 1}" if number else name] = value
        elif isinstance(value, dict):
            found[f"lora_{len(found)}"] = value
    return found

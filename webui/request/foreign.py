"""What pictures of other programs say of how they were made, told as an infotext.

Read are prompts, steps, sampler, schedule, CFG, seed, size, model, LoRAs and whatever else has a label of the same
meaning, from the texts that lie in a file under these names:

    invokeai_metadata, sd-metadata     InvokeAI 3 and up, 2
    Dream                              InvokeAI 1: a command
    parameters, as JSON                SwarmUI, and all that write one flat object: Fooocus, Draw Things, others
    generation_data                    tensor.art
    negative_prompt, seed, ...         Easy Diffusion: a chunk for each value
    Comment, Description               NovelAI
    prompt                             ComfyUI: the graph of nodes (`comfy.py`); in it, what Civitai adds
    workflow                           ComfyUI: the same as it was drawn (`comfy_workflow.py`)

The texts are anybody's: what is not as expected is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from webui.base.json_values import Json, JsonObject
from webui.request.comfy import told_by_graph
from webui.request.comfy_workflow import graph_of_workflow
from webui.request.foreign_names import named
from webui.request.foreign_values import ForeignParameters, as_number, as_text, stem
from webui.request.infotext import read, write

LONGEST = 8_000_000
"""Letters of JSON: a longer text is not looked into."""
_LORA_KEY = re.compile(r"lora(_combined)?_\d{1,3}")


def told_infotext(items: Mapping[str, str], width: int, height: int) -> str:
    """The infotext of a picture of another program, from the texts in its file by name; "" where none is known.

    An infotext under "parameters" needs no translation, whatever else there is: "" too.

    width, height: of the picture, where the texts say none.
    """
    own = items.get("parameters", "")
    if not own.lstrip().startswith("{") and read(own).labels:
        return ""
    for reader in _READERS:
        told = reader(items)
        if told is not None and told.says_something:
            return _infotext(told, width, height)
    return ""


def _infotext(told: ForeignParameters, width: int, height: int) -> str:
    sampler, schedule = named(told.sampler, told.schedule)
    labels = {
        "Steps": told.steps,
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": told.cfg_scale,
        "Seed": told.seed,
        "Size": f"{told.width or width}x{told.height or height}",
        "Model hash": told.model_hash,
        "Model": told.model,
        "VAE": told.vae,
        **told.more,
        "Version": told.program,
    }
    plain = "\n".join(line.strip() for line in told.prompt.strip().splitlines())
    tags = "".join(f"<lora:{name}:{weight}>" for name, weight in told.loras if f"<lora:{name}:" not in plain)
    prompt = " ".join(part for part in (plain, tags) if part)
    negative = "\n".join(line.strip() for line in told.negative.strip().splitlines())
    return write(prompt, negative, [(label, str(value)) for label, value in labels.items() if value not in ("", None)])


def _json(text: str) -> Json:
    """What a text of JSON holds; None where it is none."""
    text = text.strip("\0 \t\r\n")
    if len(text) > LONGEST or not text.lstrip().startswith(("{", '"', "[")):
        return None
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def is_object(text: str) -> bool:
    """Whether a text is an object of JSON with something in it."""
    return bool(_object(text))


def _object(text: str) -> JsonObject:
    found = _json(text)
    return found if isinstance(found, dict) else {}


# ---------------------------------------------------------------- InvokeAI


def _of_invoke(items: Mapping[str, str]) -> ForeignParameters | None:
    """InvokeAI 3, 4, 5."""
    meta = _object(items.get("invokeai_metadata", ""))
    if not meta:
        return None
    model = meta.get("model")
    return ForeignParameters(
        program=f"InvokeAI {as_text(meta.get('app_version'))}".strip(),
        prompt=as_text(meta.get("positive_prompt")),
        negative=as_text(meta.get("negative_prompt")),
        steps=as_number(meta.get("steps")),
        sampler=as_text(meta.get("scheduler")),
        cfg_scale=as_number(meta.get("cfg_scale")),
        seed=as_number(meta.get("seed")),
        width=as_number(meta.get("width")),
        height=as_number(meta.get("height")),
        model=_invoke_name(model),
        vae=_invoke_name(meta.get("vae")),
        loras=tuple(_invoke_loras(meta.get("loras"))),
        more=_only(
            {
                "Clip skip": _clip_skip(meta.get("clip_skip")),
                "Denoising strength": as_number(meta.get("strength")) if "init_image" in meta else None,
                "RNG": "CPU" if meta.get("rand_device") == "cpu" else "",
                "Distilled CFG Scale": as_number(meta.get("guidance")),
            }
        ),
    )


def _clip_skip(value: Json) -> int | None:
    """InvokeAI counts the layers that are left out: 0 is our 1."""
    number = as_number(value)
    return int(number) + 1 if number else None


def _invoke_name(model: Json) -> str:
    if isinstance(model, dict):
        return as_text(model.get("name") or model.get("model_name"))
    return as_text(model)


def _invoke_loras(loras: Json) -> Iterable[tuple[str, float]]:
    for lora in loras if isinstance(loras, list) else ():
        if isinstance(lora, dict) and (name := _invoke_name(lora.get("model") or lora.get("lora"))):
            yield name, as_number(lora.get("weight")) or 1.0


def _of_old_invoke(items: Mapping[str, str]) -> ForeignParameters | None:
    """InvokeAI 2: the negative prompt stands in brackets within the prompt."""
    meta = _object(items.get("sd-metadata", ""))
    image = meta.get("image")
    if not isinstance(image, dict):
        return None
    prompts = image.get("prompt")
    first = prompts[0] if isinstance(prompts, list) and prompts else prompts
    text = as_text(first.get("prompt") if isinstance(first, dict) else first)
    positive, negative = _without_brackets(text)
    return ForeignParameters(
        program=f"InvokeAI {as_text(meta.get('app_version'))}".strip(),
        prompt=positive,
        negative=negative,
        steps=as_number(image.get("steps")),
        sampler=as_text(image.get("sampler")),
        cfg_scale=as_number(image.get("cfg_scale")),
        seed=as_number(image.get("seed")),
        width=as_number(image.get("width")),
        height=as_number(image.get("height")),
        model=stem(as_text(meta.get("model_weights"))),
        model_hash=as_text(meta.get("model_hash"))[:10],
    )


def _without_brackets(text: str) -> tuple[str, str]:
    """(prompt, negative prompt) of a text with the negative one in [brackets]."""
    kept, taken, at = [], [], 0
    while (begin := text.find("[", at)) >= 0 and (end := text.find("]", begin)) >= 0:
        kept.append(text[at:begin])
        taken.append(text[begin + 1 : end].strip())
        at = end + 1
    return " ".join(" ".join([*kept, text[at:]]).split()), ", ".join(part for part in taken if part)


_OPTIONS: Mapping[str, str] = {"-s": "steps", "-S": "seed", "-W": "width", "-H": "height", "-C": "cfg", "-A": "sampler"}


def _of_dream(items: Mapping[str, str]) -> ForeignParameters | None:
    """InvokeAI 1 and before: the command, `"a red fox [blurry]" -s 50 -S 1234 -A k_lms`."""
    text = items.get("Dream", "").strip()
    quoted, quote, behind = text.rpartition('"')
    if not quote or not quoted.startswith('"'):
        return None
    words = behind.split()
    said = {_OPTIONS[word]: value for word, value in pairwise([*words, ""]) if word in _OPTIONS}
    said |= {_OPTIONS[word[:2]]: word[2:] for word in words if word[:2] in _OPTIONS and len(word) > 2}
    positive, negative = _without_brackets(quoted[1:].replace('\\"', '"'))
    return ForeignParameters(
        program="InvokeAI",
        prompt=positive,
        negative=negative,
        sampler=said.get("sampler", ""),
        cfg_scale=as_number(said.get("cfg")),
        steps=as_number(said.get("steps")),
        seed=as_number(said.get("seed")),
        width=as_number(said.get("width")),
        height=as_number(said.get("height")),
    )


# ---------------------------------------------------------------- flat objects, SwarmUI


def _json_texts(items: Mapping[str, str]) -> Iterable[JsonObject]:
    """The places where programs put an object that says it all."""
    for name in ("parameters", "exif comment", "Comment", "comment", "Description", "ImageDescription", "Model"):
        found = _object(items.get(name, ""))
        if found:
            yield found


_FLAT: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "positiveprompt", "positive", "c"),
    "negative": ("negativeprompt", "negative", "uc", "undesiredcontent"),
    "steps": ("steps", "numinferencesteps", "samplingsteps", "inferencesteps"),
    "sampler": ("sampler", "samplername", "samplingmethod"),
    "schedule": ("scheduler", "schedulername", "scheduletype", "noiseschedule", "schedule"),
    "cfg": ("cfgscale", "guidancescale", "cfg", "scale", "guidance"),
    "seed": ("seed",),
    "width": ("width", "w"),
    "height": ("height", "h"),
    "size": ("resolution", "size"),
    "model": ("basemodel", "basemodelname", "model", "modelname", "usestablediffusionmodel", "stablediffusionmodel"),
    "hash": ("basemodelhash", "modelhash"),
    "vae": ("vae", "usevaemodel", "vaemodel", "vaename"),
    "clip_skip": ("clipskip",),
    "denoise": ("denoisingstrength", "strength"),
    "program": ("version", "software", "app"),
}
"""What a flat object of JSON may call it, without spaces, underscores and capitals; the first that is there counts."""
_UNNAMED = ("none", "default", "default(model)", "automatic", "baked")
_TOGETHER = 2
"""So many of steps, seed, scale, size and sampler make an object one that says how a picture was made."""


def _flat(meta: Mapping[str, Json], program: str = "") -> ForeignParameters | None:
    """What a flat object says, whichever program made it; None where it does not speak of a picture."""
    low = {re.sub(r"[^a-z0-9]", "", key[:60].casefold()): value for key, value in meta.items()}

    def found(what: str) -> Json:
        return next((low[key] for key in _FLAT[what] if low.get(key) not in (None, "", [])), None)

    numbers = {what: as_number(found(what)) for what in ("steps", "cfg", "seed", "width", "height", "denoise")}
    size = _sides(found("size"))
    told = [numbers["steps"], numbers["seed"], numbers["cfg"], size or numbers["width"], found("sampler")]
    if sum(value is not None for value in told) < _TOGETHER:
        return None
    prompt, skip = found("prompt"), as_number(found("clip_skip"))
    vae = _model_name(found("vae"))
    return ForeignParameters(
        program=program or as_text(found("program")),
        prompt=as_text(prompt[0] if isinstance(prompt, list) and prompt else prompt),
        negative=as_text(found("negative")),
        steps=numbers["steps"],
        sampler=as_text(found("sampler")),
        schedule=as_text(found("schedule")),
        cfg_scale=numbers["cfg"],
        seed=numbers["seed"],
        width=size[0] if size else numbers["width"],
        height=size[1] if size else numbers["height"],
        model=stem(_model_name(found("model"))),
        model_hash=_short_hash(found("hash") or _hash_in(found("model"))),
        vae="" if vae.casefold().replace(" ", "") in _UNNAMED else stem(vae),
        loras=tuple(_loras(meta)),
        more=_only({"Clip skip": int(skip) if skip and 0 < skip < 25 else None}),
    )


def _sides(value: Json) -> tuple[int, int] | None:
    """ "(832, 1216)", "1024 x 1024", [832, 1216]"""
    sides = re.findall(r"\d{1,6}", str(value)[:100]) if isinstance(value, str | list | tuple) else []
    return (int(sides[0]), int(sides[1])) if len(sides) == 2 else None


def _model_name(model: Json) -> str:
    if isinstance(model, dict):
        names = (as_text(model.get(key)) for key in ("modelFileName", "name", "model_name", "label"))
        return next(filter(None, names), "")
    return as_text(model)


def _hash_in(model: Json) -> str:
    return as_text(model.get("hash")) if isinstance(model, dict) else ""


def _short_hash(value: Json) -> str:
    text = as_text(value)
    return text[:10].lower() if re.fullmatch(r"[0-9a-fA-F]{8,64}", text) else ""


def _of_flat(items: Mapping[str, str]) -> ForeignParameters | None:
    """Fooocus, RuinedFooocus, Draw Things, spaces of Hugging Face, and whoever else writes one object."""
    for meta in _json_texts(items):
        if told := _flat(meta):
            return replace(told, program="Fooocus") if "base_model" in meta and not told.program else told
    return None


def _of_tensor_art(items: Mapping[str, str]) -> ForeignParameters | None:
    meta = _object(items.get("generation_data", ""))
    return _flat(meta, "tensor.art") if meta else None


def _of_easy_diffusion(items: Mapping[str, str]) -> ForeignParameters | None:
    """A chunk for each value."""
    if not any(name in items for name in ("negative_prompt", "Negative Prompt", "use_stable_diffusion_model")):
        return None
    return _flat({name: text for name, text in items.items() if name != "parameters"}, "Easy Diffusion")


def _of_civitai(items: Mapping[str, str]) -> ForeignParameters | None:
    """A graph for ComfyUI whose `extraMetadata` is what people asked for; its base model is a family."""
    for graph in _graphs(items):
        extra = graph.get("extraMetadata")
        meta = extra if isinstance(extra, dict) else _object(as_text(extra))
        if meta and (told := _flat({key: value for key, value in meta.items() if key != "baseModel"}, "Civitai")):
            return told
    return None


def _loras(meta: Mapping[str, Json]) -> Iterable[tuple[str, float]]:
    """As a list of [name, weight, hash], or one text "name : weight" each."""
    listed = meta.get("loras")
    for lora in listed if isinstance(listed, list) else ():
        if isinstance(lora, list) and len(lora) >= 2 and as_text(lora[0]):
            yield stem(as_text(lora[0])), as_number(lora[1]) or 1.0
    drawn = meta.get("lora")
    for lora in drawn if isinstance(drawn, list) else ():
        if isinstance(lora, dict) and (name := as_text(lora.get("model"))):
            yield stem(name), as_number(lora.get("weight")) or 1.0
    for key, value in meta.items():
        name, colon, weight = as_text(value).rpartition(" : ")
        if _LORA_KEY.fullmatch(key) and colon and name != "None":
            yield stem(name), as_number(weight) or 1.0


def _of_swarm(items: Mapping[str, str]) -> ForeignParameters | None:
    for meta in _json_texts(items):
        asked = meta.get("sui_image_params")
        if not isinstance(asked, dict):
            continue
        names, weights = asked.get("loras"), asked.get("loraweights")
        pairs = zip(names, weights, strict=False) if isinstance(names, list) and isinstance(weights, list) else ()
        return ForeignParameters(
            program=f"SwarmUI {as_text(asked.get('swarm_version'))}".strip(),
            prompt=as_text(asked.get("prompt")),
            negative=as_text(asked.get("negativeprompt")),
            steps=as_number(asked.get("steps")),
            sampler=as_text(asked.get("sampler") or asked.get("comfyuisampler")),
            schedule=as_text(asked.get("scheduler") or asked.get("comfyuischeduler")),
            cfg_scale=as_number(asked.get("cfgscale")),
            seed=as_number(asked.get("seed")),
            width=as_number(asked.get("width")),
            height=as_number(asked.get("height")),
            model=stem(as_text(asked.get("model"))),
            vae=as_text(asked.get("vae")),
            loras=tuple((stem(as_text(name)), as_number(weight) or 1.0) for name, weight in pairs),
            more=_only(
                {
                    "Denoising strength": as_number(asked.get("initimagecreativity")) if "initimage" in asked else None,
                    "Distilled CFG Scale": as_number(asked.get("fluxguidancescale")),
                    "RNG": "CPU",
                }
            ),
        )
    return None


# ---------------------------------------------------------------- ComfyUI, NovelAI


def _graphs(items: Mapping[str, str]) -> Iterator[JsonObject]:
    """PNG has the graph in the chunk `prompt`; WebP and JPEG in EXIF fields that begin with "prompt:"."""
    for name in ("prompt", "Prompt", "exif comment", "parameters", "Model", "Make", "ImageDescription", "comment"):
        text = items.get(name, "")
        graph = _object(text.partition(":")[2] if text[:7].lower() == "prompt:" else text)
        inner = graph.get("prompt")
        inner = _object(inner) if isinstance(inner, str) else inner
        if graph:
            yield inner if isinstance(inner, dict) and inner else graph


def _workflows(items: Mapping[str, str]) -> Iterator[JsonObject]:
    """The same graph as it was drawn, from where it may lie."""
    for name in ("workflow", "Workflow", "exif comment", "Make", "Model", "ImageDescription"):
        text = items.get(name, "")
        drawn = _object(text.partition(":")[2] if text[:9].lower() == "workflow:" else text)
        inner = drawn.get("workflow")
        inner = _object(inner) if isinstance(inner, str) else inner
        if drawn:
            yield inner if isinstance(inner, dict) and inner else drawn


def _of_comfy(items: Mapping[str, str]) -> ForeignParameters | None:
    for graph in _graphs(items):
        if told := told_by_graph(graph):
            return _with_stability_matrix(told, items)
    for drawn in _workflows(items):
        if told := told_by_graph(graph_of_workflow(drawn)):
            return told
    return None


def _with_stability_matrix(told: ForeignParameters, items: Mapping[str, str]) -> ForeignParameters:
    """Stability Matrix says beside the graph what was typed."""
    meta = _object(items.get("parameters-json", ""))
    prompt, negative = as_text(meta.get("PositivePrompt")), as_text(meta.get("NegativePrompt"))
    return replace(
        told,
        prompt=prompt or told.prompt,
        negative=negative or told.negative,
        model=stem(as_text(meta.get("ModelName"))) or told.model,
        model_hash=_short_hash(meta.get("ModelHash")) or told.model_hash,
    )


def _of_novelai(items: Mapping[str, str]) -> ForeignParameters | None:
    """NovelAI: PNG chunks; in other formats and hidden in the alpha channel, one object with the same names."""
    for found in (items, *_json_texts(items)):
        inner = found.get("Comment")
        comment = inner if isinstance(inner, dict) else _object(as_text(inner))
        if as_text(found.get("Software")) == "NovelAI" or "v4_prompt" in comment:
            told = _novelai(comment, as_text(found.get("Description")))
        elif "v4_prompt" in found or ("uc" in found and "noise_schedule" in found):
            told = _novelai(found, "")
        else:
            continue
        if told is not None:
            return told
    return None


def _novelai(comment: Mapping[str, Json], description: str) -> ForeignParameters | None:
    if not comment:
        return None
    prompt = _captions(comment.get("v4_prompt")) or as_text(comment.get("prompt")) or description
    # What is no V4 is a Stable Diffusion that was trained with the last layer but one.
    older = "v4_prompt" not in comment
    return ForeignParameters(
        program="NovelAI",
        prompt=prompt,
        negative=_captions(comment.get("v4_negative_prompt")) or as_text(comment.get("uc")),
        steps=as_number(comment.get("steps")),
        sampler=as_text(comment.get("sampler")),
        schedule=as_text(comment.get("noise_schedule")),
        cfg_scale=as_number(comment.get("scale")),
        seed=as_number(comment.get("seed")),
        width=as_number(comment.get("width")),
        height=as_number(comment.get("height")),
        more={"Clip skip": "2", "ENSD": "31337"} if older else {},
    )


def _captions(told: Json) -> str:
    """The prompt of the picture and, below it, those of its characters."""
    caption = told.get("caption") if isinstance(told, dict) else None
    if not isinstance(caption, dict):
        return ""
    listed = caption.get("char_captions")
    characters = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    texts = [as_text(caption.get("base_caption")), *(as_text(one.get("char_caption")) for one in characters)]
    return "\n".join(text.strip(" ,") for text in texts if text.strip(" ,"))


def _only(labels: Mapping[str, object]) -> dict[str, str]:
    return {label: str(value) for label, value in labels.items() if value not in (None, "")}


_READERS: tuple[Callable[[Mapping[str, str]], ForeignParameters | None], ...] = (
    _of_invoke,
    _of_old_invoke,
    _of_swarm,
    _of_tensor_art,
    _of_novelai,
    _of_civitai,
    _of_comfy,
    _of_easy_diffusion,
    _of_flat,
    _of_dream,
)

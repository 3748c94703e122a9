"""What pictures of other programs say of how they were made, told as an infotext.

Read are prompts, steps, sampler, schedule, CFG, seed, size, model, LoRAs and whatever else has a label of the same
meaning, from the texts that lie in a file under these names:

    invokeai_metadata, sd-metadata     InvokeAI 3 and up, 2
    parameters, as JSON                Fooocus, SwarmUI
    Comment, Description               NovelAI
    prompt                             ComfyUI: the graph of nodes (`comfy.py`)

The texts are anybody's: what is not as expected is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from webui import registry
from webui.base.errors import NotFound, UserError
from webui.request.comfy import told_by_graph
from webui.request.dialects import novelai_infotext
from webui.request.infotext import read, write
from webui.request.told import Told, as_number, as_text, stem

LONGEST = 8_000_000
"""Letters of JSON: a longer text is not looked into."""

_ENDED = {"_k": "Karras", "_karras": "Karras"}
"""Ends of sampler names that name a schedule."""
_SAMPLERS: Mapping[str, str] = {
    "euler": "Euler",
    "euler_a": "Euler a",
    "euler_ancestral": "Euler a",
    "k_euler_a": "Euler a",
    "heun": "Heun",
    "lms": "LMS",
    "plms": "PLMS",
    "pndm": "PLMS",
    "ddim": "DDIM",
    "dpm_2": "DPM2",
    "kdpm_2": "DPM2",
    "k_dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "kdpm_2_a": "DPM2 a",
    "k_dpm_2_a": "DPM2 a",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpmpp_2s": "DPM++ 2S a",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "uni_pc": "UniPC",
    "uni_pc_bh2": "UniPC",
    "unipc": "UniPC",
    "lcm": "LCM",
    "restart": "Restart",
}
_SCHEDULES: Mapping[str, str] = {
    "normal": "Normal",
    "karras": "Karras",
    "native": "Automatic",
    "exponential": "Exponential",
    "polyexponential": "Polyexponential",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
}


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
        if isinstance(told, Told) and told.says_something:
            return _infotext(told, width, height)
    return _of_novelai(items, width, height)


def _infotext(told: Told, width: int, height: int) -> str:
    sampler, schedule = _named(told.sampler, told.schedule)
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
    tags = "".join(f"<lora:{name}:{weight}>" for name, weight in told.loras if f"<lora:{name}:" not in told.prompt)
    prompt = " ".join(part for part in (told.prompt, tags) if part)
    return write(
        prompt, told.negative, [(label, str(value)) for label, value in labels.items() if value not in ("", None)]
    )


def _named(sampler: str, schedule: str) -> tuple[str, str]:
    """Our names for them; those that we do not have stay as they are."""
    name = sampler.casefold().removesuffix("_gpu").removeprefix("sample_")
    for end, meant in _ENDED.items():
        if name.endswith(end):
            name, schedule = name.removesuffix(end), schedule or meant
    name = _SAMPLERS.get(name) or _SAMPLERS.get(name.removeprefix("k_")) or sampler
    schedule = _SCHEDULES.get(schedule.casefold(), schedule)
    try:
        found = registry.sampler_and_schedule(name, "")
        name, schedule = found[0].name, schedule or (found[1].name if found[1].function else "")
    except NotFound:
        pass
    return name, schedule


def _json(text: str) -> Any:
    """What a text of JSON holds; None where it is none."""
    if len(text) > LONGEST or not text.lstrip().startswith(("{", '"', "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> dict[str, Any]:
    found = _json(text)
    return found if isinstance(found, dict) else {}


# ---------------------------------------------------------------- InvokeAI


def _of_invoke(items: Mapping[str, str]) -> Told | None:
    """InvokeAI 3, 4, 5."""
    meta = _object(items.get("invokeai_metadata", ""))
    if not meta:
        return None
    model = meta.get("model")
    return Told(
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


def _clip_skip(value: Any) -> int | None:
    """InvokeAI counts the layers that are left out: 0 is our 1."""
    number = as_number(value)
    return int(number) + 1 if number else None


def _invoke_name(model: Any) -> str:
    if isinstance(model, dict):
        return as_text(model.get("name") or model.get("model_name"))
    return as_text(model)


def _invoke_loras(loras: Any) -> Iterable[tuple[str, float]]:
    for lora in loras if isinstance(loras, list) else ():
        if isinstance(lora, dict) and (name := _invoke_name(lora.get("model") or lora.get("lora"))):
            yield name, as_number(lora.get("weight")) or 1.0


def _of_old_invoke(items: Mapping[str, str]) -> Told | None:
    """InvokeAI 2: the negative prompt stands in brackets within the prompt."""
    meta = _object(items.get("sd-metadata", ""))
    image = meta.get("image")
    if not isinstance(image, dict):
        return None
    prompts = image.get("prompt")
    first = prompts[0] if isinstance(prompts, list) and prompts else prompts
    text = as_text(first.get("prompt") if isinstance(first, dict) else first)
    negative = re.findall(r"\[([^\]]*)\]", text)
    return Told(
        program=f"InvokeAI {as_text(meta.get('app_version'))}".strip(),
        prompt=" ".join(re.sub(r"\[[^\]]*\]", " ", text).split()),
        negative=", ".join(negative),
        steps=as_number(image.get("steps")),
        sampler=as_text(image.get("sampler")),
        cfg_scale=as_number(image.get("cfg_scale")),
        seed=as_number(image.get("seed")),
        width=as_number(image.get("width")),
        height=as_number(image.get("height")),
        model=stem(as_text(meta.get("model_weights"))),
        model_hash=as_text(meta.get("model_hash"))[:10],
    )


# ---------------------------------------------------------------- Fooocus, SwarmUI


def _json_texts(items: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """The places where programs put an object that says it all."""
    for name in ("parameters", "exif comment", "Comment", "comment"):
        found = _object(items.get(name, ""))
        if found:
            yield found


def _of_fooocus(items: Mapping[str, str]) -> Told | None:
    for meta in _json_texts(items):
        low = {key.lower().replace(" ", "_"): value for key, value in meta.items()}
        if "base_model" not in low and "base_model_name" not in low:
            continue
        sides = re.findall(r"\d+", as_text(low.get("resolution")) or str(low.get("resolution") or ""))
        return Told(
            program=as_text(low.get("version")) or "Fooocus",
            prompt=as_text(low.get("prompt")),
            negative=as_text(low.get("negative_prompt")),
            steps=as_number(low.get("steps")),
            sampler=as_text(low.get("sampler") or low.get("sampler_name")),
            schedule=as_text(low.get("scheduler") or low.get("scheduler_name")),
            cfg_scale=as_number(low.get("guidance_scale") or low.get("cfg")),
            seed=as_number(low.get("seed")),
            width=int(sides[0]) if len(sides) == 2 else as_number(low.get("width")),
            height=int(sides[1]) if len(sides) == 2 else as_number(low.get("height")),
            model=stem(as_text(low.get("base_model") or low.get("base_model_name"))),
            model_hash=as_text(low.get("base_model_hash"))[:10],
            loras=tuple(_fooocus_loras(low)),
            more=_only({"Clip skip": as_number(low.get("clip_skip"))}),
        )
    return None


def _fooocus_loras(meta: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """As a list of [name, weight, hash], or one text "name : weight" each."""
    listed = meta.get("loras")
    for lora in listed if isinstance(listed, list) else ():
        if isinstance(lora, list) and len(lora) >= 2 and as_text(lora[0]):
            yield stem(as_text(lora[0])), as_number(lora[1]) or 1.0
    for key, value in meta.items():
        name, colon, weight = as_text(value).rpartition(" : ")
        if re.fullmatch(r"lora(_combined)?_\d+", key) and colon and name != "None":
            yield stem(name), as_number(weight) or 1.0


def _of_swarm(items: Mapping[str, str]) -> Told | None:
    for meta in _json_texts(items):
        asked = meta.get("sui_image_params")
        if not isinstance(asked, dict):
            continue
        names, weights = asked.get("loras"), asked.get("loraweights")
        pairs = zip(names, weights, strict=False) if isinstance(names, list) and isinstance(weights, list) else ()
        return Told(
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


def _of_comfy(items: Mapping[str, str]) -> Told | None:
    """PNG has the graph in the chunk `prompt`; WebP and JPEG in EXIF fields that begin with "prompt:"."""
    for name in ("prompt", "Prompt", "exif comment", "Model", "Make", "ImageDescription"):
        text = items.get(name, "")
        graph = _object(text.partition(":")[2] if text[:7].lower() == "prompt:" else text)
        inner = graph.get("prompt")
        if told := told_by_graph(inner if isinstance(inner, dict) else graph):
            return told
    return None


def _of_novelai(items: Mapping[str, str], width: int, height: int) -> str:
    """NovelAI: PNG chunks; in other formats and hidden in the alpha channel, one object with the same names."""
    for found in (items, *_json_texts(items)):
        comment, software = as_text(found.get("Comment")), as_text(found.get("Software"))
        if software == "NovelAI" and comment:
            try:
                return novelai_infotext(as_text(found.get("Description")), comment, width, height)
            except UserError:
                continue
    return ""


def _only(labels: Mapping[str, Any]) -> dict[str, str]:
    return {label: str(value) for label, value in labels.items() if value not in (None, "")}


_READERS: tuple[Callable[[Mapping[str, str]], Told | None], ...] = (
    _of_invoke,
    _of_old_invoke,
    _of_swarm,
    _of_fooocus,
    _of_comfy,
)

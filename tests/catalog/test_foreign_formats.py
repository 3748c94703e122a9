"""More formats of other programs, as their public files have them; graphs as they are drawn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webui.catalog.image_files import read_infotext
from webui.request import infotext
from webui.request.comfy import told_by_graph
from webui.request.comfy_workflow import graph_of_workflow
from webui.request.fields import Txt2Img
from webui.request.foreign import told_infotext
from webui.request.foreign_names import named

from .test_foreign import EXPECTED, GRAPH, png

SIDES = {"width": 832, "height": 1216}
FLAT = {"prompt": "a red fox", "seed": 1234, "steps": 24}


def fields(items: dict[str, str], report: Any = None) -> dict[str, Any]:
    text = told_infotext(items, 8, 8) or items.get("parameters", "")
    return infotext.fields_of(infotext.read(text), Txt2Img, report or (lambda sentence: pytest.fail(sentence)))


FORMATS: dict[str, dict[str, str]] = {
    "Easy Diffusion, a chunk a value": {
        "prompt": "a red fox",
        "negative_prompt": "blurry",
        "seed": "1234",
        "use_stable_diffusion_model": "C:\\models\\fox_v1.ckpt",
        "sampler_name": "euler_a",
        "num_inference_steps": "24",
        "guidance_scale": "6.5",
        "width": "832",
        "height": "1216",
    },
    "Easy Diffusion, JSON with capitals": {
        "parameters": json.dumps(
            {
                "Prompt": "a red fox",
                "Negative Prompt": "blurry",
                "Seed": 1234,
                "Stable Diffusion model": "fox_v1",
                "Sampler": "euler_a",
                "Steps": 24,
                "Guidance Scale": 6.5,
                "Width": 832,
                "Height": 1216,
            }
        )
    },
    "Draw Things": {
        "exif comment": json.dumps(
            {
                "c": "a red fox",
                "uc": "blurry",
                "model": "fox_v1.ckpt",
                "sampler": "Euler A",
                "seed": 1234,
                "scale": 6.5,
                "steps": 24,
                "size": "832x1216",
            }
        )
    },
    "tensor.art": {
        "generation_data": json.dumps(
            {
                **FLAT,
                "negativePrompt": "blurry",
                "seed": "1234",
                "cfgScale": 6.5,
                "samplerName": "euler_ancestral",
                **SIDES,
                "baseModel": {"modelFileName": "fox_v1.safetensors", "hash": "0123456789"},
            }
        )
        + "\0\0"
    },
    "Civitai": {
        "exif comment": json.dumps(
            {
                "6": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
                "extraMetadata": json.dumps(
                    {**FLAT, **SIDES, "negativePrompt": "blurry", "cfgScale": 6.5, "sampler": "Euler a"}
                ),
            }
        )
    },
    "a space of Hugging Face": {
        "parameters": json.dumps(
            {
                "prompt": "a red fox",
                "negative_prompt": "blurry",
                "resolution": "832 x 1216",
                "guidance_scale": 6.5,
                "num_inference_steps": 24,
                "seed": 1234,
                "sampler": "Euler a",
            }
        )
    },
    "InvokeAI 1": {"Dream": '"a red fox [blurry]" -s 24 -S 1234 -W 832 -H 1216 -C 6.5 -A k_euler_a'},
    "NovelAI 4": {
        "Software": "NovelAI",
        "Comment": json.dumps(
            {
                "prompt": "a red fox",
                "steps": 24,
                "scale": 6.5,
                "seed": 1234,
                "sampler": "k_euler_ancestral",
                **SIDES,
                "uc": "blurry",
                "v4_prompt": {"caption": {"base_caption": "a red fox", "char_captions": []}},
            }
        ),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_of_another_program(name: str) -> None:
    wanted = {**EXPECTED, **SIDES, "sampler_name": "Euler a"}
    found = fields(FORMATS[name])
    assert {key: found.get(key) for key in wanted} == wanted


def test_an_object_that_says_nothing_of_a_picture_is_no_prompt() -> None:
    text, items = read_infotext(png(parameters={"title": "holiday", "rating": 5}))
    assert text == ""
    assert "holiday" in items["parameters"]
    # A prompt may begin with a brace.
    assert read_infotext(png(parameters="{a|b} cat"))[0] == "{a|b} cat"


def test_stability_matrix_says_what_was_typed() -> None:
    typed = json.dumps({"PositivePrompt": "a __animal__", "ModelName": "own.safetensors"})
    found = told_infotext({"prompt": json.dumps(GRAPH), "parameters-json": typed}, 8, 8)
    assert found.startswith("a __animal__")
    assert "Model: own," in found


@pytest.mark.parametrize(
    ("sampler", "schedule", "wanted"),
    [
        ("dpmpp_2m_sde_gpu", "karras", ("DPM++ 2M SDE", "Karras")),
        ("euler_ancestral_karras", "", ("Euler a", "Karras")),
        ("k_dpmpp_2m", "", ("DPM++ 2M", "")),
        ("dpmpp_3m_sde_gpu_exponential", "", ("DPM++ 3M SDE", "Exponential")),
        ("DPM++ 2M Karras", "", ("DPM++ 2M", "Karras")),
        ("uni_pc_bh2", "sgm_uniform", ("UniPC", "SGM Uniform")),
        ("res_9s", "bong_tangent", ("res_9s", "bong_tangent")),
    ],
)
def test_names_of_samplers(sampler: str, schedule: str, wanted: tuple[str, str]) -> None:
    assert named(sampler, schedule) == wanted


def test_what_we_do_not_have_is_said() -> None:
    said: list[str] = []
    text = "a\nSteps: 5, Sampler: Euler a, Schedule type: bong_tangent, Seed: 1"
    assert fields({"parameters": text}, said.append)["scheduler"] == "Automatic"
    assert len(said) == 1
    assert "bong_tangent" in said[0]


BOTH = "a red fox\nNegative prompt: blurry\n"
ONE_LINE = "a red fox Negative prompt: blurry Steps: 24, Sampler: Euler a, CFG scale: 6.5, Seed: 1234, Size: 832x1216"


@pytest.mark.parametrize(
    "text",
    [
        ONE_LINE,
        "a red fox\n" + ONE_LINE.removeprefix("a red fox "),
        f"{BOTH}Steps: 24, Sampler: euler_ancestral, CFG Scale: 6.5, Seed: 1234, Size: 832x1216",
        f"{BOTH}Size: 832x1216, Seed: 1234, Steps: 24, Sampler: Euler a, Guidance scale: 6.5",
    ],
)
def test_infotexts_of_other_programs(text: str) -> None:
    found = fields({"parameters": text})
    wanted = {**EXPECTED, **SIDES, "sampler_name": "Euler a"}
    assert {key: found.get(key) for key in wanted} == wanted


def test_sdnext_says_its_schedule_among_the_options_of_the_sampler() -> None:
    text = (
        "a\nSteps: 5, Sampler: DPM++ 2M SDE, Seed: 1, Sampler options: karras, Hires scale: 2.0, Hires upscaler: Latent"
    )
    found = fields({"parameters": text})
    assert (found["scheduler"], found["hr_scale"], found["enable_hr"]) == ("Karras", 2.0, True)


# ---------------------------------------------------------------- graphs

SAMPLER = GRAPH["3"]["inputs"]


def graph(changes: dict[str, Any]) -> dict[str, Any]:
    return {**GRAPH, **{key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in changes.items()}}


PATHS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "a switch with a number": {
        "6": ("CLIPTextEncode", {"text": ["20", 0], "clip": ["10", 1]}),
        "20": ("Any Input Switch", {"select": 2, "input1": ["21", 0], "input2": ["22", 0]}),
        "21": ("Some Text", {"string": "a blue whale"}),
        "22": ("Some Text", {"string": "a red fox"}),
    },
    "a switch with a node for its setting": {
        "6": ("CLIPTextEncode", {"text": ["20", 0], "clip": ["10", 1]}),
        "20": ("If/Else", {"boolean": ["23", 0], "on_true": ["21", 0], "on_false": ["22", 0]}),
        "21": ("Some Text", {"value": "a blue whale"}),
        "22": ("Some Text", {"value": "a red fox"}),
        "23": ("PrimitiveBoolean", {"value": False}),
    },
    "the first of any": {
        "6": ("CLIPTextEncode", {"text": ["20", 0], "clip": ["10", 1]}),
        "20": ("Any Switch (rgthree)", {"any_02": ["22", 0], "any_03": ["21", 0]}),
        "21": ("Some Text", {"text": "a blue whale"}),
        "22": ("Some Text", {"text": "a red fox"}),
    },
    "a pipe": {
        "3": ("KSampler", {**SAMPLER, "positive": ["20", 4], "negative": ["20", 5], "model": ["20", 1]}),
        "20": ("Context (rgthree)", {"base_ctx": ["21", 0]}),
        "21": ("Context (rgthree)", {"model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "vae": ["4", 2]}),
    },
    "a styler with both sides": {
        "6": ("CLIPTextEncode", {"text": ["20", 0], "clip": ["10", 1]}),
        "7": ("CLIPTextEncode", {"text": ["20", 1], "clip": ["10", 1]}),
        "20": ("Prompt Styler", {"text_positive": "a red fox", "text_negative": "blurry", "style": "base"}),
    },
    "a text that is put together, by nodes of any name": {
        "6": ("CLIPTextEncode", {"text": ["20", 0], "clip": ["10", 1]}),
        "20": ("Join", {"delimiter": " ", "Text_A": ["21", 0], "Text_B": "red fox"}),
        "21": ("Box", {"Text": "a"}),
    },
    "a wildcard that was filled in": {
        "6": ("CLIPTextEncode", {"text": ["20", 0], "clip": ["10", 1]}),
        "20": ("ImpactWildcardProcessor", {"wildcard_text": "a {red|blue} fox", "populated_text": "a red fox"}),
    },
    "merged models": {
        "3": ("KSampler", {**SAMPLER, "model": ["20", 0]}),
        "20": ("ModelMergeBlocks", {"model1": ["10", 0], "model2": ["21", 0], "input": 1.0}),
        "21": ("CheckpointLoaderSimple", {"ckpt_name": "other.safetensors"}),
    },
    "a second pass by way of pixels": {
        "30": ("ImageScaleBy", {"image": ["8", 0], "scale_by": 2.0}),
        "31": ("VAEEncode", {"pixels": ["30", 0], "vae": ["4", 2]}),
        "32": ("KSampler", {**SAMPLER, "seed": 7, "steps": 5, "denoise": 0.3, "latent_image": ["31", 0]}),
        "33": ("VAEDecode", {"samples": ["32", 0], "vae": ["4", 2]}),
        "9": ("SaveImage", {"images": ["33", 0], "filename_prefix": "x"}),
    },
    "a size in words": {"5": ("Some Empty Latent", {"dimensions": "832 x 1216 (portrait)", "batch_size": 1})},
    "numbers that come through switches": {
        "3": ("KSampler", {**SAMPLER, "steps": ["20", 0], "cfg": ["21", 0]}),
        "20": ("Switch", {"switch": True, "on_true": ["22", 0], "on_false": ["23", 0]}),
        "21": ("PrimitiveFloat", {"value": 6.5}),
        "22": ("Integer", {"number": 24}),
        "23": ("Integer", {"number": 8}),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_a_graph_is_followed_through(name: str) -> None:
    told = told_by_graph(graph(PATHS[name]))
    assert told is not None
    found = (told.prompt, told.negative, told.seed, told.steps, told.cfg_scale, told.width, told.height, told.model)
    assert found == ("a red fox", "blurry", 1234, 24, 6.5, 832, 1216, "fox_v1")


def test_loras_of_stacks_and_those_that_are_off() -> None:
    stack = {
        "switch_1": "On",
        "lora_name_1": "paint.safetensors",
        "model_weight_1": 0.5,
        "switch_2": "Off",
        "lora_name_2": "no.safetensors",
        "model_weight_2": 1.0,
    }
    power = {"lora_1": {"on": True, "lora": "x/ink.safetensors", "strength": 0.7}, "lora_2": {"on": False, "lora": "n"}}
    changes = {
        "3": ("KSampler", {**SAMPLER, "model": ["20", 0]}),
        "20": ("Apply Stack", {"model": ["22", 0], "lora_stack": ["21", 0]}),
        "21": ("LoRA Stack", stack),
        "22": ("Power Lora Loader (rgthree)", {**power, "model": ["10", 0]}),
    }
    told = told_by_graph(graph(changes))
    assert told is not None
    assert dict(told.loras) == {"paint": 0.5, "ink": 0.7, "fur": 0.75}


def drawn(**more: Any) -> dict[str, Any]:
    """GRAPH as it is drawn, with a bypassed LoRA, a reroute, a primitive and a pair of set and get."""
    widgets = {
        1: ("CheckpointLoaderSimple", ["fox_v1.safetensors"], {}),
        2: ("LoraLoader", ["fur.safetensors", 0.75, 1.0], {"model": 1, "clip": 2}),
        3: ("CLIPTextEncode", ["a red fox"], {"clip": 3}),
        4: ("CLIPTextEncode", ["blurry"], {"clip": 3}),
        5: ("EmptyLatentImage", [832, 1216, 1], {}),
        6: ("KSampler", [9, "randomize", 24, 6.5, "euler_ancestral", "normal", 1.0],
            {"model": 4, "positive": 5, "negative": 6, "latent_image": 9, "seed": 8}),
        7: ("VAEDecode", [], {"samples": 10, "vae": 11}),
        8: ("SaveImage", ["x"], {"images": 12}),
        9: ("PrimitiveNode", [1234, "fixed"], {}),
        10: ("Reroute", [], {"": 7}),
        11: ("SetNode", ["latent"], {"LATENT": 13}),
        12: ("GetNode", ["latent"], {}),
    }  # fmt: skip
    links = [
        [1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 2, 1, "CLIP"], [3, 2, 1, 3, 0, "CLIP"], [4, 2, 0, 6, 0, "MODEL"],
        [5, 10, 0, 6, 1, "CONDITIONING"], [6, 4, 0, 6, 2, "CONDITIONING"], [7, 3, 0, 10, 0, "CONDITIONING"],
        [8, 9, 0, 6, 4, "INT"], [9, 12, 0, 6, 3, "LATENT"], [10, 6, 0, 7, 0, "LATENT"], [11, 1, 2, 7, 1, "VAE"],
        [12, 7, 0, 8, 0, "IMAGE"], [13, 5, 0, 11, 0, "LATENT"],
    ]  # fmt: skip
    types = {link[0]: link[5] for link in links}
    nodes = [
        {
            "id": number,
            "type": kind,
            "mode": 4 if number == 2 else 0,
            "inputs": [{"name": name, "type": types[link], "link": link} for name, link in inputs.items()],
            "outputs": [{"name": "MODEL", "type": "MODEL"}, {"name": "CLIP", "type": "CLIP"}] if number == 2 else [],
            "widgets_values": values,
        }
        for number, (kind, values, inputs) in widgets.items()
    ]
    return {"nodes": nodes, "links": links, **more}


def test_a_drawing_says_what_its_graph_would_say() -> None:
    told = told_by_graph(graph_of_workflow(drawn()))
    assert told is not None
    found = (told.prompt, told.negative, told.seed, told.steps, told.cfg_scale, told.width, told.height, told.model)
    assert found == ("a red fox", "blurry", 1234, 24, 6.5, 832, 1216, "fox_v1")
    assert told.loras == ()  # it is bypassed
    assert fields({"workflow": json.dumps(drawn())})["seed"] == 1234


def test_a_subgraph_gets_values_and_links_from_outside() -> None:
    sampler = {"id": 3, "type": "KSampler", "widgets_values": [5, "fixed", 24, 6.5, "euler", "normal", 1.0]}
    sampler["inputs"] = [
        {"name": "positive", "type": "CONDITIONING", "link": 2},
        {"name": "seed", "type": "INT", "link": 3},
    ]
    inner = {
        "id": "sub-1",
        "inputs": [{"name": "text", "type": "STRING"}, {"name": "seed", "type": "INT"}],
        "nodes": [
            {"id": 1, "type": "CLIPTextEncode", "widgets_values": ["old"], "inputs": [{"name": "text", "link": 1}]},
            sampler,
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
            {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": 3, "target_slot": 0},
            {"id": 3, "origin_id": -10, "origin_slot": 1, "target_id": 3, "target_slot": 1},
            {"id": 4, "origin_id": 3, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    outer = {
        "nodes": [
            {"id": 7, "type": "sub-1", "widgets_values_named": {"seed": 1234},
             "inputs": [{"name": "text", "link": 1}, {"name": "seed", "link": None, "widget": {"name": "seed"}}]},
            {"id": 8, "type": "PrimitiveStringMultiline", "widgets_values": ["a red fox"]},
            {"id": 9, "type": "VAEDecode", "inputs": [{"name": "samples", "link": 2}]},
        ],
        "links": [[1, 8, 0, 7, 0, "STRING"], [2, 7, 0, 9, 0, "LATENT"]],
        "definitions": {"subgraphs": [inner]},
    }  # fmt: skip
    told = told_by_graph(graph_of_workflow(outer))
    assert told is not None
    assert (told.prompt, told.seed, told.steps) == ("a red fox", 1234, 24)

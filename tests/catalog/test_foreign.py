"""Pictures of other programs say how they were made: each a small file as that program writes it."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from webui.catalog.image_files import read_infotext
from webui.request import infotext
from webui.request.comfy import MOST_NODES, told_by_graph
from webui.request.fields import Txt2Img
from webui.request.foreign import told_infotext


def png(**chunks: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, value in chunks.items():
        info.add_text(name.replace("__", "-"), value if isinstance(value, str) else json.dumps(value))
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def with_exif(kind: str, comment: bytes = b"", **tags: str) -> bytes:
    exif = Image.Exif()
    for name, value in tags.items():
        exif[ExifTags.Base[name]] = value
    if comment:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def unicode(text: str) -> bytes:
    return b"UNICODE\0" + text.encode("utf-16-be")


def said(content: bytes) -> dict[str, Any]:
    """What the form gets, and the labels that are no parameters."""
    parsed = infotext.read(read_infotext(content)[0])
    fields = infotext.fields_of(parsed, Txt2Img, lambda sentence: pytest.fail(sentence))
    return {**parsed.labels, **fields}


EXPECTED = {"prompt": "a red fox", "negative_prompt": "blurry", "steps": 24, "seed": 1234, "cfg_scale": 6.5}
SIZED = {"width": 832, "height": 1216}


def check(content: bytes, **more: Any) -> None:
    found = said(content)
    expected = {**EXPECTED, **SIZED, **more}
    assert {key: found.get(key) for key in expected} == expected


# ---------------------------------------------------------------- ComfyUI

GRAPH: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 1234,
            "steps": 24,
            "cfg": 6.5,
            "sampler_name": "dpmpp_2m_sde_gpu",
            "scheduler": "karras",
            "denoise": 1.0,
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "SDXL\\fox_v1.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 832, "height": 1216, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox", "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["10", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "fur.safetensors",
            "strength_model": 0.75,
            "strength_clip": 1.0,
            "model": ["4", 0],
            "clip": ["4", 1],
        },
    },
}
OF_GRAPH = {
    "sampler_name": "DPM++ 2M SDE",
    "scheduler": "Karras",
    "Model": "fox_v1",
    "RNG": "CPU",
    "prompt": "a red fox <lora:fur:0.75>",
}


def graph(**changes: Any) -> dict[str, Any]:
    """The graph with other nodes; None takes one away."""
    made = {**GRAPH, **{key.removeprefix("n"): node for key, node in changes.items()}}
    return {key: node for key, node in made.items() if node is not None}


def test_comfyui_in_png_and_webp() -> None:
    check(png(prompt=GRAPH, workflow={"nodes": []}), **OF_GRAPH)
    check(with_exif("WEBP", Make="workflow:{}", Model="prompt:" + json.dumps(GRAPH)), **OF_GRAPH)
    check(with_exif("JPEG", unicode(json.dumps({"prompt": GRAPH, "workflow": {}}))), **OF_GRAPH)


def test_comfyui_with_values_in_nodes_of_their_own() -> None:
    sampler = {**GRAPH["3"]["inputs"], "seed": ["20", 0], "steps": ["21", 0], "scheduler": "normal"}
    text = {"text": ["22", 0], "clip": ["10", 1]}
    made = graph(
        n3={"class_type": "KSampler", "inputs": sampler},
        n6={"class_type": "CLIPTextEncode", "inputs": text},
        n20={"class_type": "Seed (rgthree)", "inputs": {"seed": 1234}},
        n21={"class_type": "PrimitiveInt", "inputs": {"value": 24}},
        n22={"class_type": "StringConcatenate", "inputs": {"string_a": "a", "string_b": "red fox", "delimiter": " "}},
    )
    check(png(prompt=made), **{**OF_GRAPH, "scheduler": "Normal"})


def test_comfyui_with_a_second_pass_and_control() -> None:
    second = {**GRAPH["3"]["inputs"], "seed": 99, "steps": 8, "denoise": 0.5, "latent_image": ["30", 0]}
    controlled = {"positive": ["6", 0], "negative": ["7", 0], "control_net": ["33", 0], "strength": 1.0}
    first = {**GRAPH["3"]["inputs"], "positive": ["32", 0], "negative": ["32", 1]}
    made = graph(
        n3={"class_type": "KSampler", "inputs": first},
        n30={"class_type": "LatentUpscaleBy", "inputs": {"samples": ["3", 0], "scale_by": 1.5}},
        n31={"class_type": "KSampler", "inputs": second},
        n32={"class_type": "ControlNetApplyAdvanced", "inputs": controlled},
        n33={"class_type": "ControlNetLoader", "inputs": {"control_net_name": "pose.safetensors"}},
        n8={"class_type": "VAEDecode", "inputs": {"samples": ["31", 0], "vae": ["4", 2]}},
        n40={**GRAPH["3"], "inputs": {**GRAPH["3"]["inputs"], "seed": 5}},
        n0={"class_type": "KSampler", "inputs": {}},
    )
    found = said(png(prompt=made))
    assert found["seed"] in (1234, 5)
    check(png(prompt=graph(**{f"n{key}": node for key, node in made.items() if key not in ("40", "0")})), **OF_GRAPH)


def test_comfyui_with_the_parts_of_a_custom_sampler() -> None:
    made = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.sft", "weight_dtype": "default"}},
        "2": {
            "class_type": "CLIPTextEncodeFlux",
            "inputs": {"clip_l": "a red fox", "t5xxl": "a red fox", "clip": ["9", 0]},
        },
        "3": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["2", 0], "guidance": 3.0}},
        "4": {"class_type": "BasicGuider", "inputs": {"model": ["1", 0], "conditioning": ["3", 0]}},
        "5": {"class_type": "RandomNoise", "inputs": {"noise_seed": 1234}},
        "6": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "7": {
            "class_type": "BasicScheduler",
            "inputs": {"scheduler": "simple", "steps": 24, "denoise": 1.0, "model": ["1", 0]},
        },
        "8": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 832, "height": 1216, "batch_size": 1}},
        "10": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                "noise": ["5", 0],
                "guider": ["4", 0],
                "sampler": ["6", 0],
                "sigmas": ["7", 0],
                "latent_image": ["8", 0],
            },
        },
        "11": {"class_type": "PreviewImage", "inputs": {"images": ["10", 0]}},
    }
    found = said(png(prompt=made))
    wanted = {"prompt": "a red fox", "steps": 24, "seed": 1234, **SIZED, "sampler_name": "Euler", "scheduler": "Simple"}
    wanted |= {"Model": "flux1-dev", "Distilled CFG Scale": "3.0"}
    assert {key: found.get(key) for key in wanted} == wanted


def test_comfyui_with_a_loader_that_holds_everything() -> None:
    made = {
        "1": {
            "class_type": "Efficient Loader",
            "inputs": {
                "ckpt_name": "fox_v1.safetensors",
                "positive": "a red fox",
                "negative": "blurry",
                "empty_latent_width": 832,
                "empty_latent_height": 1216,
            },
        },
        "2": {
            "class_type": "KSampler (Efficient)",
            "inputs": {
                **{key: GRAPH["3"]["inputs"][key] for key in ("seed", "steps", "cfg", "sampler_name", "scheduler")},
                "model": ["1", 0],
                "positive": ["1", 1],
                "negative": ["1", 2],
                "latent_image": ["1", 3],
            },
        },
    }
    check(png(prompt=made), Model="fox_v1", sampler_name="DPM++ 2M SDE")


def test_a_graph_that_goes_round_or_never_ends_is_read_in_time() -> None:
    made = graph(
        n6={"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["6", 0], "conditioning_2": ["6", 0]}}
    )
    made |= {str(100 + i): {"class_type": "X", "inputs": {"text": [str(101 + i), 0]}} for i in range(2 * MOST_NODES)}
    told = told_by_graph(made)
    assert told is not None
    assert (told.prompt, told.seed) == ("", 1234)


# ---------------------------------------------------------------- InvokeAI, Fooocus, SwarmUI, NovelAI, SD.Next, Forge


@pytest.mark.parametrize(
    ("model", "loras"),
    [
        ({"model_name": "fox_v1", "base_model": "sdxl"}, [{"lora": {"model_name": "fur"}, "weight": 0.75}]),
        ({"name": "fox_v1", "key": "x", "type": "main"}, [{"model": {"name": "fur", "key": "y"}, "weight": 0.75}]),
    ],
    ids=["3", "4 and 5"],
)
def test_invokeai(model: dict[str, Any], loras: list[Any]) -> None:
    meta = {
        "app_version": "5.4.2",
        "generation_mode": "sdxl_txt2img",
        "positive_prompt": "a red fox",
        "negative_prompt": "blurry",
        "width": 832,
        "height": 1216,
        "seed": 1234,
        "rand_device": "cpu",
        "cfg_scale": 6.5,
        "steps": 24,
        "scheduler": "dpmpp_2m_k",
        "clip_skip": 1,
        "model": model,
        "loras": loras,
    }
    more = {"prompt": "a red fox <lora:fur:0.75>", "Clip skip": "2", "Model": "fox_v1", "RNG": "CPU"}
    check(png(invokeai_metadata=meta), sampler_name="DPM++ 2M", Version="InvokeAI 5.4.2", **more)


def test_invokeai_2() -> None:
    image = {"prompt": [{"prompt": "a red fox [blurry]", "weight": 1}], "steps": 24, "cfg_scale": 6.5, "seed": 1234}
    image |= {"width": 832, "height": 1216, "sampler": "k_euler_a"}
    meta = {"app_version": "2.3.5", "model_weights": "fox_v1", "model_hash": "0123456789abcdef", "image": image}
    check(png(sd__metadata=meta), sampler_name="Euler a", Model="fox_v1", **{"Model hash": "0123456789"})


FOOOCUS = {
    "prompt": "a red fox",
    "negative_prompt": "blurry",
    "steps": 24,
    "resolution": "(832, 1216)",
    "guidance_scale": 6.5,
    "sharpness": 2.0,
    "base_model": "fox_v1",
    "base_model_hash": "0123456789",
    "clip_skip": 2,
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "1234",
    "loras": [["fur", 0.75, "abcdef"]],
    "metadata_scheme": "fooocus",
    "version": "Fooocus v2.5.0",
}


def test_fooocus() -> None:
    more = {
        "prompt": "a red fox <lora:fur:0.75>",
        "Model": "fox_v1",
        "sampler_name": "DPM++ 2M SDE",
        "scheduler": "Karras",
    }
    check(png(parameters=FOOOCUS, fooocus_scheme="fooocus"), Version="Fooocus v2.5.0", **more)
    check(with_exif("JPEG", unicode(json.dumps(FOOOCUS))), **more)
    check(with_exif("WEBP", unicode(json.dumps(FOOOCUS))), **more)


def test_swarmui() -> None:
    asked = {
        "prompt": "a red fox",
        "negativeprompt": "blurry",
        "model": "SDXL/fox_v1.safetensors",
        "seed": 1234,
        "steps": 24,
        "cfgscale": 6.5,
        "width": 832,
        "height": 1216,
        "sampler": "euler_ancestral",
        "scheduler": "sgm_uniform",
        "loras": ["fur.safetensors"],
        "loraweights": ["0.75"],
        "swarm_version": "0.9.4.0",
    }
    text = json.dumps({"sui_image_params": asked, "sui_extra_data": {"date": "2025-01-01"}})
    more = {"prompt": "a red fox <lora:fur:0.75>", "Model": "fox_v1", "Version": "SwarmUI 0.9.4.0"}
    for content in (
        png(parameters=text),
        with_exif("JPEG", unicode(text)),
        with_exif("WEBP", b"ASCII\0\0\0" + text.encode()),
    ):
        check(content, sampler_name="Euler a", scheduler="SGM Uniform", **more)


NOVELAI = {
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4 37442FCA",
    "Description": "a red fox",
    "Comment": json.dumps({"steps": 24, "scale": 6.5, "seed": 1234, "sampler": "k_euler_ancestral", "uc": "blurry"}),
}


@pytest.mark.parametrize("packed", [True, False])
def test_novelai_in_chunks_exif_and_hidden_in_alpha(packed: bool) -> None:
    here = {"width": 64, "height": 48, "sampler_name": "Euler a"}
    check(png(**NOVELAI), **here)
    check(with_exif("WEBP", unicode(json.dumps(NOVELAI))), **here)
    text = json.dumps(NOVELAI).encode()
    content = gzip.compress(text) if packed else text
    whole = (b"stealth_pngcomp" if packed else b"stealth_pnginfo") + (8 * len(content)).to_bytes(4, "big") + content
    bits = [byte >> (7 - bit) & 1 for byte in whole for bit in range(8)]
    image = Image.new("RGBA", (64, 48), (10, 20, 30, 255))
    for i, bit in enumerate(bits):
        image.putpixel((i // 48, i % 48), (10, 20, 30, 254 + bit))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    check(buffer.getvalue(), **here)


def test_sdnext_and_forge_write_infotexts() -> None:
    sdnext = (
        "a red fox\nNegative prompt: blurry\nSteps: 24, Size: 832x1216, Sampler: Euler a, Seed: 1234, CFG scale: 6.5, "
        "CFG true: 6.5, Clip skip: 1, App: SD.Next, Version: 1234567, Parser: native, Model: fox_v1, Model hash: 012345"
    )
    check(png(parameters=sdnext), sampler_name="Euler a", Model="fox_v1")
    check(with_exif("JPEG", unicode(sdnext)), sampler_name="Euler a")
    forge = (
        "a red fox\nNegative prompt: blurry\nSteps: 24, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, "
        "Distilled CFG Scale: 3.5, Seed: 1234, Size: 832x1216, Model hash: 0123456789, Model: fox_v1, "
        "Version: f2.0.1v1.10.1-previous-624-ga46d0ba4, Diffusion in Low Bits: bnb-nf4, Module 1: ae"
    )
    check(png(parameters=forge), sampler_name="DPM++ 2M", scheduler="Automatic", Model="fox_v1")


def test_an_infotext_of_our_own_kind_comes_before_a_graph() -> None:
    own = "a cat\nSteps: 5, Sampler: Euler, Seed: 7, Size: 64x64"
    assert said(png(parameters=own, prompt=GRAPH))["seed"] == 7


junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["3", "a red fox", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(FOOOCUS)), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([GRAPH, FOOOCUS, {"image": {}}, {"sui_image_params": {}}]), st.data())
def test_nothing_that_a_file_says_makes_it_fail(valid: dict[str, Any], data: st.DataObject) -> None:
    broken = json.loads(json.dumps(valid))
    place = broken
    for _ in range(data.draw(st.integers(0, 2))):
        inner = [value for value in place.values() if isinstance(value, dict) and value]
        place = data.draw(st.sampled_from(inner)) if inner else place
    if place:
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(junk)
    text = json.dumps(broken)
    for name in ("parameters", "prompt", "invokeai_metadata", "sd-metadata", "Comment"):
        assert isinstance(told_infotext({name: text, "Software": "NovelAI"}, 64, 48), str)

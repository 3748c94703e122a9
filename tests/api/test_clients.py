"""Programs that speak A1111's API, against the real server: a client library, and requests as plugins send them."""

from __future__ import annotations

import base64
import contextlib
import inspect
import io
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import webuiapi
from PIL import Image
from webuiapi.webuiapi import SegmentAnythingInterface, TaggerInterface

from tests import taggers
from tests.conftest import PATIENCE, RunningServer


@pytest.fixture
def library(server: RunningServer) -> Iterator[Any]:
    address = urlsplit(server.url)
    client = webuiapi.WebUIApi(host=address.hostname, port=address.port, sampler="Euler a", steps=2)
    yield client
    client.session.close()


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}sdapi/v1/", timeout=PATIENCE) as made:
        yield made


def encoded(colour: str = "red") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def test_webuiapi(library: Any) -> None:
    made = library.txt2img(prompt="a red apple", seed=1003, width=64, height=64, cfg_scale=7, n_iter=2)
    assert [image.size for image in made.images] == [(64, 64)] * 2
    assert made.info["all_seeds"] == [1003, 1004]
    again = library.img2img(images=[made.image], prompt="a blue apple", seed=5, steps=4, denoising_strength=0.5,
                            width=64, height=64, mask_image=Image.new("L", (64, 64), 255))  # fmt: skip
    assert again.image.size == (64, 64)
    assert "a red apple" in str(library.png_info(made.image).info)
    high = library.txt2img(prompt="x", seed=1, width=64, height=64, enable_hr=True, hr_scale=1.5,
                           hr_upscaler=webuiapi.HiResUpscaler.Latent, denoising_strength=0.6)  # fmt: skip
    assert high.image.size == (96, 96)

    names = library.util_get_model_names()
    assert names == sorted(names)
    library.util_set_model("tiny")
    assert "tiny-sd1" in library.util_get_current_model()
    library.util_wait_for_ready(check_interval=0.2)
    assert "Euler a" in library.util_get_sampler_names()
    assert library.set_options({"CLIP_stop_at_last_layers": 1}) is None
    for listing in (
        "get_samplers", "get_sd_vae", "get_upscalers", "get_latent_upscale_modes", "get_loras", "get_hypernetworks",
        "get_face_restorers", "get_realesrgan_models", "get_prompt_styles", "get_scripts", "get_embeddings",
        "get_memory", "get_schedulers", "get_cmd_flags", "get_progress", "get_options", "get_sd_models",
    ):  # fmt: skip
        assert isinstance(getattr(library, listing)(), list | dict), listing
    library.refresh_checkpoints()
    assert library.interrupt() == {}
    library.skip()
    assert library.custom_get("sdapi/v1/script-info")
    assert library.custom_post("internal/progress", {"id_task": "none"}).json["active"] is False
    assert library.util_get_scheduler_names()
    library.set_auth("somebody", "unasked")
    large = library.extra_single_image(made.image, upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5)
    assert large.image.size == (96, 96)
    assert "Postprocess upscale by: 1.5" in large.info
    assert large.image.info["parameters"] == made.image.info["parameters"]
    several = library.extra_batch_images(made.images, upscaler_1="Nearest", resize_mode=1, upscaling_resize_w=80,
                                         upscaling_resize_h=48)  # fmt: skip
    assert [image.size for image in several.images] == [(80, 48)] * 2
    with pytest.raises(RuntimeError, match="BLIP"):
        library.interrogate(made.image)


def test_webuiapi_s_extensions_are_answered_as_by_an_installation_without_them(library: Any) -> None:
    assert (library.has_controlnet, library.has_adetailer) == (False, True)
    image = Image.new("RGB", (64, 64))
    small = {"prompt": "x", "width": 64, "height": 64, "steps": 1}
    detailed = library.txt2img(**small, alwayson_scripts={}, adetailer=[webuiapi.ADetailer(ad_model="nobody's.pt")])
    assert any("nobody's.pt" in remark and "left out" in remark for remark in detailed.info["comments"])
    for more in (
        {"roop": webuiapi.Roop(img=image)},
        {"reactor": webuiapi.ReActor(img=image)},
        {"sag": webuiapi.Sag()},
        {"animatediff": webuiapi.AnimateDiff(model="mm_sd_v15")},
    ):
        with pytest.raises(RuntimeError, match=r"422.*always on script .* not found"):
            library.txt2img(**small, **more)
    answers: list[Any] = []
    library.session.hooks["response"].append(lambda answer, **_: answers.append(answer))
    control = webuiapi.ControlNetInterface(library, show_deprecation_warning=False)
    segment = SegmentAnythingInterface(library)
    control.show_deprecation_warning = True
    control.print_deprecation_warning()
    control.show_deprecation_warning = False
    for absent in (
        control.txt2img, control.img2img,
        library.list_prompt_gen_models, library.prompt_gen, webuiapi.ModelKeywordInterface(library).get_keywords,
        lambda: webuiapi.InstructPix2PixInterface(library).img2img([image]),
        segment.heartbeat, segment.get_sam_models, lambda: segment.sam_predict(image),
        lambda: segment.dino_predict(image, "x"), lambda: segment.dilate_mask(image, image),
        lambda: segment.generate_semantic_segmentation(image),
        lambda: segment.sam_and_semantic_seg_with_cat_id(image, "1"),
        library.get_artists, library.get_artist_categories,
    ):  # fmt: skip
        count = len(answers)
        with contextlib.suppress(RuntimeError, KeyError):  # the library looks for what it had hoped for
            absent()
        (answer,) = answers[count:]
        assert answer.status_code == 404
        assert re.search(r"extension .* is not available here|There is no route", answer.json()["detail"]), answer.text


def test_webuiapi_s_rembg_gives_a_picture_of_the_same_size(library: Any) -> None:
    given = Image.new("RGB", (24, 16), "teal")
    made = webuiapi.RemBGInterface(library).rembg(given)
    assert made.image.size == given.size


def test_webuiapi_s_tagger(library: Any, server: RunningServer) -> None:
    taggers.put_onnx(server.data / "models")
    tagger = TaggerInterface(library)
    (name,) = tagger.tagger_interrogators()["models"]
    assert name == "wd-v1-4-vit-tagger-v2"
    assert "blue_sky" in tagger.tagger_interrogate(Image.new("RGB", (64, 64), "blue")).info


def test_webuiapi_s_control_methods_work(library: Any) -> None:
    assert library.controlnet_version() == 3
    assert not [title for title in library.controlnet_model_list() if not title.endswith("]")], "each has its hash"
    assert {"none", "canny", "openpose"} <= set(library.controlnet_module_list())
    control = webuiapi.ControlNetInterface(library, show_deprecation_warning=False)
    assert control.model_list() == library.controlnet_model_list()
    found = library.controlnet_detect([Image.new("RGB", (64, 96))], "canny", 64, 100, 200)
    assert [image.size for image in found.images] == [(64, 96)]


def test_no_method_of_webuiapi_is_left_out() -> None:
    """`async_post` wants aiohttp; the plumbing is called by all the others."""
    here = Path(__file__).read_text(encoding="utf-8")
    plumbing = {"async_post", "post_and_get_api_result", "get_endpoint", "check_extensions", "to_dict"}
    classes = [cls for _, cls in inspect.getmembers(webuiapi.webuiapi, inspect.isclass)]
    names = {name for cls in classes if cls.__module__ == "webuiapi.webuiapi" for name in vars(cls) if name[0] != "_"}
    methods = {name for name in names if any(inspect.isfunction(vars(cls).get(name)) for cls in classes)}
    assert len(methods) > 60
    assert not {name for name in methods - plumbing if f".{name}" not in here and f'"{name}"' not in here}


def test_sillytavern(client: httpx.Client) -> None:
    """Lists, sets a model, waits until nothing goes on, then asks for a picture with settings of its own."""
    assert client.get("options").json()["sd_model_checkpoint"]
    title = next(model["title"] for model in client.get("sd-models").json() if "other" in model["title"])
    assert client.post("options", json={"sd_model_checkpoint": title}).status_code == 200
    while True:
        progress = client.get("progress").json()
        if progress["progress"] == 0.0 and progress["state"]["job_count"] == 0:
            break
        time.sleep(0.05)
    answer = client.post(
        "txt2img",
        json={
            "prompt": "a red apple", "negative_prompt": "", "sampler_name": "Euler a", "scheduler": "karras",
            "steps": 2, "cfg_scale": 7, "width": 64, "height": 64, "restore_faces": False, "enable_hr": False,
            "hr_upscaler": "Latent", "hr_scale": 2, "hr_additional_modules": [], "denoising_strength": 0.7,
            "hr_second_pass_steps": 0, "seed": 3, "override_settings": {"CLIP_stop_at_last_layers": 1},
            "override_settings_restore_afterwards": True, "clip_skip": 1, "save_images": True, "send_images": True,
            "do_not_save_grid": False, "do_not_save_samples": False,
        },
    )  # fmt: skip
    assert "Schedule type: Karras" in json.loads(answer.json()["info"])["infotexts"][0]
    assert "Model: other" in json.loads(answer.json()["info"])["infotexts"][0]


def test_open_webui(client: httpx.Client) -> None:
    """Posts the whole dump back with another model."""
    options = client.get("options").json()
    title = next(model["title"] for model in client.get("sd-models").json() if "tiny" in model["title"])
    assert client.post("options", json={**options, "sd_model_checkpoint": title}).status_code == 200
    assert client.get("options").json()["sd_model_checkpoint"] == title
    body = {"prompt": "a red apple", "batch_size": 2, "width": 64, "height": 64, "steps": 2, "negative_prompt": "x"}
    images = client.post("txt2img", json=body).json()["images"]
    assert [opened(image).size for image in images] == [(64, 64)] * 2


def test_the_photoshop_plugin(client: httpx.Client) -> None:
    """Asks what each picture says of itself, by data: URLs, and splits its last line at commas."""
    assert client.post("options", json={"inpainting_mask_weight": 1.0}).status_code == 200
    answer = client.post(
        "img2img",
        json={
            "init_images": [f"data:image/png;base64,{encoded()}"], "mask": encoded("white"), "prompt": "a blue apple",
            "steps": 4, "width": 64, "height": 64, "denoising_strength": 0.75, "sampler_index": "Euler a",
            "inpaint_full_res": True, "inpaint_full_res_padding": 32, "inpainting_fill": 1, "mask_blur": 4,
            "inpainting_mask_invert": False, "cfg_scale": 7, "seed": 8, "alwayson_scripts": {}, "script_args": [],
            "restore_faces": False, "include_init_images": False,
        },
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    for image in answer.json()["images"]:
        info = client.post("png-info", json={"image": f"data:image/png;base64,{image}"}).json()["info"]
        last = dict(part.split(":", 1) for part in info.split("\n")[-1].split(","))
        assert last[" Seed"] == " 8"


def test_the_krita_plugin(client: httpx.Client) -> None:
    """Asks whether the server is there, reads every list at its start, and draws the picture as it comes."""
    there = client.get(str(client.base_url.join("/queue/status")))
    assert (there.status_code, there.json()["msg"]) == (200, "estimation")
    for path in (
        "options", "sd-models", "sd-vae", "samplers", "upscalers", "scripts", "prompt-styles", "embeddings",
        "hypernetworks", "loras", "face-restorers",
    ):  # fmt: skip
        assert client.get(path).status_code == 200, path
    body = {
        "prompt": "a red apple", "negative_prompt": "", "sampler_name": "Euler a", "steps": 2, "cfg_scale": 7.0,
        "width": 64, "height": 64, "batch_size": 1, "n_iter": 1, "seed": -1, "enable_hr": False, "tiling": False,
        "hr_upscaler": "Latent", "hr_scale": 1.0, "hr_resize_x": 64, "hr_resize_y": 64, "restore_faces": False,
        "override_settings": {"sd_vae": "Automatic", "CLIP_stop_at_last_layers": 1},
        "override_settings_restore_afterwards": False, "alwayson_scripts": {}, "include_init_images": False,
        "firstphase_height": 0, "firstphase_width": 0, "save_images": False, "styles": [], "subseed": -1,
        "subseed_strength": 0, "denoising_strength": 1.0,
    }  # fmt: skip
    answer = client.post("txt2img", json=body)
    assert answer.status_code == 200, answer.text
    assert opened(answer.json()["images"][0]).size == (64, 64)
    assert client.get("progress", params={"skip_current_image": True}).json()["current_image"] is None


SMALL = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 1, "seed": 3}


def remarks(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    found: list[str] = json.loads(answer.json()["info"])["comments"]
    return found


@pytest.mark.parametrize(
    "scripts",
    [
        {"reactor": {"args": ["iVBORw0KGgo=", False, "0"]}},
        {"Latent Couple extension": {"args": [False, "1:1,1:2", "0:0"]}, "AnimateDiff": {"args": [{"enable": False}]}},
        {"Some Extension": {"args": ["", None, 0, [], {}]}, "Another": {}, "A third": None},
    ],
)
def test_scripts_that_are_switched_off_are_passed_over_with_a_remark(client: httpx.Client, scripts: Any) -> None:
    """Plugins send the values of every extension that they know, also of those that their user has not switched on."""
    found = remarks(client.post("txt2img", json={**SMALL, "alwayson_scripts": scripts}))
    assert len(found) == len(scripts)
    assert all(name in remark for name, remark in zip(scripts, found, strict=True))


@pytest.mark.parametrize(
    "scripts",
    [
        {"reactor": {"args": ["iVBORw0KGgo=", True, "0"]}},
        {"Some Extension": {"args": [0.5]}},
    ],
)
def test_scripts_that_are_switched_on_and_not_here_are_refused(client: httpx.Client, scripts: Any) -> None:
    answer = client.post("txt2img", json={**SMALL, "alwayson_scripts": scripts})
    assert (answer.status_code, answer.json()["detail"]) == (422, f"always on script {next(iter(scripts))} not found")


def test_numbers_as_sliders_of_other_programs_give_them(client: httpx.Client) -> None:
    """A plugin halves the steps for its second pass, multiplies sizes, and leaves what it does not use at 0."""
    body = {
        **SMALL, "width": 64.5, "hr_second_pass_steps": 7.5, "hr_scale": 0, "seed": -5, "prompt": 123, "cfg_scale": -1,
        "denoising_strength": 0.4, "styles": [""], "distilled_cfg_scale": 3.5,
        "override_settings": {"CLIP_stop_at_last_layers": 0, "samples_format": "jpeg", "sd_vae": None},
    }  # fmt: skip
    answer = client.post("txt2img", json=body)
    told = "\n".join(remarks(answer))
    for name in ("width", "hr_second_pass_steps", "hr_scale", "seed", "prompt", "CLIP_stop_at_last_layers"):
        assert name in told
    assert "style" not in told
    info = json.loads(answer.json()["info"])
    assert (info["denoising_strength"], info["cfg_scale"], info["prompt"]) == (0.4, -1, "123")
    assert "CFG scale: -1.0" in info["infotexts"][0]
    assert opened(answer.json()["images"][0]).format == "JPEG"
    body = {**SMALL, "init_images": encoded(), "mask": encoded("white"), "mask_blur": 4.5, "denoising_strength": 1.5}
    assert len(remarks(client.post("img2img", json=body))) == 2


def test_unipc_makes_pictures_in_fewer_steps_than_its_order(client: httpx.Client) -> None:
    for body in ({"steps": 1}, {"steps": 2}):
        found = remarks(client.post("txt2img", json={**SMALL, "sampler_name": "UniPC", **body}))
        assert any("UniPC" in remark for remark in found)
    body = {**SMALL, "sampler_name": "UniPC", "steps": 4, "denoising_strength": 0.3, "init_images": [encoded()]}
    assert any("UniPC" in remark for remark in remarks(client.post("img2img", json=body)))
    assert remarks(client.post("txt2img", json={**SMALL, "sampler_name": "UniPC", "steps": 3})) == []


def test_who_interrupts_gets_the_picture_as_it_is_then(client: httpx.Client) -> None:
    """Krita's and Photoshop's plugins show it; A1111 saves none of these."""
    for save in (False, True):
        body = {**SMALL, "steps": 1000, "save_images": save}
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(client.post, "txt2img", json=body)
            while client.get("progress").json()["state"]["sampling_step"] < 2:
                assert not asking.done(), asking.result().text
                time.sleep(0.05)
            assert client.post("interrupt").json() == {}
            answer = asking.result(PATIENCE)
        assert "halfway" in "\n".join(remarks(answer))
        (image,) = answer.json()["images"]
        assert opened(image).size == (64, 64)
        assert opened(image).info["parameters"] == json.loads(answer.json()["info"])["infotexts"][0]


def test_refusals_have_a1111s_shapes(client: httpx.Client) -> None:
    answer = client.post("img2img", json=SMALL)
    assert (answer.status_code, answer.json()["detail"]) == (404, "Init image not found")
    answer = client.post("txt2img", json={**SMALL, "steps": "many"})
    (complaint,) = answer.json()["detail"]
    assert (answer.status_code, complaint["loc"]) == (422, ["body", "steps"])
    assert "many" in complaint["msg"]
    json_type = {"content-type": "application/json"}
    for content, word in (
        (b"prompt=a red apple", "not valid JSON"),
        (b"", "empty"),
        (b"[1]", "list"),
        (b"\xff", "UTF-8"),
    ):
        answer = client.post("txt2img", content=content, headers=json_type)
        assert answer.status_code in (400, 422)
        assert word in str(answer.json()["detail"])


def test_sizes_are_cut_down_to_eighths_and_a_mask_may_have_any_size(client: httpx.Client) -> None:
    """As A1111 does, whose clients rely on it."""
    body = {"prompt": "x", "steps": 1, "width": 70, "height": 79, "seed": 4}
    answer = client.post("txt2img", json=body).json()
    assert opened(answer["images"][0]).size == (64, 72)
    assert "Size: 70x79" in json.loads(answer["info"])["infotexts"][0]
    buffer = io.BytesIO()
    Image.new("L", (31, 17), 255).save(buffer, "PNG")
    mask = base64.b64encode(buffer.getvalue()).decode()
    body |= {"init_images": [encoded()], "mask": mask, "inpainting_fill": 1, "inpaint_full_res": False}
    answer = client.post("img2img", json=body)
    assert answer.status_code == 200, answer.text
    assert opened(answer.json()["images"][0]).size == (64, 72)


def test_extra_networks_can_be_left_out(client: httpx.Client) -> None:
    body = {"prompt": "a red apple <lora:none such:1>", "steps": 1, "width": 64, "height": 64, "seed": 4}
    known = json.loads(client.post("txt2img", json=body).json()["info"])
    left_out = json.loads(client.post("txt2img", json=body | {"disable_extra_networks": True}).json()["info"])
    assert any("none such" in comment for comment in known["comments"])
    assert left_out["comments"] == []
    assert "<lora:none such:1>" in left_out["infotexts"][0]


@pytest.mark.long
def test_fifty_clients_are_all_answered_and_lists_do_not_wait(server: RunningServer) -> None:
    """Fifty clients ask for pictures at once; meanwhile every list answers."""
    limits = httpx.Limits(max_connections=60)
    with httpx.Client(base_url=f"{server.url}sdapi/v1/", timeout=PATIENCE, limits=limits) as client:

        def ask(seed: int) -> int:
            body = {"prompt": "x", "steps": 1, "width": 64, "height": 64, "seed": seed}
            return int(json.loads(client.post("txt2img", json=body).json()["info"])["seed"])

        with ThreadPoolExecutor(50) as pool:
            asking = [pool.submit(ask, seed) for seed in range(50)]
            while not all(call.done() for call in asking):
                for path in ("samplers", "options", "sd-models", "progress"):
                    assert client.get(path).status_code == 200
                time.sleep(0.2)
        assert [call.result() for call in asking] == list(range(50))

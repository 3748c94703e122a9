"""txt2img and img2img as clients of A1111 know them: what they may send, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.requests import Request

from tests.api.conftest import Api
from tests.conftest import until
from webui.request.fields import Txt2Img
from webui.request.messages import ExtraPicture, Run
from webui.request.plan import Picture
from webui.server.api.generate import ended

SMALL = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 2, "seed": 5}


def picture(size: tuple[int, int] = (64, 64), colour: str = "red") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def asked(api: Api, path: str = "txt2img", **body: Any) -> dict[str, Any]:
    answer = api.client.post(f"/sdapi/v1/{path}", json={**SMALL, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def planned(api: Api) -> Picture:
    """The first picture of the last job as the engine got it."""
    return [command for command in api.engine.sent if isinstance(command, Run)][-1].plan.batches[0][0]


def test_pictures_come_as_plain_base64_with_their_infotext(standing: Api) -> None:
    answer = asked(standing, n_iter=2)
    assert len(answer["images"]) == 2
    info = json.loads(answer["info"])
    for text, encoded in zip(info["infotexts"], answer["images"], strict=True):
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            assert image.format == "PNG"
            assert image.info["parameters"] == text
    assert info["all_seeds"] == [5, 6]
    assert info["all_prompts"] == ["a red apple"] * 2
    assert (info["seed"], info["sampler_name"], info["steps"]) == (5, "Euler", 2)
    assert answer["parameters"]["prompt"] == "a red apple"


def test_defaults_are_those_of_the_api_not_of_the_form(standing: Api) -> None:
    answer = standing.client.post("/sdapi/v1/txt2img", json={})
    assert answer.status_code == 200
    request = planned(standing).request
    assert (request.steps, request.sampler_name, request.seed_resize_from_w) == (50, "Euler", -1)
    asked(standing, "img2img", init_images=[picture()])
    request = planned(standing).request
    assert request.is_img2img
    assert (request.inpaint_full_res, request.inpainting_fill, request.inpaint_full_res_padding) == (True, 0, 0)  # type: ignore[union-attr]


def test_null_means_default_and_unknown_fields_are_passed_over(standing: Api) -> None:
    asked(
        standing,
        sampler_name=None,
        scheduler=None,
        styles=None,
        override_settings=None,
        cfg_scale=None,
        refiner_checkpoint=None,
        firstphase_width=0,
        do_not_save_samples=True,
        do_not_save_grid=None,
        firstpass_image=None,
        tiling=None,
        batch_size=None,
        alwayson_scripts=None,
        something_new={"a": 1},
    )
    assert (planned(standing).request.cfg_scale, planned(standing).request.batch_size) == (7.0, 1)


@pytest.mark.parametrize(
    ("body", "sampler", "schedule"),
    [
        ({"sampler_name": "Euler a"}, "Euler a", "Automatic"),
        ({"sampler_index": "Heun"}, "Heun", "Automatic"),
        ({"sampler_name": "DDIM", "sampler_index": "Heun"}, "DDIM", "Automatic"),
        ({"sampler_name": "DPM++ 2M Karras"}, "DPM++ 2M", "Karras"),
        ({"sampler_name": "DPM++ 2M Karras", "scheduler": "Exponential"}, "DPM++ 2M", "Karras"),
        ({"sampler_name": "k_dpmpp_2m", "scheduler": "sgm_uniform"}, "DPM++ 2M", "SGM Uniform"),
    ],
)
def test_samplers_by_all_their_names(standing: Api, body: dict[str, str], sampler: str, schedule: str) -> None:
    asked(standing, **body)
    assert (planned(standing).request.sampler_name, planned(standing).request.scheduler) == (sampler, schedule)


def test_fields_that_are_settings_reach_the_picture(standing: Api) -> None:
    asked(
        standing,
        eta=0.5,
        s_churn=3,
        s_noise=1.1,
        s_tmax=1e30,
        tiling=True,
        restore_faces=True,
        override_settings={"CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "second", "no_such_setting": 1},
    )
    render = planned(standing).render
    assert (render.eta_ancestral, render.eta_ddim, render.s_churn, render.s_noise) == (0.5, 0.5, 3, 1.1)
    assert (render.tiling, render.clip_skip, render.face_restoration) == (True, 2, False)
    assert render.sd_model_checkpoint.startswith("second.safetensors [")
    assert standing.app.settings.current.render.clip_skip == 1


def test_the_answer_says_the_denoising_strength_that_was_sent(standing: Api) -> None:
    """A1111 does whatever it was for; programs read it back."""
    assert json.loads(asked(standing, denoising_strength=0.4)["info"])["denoising_strength"] == 0.4


def test_the_old_fields_for_the_first_pass(standing: Api) -> None:
    asked(standing, enable_hr=True, width=192, height=192, firstphase_width=128, firstphase_height=96)
    request = planned(standing).request
    assert (request.width, request.height) == (128, 96)
    assert request.hr_upscaler == ""  # type: ignore[union-attr]


def test_override_settings_stay_if_that_is_asked_for(api: Api) -> None:
    asked(api, override_settings={"CLIP_stop_at_last_layers": 2}, override_settings_restore_afterwards=False)
    assert api.app.settings.current.render.clip_skip == 2


def test_names_that_a1111_passes_over_are_remarked_upon(standing: Api) -> None:
    overrides = {"sd_model_checkpoint": "second"}
    known = asked(standing, override_settings=overrides)
    overrides = {"sd_model_checkpoint": "none such", "sd_vae": "no vae.pt"}
    answer = asked(standing, override_settings=overrides, styles=["no style"], scheduler="Karos")
    assert json.loads(known["info"])["comments"] == []
    info = json.loads(answer["info"])
    assert info["sd_model_name"] == "second"  # the one that is in use
    assert [
        any(name in remark for name in ("none such", "no vae", "no style", "Karos")) for remark in info["comments"]
    ] == [True] * 4
    request = planned(standing).request
    assert (request.override_settings["sd_vae"], request.scheduler) == ("None", "Automatic")


def test_an_infotext_fills_what_the_client_leaves_open(standing: Api) -> None:
    text = "a boat\nNegative prompt: rain\nSteps: 7, Sampler: Heun, CFG scale: 3.0, Seed: 9, Size: 64x64, Clip skip: 2"
    answer = standing.client.post("/sdapi/v1/txt2img", json={"infotext": text, "steps": 3})
    assert answer.status_code == 200, answer.text
    first = planned(standing)
    assert (first.request.prompt, first.request.negative_prompt, first.request.sampler_name) == (
        "a boat",
        "rain",
        "Heun",
    )
    assert (first.request.steps, first.seed, first.request.cfg_scale, first.render.clip_skip) == (3, 9, 3.0, 2)


def test_images_are_kept_only_when_that_is_asked_for(api: Api, tmp_path: Path) -> None:
    asked(api)
    outputs = tmp_path / "outputs"
    assert not list(tmp_path.rglob("*.png")), "not even where nobody looks"
    assert asked(api, save_images=True, send_images=False)["images"] == []
    assert len(list(outputs.rglob("*.png"))) == 1


def test_what_comes_with_a_picture_follows_it(api: Api) -> None:
    mask = base64.b64decode(picture())
    api.engine.extras = (ExtraPicture("mask", "png", mask),)
    images = asked(api, n_iter=2)["images"]
    assert len(images) == 4
    assert [base64.b64decode(image) == mask for image in images] == [False, True, False, True]
    assert not list((api.app.catalog.paths.state / "extra").iterdir())  # none was to be saved


def test_a_page_sees_what_comes_with_a_picture(api: Api) -> None:
    mask = base64.b64decode(picture())
    api.engine.extras = (ExtraPicture("mask", "png", mask),)
    asked(api, save_images=True)
    (saved,) = api.app.catalog.pictures.newest()
    (told,) = api.app.queue.job(saved.job_id).pictures[0].message["extras"]
    assert told["name"] == "0-mask.png"
    answer = api.client.get(f"/{told['url']}")
    assert (answer.content, answer.headers["content-type"]) == (mask, "image/png")
    assert api.client.get(f"/internal/pictures/{saved.id}/extra/none.png").status_code == 404


def test_img2img_takes_base64_and_data_urls(standing: Api) -> None:
    plain, url = picture(), f"data:image/png;base64,{picture(colour='blue')}"
    answer = asked(standing, "img2img", init_images=[plain, url], mask=picture(colour="white"), mask_blur=9)
    assert answer["parameters"]["init_images"] is None
    request = planned(standing).request
    assert (request.mask_blur_x, request.mask_blur_y) == (9, 9)  # type: ignore[union-attr]
    answer = asked(standing, "img2img", init_images=[plain], include_init_images=True)
    assert answer["parameters"]["init_images"] == [plain]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("txt2img", {"sampler_name": "Eulr"}, 404, "Sampler not found"),
        ("txt2img", {"sampler_index": "Eulr"}, 404, "Sampler not found"),
        ("txt2img", {"enable_hr": True, "hr_checkpoint_name": "none such"}, 404, "none such"),
        ("txt2img", {"enable_hr": True, "hr_upscaler": "R-ESRGAN 5x"}, 404, "R-ESRGAN 5x"),
        ("txt2img", {"steps": 0}, 422, "steps"),
        ("txt2img", {"steps": "many"}, 422, "steps"),
        ("txt2img", {"width": -8}, 422, "width"),
        ("txt2img", {"height": 10**9}, 422, "height"),
        ("txt2img", {"batch_size": 512, "n_iter": 1000}, 422, "512,000"),
        ("txt2img", {"prompt": "x" * 1_000_000}, 422, "prompt"),
        ("txt2img", {"seed": 2**70}, 422, "seed"),
        ("txt2img", {"script_name": "x/y/z plots"}, 422, "not found"),
        ("txt2img", {"alwayson_scripts": {"Some Extension": {"args": [{"model": "canny"}]}}}, 422, "not found"),
        ("img2img", {}, 404, "Init image not found"),
        ("img2img", {"init_images": []}, 404, "Init image not found"),
        ("img2img", {"init_images": ["!!"]}, 422, "base64"),
        ("img2img", {"init_images": [base64.b64encode(b"no picture").decode()]}, 422, "picture"),
        ("img2img", {"init_images": ["http://127.0.0.1/x.png"]}, 422, "base64"),
        ("img2img", {"init_images": [picture()], "mask": picture()[:40]}, 422, "picture"),
        ("img2img", {"init_images": [picture()], "denoising_strength": "much"}, 422, "denoising_strength"),
        ("img2img", {"init_images": "x"}, 422, "base64"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    standing: Api, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    before = list(standing.engine.jobs)
    answer = standing.client.post(f"/sdapi/v1/{path}", json={**SMALL, **body})
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert {"error", "detail", "body", "errors"} <= found.keys()
    assert words in str(found["detail"])
    assert standing.engine.jobs == before


def test_a_small_file_with_a_huge_picture_is_refused(standing: Api) -> None:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 8_000)).save(buffer, "PNG")
    body = {"init_images": [base64.b64encode(buffer.getvalue()).decode()], **SMALL}
    answer = standing.client.post("/sdapi/v1/img2img", json=body)
    assert answer.status_code == 422
    assert "10000x8000 pixels" in answer.json()["detail"]


def test_a_file_larger_than_the_settings_allow_is_refused(api: Api) -> None:
    assert api.client.post("/sdapi/v1/options", json={"most_upload_megabytes": 1}).status_code == 200
    padded = base64.b64encode(base64.b64decode(picture()) + bytes(2**20)).decode()
    for path, body in (
        ("img2img", {"init_images": [padded]}),
        ("img2img", {"init_images": [picture()], "mask": padded}),
        ("extra-single-image", {"image": padded}),
    ):
        answer = api.client.post(f"/sdapi/v1/{path}", json={**SMALL, **body})
        assert (answer.status_code, "1,048,576" in answer.json()["detail"]) == (422, True)
    huge = {"content-length": str(2**40), "content-type": "application/json"}
    for path in ("sdapi/v1/img2img", "api/v1/jobs"):
        answer = api.client.post(path, content=b"{}", headers=huge)
        assert (answer.status_code, "too large" in answer.json()["detail"]) == (413, True)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"cfg_scale": NaN}', b'{"cfg_scale": 1e999}', b"\xff"]
)
def test_bodies_that_are_none(standing: Api, content: bytes) -> None:
    answer = standing.client.post("/sdapi/v1/txt2img", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["detail"]


def test_a_failed_job_answers_with_its_reason(api: Api) -> None:
    api.engine.by_itself = False
    original = api.engine.send

    def send(command: Any) -> None:
        original(command)
        if isinstance(command, Run):
            api.engine.fail("The GPU has not enough memory.")

    api.engine.send = send  # type: ignore[method-assign]
    answer = api.client.post("/sdapi/v1/txt2img", json=SMALL)
    assert answer.status_code == 500
    assert "not enough memory" in answer.json()["detail"]


def test_png_info_reads_what_txt2img_wrote(standing: Api) -> None:
    answer = asked(standing)
    url = f"data:image/png;base64,{answer['images'][0]}"
    found = standing.client.post("/sdapi/v1/png-info", json={"image": url}).json()
    assert found["info"] == json.loads(answer["info"])["infotexts"][0]
    assert found["items"]["parameters"] == found["info"]
    assert found["parameters"]["Prompt"] == "a red apple"
    assert found["parameters"]["Seed"] == "5"
    assert standing.client.post("/sdapi/v1/png-info", json={"image": picture()}).json()["info"] == ""
    assert standing.client.post("/sdapi/v1/png-info", json={"image": ""}).status_code == 422


@pytest.mark.parametrize("busy", [True, False])
def test_a_client_that_hangs_up_gives_up_its_waiting_job(api: Api, busy: bool) -> None:
    """A job in work goes on, for its pictures are half made."""
    api.engine.by_itself = False
    queue = api.app.queue
    wanted = Txt2Img(prompt="x", width=64, height=64, steps=2)
    if busy:
        queue.submit(wanted, "another")
        until(lambda: api.engine.jobs, "the other's job")
    job_id = queue.submit(wanted, "~")
    if not busy:
        until(lambda: api.engine.jobs, "the job")

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def hangs_up() -> str:
        waiting = asyncio.create_task(ended(queue, job_id, Request({"type": "http"}, gone)))
        if not busy:
            await asyncio.sleep(0.05)
            await asyncio.to_thread(api.engine.paint, 1)
        return (await waiting).state

    assert asyncio.run(hangs_up()) == ("cancelled" if busy else "done")


@pytest.mark.parametrize("upscaler", ["Latent", "None", "Lanczos"])
@pytest.mark.parametrize("chosen", ["setting", "override"])
def test_a_vae_that_is_put_there_while_the_server_runs_is_named_with_its_hash(
    api: Api, upscaler: str, chosen: str
) -> None:
    content = f"a VAE, never opened {upscaler}".encode()
    folder = api.app.paths.vaes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "new.safetensors").write_bytes(content)
    assert api.client.post("/sdapi/v1/refresh-vae").status_code == 200
    body = {**SMALL, "enable_hr": True, "hr_upscaler": upscaler, "hr_scale": 1.5}
    if chosen == "setting":
        assert api.client.post("/sdapi/v1/options", json={"sd_vae": "new.safetensors"}).status_code == 200
    else:
        body["override_settings"] = {"sd_vae": "new.safetensors"}
    assert api.client.post("/sdapi/v1/txt2img", json=body).status_code == 200
    assert api.app.catalog.checkpoints.hashing.wait(60)
    made = json.loads(api.client.post("/sdapi/v1/txt2img", json=body).json()["info"])
    assert made["sd_vae_hash"] == hashlib.sha256(content).hexdigest()[:10]
    assert f"VAE hash: {made['sd_vae_hash']}, VAE: new.safetensors" in made["infotexts"][0]


def test_wildcards_are_filled_in_and_all_their_combinations_can_be_made(api: Api) -> None:
    folder = api.app.paths.models / "wildcards"
    folder.mkdir(parents=True)
    (folder / "beast.txt").write_text("cat\ndog\n")
    body = {"prompt": "a {red|green} __beast__ __none__", "seed": 3, "steps": 1, "width": 64, "height": 64}
    info = json.loads(api.client.post("/sdapi/v1/txt2img", json={**body, "n_iter": 4}).json()["info"])
    assert len(set(info["all_prompts"])) > 1
    for text, prompt in zip(info["infotexts"], info["all_prompts"], strict=True):
        assert text.startswith(f"{prompt}\n") and "{" not in prompt and "__beast__" not in prompt
        assert "Template: a {red|green} __beast__ __none__" in text
    script = {"script_name": "Dynamic prompts: all combinations", "script_args": []}
    info = json.loads(api.client.post("/sdapi/v1/txt2img", json={**body, **script}).json()["info"])
    assert [text.split("\n")[0] for text in info["infotexts"]] == [
        f"a {colour} {beast} __none__" for colour in ("red", "green") for beast in ("cat", "dog")
    ]
    assert all("Template: a {red|green} __beast__ __none__" in text for text in info["infotexts"])

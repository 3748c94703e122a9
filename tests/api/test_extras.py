"""Extras over HTTP, and what becomes of their pictures on disk."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from tests.api.conftest import Api
from tests.packaged import have
from webui.catalog.image_files import read_infotext
from webui.jobs.extras.request import Extras, ExtrasPlan
from webui.request.fields import Img2Img
from webui.request.messages import Run
from webui.server.api.extras import _done

TEXT = "a red apple\nSteps: 20, Sampler: Euler a, CFG scale: 7.0, Seed: 77, Size: 8x8, Model: emoji"


def picture() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", TEXT)
    info.add_text("Author", "somebody")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


ENCODED = base64.b64encode(picture()).decode()


def asked(api: Api) -> Extras:
    """What the engine was told last."""
    run = next(command for command in reversed(api.engine.sent) if isinstance(command, Run))
    request = run.plan.batches[0][0].request
    assert isinstance(request, Extras)
    return request


def test_one_picture_with_a1111_s_defaults(api: Api) -> None:
    body = {"image": f"data:image/png;base64,{ENCODED}", "upscaler_1": "lanczos", "gfpgan_visibility": None}
    answer = api.client.post("/sdapi/v1/extra-single-image", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"html_info", "image"}
    made = read_infotext(base64.b64decode(answer.json()["image"]))
    assert made[0] == TEXT, "what the picture said of itself stays"
    assert made[1]["Author"] == "somebody"
    request = asked(api)
    assert (request.resize_mode, request.upscaling_resize, request.upscaling_crop) == (0, 2.0, True)
    assert not list(api.app.paths.outputs.rglob("*.png"))


def test_a_background_is_asked_to_be_removed(api: Api) -> None:
    body = {"image": ENCODED, "remove_background": True}
    assert api.client.post("/sdapi/v1/extra-single-image", json=body).status_code == 200
    assert asked(api).remove_background


def with_detector(api: Api) -> None:
    folder = api.app.paths.models / "adetailer"
    folder.mkdir(exist_ok=True)
    (folder / "mine.pt").write_bytes(b"\x80\x02}.")


def test_things_are_painted_anew_as_the_picture_was_made(api: Api) -> None:
    with_detector(api)
    wish = {"images": [ENCODED], "detail_model": "mine", "detail_prompt": "[PROMPT], shiny", "detail_strength": 0.7}
    job = api.client.post("/api/v1/jobs", json={"kind": "extras", "request": wish}).json()
    api.client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 60})
    plan = next(command for command in reversed(api.engine.sent) if isinstance(command, Run)).plan
    assert isinstance(plan, ExtrasPlan)
    (inner,) = plan.details.values()
    assert plan.model == inner.model, "so that the queue knows which checkpoint it needs"
    outer = inner.batches[0][0].request
    assert (outer.prompt, outer.steps, outer.sampler_name, outer.seed) == ("a red apple", 20, "Euler a", 77)
    asked = inner.inner[0].batches[0][0].request
    assert isinstance(asked, Img2Img)
    assert (asked.prompt, asked.denoising_strength, asked.width) == ("a red apple, shiny", 0.7, 512)


def test_a_picture_that_was_made_by_what_is_not_here_is_painted_all_the_same(api: Api) -> None:
    with_detector(api)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", TEXT.replace("Euler a", "Nobody's"))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG", pnginfo=info)
    wish = {"images": [base64.b64encode(buffer.getvalue()).decode()], "detail_model": "mine"}
    answer = api.client.post("/api/v1/jobs", json={"kind": "extras", "request": wish})
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    ("body", "removes"),
    [({}, True), ({"model": "isnet-anime", "alpha_matting": True}, True), ({"model": "None"}, False)],
)
def test_the_extension_rembg_s_route_removes_a_background(api: Api, body: dict[str, Any], removes: bool) -> None:
    answer = api.client.post("/rembg", json={"input_image": ENCODED, **body})
    assert answer.status_code == 200, answer.text
    made = Image.open(io.BytesIO(base64.b64decode(answer.json()["image"])))
    assert made.format == "PNG"
    assert asked(api).remove_background is removes
    mask = api.client.post("/rembg", json={"input_image": ENCODED, "return_mask": True, **body}).json()["image"]
    seen = Image.open(io.BytesIO(base64.b64decode(mask)))
    assert (seen.mode, seen.size) == ("L", made.size)


def test_the_route_of_rembg_names_a_picture_that_is_none(standing: Api) -> None:
    answer = standing.client.post("/rembg", json={"input_image": "!!"})
    assert (answer.status_code, answer.json()["field"]) == (422, "input_image")


def test_several_pictures_are_one_job(api: Api) -> None:
    pictures = [{"data": ENCODED, "name": f"{name}.png"} for name in "ab"]
    body = {"imageList": pictures, "resize_mode": 1, "upscaling_resize_w": 64, "upscaling_resize_h": 32}
    answer = api.client.post("/sdapi/v1/extra-batch-images", json=body)
    assert len(answer.json()["images"]) == 2
    assert len(asked(api).images) == 2


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"upscaler_1": "Lanzos"}, 404, "upscaler_1"),
        ({"upscaler_1": "Lanczos", "upscaler_2": "nobody's"}, 404, "upscaler_2"),
        ({"remove_background": True, "background_model": "nobody's"}, 404, "background_model"),
        ({"remove_background": True, "alpha_matting_erode_size": -1}, 422, ""),
        ({"image": "!!"}, 422, "image"),
        ({"image": "aGk="}, 422, "image"),
        ({"resize_mode": 2}, 422, ""),
        ({"upscaling_resize": -1}, 422, ""),
        ({"resize_mode": 1, "upscaling_resize_w": 60000, "upscaling_resize_h": 60000}, 422, "upscaling_resize_w"),
        ({"codeformer_visibility": 1}, 404, "codeformer_visibility"),
        ({"detail_model": "nobody's.pt"}, 404, "detail_model"),
    ],
)
def test_what_cannot_be_is_refused(standing: Api, body: dict[str, Any], status: int, field: str) -> None:
    answer = standing.client.post("/sdapi/v1/extra-single-image", json={"image": ENCODED, **body})
    assert (answer.status_code, answer.json().get("field", "")) == (status, field)
    assert answer.json()["detail"]


def test_one_that_is_like_a_missing_model_answers_and_the_response_says_so(api: Api) -> None:
    have("RealESRGAN_x4plus.safetensors")
    body = {"image": ENCODED, "upscaler_1": "R-ESRGAN 2x+", "remove_background": True, "background_model": "silueta"}
    said = api.client.post("/sdapi/v1/extra-single-image", json=body).json()["html_info"]
    assert "There is no R-ESRGAN 2x+ here, so R-ESRGAN 4x+" in said
    assert "There is no silueta here, so u2netp" in said


def test_model_files_are_listed_by_the_names_that_people_know(api: Api) -> None:
    for name in ("ESRGAN/4x-Sharp.pth", "RealESRGAN/RealESRGAN_x2plus.pth"):
        path = api.app.paths.models / name
        path.parent.mkdir()
        path.write_bytes(b"never opened")
    listed = {entry["name"]: entry for entry in api.client.get("/sdapi/v1/upscalers").json()}
    own = ["None", "Lanczos", "Nearest", "4x-Sharp", "R-ESRGAN 2x+"]
    assert list(listed)[: len(own)] == own, "before those that come in packages"
    assert Path(listed["4x-Sharp"]["model_path"]).name == "4x-Sharp.pth"
    assert [entry["name"] for entry in api.client.get("/sdapi/v1/realesrgan-models").json()][:1] == ["R-ESRGAN 2x+"]
    assert api.app.catalog.upscaler("realesrgan_x2plus").name == "R-ESRGAN 2x+"


def test_a_job_of_our_own_api_is_kept_like_the_page_s(api: Api) -> None:
    wish = {"images": [ENCODED, ENCODED], "names": ["apple", "apple"], "upscaler_1": "Nearest"}
    job = api.client.post("/api/v1/jobs", json={"kind": "extras", "request": wish}).json()
    done = api.client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 60}).json()
    assert (done["state"], done["prompt"]) == ("done", "Nearest by 4, 2 pictures")
    folder = api.app.paths.outputs / "extras-images"
    assert sorted(path.name for path in folder.iterdir()) == ["apple-1.png", "apple.png"]
    found = api.client.get("/api/v1/history/pictures", params={"kind": "extras"}).json()["pictures"]
    assert [(one["seed"], one["model"], one["sampler"]) for one in found] == [(77, "emoji", "Euler a")] * 2
    again = api.client.post(f"/api/v1/jobs/{job['id']}/again", json={"changes": {"names": []}}).json()
    api.client.get(f"/api/v1/jobs/{again['id']}", params={"wait": 60})
    assert "00000.png" in {path.name for path in folder.iterdir()}


def test_the_answer_says_what_a_detailer_was_asked_to_do() -> None:
    done = "Postprocess detailer: face, Postprocess detailer prompt: x, Postprocess detailer strength: 0.4"
    assert _done(f"a cat\nSteps: 3, {done}") == done
    assert _done("a cat\nSteps: 3") == ""

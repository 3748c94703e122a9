"""Lists, settings, progress: what clients ask before and while they generate."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests.api.conftest import Api, opened
from tests.api.test_generate import picture
from tests.conftest import until
from webui.request.messages import Interrupt, Skip, Unload


def test_samplers_and_schedulers_are_said_as_a1111_says_them(standing: Api) -> None:
    samplers = {entry["name"]: entry for entry in standing.client.get("/sdapi/v1/samplers").json()}
    assert samplers["DPM++ 3M SDE"] == {
        "name": "DPM++ 3M SDE",
        "aliases": ["k_dpmpp_3m_sde"],
        "options": {"scheduler": "exponential", "discard_next_to_last_sigma": "True", "brownian_noise": "True"},
    }
    assert samplers["DPM++ 2M SDE Heun"]["options"]["solver_type"] == "heun"
    assert samplers["DPM++ 2S a"]["options"] == {"scheduler": "karras", "uses_ensd": "True", "second_order": "True"}
    schedulers = {entry["label"]: entry for entry in standing.client.get("/sdapi/v1/schedulers").json()}
    assert schedulers["Karras"] == {
        "name": "karras",
        "label": "Karras",
        "aliases": None,
        "default_rho": 7.0,
        "need_inner_model": False,
    }
    assert schedulers["SGM Uniform"]["aliases"] == ["SGMUniform"]
    assert schedulers["Automatic"]["default_rho"] == -1.0


def test_models_have_the_title_that_the_setting_takes(api: Api) -> None:
    first, second = api.client.get("/sdapi/v1/sd-models").json()
    assert first["title"] == f"first.safetensors [{first['sha256'][:10]}]"
    assert (first["model_name"], first["hash"], first["config"]) == ("first", first["sha256"][:10], None)
    assert api.client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "second"}).json() is None
    assert api.client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == second["title"]


def test_the_whole_dump_of_the_options_is_accepted_back(api: Api) -> None:
    dump = api.client.get("/sdapi/v1/options").json()
    dump |= {"sd_model_checkpoint": dump["sd_model_checkpoint"], "unknown": 1, "CLIP_stop_at_last_layers": 2}
    assert api.client.post("/sdapi/v1/options", json=dump).status_code == 200
    assert api.client.get("/sdapi/v1/options").json()["CLIP_stop_at_last_layers"] == 2


@pytest.mark.parametrize(
    ("values", "status"),
    [({"sd_model_checkpoint": "none"}, 404), ({"sd_vae": ["x"]}, 422), ({"samples_format": "bmp"}, 422)],
)
def test_options_that_do_not_fit_change_nothing(standing: Api, values: dict[str, object], status: int) -> None:
    before = standing.client.get("/sdapi/v1/options").json()
    answer = standing.client.post("/sdapi/v1/options", json=values)
    assert answer.status_code == status, answer.text
    assert standing.client.get("/sdapi/v1/options").json() == before


@pytest.mark.parametrize(
    "path",
    [
        "upscalers", "latent-upscale-modes", "sd-vae", "sd-modules", "hypernetworks", "face-restorers", "loras",
        "realesrgan-models", "prompt-styles", "embeddings", "scripts", "script-info", "extensions", "memory",
        "cmd-flags", "progress",
    ],
)  # fmt: skip
def test_every_list_answers(standing: Api, path: str) -> None:
    assert standing.client.get(f"/sdapi/v1/{path}").status_code == 200


def test_flags_do_not_tell_passwords(standing: Api) -> None:
    flags = standing.client.get("/sdapi/v1/cmd-flags").json()
    assert flags["nowebui"] is True
    assert flags["opt_sdp_no_mem_attention"] == flags["opt_sdp_attention"], "by all their names"
    assert not {"gradio_auth", "api_auth"} & flags.keys()


def test_refreshing_finds_new_files(api: Api) -> None:
    (api.app.paths.checkpoints / "third.safetensors").write_bytes(b"new")
    assert len(api.client.get("/sdapi/v1/sd-models").json()) == 2
    for path in ("refresh-checkpoints", "refresh-vae", "refresh-loras", "refresh-embeddings"):
        assert api.client.post(f"/sdapi/v1/{path}").json() is None
    assert len(api.client.get("/sdapi/v1/sd-models").json()) == 3


def test_networks_are_listed_with_what_their_headers_tell(api: Api) -> None:
    write_tensors(api.app.paths.loras / "style" / "ink.safetensors", {"x": [2, 2]}, ss_output_name="Ink drawing")
    write_tensors(api.app.paths.embeddings[0] / "bad-hands.safetensors", {"emb_params": [8, 768]})
    (api.app.paths.loras / "broken.safetensors").write_bytes(b"no header")
    (api.app.paths.embeddings[0] / "old.pt").write_bytes(b"never opened")
    (api.app.paths.hypernetworks).mkdir(parents=True, exist_ok=True)
    (api.app.paths.hypernetworks / "anime.pt").write_bytes(b"never opened")
    assert api.client.post("/sdapi/v1/refresh-loras").json() is None
    loras = {entry["name"]: entry for entry in api.client.get("/sdapi/v1/loras").json()}
    assert loras.keys() == {"ink", "broken"}
    assert (loras["ink"]["alias"], loras["ink"]["metadata"]["ss_output_name"]) == ("Ink drawing", "Ink drawing")
    unpacked = api.client.get("/sdapi/v1/loras", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in unpacked.headers
    assert unpacked.json() == list(loras.values())
    embeddings = api.client.get("/sdapi/v1/embeddings").json()["loaded"]
    assert (embeddings["bad-hands"]["vectors"], embeddings["bad-hands"]["shape"]) == (8, 768)
    assert embeddings["old"]["vectors"] is None
    write_tensors(api.app.paths.embeddings[0] / "bad-hands.safetensors", {"emb_params": [16, 768]})
    assert api.client.get("/sdapi/v1/embeddings").json()["loaded"]["bad-hands"]["vectors"] == 16, "another file now"
    write_tensors(api.app.paths.loras / "style" / "ink.safetensors", {"x": [2, 4]}, ss_output_name="Washed ink")
    assert api.client.get("/sdapi/v1/loras").json() == list(loras.values()), "as they were at the last look"
    api.client.post("/sdapi/v1/refresh-loras")
    assert "Washed ink" in [entry["alias"] for entry in api.client.get("/sdapi/v1/loras").json()]
    assert [entry["name"] for entry in api.client.get("/sdapi/v1/hypernetworks").json()] == ["anime"]


def write_tensors(path: Path, shapes: dict[str, list[int]], **metadata: str) -> None:
    """A safetensors file of zeros."""
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * shape[0] * shape[1]
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def test_unloading_reaches_the_engine(standing: Api) -> None:
    assert standing.client.post("/sdapi/v1/unload-checkpoint").json() == {}
    assert Unload() in standing.engine.sent
    assert standing.client.post("/sdapi/v1/reload-checkpoint").json() == {}


def test_the_server_is_not_stopped_by_strangers(standing: Api) -> None:
    for path in ("server-stop", "server-kill", "server-restart"):
        answer = standing.client.post(f"/sdapi/v1/{path}")
        assert (answer.status_code, "--api-server-stop" in answer.json()["detail"]) == (404, True)


def test_the_server_is_stopped_where_a_flag_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    killed = threading.Event()
    with opened(tmp_path, "--api-server-stop") as api:
        api.app.stoppable(lambda: ended.append("stopped"))
        monkeypatch.setattr("os._exit", lambda _status: killed.set())
        assert api.client.post("/sdapi/v1/server-stop").json() == "Stopping."
        assert ended == ["stopped"]
        assert api.client.post("/sdapi/v1/server-kill").status_code == 200
        assert killed.wait(60)


ROADS_TO_A_RESTART = ("/sdapi/v1/server-restart", "/internal/restart")


def test_a_server_that_nobody_would_start_again_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a launcher, and with one that has ended meanwhile."""
    monkeypatch.delenv("GESSO_RESTART_FILE", raising=False)
    with opened(tmp_path, "--api-server-stop") as api:
        ended: list[str] = []
        api.app.stoppable(lambda: ended.append("stopped"))
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as launcher:
            gone = psutil.Process(launcher.pid)
        for launched in (False, True):
            monkeypatch.setattr(api.app, "_has_launcher", launched)
            monkeypatch.setattr(api.app, "_parent", gone)
            for road in ROADS_TO_A_RESTART:
                answer = api.client.post(road)
                assert answer.status_code == 501
                assert "cannot restart itself" in answer.json()["detail"]
        assert (ended, api.app.restart_asked) == ([], False)


@pytest.mark.parametrize("road", ROADS_TO_A_RESTART)
def test_a_launcher_is_asked_to_start_the_server_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, road: str
) -> None:
    monkeypatch.setenv("GESSO_RESTART_FILE", str(tmp_path / "restart"))
    with opened(tmp_path, "--api-server-stop") as api:
        ended: list[str] = []
        api.app.stoppable(lambda: ended.append("stopped"))
        assert api.client.post(road).status_code == 200
        assert (ended, api.app.restart_asked) == (["stopped"], True)


def test_a_report_of_a_fault_tells_no_password(tmp_path: Path) -> None:
    with opened(tmp_path, "--api-auth", "bot:hush-hush") as api:
        report = api.client.get("/internal/sysinfo")
        assert {"Platform", "Version", "RAM", "Packages", "Config", "Commandline"} <= report.json().keys()
        assert "hush-hush" not in report.text
        kept = api.client.get("/internal/sysinfo-download")
        assert "attachment" in kept.headers["content-disposition"]


def test_settings_by_their_titles(standing: Api) -> None:
    hints = standing.client.get("/internal/quicksettings-hint").json()
    assert {"name": "CLIP_stop_at_last_layers", "label": "Clip skip"} in hints


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("interrogate", {}, 404),
        ("interrogate", {"image": "aGk=", "model": "parrot"}, 404),
        ("interrogate", {"image": "!!"}, 422),
        ("interrogate", {"image": "aGk=", "model": "clip"}, 422),
        ("interrogate", {"image": picture(), "model": "clip"}, 501),
        ("interrogate", {"image": picture(), "model": "deepdanbooru"}, 501),
        ("extra-batch-images", {}, 422),
        ("create/embedding", {"name": "x"}, 501),
        ("create/hypernetwork", {"name": "x"}, 501),
        ("train/embedding", {}, 501),
        ("train/hypernetwork", {}, 501),
    ],
)
def test_what_is_not_served_says_so(standing: Api, path: str, body: dict[str, object], status: int) -> None:
    answer = standing.client.post(f"/sdapi/v1/{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_scripts_that_are_accepted_are_listed_with_their_values(standing: Api) -> None:
    assert "refiner" in standing.client.get("/sdapi/v1/scripts").json()["txt2img"]
    found = {
        (entry["name"], entry["is_img2img"]): entry for entry in standing.client.get("/sdapi/v1/script-info").json()
    }
    strength = found["seed", True]["args"][2]
    assert (strength["label"], strength["minimum"], strength["maximum"]) == ("Variation strength", 0, 1)


def test_answers_say_how_long_they_took(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path, "--api-log") as api, caplog.at_level("INFO"):
        assert float(api.client.get("/sdapi/v1/samplers").headers["x-process-time"]) >= 0
    assert "GET /sdapi/v1/samplers 200" in caplog.text


def test_progress_from_first_to_last(api: Api) -> None:
    api.engine.by_itself = False
    assert api.client.get("/sdapi/v1/progress").json()["state"]["job_count"] == 0
    body = {"prompt": "x", "steps": 2, "n_iter": 2, "force_task_id": "task(mine)"}
    answers: list[int] = []
    calling = threading.Thread(
        target=lambda: answers.append(api.client.post("/sdapi/v1/txt2img", json=body).status_code)
    )
    calling.start()
    until(lambda: api.engine.jobs, "the job")
    api.engine.step(0.25)
    found = until(
        lambda: (answer := api.client.get("/sdapi/v1/progress").json())["progress"] == 0.25 and answer, "progress"
    )
    assert found["state"]["job_count"] == 2
    assert (found["state"]["sampling_step"], found["state"]["sampling_steps"]) == (1, 10)
    assert (found["state"]["job"], found["state"]["job_no"], found["current_image"]) == ("task(mine)", 0, None)
    assert re.fullmatch(r"[0-9]{14}", found["state"]["job_timestamp"])
    assert not any(found["state"][name] for name in ("skipped", "interrupted", "stopping_generation"))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG")
    api.engine.preview(buffer.getvalue())
    found = until(
        lambda: (answer := api.client.get("/sdapi/v1/progress").json())["current_image"] and answer, "the preview"
    )
    assert base64.b64decode(found["current_image"]) == buffer.getvalue()
    assert api.client.get("/sdapi/v1/progress?skip_current_image=true").json()["current_image"] is None
    task = api.client.post("/internal/progress", json={"id_task": "task(mine)"}).json()
    assert (task["live_preview"], task["id_live_preview"]) == (f"data:image/jpeg;base64,{found['current_image']}", 1)
    task = api.client.post("/internal/progress", json={"id_task": "task(mine)"}).json()
    assert (task["active"], task["completed"], task["progress"]) == (True, False, 0.25)
    assert api.client.post("/internal/progress", json={"id_task": "task(other)"}).json()["active"] is False
    assert api.client.post("/sdapi/v1/skip").json() is None
    assert api.client.get("/sdapi/v1/progress").json()["state"]["skipped"] is True
    api.engine.paint(1)
    until(lambda: api.app.queue.running and api.app.queue.running.pictures, "the first picture")
    assert api.client.post("/sdapi/v1/interrupt").json() == {}
    assert [c.after_current for c in api.engine.sent if isinstance(c, Interrupt)] == [False]
    assert Skip(api.engine.jobs[0]) in api.engine.sent
    calling.join(60)
    assert answers == [200]
    assert api.client.get("/sdapi/v1/progress").json()["progress"] == 0
    assert api.client.post("/internal/progress", json={"id_task": "task(mine)"}).json()["completed"] is True


def test_the_documentation_shows_every_route_and_its_fields(standing: Api) -> None:
    schema = standing.client.get("/openapi.json").json()
    body = schema["components"]["schemas"]["Txt2ImgBody"]["properties"]
    assert body["steps"]["default"] == 50
    assert body["steps"]["minimum"] == 1
    assert body["cfg_scale"]["description"]
    assert not [path for path in schema["paths"] if path.startswith("/internal")]
    assert "HTTPValidationError" not in schema["components"]["schemas"], "no answer has that shape"
    refused = schema["paths"]["/sdapi/v1/txt2img"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert refused["$ref"].endswith("/ErrorAnswer")


def test_the_documentation_says_what_everything_means(standing: Api) -> None:
    """Every field, parameter and route; the numbers of a body have limits, the answers a shape."""
    schema = standing.client.get("/openapi.json").json()
    silent = []
    for name, model in schema["components"]["schemas"].items():
        asked = name.endswith("Body") or name in ("Txt2Img", "Img2Img", "Extras")
        silent += [] if model.get("description") else [name]
        for field, told in model.get("properties", {}).items():
            silent += [] if told.get("description") else [f"{name}.{field}"]
            numbers = [kind for kind in (told, *told.get("anyOf", ())) if kind.get("type") in ("integer", "number")]
            silent += [f"{name}.{field}: from where?" for kind in numbers if asked and "minimum" not in kind]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            silent += [] if route.get("description") else [f"{method} {path}"]
            silent += [f"{path}?{p['name']}" for p in route.get("parameters", ()) if not p.get("description")]
            silent += [] if route["responses"].keys() & {"200", "202"} else [f"{method} {path}: which answer?"]
    assert not silent
    assert schema["components"]["schemas"]["Txt2ImgBody"]["properties"]["sampler_name"]["default"] == ""
    page = standing.client.get("/docs").text
    assert all(f" {path}</code>" in page for path in schema["paths"])
    assert all(f'id="{name}"' in page for name in schema["components"]["schemas"])
    assert "at least 1, at most 10000</td><td><code>50</code>" in page, "steps, with limits and default"
    assert not re.search(r"(src|href)=.https?:", page), "it works without the internet"
    assert "openapi.json" in standing.client.get("/docs/try").text


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/sdapi/v1/nothing", 404, "no route /sdapi/v1/nothing"),
        ("GET", "/sdapi/v1/txt2img", 405, "takes POST, not GET"),
        ("DELETE", "/api/v1/jobs", 405, "takes GET, POST"),
        ("GET", "/controlnet/detect", 405, "takes POST, not GET"),
        ("GET", "/controlnet/nothing", 404, "no route /controlnet/nothing"),
        ("POST", "/reactor", 404, "ReActor is not available"),
        ("GET", "/", 404, "no such route"),
        ("PUT", "/internal/ping", 405, "no such route"),
    ],
)
def test_where_nothing_is_a_sentence_says_so(standing: Api, method: str, path: str, status: int, words: str) -> None:
    answer = standing.client.request(method, path)
    assert (answer.status_code, "allow" in answer.headers) == (status, status == 405)
    assert words in answer.json()["detail"]
    assert {"error", "detail", "body", "errors"} <= answer.json().keys()


def test_what_programs_ask_of_the_cards(api: Api) -> None:
    """A1111's routes; a file that is no model's picture is never given, whatever its path."""
    folder = api.app.paths.data / "models" / "Lora"
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    cover = json.dumps([base64.b64encode(buffer.getvalue()).decode(), "no picture"])
    header = json.dumps({"__metadata__": {"ssmd_cover_images": cover, "ss_output_name": "inside"}}).encode()
    (folder / "one.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (folder / "one.preview.png").write_bytes(buffer.getvalue())
    (folder / "other.png").write_bytes(buffer.getvalue())

    def asked(path: str, **query: Any) -> Any:
        return api.client.get(f"/sd_extra_networks/{path}", params=query)

    assert asked("thumb", filename=str(folder / "one.preview.png")).headers["content-type"] == "image/webp"
    secrets = ("/etc/passwd", str(folder / "other.png"), str(folder / "x" / ".." / "one.preview.png"), "", "\0")
    for secret in secrets:
        assert asked("thumb", filename=secret).status_code == 404
    assert json.loads(asked("metadata", page="lora", item="one").json()["metadata"])["ss_output_name"] == "inside"
    for page, item in (("lora", "none"), ("songs", "one"), ("", "")):
        assert asked("metadata", page=page, item=item).json() == {}
    found = asked("cover-images", page="Lora", item="one", index=0)
    assert (found.content, found.headers["content-type"]) == (buffer.getvalue(), "image/png")
    for index in (1, 2):
        assert asked("cover-images", page="lora", item="one", index=index).status_code == 404
    assert 'data-name="one"' in asked("get-single-card", page="lora", tabname="txt2img", name="one").json()["html"]
    assert asked("get-single-card", page="textual_inversion", name="one").status_code == 404

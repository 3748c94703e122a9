"""What may happen to people's work, with the real engine in its own process and the real server in another."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image
from websockets.sync.client import connect

from tests.conftest import PATIENCE, RunningServer, until
from tests.engine.detectors.published import save, tensors
from webui.base.paths import Paths
from webui.catalog.job_folders import JobFolders

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

Serving = Callable[..., RunningServer]
BATCH = {
    "prompt": "a (red:1.2) apple",
    "width": 64,
    "height": 64,
    "steps": 6,
    "seed": 11,
    "n_iter": 4,
    "save_images": True,
    "override_settings": {"return_grid": False},
}


def made(server: RunningServer, *, patience: float = PATIENCE, **body: Any) -> tuple[list[bytes], list[str]]:
    """Pixels and infotexts of what an API call answers."""
    with server.client() as client:
        answer = client.post("sdapi/v1/txt2img", json={**BATCH, **body}, timeout=patience)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    pixels = [Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB").tobytes() for text in found["images"]]
    return pixels, json.loads(found["info"])["infotexts"]


def saved(data: Path) -> list[Path]:
    """The pictures; sheets of them lie elsewhere."""
    return sorted((data / "outputs").glob("*-images/**/*.png"))


def test_an_engine_killed_at_any_moment_costs_nothing(server: RunningServer) -> None:
    """As often as GESSO_TEST_KILLS says: each new engine takes a few seconds."""
    kills = int(os.environ.get("GESSO_TEST_KILLS", "1"))
    moments = random.Random(kills)
    undisturbed = made(server, n_iter=12)
    before = saved(server.data)
    calls: list[Any] = []
    calling = threading.Thread(target=lambda: calls.append(made(server, patience=PATIENCE * kills, n_iter=12)))
    calling.start()
    victims = set()
    for number in range(kills):
        seen = len(before) + number * 11 // kills
        until(lambda seen=seen: len(saved(server.data)) > seen, "a picture since the last kill", server.process)
        time.sleep(moments.random() * 0.3)
        victim = server.engine()
        victims.add(victim.pid)
        victim.kill()
    calling.join()
    assert calls == [undisturbed]
    assert len(saved(server.data)) == len(before) + 12, "each picture once"
    assert server.engine().pid not in victims


@pytest.mark.long
def test_a_picture_is_not_lost_over_what_is_painted_within_it(server: RunningServer) -> None:
    """Two engines end over it; the third one gives the picture as it was before."""
    folder = server.data / "models" / "adetailer"
    folder.mkdir(exist_ok=True)
    save(folder / "mine.pt", tensors(seed=3))
    unit = {"ad_model": "mine.pt", "ad_mask_k": 9, "ad_use_steps": True, "ad_steps": 150, "ad_denoising_strength": 1}
    request = {name: value for name, value in BATCH.items() if name not in ("n_iter", "save_images")}
    with server.client() as client:

        def submitted(**more: object) -> str:
            body = {"kind": "txt2img", "request": {**request, **more}}
            answer = client.post("/api/v1/jobs", json=body)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

        def ended(job_id: str) -> tuple[bytes, list[str]]:
            job = until(lambda: (now := client.get(f"/api/v1/jobs/{job_id}").json())["finished"] and now, "the end")
            assert job["state"] == "done", job
            content = client.get(f"/api/v1/pictures/{job['pictures'][0]['id']}").content
            return Image.open(io.BytesIO(content)).convert("RGB").tobytes(), job["comments"]

        plain, _ = ended(submitted())
        job_id, reached = submitted(features={"ADetailer": [unit]}), 0
        points = JobFolders(Paths(data=server.data).jobs).points(job_id)
        for _ in range(2):
            until(lambda seen=reached: points.reached > seen, "a resume point", server.process)
            reached, engine = points.reached, server.engine()
            engine.kill()
            until(lambda e=engine: server.engine().pid != e.pid, "another engine", server.process)
        made, comments = ended(job_id)
    assert made == plain and any("the engine ended 2 times" in each for each in comments), comments


LOOPS = 3


def looping(server: RunningServer) -> str:
    """The id of a Loopback that has been submitted."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(stream, "PNG")
    request = {name: BATCH[name] for name in ("prompt", "width", "height", "seed")} | {
        "init_images": [base64.b64encode(stream.getvalue()).decode()],
        "steps": 20,  # so many that there is time to kill whoever makes them
        "denoising_strength": 0.9,
        "sampler_name": "Euler a",
        "script": "Loopback",
        "script_values": {"loops": LOOPS, "final_denoising_strength": 0.7},
    }
    with server.client() as client:
        answer = client.post("/api/v1/jobs", json={"kind": "img2img", "request": request})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def await_loop(server: RunningServer, job_id: str, number: int) -> None:
    """Until its picture of this number, from 0, is being denoised."""
    record = Paths(data=server.data).jobs / job_id / "flow.json"
    with server.client() as client:

        def is_there() -> bool:
            job = client.get(f"/api/v1/jobs/{job_id}").json()
            assert not job["finished"], "the job was over before anything could be killed"
            done = len(json.loads(record.read_bytes())) if record.exists() else 0
            return done == number and job["step"] > 0  # Of this picture: a request begins at step 0.

        until(is_there, f"picture {number} of the loop", server.process)


def looped(server: RunningServer, job_id: str) -> tuple[list[bytes], list[str]]:
    """Pixels and infotexts of the Loopback, when it is over."""
    with server.client() as client:
        job = until(
            lambda: (now := client.get(f"/api/v1/jobs/{job_id}").json())["finished"] and now,
            "the job's end",
            server.process,
        )
        assert job["state"] == "done", job
        contents = [client.get(f"/api/v1/pictures/{each['id']}").content for each in job["pictures"]]
    folder = Paths(data=server.data).jobs / job_id  # It goes when the row says so and the sheet is laid out.
    until(lambda: not folder.exists(), "the end of what it needed on the way", server.process)
    pixels = [Image.open(io.BytesIO(content)).convert("RGB").tobytes() for content in contents]
    return pixels, [each["infotext"] for each in job["pictures"]]


def test_a_loopback_makes_the_same_pictures_whatever_is_killed_at_any_step(
    server: RunningServer, serving: Serving
) -> None:
    """Its engine over the second picture; with GESSO_TEST_KILLS of several, engine and server over each of them."""
    undisturbed = looped(server, looping(server))
    assert len(undisturbed[0]) == len(set(undisturbed[0])) == LOOPS

    every = int(os.environ.get("GESSO_TEST_KILLS", "1")) > 1
    kills = [(number, what) for number in range(LOOPS) for what in ("engine", "server")]
    disturbed = serving("--nowebui") if every else server
    job_id = looping(disturbed)
    for number, what in kills if every else [(1, "engine")]:
        await_loop(disturbed, job_id, number)
        engine = disturbed.engine()
        if what == "engine":
            engine.kill()
            until(lambda one=disturbed, e=engine: one.engine().pid != e.pid, "another engine", disturbed.process)
        else:
            disturbed.stop(signal.SIGKILL)
            until(lambda e=engine: not e.is_running() or e.status() == psutil.STATUS_ZOMBIE, "the orphan's end")
            disturbed = serving("--nowebui")
    assert looped(disturbed, job_id) == undisturbed


@pytest.mark.long
def test_the_server_killed_goes_on_at_the_next_start_with_two_engines(serving: Serving) -> None:
    """As often as GESSO_TEST_KILLS says."""
    kills = int(os.environ.get("GESSO_TEST_KILLS", "1"))
    moments, count = random.Random(kills), 4 if kills == 1 else 12
    first = serving("--nowebui")
    undisturbed = made(first, n_iter=count)
    before = saved(first.data)
    calling = threading.Thread(target=lambda: _try(first, count))
    calling.start()
    for number in range(kills):
        seen = len(before) + number * (count - 1) // kills
        until(lambda seen=seen, one=first: len(saved(one.data)) > seen, "a picture since the last kill", first.process)
        time.sleep(moments.random() * 0.3)
        engine = first.engine()
        first.stop(signal.SIGKILL)
        until(lambda e=engine: not e.is_running() or e.status() == psutil.STATUS_ZOMBIE, "the orphaned engine's end")
        if number < kills - 1:
            first = serving("--nowebui")
    calling.join()

    second = serving("--nowebui", "--device-id", "0,1")
    until(lambda: len(saved(second.data)) == len(before) + count, "the other pictures", second.process)
    again = [Image.open(path) for path in saved(second.data)[len(before) :]]
    by_seed = sorted((image.info["parameters"], image.convert("RGB").tobytes()) for image in again)
    assert by_seed == sorted(zip(undisturbed[1], undisturbed[0], strict=True))
    engines = second.engines()
    assert len(engines) == 2
    assert second.stop(signal.SIGINT) in (0, 130)
    for engine in engines:
        until(lambda e=engine: not e.is_running() or e.status() == psutil.STATUS_ZOMBIE, "the end of an engine")
    assert "Traceback" not in second.log


def _try(server: RunningServer, count: int) -> None:
    try:
        made(server, n_iter=count)
    except httpx.TransportError:
        return  # The server is killed under it.


def test_a_page_that_comes_back_sees_the_true_state(server: RunningServer) -> None:
    with server.client() as client:
        client.get("internal/ping", headers={"accept": "text/html"})
        cookie = {"Cookie": f"gesso_session={client.cookies['gesso_session']}"}
    address = server.url.replace("http", "ws") + "internal/ws"
    with connect(address, additional_headers=cookie, origin=server.url.rstrip("/")) as page:
        state = json.loads(page.recv(60))
        assert state["type"] == "state"
        assert state["engine"]["state"] == "ready"
    answers: list[Any] = []
    calling = threading.Thread(target=lambda: answers.append(made(server, seed=500)))
    calling.start()
    with connect(f"{address}?since={state['seq']}", additional_headers=cookie) as page:
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1].get("job", {}).get("state") != "done":
            seen.append(json.loads(page.recv(300)))
    calling.join()
    numbers = [message["seq"] for message in seen]
    assert numbers == sorted(set(numbers))
    jobs = [message["job"] for message in seen if message["type"] == "job"]
    assert {"queued", "running", "done"} >= {job["state"] for job in jobs}
    fractions = [job["progress"] for job in jobs if job["state"] == "running"]
    assert fractions == sorted(fractions)
    # It is the job of a program: this page sees that it is there, and not what it shows.
    assert all(not job["mine"] and not job["pictures"] and "prompt" not in job for job in jobs)


def test_an_interrupt_keeps_what_is_finished(server: RunningServer) -> None:
    before = saved(server.data)
    answers: list[Any] = []
    calling = threading.Thread(target=lambda: answers.append(made(server, n_iter=50, seed=900)))
    calling.start()
    until(lambda: len(saved(server.data)) >= len(before) + 2, "two pictures", server.process)
    with server.client() as client:
        assert client.post("sdapi/v1/interrupt").status_code == 200
    calling.join()
    pixels, _ = answers[0]
    assert 2 <= len(pixels) < 50
    # What was half done when it was stopped stands in the answer, and is saved nowhere.
    assert len(saved(server.data)) - len(before) in (len(pixels) - 1, len(pixels))


def test_a_taken_port_is_one_sentence(server: RunningServer, tmp_path: Path) -> None:
    import subprocess

    port = server.url.rsplit(":", 1)[1].strip("/")
    command = [sys.executable, "-m", "webui", "--port", port, "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert done.returncode == 1
    assert f"Port {port} is already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_outlive_a_server_that_is_killed(serving: Serving, installation: Path) -> None:
    """What was answered is written: the next server is a process of its own, and has nothing but the file."""
    path = Paths(data=installation).settings
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"control_net_allow_script_control": 3, "samples_format": "jpg"}))
    first = serving("--nowebui", "--skip-load-model-at-start")
    wanted = {"CLIP_stop_at_last_layers": 2, "outdir_samples": "d\u00fcnn", "quicksettings_list": ["sd_vae"]}
    with first.client() as client:
        for key, value in wanted.items():
            assert client.post("sdapi/v1/options", json={key: value}).status_code == 200
    first.stop(signal.SIGKILL)
    second = serving("--nowebui", "--skip-load-model-at-start")
    with second.client() as client:
        found = client.get("sdapi/v1/options").json()
        assert client.post("sdapi/v1/options", json={"CLIP_stop_at_last_layers": 3}).status_code == 200
    assert {key: found[key] for key in wanted} == wanted
    assert found["samples_format"] == "jpg"
    table = json.loads(path.read_text("utf-8"))
    assert table == {
        **wanted,
        "CLIP_stop_at_last_layers": 3,
        "control_net_allow_script_control": 3,
        "samples_format": "jpg",
    }

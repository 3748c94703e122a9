"""A package from outside the tree adds one of everything; its twin is broken everywhere, and hurts nothing."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.conftest import MACHINE, PATIENCE, ROOT, RunningServer, start_server, until
from webui import launcher
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog

PICTURE: dict[str, Any] = {
    "prompt": "a", "width": 64, "height": 64, "steps": 2, "seed": 7, "sampler_name": "Euler", "save_images": True,
}  # fmt: skip
FALLEN = "the sky has fallen"
HOOKS = (
    "resolve",
    *("patch_vae", "shape", "begin", "enter", "patch", "network", "denoise", "first", "walk"),
    *("predict", "guide", "then", "finish"),
)


@pytest.fixture(scope="module")
def client(storey: RunningServer) -> Iterator[httpx.Client]:
    storey.wait_for_page()
    with storey.client() as made:
        yield made


def picture(client: httpx.Client, **changes: Any) -> tuple[bytes, str]:
    """(rows of RGB, infotext)"""
    answer = client.post("/sdapi/v1/txt2img", json={**PICTURE, **changes})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    with Image.open(io.BytesIO(base64.b64decode(made["images"][0]))) as image:
        rows = image.convert("RGB").tobytes()
    return rows, json.loads(made["info"])["infotexts"][0]


def refused(client: httpx.Client, **changes: Any) -> str:
    """What is said of a picture that cannot be made."""
    answer = client.post("/sdapi/v1/txt2img", json={**PICTURE, **changes})
    assert answer.status_code == 500, answer.text
    return str(answer.json()["detail"])


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: (job := client.get(f"/api/v1/jobs/{job_id}?wait=20").json())["finished"] and job, "the job's end"
    )
    return found


def problems(client: httpx.Client) -> list[str]:
    return [
        f"{each['name']}: {each['reason']}"
        for each in client.get("/api/v1/problems").json()["problems"]
        if each["kind"] == "packages"
    ]


def script(title: str, *values: Any) -> dict[str, Any]:
    return {"alwayson_scripts": {title: {"args": [True, *values]}}}


# ---------------------------------------------------------------- the good one


def test_its_feature_meets_every_hook_and_is_told_in_the_infotext(client: httpx.Client) -> None:
    plain, _ = picture(client)
    same, text = picture(client, **script("Sample tint", 0.0))
    assert same == plain
    assert set(HOOKS) == set(text.split("Sample hooks: ")[1].split(",")[0].split())
    assert "Sample strength: 0.0" in text
    assert picture(client, prompt="a __colour__ cat", **script("Sample tint", 0.0))[1].startswith("a red cat\n")
    grey, _ = picture(client, **script("sample script", 0.5))
    assert grey != plain


def test_its_parameter_is_an_axis(client: httpx.Client) -> None:
    axes = ["Seed", "", [], "[Sample tint] Strength", "0, 0.5, 1", [], "Nothing", "", []]
    listed = client.get("/sdapi/v1/script-info").json()
    assert any(each["name"] == "sample tint" and each["is_alwayson"] for each in listed)
    by_name = {"x_type": "[Sample tint] Strength", "x_values": "0, 1", "draw_legend": False}
    body = {"kind": "txt2img", "request": {**_own(), "script": "X/Y/Z plot", "script_values": by_name}}
    job = ended(client, client.post("/api/v1/jobs", json=body).json()["id"])
    assert job["state"] == "done", job
    assert ["Sample strength: 0.0" in each["infotext"] for each in job["pictures"]] == [True, False], axes


def _own() -> dict[str, Any]:
    return {name: value for name, value in PICTURE.items() if name != "save_images"}


def test_its_sampler_schedule_and_upscaler_make_a_picture(client: httpx.Client) -> None:
    assert "Sample Euler" in [each["name"] for each in client.get("/sdapi/v1/samplers").json()]
    assert "Sample doubling" in [each["name"] for each in client.get("/sdapi/v1/upscalers").json()]
    _, text = picture(client, sampler_name="sample_euler", scheduler="Sample straight")
    assert "Sampler: Sample Euler, Schedule type: Sample straight" in text
    hires = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Sample doubling", "denoising_strength": 0.5}
    _, text = picture(client, **hires)
    assert "Hires upscaler: Sample doubling" in text


def test_its_route_submits_its_job(client: httpx.Client) -> None:
    job_id = client.post("/sample/count", params={"most": 100}).json()["id"]
    job = ended(client, job_id)
    assert (job["state"], job["answer"], job["prompt"]) == ("done", "5050", "Count to 100"), job


def test_its_kind_has_a_preview(client: httpx.Client) -> None:
    answer = client.post("/api/v1/preview", json={"kind": "sample_sum", "request": {"most": 100}})
    assert answer.json() == {"pictures": [], "comments": ["It will come to 5050."], "images": []}
    answer = client.post("/api/v1/preview", json={"kind": "sample_sum", "request": {"most": 2000}})
    assert (answer.status_code, answer.json()["field"]) == (422, "most"), answer.text


def test_its_job_goes_on_from_its_resume_point_when_the_engine_is_killed(
    storey: RunningServer, client: httpx.Client
) -> None:
    job_id = client.post("/sample/count", params={"most": 12, "pause": 0.3}).json()["id"]
    points = Catalog(Paths(data=storey.data))
    try:
        seen = points.job_folders.points(job_id)
        until(lambda: seen.number > 1, "a resume point", storey.process)
    finally:
        points.close()
    storey.engine().kill()
    job = ended(client, job_id)
    assert (job["state"], job["answer"]) == ("done", "78"), job


def test_its_tab_and_its_controls_are_on_the_page(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "The sample package says hello." in page
    assert "txt2img_tint_strength" in page
    assert "The sample panel says hello." in page and "img2img_tint_grey" in page


# ---------------------------------------------------------------- the broken one


def test_the_page_stands_and_says_what_is_broken(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "txt2img_prompt" in page
    assert "The package gesso-broken has failed: KeyError" in page
    assert "txt2img_hooks_enabled" in page  # what can be used is there
    assert "txt2img_declared_enabled" not in page


def test_whoever_opens_the_page_reads_what_is_broken(client: httpx.Client) -> None:
    """As the browser asks for it: by the event that brings the page up to date."""
    config = client.get("/config").json()
    components = {one["id"]: one["props"] for one in config["components"]}
    notice = next(number for number, props in components.items() if props.get("elem_id") == "quicksettings_notice")
    arrives = next(
        one
        for one in config["dependencies"]
        if notice in one["outputs"] and any(kind == "load" for _, kind in one["targets"])
    )
    values = [components[number].get("value") for number in arrives["inputs"]]
    body = {"data": values, "fn_index": arrives["id"], "session_hash": "a"}
    answer = client.post("/gradio_api/run/predict", json=body)
    assert answer.status_code == 200, answer.text
    shown = html.unescape(json.dumps(answer.json()["data"][arrives["outputs"].index(notice)]))
    for said in (
        "gesso-broken: Broken missing sampler: There is no gesso_broken.nowhere:sampler.",
        "gesso-broken: routes raises: KeyError",
        "gesso-broken: jobs broken_servers: KeyError",
        "gesso-broken: jobs broken_lacking: Its Server has no method `plan`.",
        "gesso-broken: webui.features, missing: ModuleNotFoundError",
    ):
        assert said in shown
    assert "gesso-sample" not in shown


@pytest.mark.parametrize(
    "said",
    [
        "webui.features, declared: KeyError",
        "webui.features, exits: It has tried to end the program (exit code 3).",
        "webui.features, missing: ModuleNotFoundError",
        "webui.features, taken: The name 'FreeU' is taken.",
        "webui.features, wrong: It is a value of type int, not a FeatureEntry.",
        "webui.jobs, requests: ",
        "webui.features, plain: <class 'dict'> is not a class of webui.features.feature.FeatureParams.",
        "Broken leaving: It has tried to end the program (exit code 3).",
        "jobs broken_lacking: Its Server has no method `plan`.",
        "jobs broken_foreign: Its Server is a str, not a webui.server.jobs.kind.JobServer.",
        "routes listed: It returned a value of type str, not a webui.server.routes.Routes.",
        "Broken half: There is no gesso_broken.half.engine:Engine.",
        "Broken missing sampler: There is no gesso_broken.nowhere:sampler.",
        "Broken family: There is no gesso_broken.nowhere:FAMILY.",
        "webui.scripts, missing: ModuleNotFoundError",
        "tab Broken tab: KeyError",
        "controls of Broken panel: ",
        "controls of Broken layout: KeyError",
        "jobs broken_servers: KeyError",
        "jobs broken_works: KeyError",
        "routes raises: KeyError",
        "routes scopeless: ",
        "routes ours: GET /api/v1/queue is one of the program's own routes.",
    ],
)
def test_each_broken_thing_is_named_with_its_package(client: httpx.Client, said: str) -> None:
    def named() -> list[str]:
        return [each for each in problems(client) if each.startswith(f"gesso-broken: {said}")]

    found = until(named, f"{said} to be named")  # What breaks in the engine alone is named once that has started.
    assert len(found) == 1, "\n".join(problems(client))
    assert not any(each.startswith("gesso-sample") for each in problems(client))


@pytest.mark.parametrize("where", ["init", "prepare", "sized", "cost", *HOOKS])
def test_a_picture_that_uses_a_broken_hook_fails_with_the_packages_name(client: httpx.Client, where: str) -> None:
    said = refused(client, **script("Broken hooks", where))
    assert said.startswith("The package gesso-broken has failed: KeyError")
    assert FALLEN in said


@pytest.mark.parametrize(
    "wish",
    [
        script("Broken asking"),
        script("Broken half"),
        {"sampler_name": "Broken sampler"},
        {"sampler_name": "Broken missing sampler"},
        {"scheduler": "Broken schedule"},
        {"enable_hr": True, "hr_upscaler": "Broken upscaler", "denoising_strength": 0.5},
    ],
    ids=["asking", "half", "sampler", "missing sampler", "schedule", "upscaler"],
)
def test_so_does_one_that_uses_something_else_of_it(client: httpx.Client, wish: dict[str, Any]) -> None:
    assert refused(client, **wish).startswith("The package gesso-broken has failed: ")
    picture(client)  # and the next one is made


@pytest.mark.parametrize("where", [hook for hook in ("prepare", "sized", "cost", *HOOKS) if hook != "enter"])
def test_a_hook_that_gives_what_it_should_not_is_named_too(client: httpx.Client, where: str) -> None:
    assert refused(client, **script("Broken hooks", where, True)).startswith(
        f"The package gesso-broken has failed: {where} returned a value of type int, not"
    )


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ({"sampler_name": "Broken giving sampler"}, "Broken giving sampler"),
        ({"scheduler": "Broken giving schedule"}, "Broken giving schedule"),
        (
            {"enable_hr": True, "hr_upscaler": "Broken giving upscaler", "denoising_strength": 0.5},
            "Broken giving upscaler",
        ),
    ],
    ids=["sampler", "schedule", "upscaler"],
)
def test_so_is_whatever_else_does_so(client: httpx.Client, wish: dict[str, Any], name: str) -> None:
    assert refused(client, **wish).startswith(
        f"The package gesso-broken has failed: {name} returned a value of type int, not"
    )


def test_what_failed_in_the_engine_is_among_the_problems(client: httpx.Client) -> None:
    refused(client, **script("Broken hooks", "guide"))
    assert any("Run: KeyError" in each for each in problems(client))


def test_its_route_fails_alone(client: httpx.Client) -> None:
    answer = client.get("/broken/called")
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("The package gesso-broken has failed: KeyError")
    assert any("GET /broken/called: KeyError" in each for each in problems(client))
    assert client.get("/api/v1/queue").json()["engine"]  # not theirs
    assert client.get("/broken/open").status_code == 404


@pytest.mark.parametrize("kind", ["works", "plans"])
def test_its_jobs_fail_and_the_queue_goes_on(client: httpx.Client, kind: str) -> None:
    job_id = client.post("/broken/submit", params={"kind": f"broken_{kind}"}).json()["id"]
    job = ended(client, job_id)
    assert job["state"] == "failed"
    assert job["error"]["message"].startswith("The package gesso-broken has failed: KeyError"), job
    assert client.post("/broken/submit", params={"kind": "broken_servers"}).status_code == 500
    assert client.post("/broken/submit", params={"kind": "broken_requests"}).status_code == 404
    picture(client)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("follow raises", "KeyError: 'the sky has fallen'"),
        ("follow gives", "follow returned a value of type int, not Next."),
        ("follow gives a request", "follow, as the next request, returned a value of type int, not JobRequest."),
        ("work gives", "work returned a value of type int, not Progress or Pictured or Answered or Saved."),
        ("work returns", "work returned a value of type int, not Iterable."),
        ("work makes pictures", "Its work makes pictures, but its Server has no method `keep`."),
        ("prepared gives", "prepared returned a value of type int, not Work."),
        ("prepared exits", "It has tried to end the program (exit code 3)."),
    ],
)
def test_a_job_fails_with_the_packages_name_wherever_its_kind_does(client: httpx.Client, how: str, said: str) -> None:
    job_id = client.post("/broken/submit", params={"kind": "broken_flows", "how": how}).json()["id"]
    job = ended(client, job_id)
    assert (job["state"], job["error"]["message"]) == ("failed", f"The package gesso-broken has failed: {said}"), job


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("server raises", "KeyError: 'the sky has fallen'"),
        ("server gives", "aside returned a value of type int, not"),
        ("raises", "KeyError: 'the sky has fallen'"),
        ("gives", "aside returned a value of type int, not"),
        ("exits", "It has tried to end the program"),
    ],
)
def test_a_preview_that_fails_says_whose_fault_it_is(client: httpx.Client, how: str, said: str) -> None:
    answer = client.post("/api/v1/preview", json={"kind": "broken_works", "request": {"how": how}})
    assert answer.status_code == 500, answer.text
    assert f"The package gesso-broken has failed: {said}" in answer.text


def test_a_job_is_done_though_its_kind_cannot_put_it_away(client: httpx.Client) -> None:
    job_id = client.post("/broken/submit", params={"kind": "broken_flows", "how": "over exits"}).json()["id"]
    assert ended(client, job_id)["state"] == "done"
    assert client.post("/broken/submit", params={"kind": "broken_flows", "how": "plan gives"}).status_code == 500


@pytest.mark.parametrize(
    ("gives", "said"), [(False, "KeyError: 'the sky has fallen'"), (True, "follow returned a value of type int")]
)
def test_a_flow_of_a_script_fails_its_own_job_and_the_queue_goes_on(
    client: httpx.Client, gives: bool, said: str
) -> None:
    wanted = {"kind": "txt2img", "request": {**_own(), "script": "Broken flow", "script_values": {"gives": gives}}}
    job_id = client.post("/api/v1/jobs", json=wanted).json()["id"]
    after = client.post("/api/v1/jobs", json={"kind": "txt2img", "request": _own()}).json()["id"]
    job = ended(client, job_id)
    assert (job["state"], len(job["pictures"])) == ("failed", 1), job
    assert job["error"]["message"].startswith(f"The package gesso-broken has failed: {said}"), job
    assert ended(client, after)["state"] == "done"


def test_the_command_line_names_it_too(site: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, site)))}
    command = [sys.executable, "-m", "webui", "problems", "--data-dir", str(tmp_path), *MACHINE]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=PATIENCE)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["name"] for each in told if each["kind"] == "packages"} == {"gesso-broken"}
    assert len([each for each in told if each["kind"] == "packages"]) >= 9


def test_the_doctor_names_it_too(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site))
    here = launcher.Environment(str(tmp_path), sys.executable, own=False)
    found = list(launcher.broken_things(launcher.Invocation("doctor", ["--data-dir", str(tmp_path), *MACHINE]), here))
    assert {each.level for each in found} == {"warn"}
    named = [each.text for each in found if each.text.startswith("packages: gesso-broken: ")]
    assert any("Broken missing sampler: There is no gesso_broken.nowhere:sampler." in each for each in named)
    assert {each.todo for each in found if each.text in named} == {"Update the package, or uninstall it."}
    assert not any("gesso-sample" in each.text for each in found)


@pytest.mark.long
def test_what_a_package_has_left_behind_is_kept_when_it_is_gone(storey: RunningServer, client: httpx.Client) -> None:
    """The last test here: it ends the server, and starts another one on the same data, without the packages."""
    job_id = client.post("/sample/count", params={"most": 3}).json()["id"]
    ended(client, job_id)
    waiting = [client.post("/api/v1/queue/pause"), client.post("/sample/count", params={"most": 4})][1].json()["id"]
    tinted = {"kind": "txt2img", "request": {**_own(), "features": {"Sample tint": {"strength": 0.5}}}}
    later = client.post("/api/v1/jobs", json=tinted).json()["id"]
    storey.stop()
    alone = start_server(storey.data, "--nowebui")
    try:
        with alone.client() as now:
            now.post("/api/v1/queue/resume")
            assert ended(now, job_id)["answer"] == "6"
            assert ended(now, waiting)["error"]["message"] == "There is no kind of job 'sample_sum' here."
            made = ended(now, later)
            assert made["state"] == "done"
            assert any("'Sample tint'" in comment for comment in made["comments"])
            assert len(now.get("/api/v1/jobs").json()["jobs"]) >= 3
    finally:
        alone.stop()

"""Our own API: a job's number comes at once, and everything else by it."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from PIL import Image

from tests.api.conftest import Api
from tests.api.test_generate import picture
from tests.conftest import until
from webui.request.messages import Interrupt, Skip
from webui.server.jobs.stream import server_sent

SMALL = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 2, "seed": 5}


def submitted(api: Api, kind: str = "txt2img", save: bool | None = None, **fields: Any) -> dict[str, Any]:
    body = {"kind": kind, "request": {**SMALL, **fields}, "save": save}
    answer = api.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_job_from_its_number_to_its_pictures(api: Api) -> None:
    job = submitted(api, n_iter=2, save=False)
    done = api.client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 60}).json()
    assert (done["state"], done["progress"], done["count"], done["prompt"]) == ("done", 1.0, 2, "a red apple")
    assert [made["seed"] for made in done["pictures"]] == [5, 6]
    first = done["pictures"][0]
    answer = api.client.get(f"/api/v1/pictures/{first['id']}")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.info["parameters"] == first["infotext"]
    assert answer.headers["content-type"] == "image/png"
    small = api.client.get(f"/api/v1/pictures/{first['id']}/thumbnail")
    assert small.headers["content-type"] == "image/webp"
    assert api.client.get(f"/api/v1/jobs/{job['id']}/request").json()["steps"] == 2
    assert not list((api.app.paths.data / "outputs").rglob("*.png"))
    repeated = api.client.post(f"/api/v1/jobs/{job['id']}/again", json={"changes": {"seed": 9, "n_iter": 1}}).json()
    again = api.client.get(f"/api/v1/jobs/{repeated['id']}", params={"wait": 60}).json()
    assert [made["seed"] for made in again["pictures"]] == [9]


def test_pictures_out_of_pictures(standing: Api) -> None:
    job = submitted(standing, "img2img", init_images=[picture()], mask=picture(colour="white"))
    assert standing.client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 60}).json()["state"] == "done"


def test_waiting_jobs_are_listed_reordered_and_given_up(api: Api) -> None:
    api.engine.by_itself = False
    first = submitted(api)["id"]
    until(lambda: api.engine.jobs, "the first job")
    second, third = submitted(api, seed=6), submitted(api, seed=7)
    assert (second["state"], second["place"], third["place"]) == ("queued", 1, 2)
    assert api.client.post("/api/v1/jobs/order", json={"ids": [third["id"], second["id"]]}).status_code == 200
    assert api.client.get(f"/api/v1/jobs/{third['id']}").json()["place"] == 1
    page = api.client.get("/api/v1/jobs", params={"limit": 2}).json()
    older = api.client.get("/api/v1/jobs", params={"limit": 2, "before": page["before"]}).json()
    assert [job["id"] for job in page["jobs"] + older["jobs"]] == [second["id"], third["id"], first]
    assert older["before"] is None
    waiting = api.client.get("/api/v1/jobs", params={"state": ["queued"]}).json()["jobs"]
    assert {job["id"] for job in waiting} == {second["id"], third["id"]}

    assert api.client.get("/api/v1/queue").json()["waiting"] == 2
    assert api.client.post(f"/api/v1/jobs/{second['id']}/cancel").status_code == 200
    assert api.client.get(f"/api/v1/jobs/{second['id']}").json()["state"] == "cancelled"
    assert api.client.post(f"/api/v1/jobs/{first}/skip").status_code == 200
    assert Skip(first) in api.engine.sent
    assert api.client.get(f"/api/v1/jobs/{first}/preview").status_code == 404
    assert api.client.post("/api/v1/queue/pause").status_code == 200
    assert api.client.post(f"/api/v1/jobs/{first}/interrupt").status_code == 200
    until(lambda: any(isinstance(command, Interrupt) for command in api.engine.sent), "the interrupt")
    until(lambda: api.client.get(f"/api/v1/jobs/{first}").json()["state"] == "cancelled", "its end")
    assert api.client.get("/api/v1/queue").json()["paused"] is True
    assert api.client.post("/api/v1/jobs/cancel").json() == {"cancelled": 1}
    assert api.client.post("/api/v1/queue/resume").status_code == 200


def test_what_cannot_be_done_is_said_at_once(standing: Api) -> None:
    before = list(standing.engine.jobs)
    for body, status, word in (
        ({"kind": "txt2img", "request": {"steps": 0}}, 422, "steps"),
        ({"kind": "txt2img", "request": {"stepps": 3}}, 422, "stepps"),
        ({"kind": "txt2img", "request": {"sampler_name": "Eulr"}}, 404, "Eulr"),
        ({"kind": "img2img", "request": {}}, 422, "picture"),
        ({"kind": "img2img", "request": {"init_images": ["!!"]}}, 422, "base64"),
        ({"kind": "song", "request": {}}, 422, "kind"),
        ({}, 422, "kind"),
    ):
        answer = standing.client.post("/api/v1/jobs", json=body)
        assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text
    for path in ("jobs/none", "jobs/none/request", "pictures/none", "pictures/none/thumbnail"):
        answer = standing.client.get(f"/api/v1/{path}")
        assert (answer.status_code, "none" in answer.json()["detail"]) == (404, True)
    assert standing.client.post("/api/v1/jobs/order", json={"ids": ["none"]}).status_code == 404
    assert standing.engine.jobs == before


def test_the_jobs_of_others_are_as_if_they_were_not_there(standing: Api) -> None:
    theirs = standing.app.queue.submit(standing.app.queue.job(submitted(standing)["id"]).request, "somebody else")
    for path in ("", "/request", "/preview"):
        assert standing.client.get(f"/api/v1/jobs/{theirs}{path}").status_code == 404
    for path in ("cancel", "interrupt", "skip", "again"):
        assert standing.client.post(f"/api/v1/jobs/{theirs}/{path}").status_code == 404
    listed = standing.client.get("/api/v1/jobs", params={"limit": 500}).json()["jobs"]
    assert theirs not in {job["id"] for job in listed}


def test_the_stream_begins_with_the_state_and_tells_every_change(api: Api) -> None:
    async def heard() -> list[dict[str, Any]]:
        lines = server_sent(api.app.queue.hub, "~")
        messages = [await anext(lines)]
        job = await asyncio.to_thread(submitted, api)
        while not (messages[-1].startswith("id: ") and '"state": "done"' in messages[-1] and job["id"] in messages[-1]):
            messages.append(await anext(lines))
        await lines.aclose()
        return [json.loads(message.split("data: ", 1)[1]) for message in messages]

    messages = asyncio.run(heard())
    assert messages[0]["type"] == "state"
    assert messages[-1]["job"]["pictures"]
    numbers = [message["seq"] for message in messages]
    assert numbers == sorted(numbers)


def test_a_silent_stream_says_that_it_is_there(standing: Api) -> None:
    async def heard() -> str:
        lines = server_sent(standing.app.queue.hub, "~nobody", silence=0.01)
        await anext(lines)
        found = await anext(lines)
        await lines.aclose()
        return found

    assert asyncio.run(heard()) == ":\n\n"


def test_programs_show_a_token_that_says_what_they_may_do(api: Api) -> None:
    made = {scope: api.app.tokens.make("~", scope, [scope]) for scope in ("read", "generate")}
    bearer = {scope: {"authorization": f"Bearer {secret}"} for scope, (_, secret) in made.items()}
    body = {"kind": "txt2img", "request": SMALL}
    assert api.client.post("/api/v1/jobs", json=body, headers=bearer["read"]).status_code == 403
    job = api.client.post("/api/v1/jobs", json=body, headers=bearer["generate"])
    assert job.status_code == 202
    assert api.client.get(f"/api/v1/jobs/{job.json()['id']}", headers=bearer["read"]).status_code == 200
    assert api.client.post("/api/v1/queue/pause", headers=bearer["generate"]).status_code == 403
    api.app.tokens.revoke(made["read"][0].id, "~")
    answer = api.client.get("/api/v1/jobs", headers=bearer["read"])
    assert (answer.status_code, "token" in answer.json()["detail"]) == (401, True)

"""The prompt desk's routes: completions, and one's own prompts."""

from __future__ import annotations

from tests.api.conftest import Api


def test_words_are_completed_from_all_that_is_there(api: Api) -> None:
    models = api.app.paths.models
    for name, content in (("tags/list.csv", "long_hair,0,9\nlong_coat,0,5\n"), ("wildcards/animals/cat.txt", "tabby")):
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    body = {"prompt": "a lonely castle, (long shadows:1.2)", "steps": 1, "width": 64, "height": 64, "save_images": True}
    assert api.client.post("/sdapi/v1/txt2img", json=body).status_code == 200

    def complete(text: str, kind: str = "text") -> tuple[str, list[str]]:
        said = api.client.get("/internal/desk/complete", params={"text": text, "kind": kind}).json()
        return said["matched"], [f"{one['kind']}: {one['text']}" for one in said["found"]]

    assert complete("lon") == ("lon", ["tag: long_hair", "tag: long_coat", "own: long shadows", "own: a lonely castle"])
    assert complete("a picture of long ha") == ("long ha", ["tag: long_hair"])
    assert complete("nothing like it") == ("nothing like it", [])
    assert complete("cat", "wildcard") == ("cat", ["wildcard: animals/cat"])
    assert complete("", "wildcard") == ("", ["wildcard: animals/cat"])
    prompts = api.client.get("/internal/desk/prompts", params={"text": "castle shad"}).json()
    assert prompts == ["a lonely castle, (long shadows:1.2)"]
    assert api.client.get("/internal/desk/prompts", params={"text": "dragon"}).json() == []

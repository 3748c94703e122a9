"""What the page asks of the prompt desk: completions, and the caller's own prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from webui.catalog.own_words import OwnWords
from webui.prompt.styles import PLACEHOLDER
from webui.server.history import viewer_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

MOST = 20
MOST_STYLES = 3
MOST_PROMPTS = 200
LONGEST = 200
"""Letters that are looked for."""


def routes(app: App) -> Routes:
    router = Routes(prefix="/internal/desk", include_in_schema=False)
    catalog = app.catalog
    words = OwnWords(catalog.database)

    def completed(text: str, owner: str | None) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for style in catalog.styles.all().values():
            if style.prompt and style.name.casefold().startswith(text.casefold()) and len(found) < MOST_STYLES:
                insert = style.prompt.replace(PLACEHOLDER, "").strip(" ,")
                found.append({"text": style.name, "kind": "style", "insert": insert})
        for tag, alias in catalog.tags.search(text, MOST):
            found.append({"text": tag.text, "kind": "tag", "type": tag.kind, "count": tag.count, "alias": alias})
        there = {str(each["text"]).replace("_", " ").casefold() for each in found}
        own = words.search(owner, text, MOST)
        found += ({"text": t, "kind": "own", "count": n} for t, n in own if t.casefold() not in there)
        return found[:MOST]

    @router.get("/complete", "user")
    async def complete(request: Request, text: str = "", kind: str = "text") -> dict[str, object]:
        """What begins as a text does: {"matched", "found"}. Where nothing begins as the whole, the last words alone are
        looked for; `matched` is what was."""
        text, owner = text[-LONGEST:], viewer_of(app, request)

        def looked() -> dict[str, object]:
            if kind == "wildcard":
                names = [name for name in catalog.wildcards.names() if text.casefold() in name.casefold()]
                names.sort(key=lambda name: not name.casefold().startswith(text.casefold()))
                return {"matched": text, "found": [{"text": name, "kind": "wildcard"} for name in names[:MOST]]}
            parts = text.split(" ")
            for begin in dict.fromkeys((0, max(len(parts) - 2, 0), len(parts) - 1)):
                matched = " ".join(parts[begin:])
                if len(matched.strip()) > 1 and (found := completed(matched, owner)):
                    return {"matched": matched, "found": found}
            return {"matched": text, "found": []}

        return await run_in_threadpool(looked)

    @router.get("/prompts", "user")
    async def prompts(request: Request, text: str = "") -> list[str]:
        """The caller's own prompts with these words, newest first."""
        return await run_in_threadpool(words.prompts, viewer_of(app, request), text[:LONGEST], MOST_PROMPTS)

    return router

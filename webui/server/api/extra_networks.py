"""A1111's routes below `/sd_extra_networks`: what programs ask of the cards of LoRAs, checkpoints and embeddings.

No path from a request is opened: a thumbnail is found among those of the cards, a model by its name.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import Query, Response

from webui.base.errors import NotFound
from webui.base.json_values import Json, as_list
from webui.catalog.cards import PAGES, Card, Cards, Page
from webui.catalog.headers import read_metadata
from webui.request.foreign_values import as_text
from webui.server.api.answers import CardAnswer
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

T = TypeVar("T")

KINDS = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"RIFF", "image/webp"))
"""How the pictures begin that are given away."""
PageName = Annotated[str, Query(description="lora, checkpoints, hypernetworks or textual inversion.")]
ItemName = Annotated[str, Query(description="The model's name, as shown on its card.")]


def routes(app: App) -> Routes:
    router = Routes(prefix="/sd_extra_networks")
    catalog = app.catalog
    cards = Cards(catalog.checkpoints, catalog.loras, catalog.hypernetworks, catalog.embeddings)

    def looked_for(find: Callable[[], T | None], *pages: Page) -> T:
        """What `find` finds now, or once these pages are read anew. Raises NotFound."""
        found = find()
        if found is None:
            for page in pages:
                cards.refresh(page)
            found = find()
        if found is None:
            raise NotFound("File not found")
        return found

    def card_of(page: str, name: str) -> Card:
        kind = _page(page)
        return looked_for(lambda: cards.called(kind, name), kind)

    @router.get("/thumb", "user", response_class=Response)
    def thumb(filename: Annotated[str, Query(description="The path of a model's preview picture.")] = "") -> Response:
        """The thumbnail of a model's preview picture."""
        card = looked_for(lambda: cards.pictured_by(filename), *PAGES)
        return Response(cards.picture(card), media_type="image/webp")

    @router.get("/cover-images", "user", response_class=Response)
    def cover_images(
        page: PageName = "",
        item: ItemName = "",
        index: Annotated[int, Query(ge=0, description="The index of the cover image, from 0.")] = 0,
    ) -> Response:
        """A cover image that a model's author has put into its file."""
        content = _cover(read_metadata(card_of(page, item).path), index)
        kind = next((kind for start, kind in KINDS if content.startswith(start)), "")
        if not kind:
            raise NotFound(f"{item} does not have this cover image.")
        return Response(content, media_type=kind)

    @router.get("/metadata", "user")
    def metadata(page: PageName = "", item: ItemName = "") -> dict[str, str]:
        """The metadata of a model's file, as JSON in a string; an empty object if there is no such model."""
        try:
            found = read_metadata(card_of(page, item).path)
        except NotFound:
            return {}
        return {"metadata": json.dumps(found, indent=4, ensure_ascii=False)} if found else {}

    @router.get("/get-single-card", "user")
    def single_card(
        page: PageName = "",
        tabname: Annotated[str, Query(description="Accepted, without effect.")] = "",  # noqa: ARG001
        name: ItemName = "",
    ) -> CardAnswer:
        """A card as HTML."""
        card = card_of(page, name)
        return CardAnswer(html=_html(card.stem, str(cards.shown(card)["description"])))

    return router


def _html(name: str, description: str) -> str:
    """A card."""
    name, description = escape(name), escape(description)
    text = f'<span class="name">{name}</span><span class="description">{description}</span>'
    return f'<div class="card" data-name="{name}">{text}</div>'


def _page(name: str) -> Page:
    wanted = name.strip().lower().replace("_", " ")
    found = next((page for page, title in PAGES.items() if wanted in (page, title.lower())), None)
    if found is None:
        raise NotFound(f"There is no page of cards named {name!r}.")
    return found


def _cover(metadata: Mapping[str, Json], index: int) -> bytes:
    """The bytes of a cover image; b"" where there is none."""
    try:
        covers: Json = json.loads(as_text(metadata.get("ssmd_cover_images")))
        return base64.b64decode(as_text(as_list(covers)[index]))
    except (ValueError, TypeError, LookupError, RecursionError, binascii.Error):
        return b""

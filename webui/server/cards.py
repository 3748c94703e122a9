"""Routes of the cards, below `/internal/cards`: for the page alone, behind the same gate as everything.

What is written about a model is written for everybody: by admins alone (`guard.ADMINS`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import Request, Response

from webui.base.errors import NotFound
from webui.catalog.cards import PAGES, Cards, CardWish, Page
from webui.server.guard import caller_of
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

AUTOMATIC = "auto"
KEPT = {"cache-control": "private, max-age=31536000, immutable"}
"""A picture's address changes with the picture."""


def routes(app: App) -> Routes:
    """The routes; everything else they need is the App's."""
    router = Routes(prefix="/internal/cards", include_in_schema=False)
    catalog, pictures = app.catalog, app.catalog.pictures
    cards = Cards(catalog.checkpoints, catalog.loras, catalog.hypernetworks, catalog.embeddings)

    @router.get("/list/{page}", "user")
    def list_cards(
        page: str,
        search: str = "",
        folder: str = "",
        family: str = "",
        sort: str = "path",
        descending: bool = False,
        start: int = 0,
        count: int = 60,
    ) -> dict[str, object]:
        wish = CardWish(search[:500], folder, family, sort, descending, start, count)
        wish = _as_set(app, _known(page), wish)
        return {**cards.show(_known(page), wish), "family": wish.family}

    @router.post("/refresh/{page}", "user")
    def refresh(page: str) -> None:
        cards.refresh(_known(page))
        catalog.hash_in_background()

    @router.get("/card/{card_id}", "user")
    def details(card_id: str) -> dict[str, object]:
        return cards.details(cards.find(card_id))

    @router.get("/card/{card_id}/insertion", "user")
    def insertion(card_id: str) -> dict[str, str]:
        settings = app.settings.current
        return cards.insertion(
            cards.find(card_id),
            settings.render.extra_networks_default_multiplier,
            by_alias=settings.ui.lora_preferred_name == "Alias from file",
        )

    @router.get("/card/{card_id}/picture", "user")
    def picture(card_id: str) -> Response:
        return Response(cards.picture(cards.find(card_id)), media_type="image/webp", headers=KEPT)

    @router.post("/card/{card_id}", "admin")
    def write(card_id: str, values: dict[str, object]) -> dict[str, object]:
        cards.write(cards.find(card_id), values)
        return cards.shown(cards.find(card_id))

    @router.post("/card/{card_id}/picture/{picture_id}", "admin")
    def replace_picture(card_id: str, picture_id: str, request: Request) -> dict[str, object]:
        """Use this picture from the gallery as the card's preview."""
        if app.access.required and not caller_of(request.scope).may_see(pictures.get(picture_id).owner):
            raise NotFound(f"You have no picture {picture_id!r}.")
        cards.set_picture(cards.find(card_id), pictures.content(picture_id)[0])
        return cards.shown(cards.find(card_id))

    return router


def _as_set(app: App, page: Page, wish: CardWish) -> CardWish:
    """The wish as the settings have it, with the family of the checkpoint in use where that is meant."""
    cards, family = app.settings.current.cards, wish.family
    if wish.family == AUTOMATIC:
        family = current_family(app) if page == "loras" else ""
    return replace(
        wish,
        family=family,
        hide_unknown=wish.family == AUTOMATIC and family in cards.lora_hide_unknown_for_versions,
        hidden=cards.extra_networks_hidden_models,
        hidden_folders=cards.extra_networks_show_hidden_directories,
    )


def current_family(app: App) -> str:
    """Of the checkpoint of the settings; "" where nobody knows."""
    checkpoints = app.catalog.checkpoints
    try:
        return checkpoints.family(checkpoints.find(app.settings.current.render.sd_model_checkpoint))
    except NotFound:
        return ""


def _known(page: str) -> Page:
    found = next((known for known in PAGES if known == page), None)
    if found is None:
        raise NotFound(f"There is no page of cards {page!r}.")
    return found

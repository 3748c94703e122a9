"""The place of the cards under a tab's prompts; `assets/cards.js` fills it from `/internal/cards`."""

from __future__ import annotations

import html
import json

import gradio as gr

from webui.catalog.cards import PAGES


def cards(tab: str) -> None:
    """Lay it out: a strip of buttons, and what they open."""
    pages = html.escape(json.dumps(PAGES), quote=True)
    gr.HTML(
        f"<section class='gesso-cards' data-tab='{tab}' data-pages='{pages}' aria-label='Extra networks'></section>",
        elem_classes="bare",
    )

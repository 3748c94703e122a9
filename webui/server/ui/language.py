"""The page in a visitor's language: which one, what the page is given of it, and lists in the server's answers.

Everybody is given the same page, in English, and the table of their language with it: `assets/language.js` puts the
translations in. Names in lists are no text of the page's document, so `assets/inline/language.js` translates those
that it begins with, and `in_their_words` those that come later. Values stay what they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.requests import Request

from webui.request.fields import SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE
from webui.request.localization import AUTOMATIC, Localization, preferred
from webui.server.ui.controls import NAMES
from webui.server.ui.offers import NONE

if TYPE_CHECKING:
    from webui.app import App

COOKIE = "gesso_language"
"""What a visitor has chosen for their browser: a name or a code as `Localizations.find` takes it, or "None"."""
LINES = (NONE, AUTOMATIC, SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE)
"""What stands in lists of names and is none: the only ones that are translated there."""


def theirs(app: App, request: Request) -> Localization | None:
    """The table of whoever asks; None: English.

    It is the one that they have chosen, else that of the settings, which may be: what their browser asks for.
    """
    known = app.catalog.localizations
    wish = unquote(request.cookies.get(COOKIE, ""))[:100] or app.settings.current.ui.localization
    if wish == AUTOMATIC:
        wish = preferred(request.headers.get("accept-language", ""), known.languages())
    return known.find(wish) if wish and wish != NONE else None


def offered(app: App) -> dict[str, str]:
    """What a visitor can choose for their browser -> what its speakers call it."""
    known = app.catalog.localizations
    ours = known.languages()
    return ours | {name: name for name in known.names() if name not in (AUTOMATIC, NONE, *ours.values())}


def spoken_to(app: App, request: Request, page: str) -> str:
    """Gradio's page for whoever asks for it."""
    return spoken(page, theirs(app, request), offered(app))


def spoken(page: str, localization: Localization | None, languages: Mapping[str, str]) -> str:
    """Gradio's page with a table, with the language that it says it is in, and with those that can be chosen."""
    head, between, rest = page.partition("<head>")
    told = f"<script type='application/json' id='page_languages'>{_json(languages)}</script>"
    if localization is not None:
        direction = " dir='rtl'" if localization.rtl else ""
        head = head.replace('lang="en"', f'lang="{localization.language}"{direction}', 1)
        told += f"<script type='application/json' id='page_words'>{_told(localization)}</script>"
    return f"{head}{between}{told}{rest}"


def _json(told: object) -> str:
    """As it can stand in a page."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _told(localization: Localization) -> str:
    return _written(tuple(localization.words.items()), localization.language)


@lru_cache(maxsize=16)
def _written(words: tuple[tuple[str, str], ...], language: str) -> str:
    return _json({"language": language, "lines": LINES, "words": dict(words)})


def in_their_words(answer: object, outputs: Sequence[object], localization: Localization | None) -> None:
    """Translate, in Gradio's answer to an event, what lists offer. outputs: the components that it is for."""
    data = answer.get("data") if isinstance(answer, dict) and localization is not None else None
    if localization is None or not isinstance(data, list):
        return
    for component, update in zip(outputs, data, strict=False):
        if isinstance(update, dict) and isinstance(update.get("choices"), list):
            classes = getattr(component, "elem_classes", None) or ()
            words = localization.words
            if NAMES in classes:
                words = {line: words[line] for line in LINES if line in words}
            update["choices"] = [_named(choice, words) for choice in update["choices"]]


_OF_A_FEATURE = re.compile(r"\[(.+?)\] (.+)", re.DOTALL)
"""An axis: "[Hires. fix] Upscaler"."""


def _named(choice: object, words: Mapping[str, str]) -> object:
    if not (isinstance(choice, list | tuple) and len(choice) == 2 and isinstance(choice[0], str)):
        return choice
    name, value = choice
    if name not in words and (part := _OF_A_FEATURE.fullmatch(name)):
        return [f"[{words.get(part[1], part[1])}] {words.get(part[2], part[2])}", value]
    return [words.get(name, name), value]

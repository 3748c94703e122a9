"""How the page looks: Gradio's theme in our palette, and the scripts in its head. Nothing comes from another host."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

import gradio as gr

from webui.base.errors import NotFound, UserError
from webui.base.fence import read_each
from webui.catalog.problems import Problems
from webui.catalog.themes import GRADIOS, OURS
from webui.request.filenames import file_name
from webui.server.page_files import ENTRY, FILES
from webui.server.ui import sheets
from webui.server.ui.sheets import ASSETS

LARGEST = 1_000_000
"""Bytes of a theme's file."""
INLINE = ("theme.js", "language.js")
"""Scripts that stand in the page itself, so that it comes up as it is to be."""
FAVICON = ASSETS / "favicon.svg"

ANEW = (
    "const key = 'gesso_edition'; if (sessionStorage.getItem(key) === this.src)"
    " document.body.prepend('The scripts of this page cannot be loaded. Reload it.');"
    " else { sessionStorage.setItem(key, this.src); location.reload(); }"
)
"""Where the modules do not come: the program may have become another one since the page came, so the page is fetched
anew, once."""

CHALK = gr.themes.Color(
    name="chalk",
    c50="#fbfaf8",
    c100="#f4f2ee",
    c200="#e8e4dd",
    c300="#d5cfc5",
    c400="#a9a297",
    c500="#6c655c",
    c600="#5b554d",
    c700="#3c3832",
    c800="#292622",
    c900="#1d1b18",
    c950="#141311",
)
ULTRAMARINE = gr.themes.Color(
    name="ultramarine",
    c50="#eff2ff",
    c100="#e0e5ff",
    c200="#c6cffe",
    c300="#a3affc",
    c400="#8089f8",
    c500="#5f63ee",
    c600="#4a47dc",
    c700="#3d39bd",
    c800="#333197",
    c900="#2d2e77",
    c950="#1b1b46",
)

_SANS = ("Inter", "Segoe UI", "system-ui", "-apple-system", "Roboto", "Liberation Sans", "sans-serif")
_MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Consolas", "Liberation Mono", "monospace")


def theme(name: str, folder: Path, problems: Problems) -> object:
    """The theme of this name: ours, one of Gradio's, or a file NAME.json in the folder, as Gradio writes themes. One
    that cannot be used is told as a problem, and ours takes its place."""
    if name in ("", OURS):
        return _ours()
    found, wrong = read_each("themes", [name], str, lambda name: _other(name, folder))
    problems.found("themes", wrong)
    return found[0][1] if found else _ours()


def _other(name: str, folder: Path) -> object:
    if name in GRADIOS:
        own: Callable[..., object] = getattr(gr.themes, name)
        return own(spacing_size="sm", radius_size="sm", text_size="sm", font=_SANS, font_mono=_MONO)
    path = folder / file_name(name, "json")
    if not path.is_file():
        raise NotFound(f"There is no theme {name!r}.", hint=f"Put {path.name} into {folder}, or choose another theme.")
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path.name} is too large for a theme.")
    loaded = gr.themes.ThemeClass.load(str(path))
    loaded._stylesheets = []  # Nothing comes from another host.
    sheets.below_ours(loaded._get_theme_css())  # It must be one that can stand below our sheets.
    return loaded


def _ours() -> object:
    """Gradio's default theme, small and dense, in chalk and ultramarine."""
    base = gr.themes.Default(
        primary_hue=ULTRAMARINE,
        secondary_hue=ULTRAMARINE,
        neutral_hue=CHALK,
        spacing_size="sm",
        radius_size="sm",
        text_size="sm",
        font=_SANS,
        font_mono=_MONO,
    )
    return base.set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="#ece8e1",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_900",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#35312c",
        border_color_accent="*primary_500",
        border_color_accent_dark="*primary_400",
        color_accent="*primary_600",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="#2f2c27",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="#b8b1a6",
        block_title_text_weight="500",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="*neutral_50",
        input_background_fill_dark="#24211e",
        input_background_fill_focus="white",
        input_background_fill_focus_dark="#282521",
        input_border_color="*neutral_300",
        input_border_color_dark="#3d3933",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="#968f85",
        input_shadow="none",
        input_shadow_dark="none",
        input_shadow_focus="0 0 0 3px rgb(95 99 238 / 16%)",
        input_shadow_focus_dark="0 0 0 3px rgb(128 137 248 / 20%)",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="#2a2723",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="#36322d",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#3d3933",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="#ddd7cd",
        button_border_width="1px",
        button_primary_border_color="transparent",
        button_primary_border_color_dark="transparent",
        checkbox_background_color="*neutral_50",
        checkbox_background_color_dark="#24211e",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="#57514a",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_label_background_fill_hover="*neutral_100",
        checkbox_label_background_fill_hover_dark="#2a2723",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
        loader_color="*primary_500",
    )


def head(facts: Mapping[str, object]) -> str:
    """What the page's modules are to know, as JSON in the page; and the modules."""
    told = json.dumps(facts, ensure_ascii=True).replace("<", "\\u003c")
    return "\n".join(
        [
            # All at once: else a browser learns of one module from another, a trip to the server each time.
            *(f'<link rel="modulepreload" href="{escape(FILES.address(name))}">' for name in FILES.modules),
            f'<script type="application/json" id="page_facts">{told}</script>',
            *(f"<script>{(ASSETS / 'inline' / name).read_text('utf-8')}</script>" for name in INLINE),
            f'<script type="module" src="{escape(FILES.address(ENTRY))}" onerror="{escape(ANEW)}"></script>',
        ]
    )

"""The top of a generation tab: prompts, Generate with Interrupt and Skip, tool buttons, styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from webui.server.ui.components import Component
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.script import calls

PROMPTS = ("prompt", "negative_prompt")
STYLES = "styles"


@dataclass(frozen=True)
class Toprow:
    """The buttons that other parts act on."""

    generate: Component
    paste: Component
    apply_styles: Component
    edit_styles: Component


def tool_button(icon: str, name: str, elem_id: str, *, elem_classes: Sequence[str] = (), **look: object) -> Component:
    """A square button with an icon; `name` is its accessible name and tooltip."""
    classes = ["tool", f"glyph-{icon}", *elem_classes]
    button: Component = gr.Button(name, elem_id=elem_id, elem_classes=classes, size="sm", scale=0, **look)
    return button


def toprow(controls: Controls, *, before_styles: tuple[tuple[str, str, str], ...] = ()) -> Toprow:
    """Lay it out. `before_styles` are more tool buttons: (icon, name, id after the tab's)."""
    tab = controls.prefix
    with gr.Row(elem_id=f"{tab}_toprow", elem_classes="toprow", equal_height=False):
        with gr.Column(scale=6, min_width=280, elem_classes="prompts"):
            for name in PROMPTS:
                controls.add(name, show_label=False, elem_classes="prompt", max_lines=24, placeholder=_invitation(name))
        with gr.Column(scale=0, min_width=260, elem_id=f"{tab}_actions_column", elem_classes="actions"):
            with gr.Row(elem_id=f"{tab}_generate_box", elem_classes="generate-box"):
                gr.Button("Interrupt", elem_id=f"{tab}_interrupt", elem_classes="while-running")
                gr.Button("Skip", elem_id=f"{tab}_skip", elem_classes="while-running")
                generate = gr.Button("Generate", elem_id=f"{tab}_generate", elem_classes="generate", variant="primary")
            with gr.Row(elem_id=f"{tab}_tools", elem_classes="tools"):
                paste = tool_button(
                    "paste",
                    "Read generation parameters from the prompt, or from the last picture if the prompt is empty",
                    f"{tab}_paste",
                )
                clear = tool_button("clear", "Clear both prompts", f"{tab}_clear_prompt")
                for icon, name, elem_id in before_styles:
                    tool_button(icon, name, f"{tab}_{elem_id}")
                apply_styles = tool_button("apply", "Apply the selected styles to the prompts", f"{tab}_style_apply")
                edit_styles = tool_button("edit", "Edit styles", f"{tab}_style_edit")
            controls.add(STYLES, elem_classes="styles", min_width=200)
    prompts = [controls[name] for name in PROMPTS]
    clear.click(None, None, prompts, js=calls("cleared"), **QUIET)
    for name, box in zip(PROMPTS, prompts, strict=True):
        given = [box, controls[STYLES]]
        for changed in given:
            changed.change(None, given, None, js=calls("count", f"{tab}_{name}"), **QUIET)
    return Toprow(generate, paste, apply_styles, edit_styles)


def _invitation(name: str) -> str:
    if name == PROMPTS[0]:
        return "Prompt   (Ctrl+Enter or Shift+Enter generates, Alt+Enter skips, Esc interrupts)"
    return "Negative prompt"

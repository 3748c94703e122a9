"""The top of a generation tab: prompts, Generate with Interrupt and Skip, tool buttons, styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from webui.server.ui.cards import cards
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


class Top:
    """Prompts, buttons and styles of a tab: across its top, or compact: in the form's column, with Generate above the
    results."""

    def __init__(
        self, controls: Controls, *, compact: bool, before_styles: tuple[tuple[str, str, str], ...] = ()
    ) -> None:
        """`before_styles` are more tool buttons: (icon, name, id after the tab's)."""
        self._controls = controls
        self._tab = controls.prefix
        self._compact = compact
        self._before_styles = before_styles
        self._buttons: dict[str, Component] = {}

    def across(self) -> None:
        """Lay it out at the top of the tab, unless it is compact."""
        if self._compact:
            return
        with gr.Row(elem_id=f"{self._tab}_toprow", elem_classes="toprow", equal_height=False):
            with gr.Column(scale=6, min_width=280, elem_classes="prompts"):
                self._prompts()
            with gr.Column(scale=0, min_width=260, elem_id=f"{self._tab}_actions_column", elem_classes="actions"):
                self._generate_box()
                self._tools_and_styles()
        cards(self._tab)

    def in_form(self) -> None:
        """Lay out all but Generate at the top of the form, if it is compact."""
        if self._compact:
            with gr.Column(elem_id=f"{self._tab}_toprow", elem_classes=["toprow", "in-form"]):
                with gr.Column(elem_classes="prompts"):
                    self._prompts()
                with gr.Row(elem_id=f"{self._tab}_actions_column", elem_classes="actions"):
                    self._tools_and_styles()
                cards(self._tab)

    def over_results(self) -> None:
        """Lay out Generate, if it is compact."""
        if self._compact:
            with gr.Column(elem_classes="generate-above"):
                self._generate_box()

    def made(self) -> Toprow:
        """The buttons, once all is laid out."""
        controls, tab = self._controls, self._tab
        prompts = [controls[name] for name in PROMPTS]
        self._buttons["clear"].click(None, None, prompts, js=calls("cleared"), **QUIET)
        for name, box in zip(PROMPTS, prompts, strict=True):
            given = [box, controls[STYLES]]
            for changed in given:
                changed.change(None, given, None, js=calls("count", f"{tab}_{name}"), **QUIET)
        return Toprow(*(self._buttons[name] for name in ("generate", "paste", "apply", "edit")))

    def _prompts(self) -> None:
        for name in PROMPTS:
            self._controls.add(
                name, show_label=False, elem_classes="prompt", max_lines=24, placeholder=_invitation(name)
            )

    def _generate_box(self) -> None:
        tab = self._tab
        with gr.Row(elem_id=f"{tab}_generate_box", elem_classes="generate-box"):
            gr.Button("Interrupt", elem_id=f"{tab}_interrupt", elem_classes="while-running")
            gr.Button("Skip", elem_id=f"{tab}_skip", elem_classes="while-running")
            self._buttons["generate"] = gr.Button(
                "Generate", elem_id=f"{tab}_generate", elem_classes="generate", variant="primary"
            )

    def _tools_and_styles(self) -> None:
        tab, buttons = self._tab, self._buttons
        with gr.Row(elem_id=f"{tab}_tools", elem_classes="tools"):
            buttons["paste"] = tool_button(
                "paste",
                "Read generation parameters from the prompt, or from the last picture if the prompt is empty",
                f"{tab}_paste",
            )
            buttons["clear"] = tool_button("clear", "Clear both prompts", f"{tab}_clear_prompt")
            for icon, name, elem_id in self._before_styles:
                tool_button(icon, name, f"{tab}_{elem_id}")
            buttons["apply"] = tool_button("apply", "Apply the selected styles to the prompts", f"{tab}_style_apply")
            buttons["edit"] = tool_button("edit", "Edit styles", f"{tab}_style_edit")
        self._controls.add(STYLES, elem_classes="styles", min_width=200)


def _invitation(name: str) -> str:
    if name == PROMPTS[0]:
        return "Prompt   (Ctrl+Enter or Shift+Enter generates, Alt+Enter skips, Esc interrupts)"
    return "Negative prompt"

"""The scripts at the foot of a form: a list of them, and the controls of the one that is picked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from webui import registry
from webui.base.errors import WebuiError
from webui.request.fields import REQUESTS, Generation
from webui.request.params import Toggle
from webui.scripts import xyz
from webui.scripts.prompts_from_file import LONGEST_FILE, PromptsFromFile, lines_of
from webui.scripts.script import Script
from webui.server.ui import notices
from webui.server.ui.components import Component, Data, Shown
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.offers import NONE
from webui.server.ui.parts import late_column
from webui.server.ui.script import calls
from webui.server.ui.toprow import tool_button

if TYPE_CHECKING:
    from webui.app import App

AXES = ("x", "y", "z")
NOT_HERE = "include_lone_images"
"""The page always shows the pictures."""


class Scripts:
    """The list and all controls, laid out where it is made. `kind`: of generation, and the tab's name."""

    def __init__(self, app: App, kind: str) -> None:
        self._app = app
        self._kind = kind
        self._cls: type[Generation] = REQUESTS[kind]
        self._forms: dict[str, Controls] = {}
        entries = registry.scripts_for(kind)
        with gr.Column(elem_id=f"{kind}_scripts", elem_classes="scripts"):
            self._chosen = gr.Dropdown(
                [NONE, *(entry.name for entry in entries)],
                value=NONE,
                label="Script",
                elem_id=f"{kind}_script_list",
                interactive=True,
            )
            for entry in entries:
                self._forms[entry.name] = self._laid_out(registry.resolved(entry.code), entry.name)
        self._chosen.change(None, self._chosen, None, js=calls("showScript", kind), **QUIET)

    @property
    def components(self) -> tuple[Component, ...]:
        """Everything whose values a form's handler needs."""
        return (self._chosen, *(component for form in self._forms.values() for component in form.components))

    def values(self, data: Data) -> dict[str, object]:
        """What the picked script adds to the request."""
        name = data[self._chosen]
        form = self._forms.get(str(name))
        return {} if form is None else {"script": name, "script_values": form.values(data)}

    def show(self, script: str, script_values: Mapping[str, object]) -> Shown:
        """Updates that bring back the script of a request."""
        form = self._forms.get(script)
        if form is None:
            return {self._chosen: gr.update(value=NONE)}
        values = form.declared.made(**script_values)
        updates, _ = form.show({name: getattr(values, name) for name in form})
        return {self._chosen: gr.update(value=script), **updates}

    def _laid_out(self, script: type[Script], name: str) -> Controls:
        tab = f"{self._kind}_script_{_slug(name)}"
        form = Controls(script, tab, self._choices)
        with late_column(tab, "script-body"):
            if script.advice:
                gr.HTML(escape(script.advice), padding=False, elem_classes="script-advice")
            left = list(script.params())
            if script is xyz.XyzPlot:
                for axis in AXES:
                    self._axis(form, axis)
                self._swaps(form)
                left = [each for each in left if each not in form and each != NOT_HERE]
            toggles = [each for each in left if isinstance(script.params()[each], Toggle)]
            form.add_all(each for each in left if each not in toggles)
            if toggles:
                with gr.Row(elem_classes="script-toggles"):
                    form.add_all(toggles, container=False, min_width=150)
            if script is PromptsFromFile:
                self._prompt_file(form)
        return form

    def _prompt_file(self, form: Controls) -> None:
        """A file whose lines take the place of what is in the textbox."""
        file = gr.File(
            label="Upload prompt inputs", file_types=["text", ".txt", ".csv"], elem_id=f"{form.prefix}_file", height=100
        )
        notice = gr.HTML("", padding=False, elem_id=f"{form.prefix}_notice")
        file.upload(_prompts_in, [file], [form["lines"], notice], **QUIET)

    def _axis(self, form: Controls, axis: str) -> None:
        """Type and values in a row, with a button that lists all values where there is a list of them."""
        with gr.Row(elem_classes="script-axis", equal_height=True):
            form.add(f"{axis}_type", min_width=140, scale=2)
            form.add(f"{axis}_values", min_width=160, scale=4)
            fill = tool_button("down", f"All values of {axis.upper()}", f"{form.prefix}_{axis}_fill")
        kind, values = form[f"{axis}_type"], form[f"{axis}_values"]
        fill.click(partial(_listed, self._app, self._cls), [kind, values], values, **QUIET)

    def _swaps(self, form: Controls) -> None:
        with gr.Row(elem_classes="script-swaps"):
            for one, other in (("x", "y"), ("y", "z"), ("x", "z")):
                fields = [form[f"{axis}_{what}"] for axis in (one, other) for what in ("type", "values")]
                gr.Button(
                    f"Swap {one.upper()}/{other.upper()}",
                    elem_id=f"{form.prefix}_swap_{one}{other}",
                    size="sm",
                    min_width=90,
                    scale=0,
                ).click(None, fields, fields, js="(a, b, c, d) => [c, d, a, b]", **QUIET)

    def _choices(self, source: str) -> list[str]:
        if source == "axes":
            return [axis.title for axis in xyz.axes(self._cls)]
        return self._app.catalog.choices(source)


def _listed(app: App, cls: type[Generation], title: str, now: str) -> str:
    """All values that an axis has a list of; else what is written now."""
    source = next((axis.source for axis in xyz.axes(cls) if axis.title == title), "")
    return xyz.quoted(app.catalog.choices(source)) if source else now


def _prompts_in(path: str | None) -> tuple[object, str]:
    """(the lines of an uploaded file for the textbox, what there is to say of it)."""
    if not path:
        return gr.skip(), ""
    try:
        with Path(path).open("rb") as file:
            return lines_of(file.read(LONGEST_FILE + 1)), ""
    except WebuiError as error:
        return gr.skip(), notices.failure(error)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())

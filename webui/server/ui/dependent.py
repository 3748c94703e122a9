"""Controls that have an effect with some values of others alone come and go with these (`Param.depends`).

Those that are hidden keep their values, which are sent along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import gradio as gr

from webui.server.ui.components import Updates
from webui.server.ui.controls import HIDDEN, QUIET, Controls
from webui.server.ui.script import calls


def hide_what_has_no_effect(form: Controls) -> None:
    """Wire it, once all controls are made: in the browser, and for values that are put into the form."""
    params = form.declared.offered()
    bound = {name: others for name in form if (others := params[name].depends) and all(o.name in form for o in others)}
    watched = list(dict.fromkeys(other.name for others in bound.values() for other in others))
    if not watched:
        return
    shown = [form[name] for name in bound]
    rules = [[[watched.index(o.name), o.among, o.besides] for o in others] for others in bound.values()]
    js = calls("whatCounts", json.dumps(rules))
    for name in watched:
        form[name].change(None, [form[each] for each in watched], shown, js=js, **QUIET)

    def counting(values: Mapping[str, object]) -> dict[str, bool]:
        known = {name: others for name, others in bound.items() if all(o.name in values for o in others)}
        return {name: all(o.holds(values[o.name]) for o in others) for name, others in known.items()}

    def following(values: Mapping[str, object]) -> Updates:
        return {form[name]: gr.update(visible=True if counts else HIDDEN) for name, counts in counting(values).items()}

    for name, counts in counting({name: form[name].value for name in watched}).items():
        if not counts:
            form[name].visible = HIDDEN
    form.follow(shown, following)

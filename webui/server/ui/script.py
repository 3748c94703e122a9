"""How handlers of Gradio's events ask the page's modules (`assets/commands.js`), which leave no global behind."""

from __future__ import annotations

import json

ASKS = """(...given) => new Promise((answer, refuse) => {
const ask = () => document.dispatchEvent(new CustomEvent("gesso:ask",
{cancelable: true, detail: {name: %s, given: [%s...given], answer, refuse}}));
if (ask()) document.addEventListener("gesso:ready", ask, {once: true}); })"""
"""Where nobody takes the event, the modules are still on their way, and it is asked again when they are there."""


def calls(command: str, *told: str) -> str:
    """For `js=`: what the command answers to `told` and to the values of the event's inputs."""
    return ASKS.replace("\n", " ") % (json.dumps(command), "".join(f"{json.dumps(one)}, " for one in told))

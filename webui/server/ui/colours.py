"""Every colour of the page that is not one of Gradio's theme, in one table: light, dark, and with more contrast.

The stylesheets name these as variables and have no colour of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shade:
    """A colour as it is on a light and on a dark page, and on both where the system asks for more contrast."""

    light: str
    dark: str = ""
    """ "": as on a light page."""
    strong: str = ""
    """On a light page with more contrast; "": no other one."""
    strong_dark: str = ""


COLOURS: Mapping[str, Shade] = {
    # signs
    "ochre": Shade("#b7791f", "#e0a84a", "#6b4400", "#ffd28a"),
    "vermilion": Shade("#c93a2b", "#ff8372", "#8e1a0e", "#ffb1a6"),
    "viridian": Shade("#2f7d5b", "#6fc49c", "#0f5132", "#a5e8c8"),
    "stop": Shade("#b4532a", strong="#7d3312", strong_dark="#7d3312"),
    "stop-pointed": Shade("#99431f", strong="#5f250b", strong_dark="#5f250b"),
    "fault": Shade("#c2293f", strong="#8c1024", strong_dark="#8c1024"),
    "star": Shade("#ffd77a"),
    # grounds
    "stage": Shade("#ece8e1", "#0f0e0c"),
    "veil": Shade("#0c0b0a"),
    "scrim": Shade("#141311"),
    "shadow": Shade("#000"),
    "said": Shade("#292622", strong="#000", strong_dark="#000"),
    "said-edge": Shade("#57514a", strong="#fff", strong_dark="#fff"),
    "said-bad": Shade("#8e2c20"),
    "said-bad-edge": Shade("#c4594b", strong="#fff", strong_dark="#fff"),
    "over-veil": Shade("#282623"),
    "over-veil-pointed": Shade("#504c46"),
    "slider-rest": Shade("var(--neutral-200)", "#3a3631", "#a9a297", "#7b746a"),
    # on them
    "on-dark": Shade("#fff"),
    "on-scrim": Shade("#f4f2ee", strong="#fff", strong_dark="#fff"),
    "on-veil": Shade("#eee", strong="#fff", strong_dark="#fff"),
    "link-on-dark": Shade("#c6cffe"),
    # what is chosen, pointed at, or under way
    "chosen": Shade("var(--color-accent)", "#8089f8", "#2d2e77", "#c6cffe"),
    "chosen-text": Shade("var(--color-accent)", "#b5befd", "#2d2e77", "#e0e5ff"),
    "pointed-text": Shade("var(--color-accent)", "#a3affc", "#2d2e77", "#e0e5ff"),
    "chosen-on-veil": Shade("#8089f8", strong="#c6cffe", strong_dark="#c6cffe"),
    "under-way": Shade("#9aa2ff", strong="#e0e5ff", strong_dark="#e0e5ff"),
    "tool-on": Shade("#4a47dc"),
}

STRONG: Mapping[str, tuple[str, str]] = {
    "body-text-color": ("#000", "#fff"),
    "body-text-color-subdued": ("#2b2824", "#dcd6cc"),
    "block-label-text-color": ("#000", "#fff"),
    "block-title-text-color": ("#000", "#fff"),
    "block-info-text-color": ("#2b2824", "#dcd6cc"),
    "input-placeholder-color": ("#4c463f", "#c9c2b7"),
    "border-color-primary": ("#57514a", "#b5ada1"),
    "block-border-color": ("#57514a", "#b5ada1"),
    "input-border-color": ("#3c3832", "#c9c2b7"),
    "checkbox-border-color": ("#292622", "#d5cfc5"),
    "button-secondary-border-color": ("#3c3832", "#c9c2b7"),
    "button-secondary-text-color": ("#000", "#fff"),
}
"""Variables of Gradio's theme where more contrast is asked for: (light, dark)."""


def stylesheet() -> str:
    """The table as rules. What is the same on a dark page is inherited."""
    strong_light = {name: shade.strong for name, shade in COLOURS.items()} | {n: both[0] for n, both in STRONG.items()}
    strong_dark = {name: shade.strong_dark for name, shade in COLOURS.items()}
    strong_dark |= {name: both[1] for name, both in STRONG.items()}
    more = _rule("html > body", strong_light) + _rule("html > body.dark", strong_dark)
    return (
        _rule("body", _named(lambda shade: shade.light))
        + _rule("body.dark", _named(lambda shade: shade.dark))
        + f"@media (prefers-contrast: more) {{\n{more}}}\n"
    )


def _named(of: Callable[[Shade], str]) -> dict[str, str]:
    return {name: of(shade) for name, shade in COLOURS.items()}


def _rule(selector: str, values: Mapping[str, str]) -> str:
    lines = "".join(f"  --{name}: {value};\n" for name, value in values.items() if value)
    return f"{selector} {{\n{lines}}}\n"

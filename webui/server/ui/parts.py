"""Blocks of controls that both generation tabs have, at A1111's places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import gradio as gr

from webui import registry
from webui.base.errors import ExtensionError
from webui.base.fence import fenced, told_of
from webui.registry import FeatureEntry
from webui.request.params import Image, Param, Toggle, by_name, units_in
from webui.request.presets import PRESETS, Preset, values_of
from webui.request.settings import UiSettings
from webui.server.ui import notices
from webui.server.ui.components import Component, Shown, Updates
from webui.server.ui.controls import PARTS, QUIET, Controls
from webui.server.ui.dependent import hide_what_has_no_effect
from webui.server.ui.script import calls
from webui.server.ui.sending import PICTURE, Receiver, Sent
from webui.server.ui.toprow import tool_button
from webui.server.ui.unit_presets import connect_presets, preset_bar
from webui.server.ui.visitors import copy_for

if TYPE_CHECKING:
    from webui.app import App

SAMPLING = ("sampler_name", "scheduler", "steps")
REFINER = ("refiner_checkpoint", "refiner_switch_at")
SIZE = ("width", "height")
BATCH = ("n_iter", "batch_size")
GUIDANCE = ("cfg_scale",)
MORE_GUIDANCE = (("cfg_rescale", "pag_scale"), ("mimic_scale", "threshold_percentile"), ("apg",))
PROJECTED = ("apg_eta", "apg_threshold", "apg_momentum")
SEED = "seed"
VARIATION = ("subseed", "subseed_strength")
RESIZE = ("seed_resize_from_w", "seed_resize_from_h")
FILM = "show_film"
RESTORES = "restore_faces"
OVERRIDES = "override_settings"


def sampling(controls: Controls) -> None:
    """Method, schedule, steps."""
    with gr.Row(elem_classes="sampling"):
        controls.add(SAMPLING[0], min_width=150)
        controls.add(SAMPLING[1], min_width=130)
        controls.add(SAMPLING[2], min_width=180, scale=2)


def switched_block(elem_id: str) -> Component:
    """A frame whose body shows while the checkbox in its header is on."""
    block: Component = gr.Column(elem_id=elem_id, elem_classes="switched", variant="panel")
    return block


def late_column(elem_id: str, *classes: str) -> Component:
    """A column whose inside is built when it is first seen (`late.py`)."""
    column: Component = gr.Column(elem_id=elem_id, elem_classes=["late", *classes])
    return column


def switched_body(elem_id: str) -> Component:
    """What shows while the checkbox in the header is on."""
    return late_column(f"{elem_id}_body", "switched-body")


def switched_header() -> Component:
    """The line with the checkbox."""
    header: Component = gr.Row(elem_classes="switched-header", equal_height=True)
    return header


def refiner(controls: Controls) -> None:
    """A second checkpoint for the end; closed until somebody wants it."""
    tab = controls.prefix
    with gr.Accordion("Refiner", open=False, elem_id=f"{tab}_refiner", elem_classes="fold"), gr.Row():
        controls.add_all(REFINER, min_width=160)


def size(controls: Controls, *more: tuple[str, str, str, str]) -> None:
    """Width over height, with buttons beside: swap, and `more` of (icon, name, id, script)."""
    tab = controls.prefix
    with gr.Row(elem_classes="size", equal_height=True):
        with gr.Column(scale=4, min_width=160, elem_classes="stacked"):
            controls.add_all(SIZE)
        sides = [controls[name] for name in SIZE]
        with gr.Column(scale=0, min_width=36, elem_classes="beside"):
            tool_button("swap", "Swap width and height", f"{tab}_res_switch_btn").click(
                None, sides, sides, js="(w, h) => [h, w]", **QUIET
            )
            for icon, name, elem_id, script in more:
                tool_button(icon, name, f"{tab}_{elem_id}").click(None, sides, sides, js=script, **QUIET)


def batch(controls: Controls) -> None:
    """Count over size."""
    with gr.Column(scale=2, min_width=160, elem_classes="stacked"):
        controls.add_all(BATCH)


def dimensions(controls: Controls, ui: UiSettings, sides: Callable[[], None]) -> None:
    """What `sides` lays out, with the batches on its right, unless people want these apart."""
    if not ui.dimensions_and_batch_together:
        sides()
        return
    with gr.Row(elem_classes="dimensions", equal_height=True):
        with gr.Column(scale=4, min_width=240):
            sides()
        batch(controls)


def batch_alone(controls: Controls, ui: UiSettings) -> None:
    """The batches, where they stand apart from the size."""
    if not ui.dimensions_and_batch_together:
        controls.add_all(BATCH)


def guidance(controls: Controls) -> None:
    """How strictly the prompt is followed."""
    controls.add_all(GUIDANCE)


def more_guidance(app: App, controls: Controls) -> None:
    """What else may be done with the guidance, none of it from A1111; closed until somebody wants it."""
    tab = controls.prefix
    with gr.Accordion("More guidance", open=False, elem_id=f"{tab}_more_guidance", elem_classes="fold"):
        for names in MORE_GUIDANCE:
            with gr.Row():
                controls.add_all(names, min_width=160)
        with gr.Row():
            controls.add_all(PROJECTED, min_width=120)
        _presets(app, controls)


def features(app: App, controls: Controls, kind: str = "") -> list[Receiver]:
    """The features whose values requests carry by name, each behind its switch, as they are declared; those that may
    act several times stand in a fold of their own. Given back: the places that pictures can be sent to."""
    tab = controls.prefix
    # What is flat stands among the request's own.
    ui = app.settings.current.ui
    found = [entry for entry in registry.carried(kind) if not entry.params.flat and entry.params.is_shown(ui)]
    for entry in found:
        if entry.params.in_front:
            _guarded(app, entry, partial(_feature, app, controls, entry))
    with gr.Accordion("More features", open=False, elem_id=f"{tab}_features", elem_classes="fold"):
        for entry in found:
            if not entry.params.units and not entry.params.in_front:
                _guarded(app, entry, partial(_feature, app, controls, entry))
    receivers: list[Receiver] = []
    for entry in found:
        if entry.params.units:
            _guarded(app, entry, partial(_units, app, controls, entry, receivers))
    return receivers


def _guarded(app: App, entry: FeatureEntry, lay_out: Callable[[], None]) -> None:
    if not entry.origin:
        lay_out()
        return
    with fenced(partial(_say_broken, app, entry)):
        lay_out()


def _elem_id(controls: Controls, entry: FeatureEntry) -> str:
    return f"{controls.prefix}_{entry.package.rsplit('.', 1)[-1]}"


def _feature(app: App, controls: Controls, entry: FeatureEntry) -> None:
    own = _elem_id(controls, entry)
    with switched_block(own):
        with switched_header():
            switch = gr.Checkbox(False, label=entry.name, container=False, elem_id=f"{own}_enabled", interactive=True)
        with switched_body(own):
            inner = _inner(app, controls, entry, own, None)
    controls.part(entry.name, [(switch, inner)])


def _units(app: App, controls: Controls, entry: FeatureEntry, receivers: list[Receiver]) -> None:
    """A tab for each unit, and how many are on beside the title. What is in a unit is seen whether it is on or not:
    people set it up first. `receivers` gets the place for pictures, which is a unit that people choose."""
    own, picture = _elem_id(controls, entry), _picture_of(entry)
    units, target = [], None
    with gr.Column(elem_id=f"{own}_block", elem_classes="units"):
        with gr.Accordion(entry.name, open=False, elem_id=own, elem_classes="fold") as fold:
            count_shown = entry.params.shown(app.settings.current.ui)
            presets = preset_bar(own)
            with gr.Tabs(elem_id=f"{own}_units", elem_classes="small") as tabs:
                for unit in range(count_shown):
                    with gr.Tab(f"Unit {unit}", id=unit, elem_id=f"{own}_{unit}_tab"):
                        units.append(_unit(app, controls, entry, f"{own}_{unit}"))
            if picture:
                target = gr.Dropdown(
                    [FIRST_FREE, *(f"Unit {unit}" for unit in range(count_shown))],
                    value=FIRST_FREE,
                    label="Pictures that are sent here go to",
                    elem_id=f"{own}_target",
                    interactive=True,
                )
        badge = gr.HTML(elem_id=f"{own}_badge", elem_classes="bare units-on")
    controls.part(entry.name, units, listed=True)
    switches = [switch for switch, _ in units]

    def count(values: Mapping[str, object]) -> Updates:
        if PARTS not in values:
            return {}
        asked = units_in(by_name(values[PARTS]).get(entry.name))[: len(units)]
        return {badge: gr.update(value=_badge(sum(unit is not None for unit in asked)))}

    controls.follow([badge], count)
    connect_presets(app, entry, presets, units, lambda on: {badge: gr.update(value=_badge(on))})
    if target is not None:
        receivers.append(_receiver(app, controls, entry, [unit[picture] for _, unit in units], (fold, tabs, target)))
    for switch in switches:
        switch.input(lambda *on: _badge(sum(map(bool, on))), switches, badge, **QUIET)


def _picture_of(entry: FeatureEntry) -> str:
    """The name of the first picture that a unit takes; "" where it takes none."""
    return next((name for name, param in entry.params.params().items() if isinstance(param, Image)), "")


def _receiver(
    app: App,
    controls: Controls,
    entry: FeatureEntry,
    pictures: Sequence[Component],
    around: tuple[Component, Component, Component],
) -> Receiver:
    """pictures: of the units; around: the fold, the tabs of the units, and what says which of them takes a picture."""
    fold, tabs, target = around

    def take(sent: Sent, request: gr.Request, chosen: object, *there: object) -> Shown:
        unit = taking(chosen, there)
        picture = copy_for(app, request, sent.picture, sent.name)
        return {pictures[unit]: picture, fold: gr.update(open=True), tabs: gr.update(selected=unit)}

    return Receiver(
        _elem_id(controls, entry).removeprefix(f"{controls.prefix}_"),
        f"Send picture to {entry.name}, {controls.prefix}",
        "stack",
        frozenset((PICTURE,)),
        controls.prefix,
        (*pictures, fold, tabs),
        take,
        holds=pictures[0],
        asked=(target, *pictures),
        words=f"Send to {entry.name}",
    )


FIRST_FREE = "First free unit"


def taking(chosen: object, there: Sequence[object]) -> int:
    """The unit that takes a picture: the chosen one, else the first that has none, else the first of all. there: the
    pictures of the units."""
    options = [FIRST_FREE, *(f"Unit {unit}" for unit in range(len(there)))]
    if chosen in options[1:]:
        return options.index(str(chosen)) - 1
    return next((unit for unit, picture in enumerate(there) if not picture), 0)


def _badge(count: int) -> str:
    return f"<span title='Enabled units'>{count}</span>" if count else ""


def _unit(app: App, controls: Controls, entry: FeatureEntry, own: str) -> tuple[Component, Controls]:
    with gr.Column(elem_id=own, elem_classes="unit"):
        with gr.Row(elem_classes="unit-header", equal_height=True) as header:
            switch = gr.Checkbox(False, label="Enable", container=False, elem_id=f"{own}_enabled", interactive=True)
        return switch, _inner(app, controls, entry, own, header)


def _say_broken(app: App, entry: FeatureEntry, error: Exception) -> None:
    app.note_broken(entry.origin, f"controls of {entry.name}", error)
    gr.HTML(notices.failure(ExtensionError(entry.origin, told_of(error))))


def _inner(app: App, controls: Controls, entry: FeatureEntry, own: str, header: Component | None) -> Controls:
    """The controls of a feature, or of a unit of it: as its own panel lays them out, and below what that leaves out."""
    inner = Controls(entry.params, own, controls.choices, keep=controls.keep)
    inner.header, inner.whole = header, controls
    if entry.panel:
        registry.resolved(entry.own_panel)(app, inner)
    kind, known = str(getattr(controls.declared, "kind", "")), entry.params.params()
    left = [name for name, param in known.items() if type(param) is not Param and name not in inner]
    left = [name for name in left if name not in inner.left_out]
    left = [name for name in left if not known[name].kinds or kind in known[name].kinds]
    toggles = [name for name in left if isinstance(known[name], Toggle)]
    if len(left) > len(toggles):
        with gr.Row():
            inner.add_all((name for name in left if name not in toggles), min_width=140)
    if toggles:
        with gr.Row(elem_classes="script-toggles"):
            inner.add_all(toggles, container=False, min_width=150)
    hide_what_has_no_effect(inner)
    return inner


def _presets(app: App, controls: Controls) -> None:
    """A button for each kind of checkpoint that was distilled to few steps."""
    tab = controls.prefix
    preset_fields = [controls[name] for name in (*SAMPLING, *GUIDANCE)]
    with gr.Row(elem_classes="presets", equal_height=True):
        gr.HTML("<span>Settings for few steps</span>", elem_classes="bare")
        for preset in PRESETS:

            def chosen(preset: Preset = preset) -> Updates:
                title = app.settings.current.render.sd_model_checkpoint
                return controls.show(values_of(preset, title))[0]

            gr.Button(
                preset.name, elem_id=f"{tab}_preset_{preset.name.lower()}", size="sm", min_width=70, scale=0
            ).click(chosen, None, preset_fields, **QUIET)


def seed(controls: Controls) -> None:
    """Seed with its two buttons; behind the checkbox, variation and resizing of the noise."""
    tab = controls.prefix
    with gr.Column(elem_classes="switched seed-block", elem_id=f"{tab}_seed_block"):
        with gr.Row(elem_id=f"{tab}_seed_row", elem_classes="seed-row", equal_height=True):
            controls.add(SEED, min_width=120, scale=4)
            _seed_buttons(tab, controls[SEED], "seed", "seed")
            gr.Checkbox(
                False,
                label="Extra",
                container=False,
                elem_id=f"{tab}_subseed_show",
                scale=0,
                min_width=70,
                elem_classes="switched-header",
                interactive=True,
            )
        with late_column(f"{tab}_seed_extras", "switched-body"):
            with gr.Row(elem_classes="seed-row", equal_height=True):
                controls.add(VARIATION[0], min_width=120, scale=3)
                _seed_buttons(tab, controls[VARIATION[0]], "subseed", "variation seed")
                controls.add(VARIATION[1], min_width=160, scale=4)
            with gr.Row():
                controls.add_all(RESIZE, min_width=160)


def film(controls: Controls) -> None:
    """Whether faces are restored, and whether the picture's way from noise is shown."""
    controls.add(RESTORES, container=False)
    controls.add(FILM, container=False)


def override_chips(controls: Controls) -> None:
    """Settings that a pasted infotext brought along, for this form alone; hidden while there are none."""
    controls.add(OVERRIDES, visible=False, elem_classes="overrides", label="Override settings")


def _seed_buttons(tab: str, box: Component, elem_id: str, called: str) -> None:
    tool_button("dice", f"Random {called}", f"{tab}_random_{elem_id}").click(None, None, box, js="() => -1", **QUIET)
    tool_button("recycle", f"Use the {called} of the picture shown", f"{tab}_reuse_{elem_id}").click(
        None, box, box, js=calls("results.seed", tab, elem_id), **QUIET
    )

"""The ways to give img2img its picture: the sub-tabs, and what each adds to the request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import gradio as gr

from webui.base.errors import UserError
from webui.catalog.image_files import size_of
from webui.server.ui.components import Component, Data, number_in, text_in
from webui.server.ui.controls import QUIET, Controls
from webui.server.ui.script import calls
from webui.server.ui.sketch import canvas, sketched, sketched_to_inpaint
from webui.server.ui.visitors import copy_for, file_content, upload
from webui.server.ui.wiring import Complete

if TYPE_CHECKING:
    from webui.app import App

INIT, MASK = "init_images", "mask"
SIZE = ("width", "height")
MASK_EDGE = ("mask_blur_x", "mask_blur_y")

Added = dict[str, object]
"""Fields of the request."""
Add = Callable[["App", str, str, Data], Added]
"""(app, name of the uploaded picture, value of the mode's second component, all values) -> what the mode adds."""


@dataclass(frozen=True)
class Mode:
    """A way to give the picture: its sub-tab, and what it adds to the request."""

    name: str
    title: str
    picture: Component
    """Where the picture is dropped."""
    add: Add
    second: Component | None = None
    """The mask's file, or what was painted as a data URL."""
    sketch: bool = False
    """The paint is colours, which go along when the picture is copied to another sub-tab."""

    more: tuple[Component, ...] = ()
    """Other components that it reads."""

    @property
    def inputs(self) -> tuple[Component, ...]:
        return (self.picture, *(() if self.second is None else (self.second,)), *self.more)


@dataclass(frozen=True)
class Scaling:
    """The choice between "Resize to" and "Resize by"."""

    tab: Component
    """Holds "to" or "by"."""
    factor: Component

    def size(self, data: Data, natural: tuple[int, int]) -> Added:
        """The size to ask for, where it goes by the picture's own."""
        if data[self.tab] != "by":
            return {}
        factor = number_in(data[self.factor]) or 1
        return {name: scaled(side, factor) for name, side in zip(SIZE, natural, strict=True)}


def scaled(side: int, factor: float) -> int:
    """A side in pixels after "Resize by"."""
    # A1111: down to what the latents can have.
    return max(int(side * factor) // 8 * 8, 8)


def modes(controls: Controls) -> list[Mode]:
    """Lay out the sub-tabs in which one picture is given; call inside a `gr.Tabs`."""
    with gr.Tab("img2img", id="img2img", elem_id="mode_img2img_img2img"):
        found = [Mode("img2img", "img2img", source("Picture", "img2img_image"), _plain)]
    with gr.Tab("Sketch", id="sketch", elem_id="mode_img2img_sketch"):
        picture = source("Picture to sketch on", "img2img_sketch_image", paintable=True)
        found.append(Mode("sketch", "Sketch", picture, _sketch, _paint("img2img_sketch_strokes", "Sketch"), True))
    with gr.Tab("Inpaint", id="inpaint", elem_id="mode_img2img_inpaint"):
        picture = source("Picture to paint on", "img2img_inpaint_image", paintable=True)
        found.append(Mode("inpaint", "Inpaint", picture, _inpaint, _paint("img2img_inpaint_mask", "Painted mask")))
    with gr.Tab("Inpaint sketch", id="inpaint_sketch", elem_id="mode_img2img_inpaint_sketch"):
        picture = source("Picture to sketch on", "img2img_inpaint_sketch_image", paintable=True)
        strokes = _paint("img2img_inpaint_sketch_strokes", "Sketch")
        transparency = gr.Slider(
            0, 100, 0, step=1, label="Mask transparency", elem_id="img2img_mask_alpha", interactive=True, buttons=[]
        )
        add = _inpaint_sketch(controls, transparency)
        found.append(Mode("inpaint_sketch", "Inpaint sketch", picture, add, strokes, True, (transparency,)))
    with gr.Tab("Inpaint upload", id="inpaint_upload", elem_id="mode_img2img_inpaint_upload"), gr.Row():
        picture = source("Picture", "img2img_upload_image", height=300)
        mask = source("Mask: white areas may change", "img2img_upload_mask", height=300)
        found.append(Mode("inpaint_upload", "Inpaint upload", picture, _inpaint_upload, mask))
    return found


def source(label: str, elem_id: str, *, height: int = 420, paintable: bool = False) -> Component:
    """A place for a picture's file, which keeps all that is in it."""
    image: Component = gr.Image(
        label=label,
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        elem_id=elem_id,
        elem_classes=["source", "paintable"] if paintable else "source",
        height=height,
        min_width=200,
        interactive=True,
        buttons=[],
    )
    return image


def copies(app: App, found: Sequence[Mode]) -> None:
    """A line of buttons that take the picture, with what is sketched on it, to another sub-tab."""
    given = [component for mode in found for component in (mode.picture, *((mode.second,) if mode.sketch else ()))]
    with gr.Row(elem_id="img2img_copy_to", elem_classes="copy-to", equal_height=True):
        gr.HTML("<span>Copy picture to</span>", elem_classes="bare")
        for mode in found:
            if mode.name != "inpaint_upload":
                button = gr.Button(mode.title, elem_id=f"img2img_copy_to_{mode.name}", size="sm", min_width=60, scale=0)
                _copies(app, found, given, mode, button)


def _copies(app: App, found: Sequence[Mode], given: list[Component], target: Mode, button: Component) -> None:
    here = gr.Textbox(visible="hidden", elem_id=f"img2img_copied_from_{target.name}", label="Sub-tab")

    def copy(data: Data, request: gr.Request) -> object:
        mode = next((mode for mode in found if mode.name == data[here]), target)
        content = file_content(text_in(data[mode.picture]))
        if not content or mode is target:
            return gr.skip()
        app.catalog.uploads.put(content)  # looks at it with suspicion
        drawn = canvas(text_in(data[mode.second]) if mode.sketch and mode.second is not None else "")
        content = drawn.picture or (sketched(content, drawn.paint) if drawn.paint else content)
        return copy_for(app, request, content, f"{target.name}.png")

    # The name of the open sub-tab must be there before the handler's inputs are read: two steps.
    button.click(None, None, here, js=calls("openedMode"), **QUIET).then(
        copy, {here, *given}, target.picture, js=None, **QUIET
    ).then(None, None, None, js=calls("openSubTab", "", f"mode_img2img_{target.name}"), **QUIET)


def completed(app: App, mode: Mode, scaling: Scaling) -> Complete:
    """What a mode adds to the request: the names of its pictures, and their size where it goes by that."""

    def complete(data: Data) -> Added:
        name = upload(app, text_in(data[mode.picture]))
        if not name:
            raise UserError(
                "There is no picture to start from.", hint=f"Drop one into the tab {mode.title}.", field=INIT
            )
        added = mode.add(app, name, "" if mode.second is None else text_in(data[mode.second]), data)
        begins = cast("tuple[str, ...]", added[INIT])[0]  # A canvas may have grown over the picture's edges.
        return {**added, **scaling.size(data, size_of(app.catalog.uploads.get(begins)))}

    return complete


def _paint(elem_id: str, label: str) -> Component:
    box: Component = gr.Textbox(visible="hidden", elem_id=elem_id, label=label)
    return box


def _plain(_app: App, name: str, _second: str, _data: Data) -> Added:
    return {INIT: (name,)}


def _sketch(app: App, name: str, text: str, _data: Data) -> Added:
    drawn, uploads = canvas(text), app.catalog.uploads
    if drawn.paint:
        return {INIT: (uploads.put(sketched(uploads.get(name), _looked_at(app, drawn.paint))),)}
    return {INIT: (uploads.put(drawn.picture) if drawn.picture else name,)}


def _inpaint(app: App, name: str, text: str, _data: Data) -> Added:
    drawn, uploads = canvas(text), app.catalog.uploads
    mask = uploads.put(drawn.marked) if drawn.marked else ""
    picture = uploads.put(drawn.picture) if drawn.picture else name
    return {INIT: (picture,), MASK: _some(mask, "Paint over the areas to change.")}


def _inpaint_sketch(controls: Controls, transparency: Component) -> Add:
    def add(app: App, name: str, text: str, data: Data) -> Added:
        drawn, uploads = canvas(text), app.catalog.uploads
        painted = "some" if drawn.paint or drawn.mask else ""
        _some(painted, "Paint over the areas to change, in the colors they should have.")
        if drawn.picture:
            return {INIT: (uploads.put(drawn.picture),), MASK: uploads.put(drawn.mask)}
        x, y = (number_in(data[controls[side]]) for side in MASK_EDGE)
        picture, mask = sketched_to_inpaint(
            uploads.get(name), _looked_at(app, drawn.paint), (x, y), number_in(data[transparency])
        )
        return {INIT: (uploads.put(picture),), MASK: uploads.put(mask)}

    return add


def _inpaint_upload(app: App, name: str, mask: str, _data: Data) -> Added:
    return {INIT: (name,), MASK: _some(upload(app, mask or None), "Add a mask next to the picture.")}


def _looked_at(app: App, paint: bytes) -> bytes:
    """The paint, looked at as any picture that comes in."""
    app.catalog.uploads.put(paint)
    return paint


def _some(mask: str, hint: str) -> str:
    if not mask:
        raise UserError("There is no mask, so nothing would change.", hint=hint, field=MASK)
    return mask

"""What happens when buttons are pressed: forms become jobs; infotexts and pictures become forms.

Every handler is short, runs at once, and treats what it gets as if anybody had sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from webui.base.errors import NotFound, WebuiError
from webui.catalog.pictures import SavedPicture, read_infotext
from webui.catalog.ui_defaults import ControlLook
from webui.jobs.extras.request import Extras
from webui.jobs.interrogate.request import Interrogate
from webui.request import infotext
from webui.request.fields import REQUESTS, Generation, Txt2Img
from webui.request.jobs import JobRequest
from webui.request.params import Choice, Declared, by_name
from webui.request.settings import setting_title
from webui.server.ui import notices
from webui.server.ui.components import Component, Data, Shown, text_in
from webui.server.ui.controls import PARTS, QUIET, Controls
from webui.server.ui.editing import Editing, JobList, connect_editing
from webui.server.ui.quicksettings import SettingsForm
from webui.server.ui.remembering import KeptForm
from webui.server.ui.results import ResultsPanel
from webui.server.ui.script import calls
from webui.server.ui.scripts import Scripts
from webui.server.ui.sending import PARAMETERS, PICTURE, Receiver, Sending, Sent, connect_all, finished
from webui.server.ui.toprow import PROMPTS, STYLES, Toprow
from webui.server.ui.visitors import copy_for, owner_of, upload

if TYPE_CHECKING:
    from webui.app import App

SEED = "seed"
SIZE = ("width", "height")
OVERRIDES = "override_settings"

Complete = Callable[[Data], Mapping[str, object]]
"""What a form adds to its controls' values, from components of its own: names of uploaded pictures."""


@dataclass(frozen=True)
class Pane:
    """A generation tab as the other parts of the page see it."""

    kind: str
    controls: Controls
    toprow: Toprow
    results: ResultsPanel
    sending: Sending
    begins: Component | None = None
    """What takes the picture that a job begins with, when the job is edited."""
    masked: tuple[Component, Component] | None = None
    """What takes a picture with a mask, both as files, when the job is edited."""
    scripts: Scripts | None = None
    places: tuple[str, str] = ("", "")
    """Ids of the sub-tabs of those two, where the tab has some."""
    pictures: tuple[Component, ...] = ()
    """All places for files of pictures that are no controls."""
    plain: tuple[Component, ...] = ()
    """Sliders that are no controls."""

    def memory(self) -> KeptForm:
        """All of the form outlives the page; what is painted is for the browser to keep."""
        return KeptForm(self.kind, self.controls, self.pictures, self.plain, self.scripts)

    def editing(self, app: App) -> Editing:
        """What was submitted goes back into the form, with the picture that it begins with and its mask."""

        def take(asked: JobRequest, request: gr.Request) -> Shown:
            values = _values_of(asked)
            shown, remarks = self.controls.show(values, partial(_copied, app, request))
            updates: Shown = {**shown}
            if self.scripts is not None:
                updates |= self.scripts.show(str(values["script"]), by_name(values["script_values"]))
            if asked.begins_with:
                places = (self.masked or ()) if asked.masked_by else (self.begins,)
                for name, place in zip((asked.begins_with[0], asked.masked_by), places, strict=False):
                    if place is not None:
                        content = app.catalog.uploads.get(name)
                        updates[place] = copy_for(app, request, content, f"{name[:12]}.png")
            return {**updates, self.results.notice: notices.remarks(remarks)}

        scripts = () if self.scripts is None else self.scripts.components
        begins = () if self.begins is None else (self.begins,)
        shows = (*self.controls.components, *scripts, *begins, *(self.masked or ()), self.results.notice)
        return Editing(self.kind, shows, take, *self.places)


@dataclass(frozen=True)
class PicturePane:
    """A tab that shows pictures and is no form: they can be sent from it."""

    kind: str
    sending: Sending


@dataclass(frozen=True)
class ExtrasPane:
    """The Extras tab. `image` takes the first picture of a job that is edited."""

    kind: str
    controls: Controls
    image: Component
    results: ResultsPanel
    sending: Sending

    def memory(self) -> KeptForm:
        """The form and the single picture outlive the page."""
        return KeptForm(self.kind, self.controls, (self.image,))

    def editing(self, app: App) -> Editing:
        """What was submitted goes back into the tab, with the first of its pictures."""

        def take(asked: JobRequest, request: gr.Request) -> Shown:
            shown, remarks = self.controls.show(_values_of(asked))
            updates: Shown = {**shown}
            if asked.begins_with:
                name = asked.begins_with[0]
                updates[self.image] = copy_for(app, request, app.catalog.uploads.get(name), f"{name[:12]}.png")
                others = len(asked.begins_with) - 1
                remarks += [f"The other {others} pictures must be added again."] if others else []
            return {**updates, self.results.notice: notices.remarks(remarks)}

        return Editing(self.kind, (*self.controls.components, self.image, self.results.notice), take)


@dataclass(frozen=True)
class FormPane:
    """A tab whose jobs make no pictures."""

    kind: str
    controls: Controls
    notice: Component

    def memory(self) -> KeptForm:
        """The form outlives the page."""
        return KeptForm(self.kind, self.controls)

    def editing(self, _app: App) -> Editing:
        """What was submitted goes back into the tab."""

        def take(asked: JobRequest, _request: gr.Request) -> Shown:
            updates, remarks = self.controls.show(_values_of(asked))
            return {**updates, self.notice: notices.remarks(remarks)}

        return Editing(self.kind, (*self.controls.components, self.notice), take)


@dataclass(frozen=True)
class SettingsPane:
    """The Settings tab. `defaults` is the place for what needs the forms, once they are built."""

    defaults: Component
    form: SettingsForm


@dataclass(frozen=True)
class InfoPane:
    """The tab that shows what a picture says of itself."""

    sending: Sending


def form(app: App, kind: str) -> Controls:
    """The controls of a kind of generation, with the defaults that people saved."""
    saved = app.catalog.ui_defaults
    return Controls(
        REQUESTS[kind],
        kind,
        app.catalog.choices,
        defaults=saved.values(kind),
        looks=looks_of(app, kind),
        keep=partial(upload, app),
    )


SAMPLERS = ("sampler_name", "hr_sampler_name")


def looks_of(app: App, kind: str) -> dict[str, ControlLook]:
    """How the controls of a form look: as the file says, and without the samplers that the settings hide."""
    looks = app.catalog.ui_defaults.looks(kind)
    if hidden := set(app.settings.current.ui.hide_samplers):
        for name, param in REQUESTS[kind].offered().items():
            if name in SAMPLERS and isinstance(param, Choice):
                known = looks.get(name, ControlLook()).choices or app.catalog.choices(param.source)
                left = tuple(item for item in known if item not in hidden)
                looks[name] = replace(looks.get(name, ControlLook()), choices=left)
    if not app.settings.current.ui.samplers_in_dropdown:
        looks[SAMPLERS[0]] = replace(looks.get(SAMPLERS[0], ControlLook()), radio=True)
    return looks


def extras_form(app: App) -> Controls:
    """The controls of the Extras tab, with the defaults that people saved."""
    saved = app.catalog.ui_defaults
    return Controls(Extras, "extras", app.catalog.choices, defaults=saved.values("extras"), looks=saved.looks("extras"))


def generates(
    app: App,
    trigger: Component,
    kind: str,
    controls: Controls,
    notice: Component,
    scripts: Scripts,
    *,
    pictures: tuple[Component, ...] = (),
    complete: Complete = lambda _data: {},
) -> None:
    """Wire a button that submits the form as a job."""

    def submit(data: Data, request: gr.Request) -> str:
        try:
            values = {**controls.values(data), **complete(data), **scripts.values(data)}
            app.queue.submit(REQUESTS[kind].made(**values), owner=owner_of(request))
        except WebuiError as error:
            return notices.failure(error)
        return ""

    # Whoever picks a checkpoint and presses at once means that checkpoint.
    wait = calls("whenSettled")
    trigger.click(submit, {*controls.components, *pictures, *scripts.components}, notice, js=wait, **QUIET)


def upscales(app: App, trigger: Component, controls: Controls, results: ResultsPanel) -> None:
    """Wire the button that makes the picked picture anew by the second pass of hires fix alone, as the form has it.

    A1111: seeds are those of the picture; prompts, sampler and all else are the form's.
    """

    def submit(data: Data, request: gr.Request) -> str:
        picked = text_in(data[results.picked])
        if not picked:
            return ""
        try:
            saved, content, _ = finished(app, picked, owner_of(request))
            told = infotext.fields_of(infotext.read(saved.infotext), Txt2Img)
            asked = {
                **controls.values(data),
                "firstpass_image": app.catalog.uploads.put(content),
                "enable_hr": True,
                "seed": saved.seed,
                "subseed": told.get("subseed", -1),
                "width": saved.width,
                "height": saved.height,
                "n_iter": 1,
                "batch_size": 1,
            }
            app.queue.submit(Txt2Img.made(**asked), owner=owner_of(request))
        except WebuiError as error:
            return notices.failure(error)
        return ""

    named = trigger.click(None, None, results.picked, js=calls("results.upscale", controls.prefix), **QUIET)
    given = {*controls.components, results.picked}
    named.then(submit, given, results.notice, js=calls("whenSettled"), **QUIET)


def describes(app: App, trigger: Component, model: str, picture: Component, notice: Component) -> None:
    """Wire a button that asks `model` for words that describe a picture."""

    def submit(path: str | None, request: gr.Request) -> str:
        try:
            app.queue.submit(Interrogate.made(image=upload(app, path), model=model), owner=owner_of(request))
        except WebuiError as error:
            return notices.failure(error)
        return ""

    trigger.click(submit, picture, notice, **QUIET)


def connect(app: App, panes: Mapping[str, object]) -> None:
    """Wire what crosses tabs, once all are built: pasting, styles, pictures sent around."""
    forms = [pane for pane in panes.values() if isinstance(pane, Pane)]
    for pane in forms:
        _pastes(app, pane)
        _applies_styles(app, pane)
    connect_editing(app, [pane for pane in panes.values() if isinstance(pane, JobList)], panes.values())
    connect_all(sending for pane in panes.values() if isinstance(sending := getattr(pane, "sending", None), Sending))


def told(app: App, text: str, declared: type[Generation]) -> tuple[dict[str, object], list[str]]:
    """(field -> value, remarks) of what an infotext says of a form of this class."""
    remarks: list[str] = []
    found = app.catalog.pasted(text, app.settings.current)
    values = infotext.fields_of(found, declared, remarks.append)
    if found.labels:
        values.setdefault(PARTS, {})
        values[OVERRIDES] = _thawed(app, infotext.settings_of(found, app.settings.current, remarks.append), remarks)
    values.update(_styles_in(app, values))
    return values, remarks


def _thawed(app: App, wanted: Mapping[str, object], remarks: list[str]) -> dict[str, object]:
    """What a form may have otherwise than the settings; the rest is remarked on."""
    free = app.settings.freeze.thawed(app.settings.current, wanted)
    if frozen := [setting_title(key) for key in wanted if key not in free]:
        remarks.append(f"Left as they are, because the server's settings are frozen: {', '.join(frozen)}.")
    return free


@dataclass(frozen=True)
class ImageSubTab:
    """A sub-tab of a form that takes a picture."""

    name: str
    title: str
    icon: str
    image: Component


def form_receiver(
    app: App, kind: str, controls: Controls, notice: Component, place: ImageSubTab | None = None
) -> Receiver:
    """A form takes what a picture was made with and, where it has a place for one, the picture too."""
    image = None if place is None else place.image

    def take(sent: Sent, request: gr.Request) -> Shown:
        found: Shown = {}
        remarks: list[str] = []
        if sent.infotext or sent.made is not None:
            values, remarks = told(app, sent.infotext, REQUESTS[kind])
            if sent.made is not None and image is not None:
                values = going_on(app, values, sent.made)
            shown, more = controls.show(values)
            found |= shown
            remarks = [*remarks, *more]
        if image is not None and sent.picture:
            found[image] = copy_for(app, request, sent.picture, sent.name)
        return {**found, notice: notices.remarks(remarks)}

    shows = (*controls.components, notice)
    if place is None:
        return Receiver(kind, f"Send parameters to {kind}", "text", frozenset((PARAMETERS,)), kind, shows, take)
    title, takes = f"Send picture and parameters to {place.title}", frozenset((PICTURE, PARAMETERS))
    sub_tab = f"mode_{kind}_{place.name}"
    return Receiver(place.name, title, place.icon, takes, kind, (*shows, place.image), take, sub_tab, place.image)


def going_on(app: App, values: Mapping[str, object], made: SavedPicture) -> dict[str, object]:
    """What a form takes over of a finished picture that it goes on with: what is said of any picture, and its size."""
    ui = app.settings.current.ui
    of_any = {*Generation.offered(), PARTS}
    kept = {name: value for name, value in values.items() if name in of_any}
    kept |= {STYLES: values.get(STYLES, ()), **dict(zip(SIZE, (made.width, made.height), strict=True))}
    for name in ((SEED,) if not ui.send_seed else ()) + (SIZE if not ui.send_size else ()):
        kept.pop(name, None)
    return kept


def described(content: bytes) -> tuple[str, str]:
    """(markup of everything that a picture file says of itself, its infotext)

    Raises:
        UserError: it is no picture.
    """
    text, items = read_infotext(content)
    rows = {"parameters": text, **items} if text else items
    if not rows:
        return notices.remarks(["Nothing found in the image."]), ""
    parts = (f"<h4>{escape(name)}</h4><pre>{escape(str(value))}</pre>" for name, value in rows.items())
    return f"<div class='described'>{''.join(parts)}</div>", text


def _copied(app: App, request: gr.Request, name: str) -> str:
    """A path at which the page may show a picture of a job; "": its bytes are gone."""
    try:
        return copy_for(app, request, app.catalog.picture(name), f"{name[:12]}.png")
    except NotFound:
        return ""


def _pastes(app: App, pane: Pane) -> None:
    prompt = pane.controls[PROMPTS[0]]

    def paste(text: str) -> Shown:
        text = text.strip() or ("" if app.access.required else _last_infotext(app))
        if not text:
            return {pane.results.notice: notices.remarks(["There are no parameters to read: the prompt is empty."])}
        values, remarks = told(app, text, _kind(pane))
        updates, more = pane.controls.show(values)
        return {**updates, pane.results.notice: notices.remarks([*remarks, *more])}

    pane.toprow.paste.click(
        paste,
        prompt,
        [*pane.controls.components, pane.results.notice],
        js=calls("infotextFor", pane.kind),
        **QUIET,
    )


def _applies_styles(app: App, pane: Pane) -> None:
    prompt, negative = (pane.controls[name] for name in PROMPTS)
    styles = pane.controls[STYLES]

    def apply(text: str, negative_text: str, names: list[str]) -> Shown:
        try:
            text, negative_text = app.catalog.styled(text, negative_text, tuple(names))
        except WebuiError as error:
            return {pane.results.notice: notices.failure(error)}
        return {prompt: text, negative: negative_text, styles: [], pane.results.notice: ""}

    pane.toprow.apply_styles.click(
        apply, [prompt, negative, styles], [prompt, negative, styles, pane.results.notice], **QUIET
    )


def _values_of(asked: Declared) -> Mapping[str, object]:
    """All that a request says, by the names of its form."""
    return asked.unfolded({name: getattr(asked, name) for name in type(asked).model_fields})


def _styles_in(app: App, values: Mapping[str, object]) -> dict[str, object]:
    """Saved styles found in the prompts, as the settings want them treated."""
    how = app.settings.current.ui.infotext_styles
    if how == "Ignore":
        return {}
    prompt, negative = PROMPTS
    try:
        left, names = app.catalog.styles.recognise(str(values[prompt]), str(values[negative]))
    except WebuiError:
        return {}
    prompts: dict[str, object] = {prompt: left.positive, negative: left.negative}
    return {**prompts, STYLES: names} if how == "Apply" or (how == "Apply if any" and names) else prompts


def _last_infotext(app: App) -> str:
    # A1111: the last job's infotext lies in params.txt.
    if not app.catalog.job_pictures.remembers:
        return ""
    try:
        return (app.paths.data / "params.txt").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _kind(pane: Pane) -> type[Generation]:
    return REQUESTS[pane.kind]

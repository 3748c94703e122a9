"""What happens when buttons are pressed: forms become jobs; infotexts and pictures become forms.

Every handler is short, runs at once, and treats what it gets as if anybody had sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from webui.base.errors import NotFound, WebuiError
from webui.catalog.pictures import SavedPicture, read_infotext
from webui.jobs.extras.request import Extras
from webui.jobs.interrogate.request import Interrogate
from webui.request import infotext
from webui.request.fields import REQUESTS, Generation, Img2Img
from webui.server.ui import notices
from webui.server.ui.controls import PARTS, QUIET, Component, Controls, Data
from webui.server.ui.quicksettings import SettingsForm
from webui.server.ui.results import Results
from webui.server.ui.script import calls
from webui.server.ui.scripts import Scripts
from webui.server.ui.toprow import PROMPTS, STYLES, Toprow

if TYPE_CHECKING:
    from webui.app import App

SEED = "seed"
SIZE = ("width", "height")
OVERRIDES = "override_settings"

Complete = Callable[[Data], Mapping[str, Any]]
"""What a form adds to its controls' values, from components of its own: names of uploaded pictures."""


@dataclass(frozen=True)
class Pane:
    """A generation tab as the other parts of the page see it."""

    kind: str
    controls: Controls
    toprow: Toprow
    results: Results
    takes: Mapping[str, Component] = field(default_factory=dict)
    """Where a picture can be sent in this tab: name of the target -> the component that takes it."""
    masked: tuple[Component, Component] | None = None
    """What takes a picture with a mask, both as files."""
    scripts: Scripts | None = None


@dataclass(frozen=True)
class PicturePane:
    """A tab that shows pictures and is no form: they can be sent from it."""

    kind: str
    results: Results


@dataclass(frozen=True)
class ExtrasPane:
    """The Extras tab. `image` takes the picture that is sent to it."""

    kind: str
    controls: Controls
    image: Component
    results: Results


@dataclass(frozen=True)
class FormPane:
    """A tab whose jobs make no pictures."""

    kind: str
    controls: Controls
    notice: Component


@dataclass(frozen=True)
class QueuePane:
    """The tab of jobs. `picked` carries the id of one; `editors` are buttons by the kind of job that they edit."""

    notice: Component
    picked: Component
    editors: Mapping[str, Component]


@dataclass(frozen=True)
class SettingsPane:
    """The Settings tab. `defaults` is the place for what needs the forms, once they are built."""

    defaults: Component
    form: SettingsForm


@dataclass(frozen=True)
class InfoPane:
    """The tab that shows what a picture says of itself."""

    image: Component
    report: Component
    text: Component
    senders: Mapping[str, Component]


def form(app: App, kind: str) -> Controls:
    """The controls of a kind of generation, with the defaults that people saved."""
    saved = app.catalog.ui_defaults
    return Controls(
        REQUESTS[kind],
        kind,
        app.catalog.choices,
        defaults=saved.values(kind),
        ranges=saved.ranges(kind),
        keep=partial(upload, app),
    )


def extras_form(app: App) -> Controls:
    """The controls of the Extras tab, with the defaults that people saved."""
    saved = app.catalog.ui_defaults
    return Controls(
        Extras, "extras", app.catalog.choices, defaults=saved.values("extras"), ranges=saved.ranges("extras")
    )


def owner_of(request: gr.Request) -> str:
    """Whose job it is."""
    return str(request.username or "")


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
    infos = [pane for pane in panes.values() if isinstance(pane, InfoPane)]
    targets = {name: (pane, component) for pane in forms for name, component in pane.takes.items()}
    kinds = {pane.kind: pane for pane in forms}
    for pane in forms:
        _pastes(app, pane)
        _applies_styles(app, pane)
    extras = next((pane for pane in panes.values() if isinstance(pane, ExtrasPane)), None)
    for source in (pane for pane in panes.values() if isinstance(pane, Pane | PicturePane | ExtrasPane)):
        for target, button in source.results.senders.items():
            if target in targets:
                _sends_picture(app, source, button, *targets[target])
            elif target in kinds:
                _sends_parameters(app, source, button, kinds[target])
            elif extras is not None and target == extras.kind:
                _sends_to_extras(app, source, button, extras)
            for info in infos:
                if target == "pnginfo":
                    _shows_info(app, source, button, info)
    for jobs in (pane for pane in panes.values() if isinstance(pane, QueuePane)):
        for kind, button in jobs.editors.items():
            if kind in kinds:
                _edits_job(app, jobs, button, kinds[kind])
            elif extras is not None and kind == extras.kind:
                _edits_extras(app, jobs, button, extras)
            for plain in (pane for pane in panes.values() if isinstance(pane, FormPane)):
                if kind == plain.kind:
                    _edits_form(app, jobs, button, plain)
    for info in infos:
        for target, button in info.senders.items():
            if extras is not None and target == extras.kind:
                _info_to_extras(app, info, button, extras)
                continue
            pane = next(pane for pane in forms if target == pane.kind or target in pane.takes)
            _sends_info(app, info, button, pane, target)


def told(app: App, text: str, declared: type[Generation]) -> tuple[dict[str, Any], list[str]]:
    """(field -> value, remarks) of what an infotext says of a form of this class."""
    remarks: list[str] = []
    found = app.catalog.pasted(text, app.settings.current)
    values = infotext.fields_of(found, declared, remarks.append)
    if found.labels:
        values.setdefault(PARTS, {})
        values[OVERRIDES] = infotext.settings_of(found, app.settings.current, remarks.append)
    values.update(_styles_in(app, values))
    return values, remarks


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


def file_content(path: str | None) -> bytes:
    """The bytes of a file that Gradio took in; b"" for none."""
    return Path(path).read_bytes() if path else b""


def upload(app: App, path: str | None) -> str:
    """Put a file that Gradio took in into the store of pictures -> its name; "" for none."""
    return app.catalog.uploads.put(file_content(path)) if path else ""


def copy_for(app: App, request: gr.Request, content: bytes, name: str) -> str:
    """A path with these bytes that a component may show to whoever asks: no other folder is served to the page.

    Raises:
        StorageError: it cannot be written.
    """
    return str(app.catalog.visitor_files.put(owner_of(request), content, name))


def _pastes(app: App, pane: Pane) -> None:
    prompt = pane.controls[PROMPTS[0]]

    def paste(text: str) -> dict[Component, Any]:
        text = text.strip() or ("" if app.access.required else _last_infotext(app))
        if not text:
            return {pane.results.notice: notices.remarks(["There is nothing to read: the prompt is empty."])}
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

    def apply(text: str, negative_text: str, names: list[str]) -> dict[Component, Any]:
        try:
            text, negative_text = app.catalog.styled(text, negative_text, tuple(names))
        except WebuiError as error:
            return {pane.results.notice: notices.failure(error)}
        return {prompt: text, negative: negative_text, styles: [], pane.results.notice: ""}

    pane.toprow.apply_styles.click(
        apply, [prompt, negative, styles], [prompt, negative, styles, pane.results.notice], **QUIET
    )


def _sends_parameters(app: App, source: Pane | PicturePane | ExtrasPane, button: Component, target: Pane) -> None:
    """All that a finished picture says goes into a form that takes no picture."""
    notice = target.results.notice

    def send(picture_id: str, request: gr.Request) -> dict[Component, Any]:
        try:
            saved, _, _ = _picture(app, picture_id, owner_of(request))
        except WebuiError as error:
            return {source.results.notice: notices.failure(error)}
        values, remarks = told(app, saved.infotext, _kind(target))
        updates, more = target.controls.show(values)
        return {**updates, notice: notices.remarks(remarks + more)}

    button.click(
        send,
        source.results.picked,
        list({*target.controls.components, notice, source.results.notice}),
        js=calls("results.send", source.kind, target.kind, ""),
        **QUIET,
    )


def _edits_job(app: App, source: QueuePane, button: Component, target: Pane) -> None:
    """What was submitted goes back into its form, with the picture that it begins with and its mask."""
    notice = target.results.notice

    def edit(job_id: str, request: gr.Request) -> dict[Component, Any]:
        try:
            job = app.queue.job(job_id)
            if job.owner != (owner := owner_of(request)) and not app.access.oversees(owner):
                raise NotFound(f"You have no job {job_id!r}.")
            asked = job.request
            updates, remarks = target.controls.show({name: getattr(asked, name) for name in target.controls})
            if target.scripts is not None and isinstance(asked, Generation):
                updates |= target.scripts.show(asked)
            if isinstance(asked, Img2Img) and asked.init_images:
                places = target.masked or () if asked.mask else (target.takes["img2img"],)
                for name, place in zip((asked.init_images[0], asked.mask), places, strict=False):
                    updates[place] = copy_for(app, request, app.catalog.uploads.get(name), f"{name[:12]}.png")
        except WebuiError as error:
            return {source.notice: notices.failure(error)}
        return {**updates, notice: notices.remarks(remarks)}

    button.click(
        edit,
        source.picked,
        [
            *target.controls.components,
            *(target.scripts.components if target.scripts is not None else ()),
            *target.takes.values(),
            *(target.masked or ()),
            notice,
            source.notice,
        ],
        js=calls("jobs.edit", target.kind),
        **QUIET,
    )


def _sends_picture(
    app: App, source: Pane | PicturePane | ExtrasPane, button: Component, target: Pane, image: Component
) -> None:
    """A finished picture and what it was made with go into another form."""
    notice = target.results.notice
    place = next(name for name, component in target.takes.items() if component is image)

    def send(picture_id: str, request: gr.Request) -> dict[Component, Any]:
        try:
            saved, content, name = _picture(app, picture_id, owner_of(request))
        except WebuiError as error:
            return {source.results.notice: notices.failure(error)}
        values, remarks = told(app, saved.infotext, _kind(target))
        shared = Generation.params()
        ui = app.settings.current.ui
        kept = {name: value for name, value in values.items() if name in shared}
        kept |= {STYLES: values.get(STYLES, ()), **dict(zip(SIZE, (saved.width, saved.height), strict=True))}
        for name in ((SEED,) if not ui.send_seed else ()) + (SIZE if not ui.send_size else ()):
            kept.pop(name, None)
        updates, more = target.controls.show(kept)
        return {**updates, image: copy_for(app, request, content, name), notice: notices.remarks(remarks + more)}

    button.click(
        send,
        source.results.picked,
        list({*target.controls.components, image, notice, source.results.notice}),
        js=calls("results.send", source.kind, target.kind, place),
        **QUIET,
    )


def _shows_info(app: App, source: Pane | PicturePane | ExtrasPane, button: Component, info: InfoPane) -> None:
    def show(picture_id: str, request: gr.Request) -> dict[Component, Any]:
        try:
            _, content, name = _picture(app, picture_id, owner_of(request))
            report, text = described(content)
        except WebuiError as error:
            return {source.results.notice: notices.failure(error)}
        return {info.image: copy_for(app, request, content, name), info.report: report, info.text: text}

    button.click(
        show,
        source.results.picked,
        [info.image, info.report, info.text, source.results.notice],
        js=calls("results.send", source.kind, "pnginfo", ""),
        **QUIET,
    )


def _sends_info(app: App, info: InfoPane, button: Component, target: Pane, place: str) -> None:
    """All that a picture says, and the picture itself where the form takes one, go into a form."""
    notice, image = target.results.notice, target.takes.get(place)

    def send(text: str, path: str | None, request: gr.Request) -> dict[Component, Any]:
        found: dict[Component, Any] = {}
        remarks: list[str] = []
        if text:
            values, remarks = told(app, text, _kind(target))
            found, more = target.controls.show(values)
            remarks += more
        if image is not None and path:
            found[image] = copy_for(app, request, file_content(path), Path(path).name)
        return {**found, notice: notices.remarks(remarks)}

    outputs = [*target.controls.components, notice, *([] if image is None else [image])]
    script = _opening(target.kind, f"mode_{target.kind}_{place}" if image is not None else "")
    button.click(send, [info.text, info.image], outputs, js=script, **QUIET)


def _sends_to_extras(app: App, source: Pane | PicturePane | ExtrasPane, button: Component, target: ExtrasPane) -> None:
    def send(picture_id: str, request: gr.Request) -> dict[Component, Any]:
        try:
            _, content, name = _picture(app, picture_id, owner_of(request))
        except WebuiError as error:
            return {source.results.notice: notices.failure(error)}
        return {target.image: copy_for(app, request, content, name)}

    button.click(
        send,
        source.results.picked,
        [target.image, source.results.notice],
        js=calls("results.send", source.kind, target.kind, "single"),
        **QUIET,
    )


def _info_to_extras(app: App, info: InfoPane, button: Component, target: ExtrasPane) -> None:
    def send(path: str | None, request: gr.Request) -> Any:
        return copy_for(app, request, file_content(path), Path(path).name) if path else gr.skip()

    button.click(send, info.image, target.image, js=_opening(target.kind, f"mode_{target.kind}_single"), **QUIET)


def _edits_extras(app: App, source: QueuePane, button: Component, target: ExtrasPane) -> None:
    """What was submitted goes back into the tab, with the first of its pictures."""

    def edit(job_id: str, request: gr.Request) -> dict[Component, Any]:
        try:
            job = app.queue.job(job_id)
            if job.owner != (owner := owner_of(request)) and not app.access.oversees(owner):
                raise NotFound(f"You have no job {job_id!r}.")
            asked = job.request
            updates, remarks = target.controls.show({name: getattr(asked, name) for name in target.controls})
            if isinstance(asked, Extras) and asked.images:
                name = asked.images[0]
                updates[target.image] = copy_for(app, request, app.catalog.uploads.get(name), f"{name[:12]}.png")
                others = len(asked.images) - 1
                remarks += [f"The other {others} pictures have to be dropped in again."] if others else []
        except WebuiError as error:
            return {source.notice: notices.failure(error)}
        return {**updates, target.results.notice: notices.remarks(remarks)}

    button.click(
        edit,
        source.picked,
        [*target.controls.components, target.image, target.results.notice, source.notice],
        js=calls("jobs.edit", target.kind),
        **QUIET,
    )


def _edits_form(app: App, source: QueuePane, button: Component, target: FormPane) -> None:
    """What was submitted goes back into the tab."""

    def edit(job_id: str, request: gr.Request) -> dict[Component, Any]:
        try:
            job = app.queue.job(job_id)
            if job.owner != (owner := owner_of(request)) and not app.access.oversees(owner):
                raise NotFound(f"You have no job {job_id!r}.")
            asked = job.request
            updates, remarks = target.controls.show({name: getattr(asked, name) for name in target.controls})
        except WebuiError as error:
            return {source.notice: notices.failure(error)}
        return {**updates, target.notice: notices.remarks(remarks)}

    button.click(
        edit,
        source.picked,
        [*target.controls.components, target.notice, source.notice],
        js=calls("jobs.edit", target.kind),
        **QUIET,
    )


def _opening(tab: str, sub_tab: str = "") -> str:
    """Opens a tab first, in the browser: an answer that comes late must not pull anybody away from another one."""
    return calls("openSubTab", tab, sub_tab) if sub_tab else calls("openTab", tab)


def _picture(app: App, picture_id: str, owner: str) -> tuple[SavedPicture, bytes, str]:
    """A finished picture, its file's bytes, and a name for the file.

    Raises:
        NotFound: there is none of this number, it is somebody else's, or its file is gone.
    """
    if not picture_id:
        raise NotFound("There is no picture yet.", hint="Press Generate first.")
    saved = app.catalog.pictures.get(picture_id)
    if app.access.required and saved.owner != owner and not app.access.oversees(owner):
        raise NotFound(f"You have no picture {picture_id!r}.")
    content, kind = app.catalog.pictures.content(picture_id)
    return saved, content, Path(saved.path).name or f"{saved.seed}.{kind}"


def _styles_in(app: App, values: Mapping[str, Any]) -> dict[str, Any]:
    """Saved styles found in the prompts, as the settings want them treated."""
    how = app.settings.current.ui.infotext_styles
    if how == "Ignore":
        return {}
    prompt, negative = PROMPTS
    try:
        left, names = app.catalog.styles.recognise(values[prompt], values[negative])
    except WebuiError:
        return {}
    prompts = {prompt: left.positive, negative: left.negative}
    return {**prompts, STYLES: names} if how == "Apply" or (how == "Apply if any" and names) else prompts


def _last_infotext(app: App) -> str:
    # A1111: the last job's infotext lies in params.txt.
    if not app.catalog.remembers:
        return ""
    try:
        return (app.paths.data / "params.txt").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _kind(pane: Pane) -> type[Generation]:
    return REQUESTS[pane.kind]

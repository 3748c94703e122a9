"""Bodies of `/sdapi/v1/txt2img` and `img2img`: our parameters, and what A1111 wraps around them.

The parameters come from `request/fields.py`; here stands only what is the API's alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from webui import registry
from webui.base.errors import NotFound, UserError
from webui.catalog.catalog import Catalog
from webui.request import infotext
from webui.request.fields import Generation, Img2Img, Txt2Img, with_pictures_kept
from webui.request.fitting import fitted, fitted_options
from webui.request.params import MISSING, Declared, by_name, help_of, schema_of
from webui.request.settings import Settings
from webui.scripts.script import Script
from webui.server.api.alwayson import features_in, left_out
from webui.server.api.fetch import fetched
from webui.server.api.forgiving import Forgiving

NO_SAMPLER = ""


class Envelope(Forgiving):
    """What A1111's API accepts besides the parameters. Null means the default; unknown fields are ignored."""

    sampler_index: str = "Euler"
    """The sampler if `sampler_name` is missing."""
    tiling: bool | None = None
    """Makes opposite edges match, so that the picture can be tiled."""
    eta: float | None = Field(default=None, ge=0)
    """How much new noise ancestral samplers and DDIM add: 0 is none, 1 the method's usual amount. Null: the setting."""
    s_min_uncond: float | None = Field(default=None, ge=0)
    """Below this noise level (sigma), every other step skips the negative prompt; 0: no step does. Null: the
    setting."""
    s_churn: float | None = Field(default=None, ge=0)
    """How much noise is added back, divided among all steps; 0: none. Null: the setting."""
    s_tmin: float | None = Field(default=None, ge=0)
    """Lowest noise level (sigma) at which noise is added back. Null: the setting."""
    s_tmax: float | None = Field(default=None, ge=0)
    """Highest noise level (sigma) at which noise is added back; 0: no limit. Null: the setting."""
    s_noise: float | None = Field(default=None, ge=0)
    """Scales the noise that is added back; 1 leaves it unchanged. Null: the setting."""
    override_settings_restore_afterwards: bool = True
    """When false, the override settings stay in effect afterwards."""
    script_name: str | None = None
    """A script that makes many pictures from one request."""
    script_args: list[object] = Field(default_factory=list)
    """The script's values, by position."""
    alwayson_scripts: dict[str, object] = Field(default_factory=dict)
    """The values of always-on scripts, by title: `{"args": [...]}`."""
    send_images: bool = True
    """Whether the response contains the pictures."""
    save_images: bool = False
    """Whether the pictures are saved in the output folder."""
    force_task_id: str | None = None
    """The task name of this call for `/internal/progress`."""
    infotext: str | None = None
    """Provides the values of all fields that the request leaves out."""
    comments: dict[str, object] | None = None
    """Accepted, without effect."""
    do_not_save_samples: bool = False
    """Accepted, without effect: `save_images` decides."""
    do_not_save_grid: bool = False
    """Accepted, without effect: `save_images` and the settings decide."""
    firstpass_image: str | None = None
    """With hires fix: a picture in the place of what the first pass would make; otherwise without effect."""
    distilled_cfg_scale: float | None = Field(default=None, ge=0)
    """From Forge: how strongly Flux dev follows the prompt. Null: the setting."""
    cancel_on_disconnect: bool = False
    """Gesso only: if the client disconnects while the job is still waiting, the job is cancelled. If nothing is saved
    (`save_images`), this is always so; otherwise, the job is carried out regardless."""

    @classmethod
    def completed(cls, values: dict[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
        """The same; where A1111's API has another default than the form, it holds."""
        given, changed = fitted(cls, {name: value for name, value in values.items() if value is not None})
        overrides = given.get("override_settings")
        if isinstance(overrides, dict):
            given["override_settings"], also = fitted_options(overrides)
            changed += also
        said: dict[str, object] = {"sampler_name": NO_SAMPLER}
        whole: type[BaseModel] = cls  # a body is an envelope, and a request besides
        params = whole.params() if issubclass(whole, Declared) else {}
        said |= {name: param.api_default for name, param in params.items() if param.api_default is not MISSING}
        return said | given, changed


def _defaults_of_api(schema: dict[str, Any], cls: type[BaseModel]) -> None:
    """OpenAPI shows the defaults that this API has, and titles as on the page."""
    if not issubclass(cls, Declared):
        return
    for name, param in cls.params().items():
        shown = schema.get("properties", {}).get(name, {})
        if param.api_default is not MISSING:
            shown["default"] = param.api_default
        elif name == "sampler_name":
            shown["default"] = NO_SAMPLER
            shown["description"] = f"{help_of(cls, name)} Left out: that of `sampler_index`."
        if param.title:
            shown["title"] = param.title
    for name in cls.offered().keys() - cls.model_fields.keys():
        schema["properties"][name] = schema_of(cls, name)


_CONFIG = ConfigDict(
    extra="ignore",
    frozen=True,
    allow_inf_nan=False,
    json_schema_extra=_defaults_of_api,
)


class Txt2ImgBody(Txt2Img, Envelope):
    """A picture made from text."""

    model_config = _CONFIG

    firstphase_width: int = Field(default=0, ge=0, le=16384)
    """The width of the first pass of hires fix, as in A1111 before version 1.0; 0: `width`."""
    firstphase_height: int = Field(default=0, ge=0, le=16384)
    """The height of the first pass, likewise; 0: `height`."""
    hr_cfg: float | None = Field(default=None, ge=-100)
    """Forge's CFG scale of the second pass. Accepted, without effect: the first pass's is used."""
    hr_distilled_cfg: float | None = Field(default=None, ge=0)
    """The same for the distilled CFG scale."""


class Img2ImgBody(Img2Img, Envelope):
    """A picture made from a picture and text. Pictures are base64, with or without `data:...;base64,` in front."""

    model_config = _CONFIG

    mask_blur: int | None = Field(default=None, ge=0, le=512)
    """Blur of the mask's edge in both directions, in pixels."""
    initial_noise_multiplier: float | None = Field(default=None, ge=0, le=10)
    """Scales the noise that img2img starts from."""
    include_init_images: bool = False
    """Whether `parameters` in the response includes the input pictures."""
    latent_mask: str = ""
    """Accepted, without effect, as in A1111: `mask` stands for both."""


Body = Txt2ImgBody | Img2ImgBody


def forgiven(body: Body, catalog: Catalog, in_use: str) -> tuple[Body, tuple[str, ...]]:
    """The body without the names that nothing has and that A1111 passes over -> and a sentence about each, and about
    whatever else was not taken as it came.

    A1111: an unknown checkpoint or VAE among the override settings, style or schedule type ends no request: clients
    carry settings from one installation to the next. `in_use`: the title of the checkpoint that goes on, or "" for
    that of the settings.

    Raises:
        UserError: a script that is switched on is not here.
    """
    overrides = dict(body.override_settings)
    remarks = [*body.changed_values, *left_out(body.alwayson_scripts), *_unlike_forge(body)]
    checkpoint, vae = overrides.get("sd_model_checkpoint"), overrides.get("sd_vae")
    if isinstance(checkpoint, str) and not _is_found(partial(catalog.checkpoint, checkpoint)):
        remarks.append(f"There is no checkpoint {checkpoint!r}; the current one was used.")
        del overrides["sd_model_checkpoint"]
        if in_use:
            overrides["sd_model_checkpoint"] = in_use
    if isinstance(vae, str) and not _is_found(partial(catalog.vaes.check, vae)):
        remarks.append(f"There is no VAE {vae!r}; the checkpoint's own was used.")
        overrides["sd_vae"] = "None"
    known = {"None", *catalog.styles.names()} if body.styles else set()
    # A1111's clients send [""] where no style is chosen.
    remarks += [f"There is no style {name!r}." for name in body.styles if name.strip() and name not in known]
    styles = tuple(name for name in body.styles if name in known)
    changes: dict[str, object] = {"override_settings": overrides, "styles": styles}
    if body.scheduler and not _is_found(partial(registry.schedule, body.scheduler)):
        remarks.append(f"There is no schedule type {body.scheduler!r}; the sampler's own was used.")
        changes["scheduler"] = "Automatic"
    return body.model_copy(update=changes), tuple(remarks)


def _unlike_forge(body: Body) -> list[str]:
    """Remarks on what Forge would make otherwise."""
    if not isinstance(body, Txt2ImgBody) or not body.enable_hr:
        return []
    wanted = {
        "hr_cfg": (body.hr_cfg, body.cfg_scale),
        "hr_distilled_cfg": (body.hr_distilled_cfg, body.distilled_cfg_scale),
    }
    return [
        f"{name}: {second:g} has no effect: the second pass uses the guidance of the first."
        for name, (second, first) in wanted.items()
        if second not in (None, first)
    ]


def _is_found(look: Callable[[], object]) -> bool:
    try:
        look()
    except NotFound:
        return False
    return True


def request_of(body: Body, given: frozenset[str], catalog: Catalog, settings: Settings) -> Generation:
    """The request that a body stands for; `given` are the fields that the client sent. Keeps the pictures in it.

    Raises:
        UserError: a picture is none, or a script does not exist.
    """
    cls = Img2Img if isinstance(body, Img2ImgBody) else Txt2Img
    values = {name: getattr(body, name) for name in cls.model_fields}
    if "hr_upscaler" in values and "hr_upscaler" not in given:
        values["hr_upscaler"] = ""  # A1111: left open it is Latent, and the infotext does not say so.
    # A1111: the noise multiplier is read before override settings hold; there it is a field of the body alone.
    overrides = {key: value for key, value in body.override_settings.items() if key != "initial_noise_multiplier"}
    values["override_settings"] = overrides
    if body.infotext:
        found = catalog.pasted(body.infotext, settings)
        told = infotext.fields_of(found, cls)
        told["features"] = {**by_name(told.get("features")), **by_name(values["features"])}
        values |= {name: value for name, value in told.items() if name not in given and name != "init_images"}
        overrides |= {
            key: value for key, value in infotext.settings_of(found, settings).items() if key not in overrides
        }
    values["sampler_name"] = values["sampler_name"] or body.sampler_index
    if body.script_name and body.script_name.lower() != "none":
        script, values["script_values"] = _selected(body.script_name, cls, body.script_args)
        values["script"] = script.title
        if script.first_alone and not body.save_images:
            values["batch_size"] = values["n_iter"] = 1  # the others would be seen by nobody
    overrides |= _overrides_in(body, given)
    scripted, names = features_in(body.alwayson_scripts, cls.kind), registry.flat_names(cls.kind)
    shown = cls.unfolded(values)
    # What the request names itself goes before what a script says by place: all of a feature that it switches on, or
    # that it is off.
    flat = {
        name: shown[name]
        for name, (entry, own) in names.items()
        if name in given and (entry.name in values["features"] or own in entry.params.off)
    }
    # What its script says goes before what the infotext says.
    values = {name: value for name, value in values.items() if name not in names or names[name][0].name not in scripted}
    asked = cls.made(features={**values["features"], **scripted}, **flat).features
    values["features"] = with_pictures_kept(
        asked, lambda text, field: catalog.uploads.put(decoded(text, field, settings), field)
    )
    if isinstance(body, Img2ImgBody):
        keep = catalog.uploads.put
        values["init_images"] = tuple(
            keep(decoded(text, "init_images", settings), "init_images") for text in body.init_images
        )
        values["mask"] = keep(decoded(body.mask, "mask", settings), "mask") if body.mask else ""
        values["latent_mask"] = ""
        if body.mask_blur is not None:
            values["mask_blur_x"] = values["mask_blur_y"] = body.mask_blur
        return cls.made(**values)
    if body.firstpass_image:
        field = "firstpass_image"
        values[field] = catalog.uploads.put(decoded(body.firstpass_image, field, settings), field)
    if body.enable_hr and (body.firstphase_width or body.firstphase_height):
        values["width"] = body.firstphase_width or body.width
        values["height"] = body.firstphase_height or body.height
    return cls.made(**values)


def _overrides_in(body: Body, given: frozenset[str]) -> dict[str, object]:
    """Fields of the body that are settings here."""
    fields = {
        "eta_ancestral": body.eta,
        "eta_ddim": body.eta,
        "s_min_uncond": body.s_min_uncond,
        "s_churn": body.s_churn,
        "s_tmin": body.s_tmin,
        "s_tmax": body.s_tmax,
        "s_noise": body.s_noise,
        "tiling": body.tiling,
        "distilled_cfg_scale": body.distilled_cfg_scale,
        # What is not sent leaves it to the setting.
        "face_restoration": False if "restore_faces" in given and not body.restore_faces else None,
        "initial_noise_multiplier": body.initial_noise_multiplier if isinstance(body, Img2ImgBody) else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _selected(name: str, cls: type[Generation], arguments: list[object]) -> tuple[type[Script], dict[str, object]]:
    """(script, values by name) of the script that makes many pictures.

    Raises:
        UserError: there is no such script, or a value is wrong.
    """
    try:
        script: type[Script] = registry.script(name)
    except NotFound as error:
        raise UserError(error.message, hint=error.hint, field="script_name") from error
    if cls.kind not in script.kinds:
        raise UserError(f"{script.title} is not a script for {cls.kind}.", field="script_name")
    return script, script.of_arguments(cls, arguments)


def decoded(text: str, field: str, settings: Settings) -> bytes:
    """The bytes of a picture in base64, or at an address where the settings allow that.

    Raises:
        UserError: it is no base64, or nothing comes from the address.
    """
    if text.startswith(("http://", "https://")):
        return fetched(text, field, settings)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise UserError("Invalid encoded image: it is not valid base64.", field=field) from error


def settings_for(body: Envelope) -> dict[str, object]:
    """Settings that hold for the job of an API call alone."""
    # A1111: a sheet comes back only where pictures are saved.
    return {} if body.save_images else {"samples_save": False, "grid_save": False, "return_grid": False}


def folders_in(overrides: Mapping[str, object]) -> dict[str, object]:
    """Those among the override settings that name a folder: an admin may have pictures written anywhere."""
    folders = Settings.folders()
    return {key: value for key, value in overrides.items() if key in folders}

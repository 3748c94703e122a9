"""Lists of what there is: samplers, models, styles. None of them waits for the engine."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request, Response

from webui import registry
from webui.base.errors import ModelError
from webui.base.text import named
from webui.catalog.embeddings import describe
from webui.catalog.loras import Lora
from webui.catalog.restorer_files import folder_of
from webui.catalog.upscalers import PACKAGED
from webui.features.feature import FeatureParams
from webui.registry import SamplerEntry, ScheduleEntry
from webui.request.fields import Img2Img, Txt2Img
from webui.request.params import Choice, Declared, Param, Slider, default_of
from webui.request.settings import UiSettings
from webui.server.api import answers
from webui.server.api.alwayson import ALWAYS_ON
from webui.server.api.kept import KeptAnswer
from webui.server.routes import Routes

if TYPE_CHECKING:
    from webui.app import App

log = logging.getLogger(__name__)

ASKS_MODEL = frozenset({"Uniform", "SGM Uniform", "Simple", "Normal", "DDIM", "Beta"})
"""A1111: schedules that need the model itself."""
NO_SCALE = 4.0


def routes(app: App) -> Routes:
    router = Routes(prefix="/sdapi/v1")
    for part in (_sampling, _upscaling, _models, _prompts, _scripts, _networks, _refreshed):
        router.include(part(app))
    return router


def _sampling(_app: App) -> Routes:
    router = Routes()

    @router.get("/samplers", "user", response_model=list[answers.SamplerItem])
    def samplers() -> list[dict[str, object]]:
        """Samplers, with the names to use in `sampler_name`."""
        return [{"name": s.name, "aliases": list(s.aliases), "options": _options(s)} for s in registry.samplers()]

    @router.get("/schedulers", "user", response_model=list[answers.SchedulerItem])
    def schedulers() -> list[dict[str, object]]:
        """Schedule types, with the names to use in `scheduler`."""
        return [_schedule(entry) for entry in registry.schedules()]

    return router


def _upscaling(app: App) -> Routes:
    """What makes pictures larger or better."""
    router = Routes()
    catalog = app.catalog

    @router.get("/upscalers", "user", response_model=list[answers.UpscalerItem])
    def upscalers() -> list[dict[str, object]]:
        """Upscalers for pictures."""
        empty = {"model_name": None, "model_path": None, "model_url": None, "scale": NO_SCALE}
        plain: list[dict[str, object]] = [{"name": name, **empty} for name in registry.plain_upscalers()]
        return plain + [
            {**empty, "name": file.name, "model_name": file.folder, "model_path": named(file.path)}
            for file in catalog.upscalers.files()
        ]

    @router.get("/latent-upscale-modes", "user", response_model=list[answers.Named])
    def latent_modes() -> list[dict[str, str]]:
        """Upscalers for latents, for hires fix."""
        return [{"name": name} for name in registry.LATENT_UPSCALERS]

    @router.get("/realesrgan-models", "user", response_model=list[answers.RealEsrganItem])
    def realesrgan_models() -> list[dict[str, object]]:
        """Upscalers of the Real-ESRGAN family."""
        files = (file for file in catalog.upscalers.files() if file.folder in ("RealESRGAN", PACKAGED))
        return [{"name": file.name, "path": named(file.path), "scale": _scale(file.name)} for file in files]

    @router.get("/face-restorers", "user", response_model=list[answers.RestorerItem])
    def face_restorers() -> list[dict[str, object]]:
        """Face restorers: files in models/Codeformer and models/GFPGAN, and what installed packages add."""
        own: list[dict[str, object]] = [
            {"name": name, "cmd_dir": folder_of(ref)} for name, ref in catalog.restorers.files().items()
        ]
        return own + [{"name": entry.name, "cmd_dir": None} for entry in registry.restorers()]

    return router


def _models(app: App) -> Routes:
    """Checkpoints and VAEs."""
    router = Routes()
    catalog = app.catalog

    @router.get("/sd-models", "user", response_model=list[answers.CheckpointItem])
    def models() -> list[dict[str, object]]:
        """Checkpoints; `title` is the value to use in the setting `sd_model_checkpoint`."""
        return [
            {
                "title": checkpoint.title,
                "model_name": checkpoint.model_name,
                "hash": checkpoint.short_hash or None,
                "sha256": checkpoint.sha256 or None,
                "filename": named(checkpoint.path),
                "config": named(checkpoint.config) if checkpoint.config else None,
            }
            for checkpoint in catalog.checkpoints.scan()
        ]

    @router.get("/sd-vae", "user", response_model=list[answers.VaeItem])
    def vaes() -> list[dict[str, str]]:
        """VAE files."""
        return [{"model_name": vae.name, "filename": named(vae.path)} for vae in catalog.vaes.scan().values()]

    @router.get("/sd-modules", "user", response_model=list[answers.VaeItem])
    def modules() -> list[dict[str, str]]:
        """Forge's name for the list of VAEs."""
        return vaes()

    return router


def _prompts(app: App) -> Routes:
    router = Routes()
    catalog = app.catalog

    @router.get("/prompt-styles", "user", response_model=list[answers.StyleItem])
    def styles() -> list[dict[str, str]]:
        """Saved styles: texts that can be added to prompts."""
        return [
            {"name": style.name, "prompt": style.prompt, "negative_prompt": style.negative_prompt}
            for style in catalog.styles.all().values()
        ]

    return router


def _scripts(app: App) -> Routes:
    router = Routes()

    @router.get("/scripts", "user", response_model=answers.ScriptTitles)
    def scripts() -> dict[str, list[str]]:
        """Titles of scripts by tab, in lower case: the names to use in `script_name` and `alwayson_scripts`."""
        return {
            kind: sorted([*(entry.name.lower() for entry in registry.scripts_for(kind)), *ALWAYS_ON, *_carried(kind)])
            for kind in ("txt2img", "img2img")
        }

    @router.get("/script-info", "user", response_model=list[answers.ScriptItem])
    def script_info() -> list[dict[str, object]]:
        """Scripts and their parameters, by position."""
        plots = [
            {
                "name": entry.name.lower(),
                "is_alwayson": False,
                "is_img2img": cls is Img2Img,
                "args": registry.resolved(entry.code).arguments(cls),
            }
            for cls in (Txt2Img, Img2Img)
            for entry in registry.scripts_for(cls.kind)
        ]
        return (
            plots
            + [
                {"name": title, "is_alwayson": True, "is_img2img": cls is Img2Img, "args": _arguments(cls, names)}
                for cls in (Txt2Img, Img2Img)
                for title, names in ALWAYS_ON.items()
            ]
            + [
                {
                    "name": title,
                    "is_alwayson": True,
                    "is_img2img": cls is Img2Img,
                    "args": _of_feature(params, app.settings.current.ui),
                }
                for cls in (Txt2Img, Img2Img)
                for title, params in _carried(cls.kind).items()
            ]
        )

    @router.get("/extensions", "user", response_model=list[answers.ExtensionItem])
    def extensions() -> list[object]:
        """A1111's extensions, none of which can be used here."""
        return []

    return router


def _networks(app: App) -> Routes:
    """What prompts call by name: LoRAs, hypernetworks, embeddings."""
    router = Routes()
    catalog = app.catalog
    kept_loras, kept_embeddings = KeptAnswer(), KeptAnswer()

    @router.get("/loras", "user", response_model=list[answers.LoraItem])
    def loras(request: Request) -> Response:
        """LoRAs; `alias` is the name that the author gave, `metadata` is what the training program wrote into the
        file."""
        found = catalog.loras.scan()
        return kept_loras.answer(request, found, lambda: [_lora(lora) for lora in found])

    @router.get("/hypernetworks", "user", response_model=list[answers.HypernetworkItem])
    def hypernetworks() -> list[dict[str, str]]:
        """Hypernetworks, by their names in prompts."""
        return [{"name": file.stem, "path": named(file.path)} for file in catalog.hypernetworks.scan()]

    @router.get("/embeddings", "user", response_model=answers.EmbeddingsAnswer)
    def embeddings(request: Request) -> Response:
        """Textual inversion embeddings, by name."""
        files = catalog.embeddings.scan()
        return kept_embeddings.answer(
            request, files, lambda: {"loaded": {file.stem: _embedding(file.path) for file in files}, "skipped": {}}
        )

    return router


def _refreshed(app: App) -> Routes:
    """Lists that are read anew."""
    router = Routes()
    catalog = app.catalog

    @router.post("/refresh-checkpoints", "admin")
    def refresh_checkpoints() -> None:
        """Search the folders for checkpoints again."""
        catalog.checkpoints.refresh()
        catalog.hash_in_background()

    @router.post("/refresh-vae", "admin")
    def refresh_vae() -> None:
        """Search the folders for VAEs again."""
        catalog.vaes.refresh()

    @router.post("/refresh-loras", "admin")
    def refresh_loras() -> None:
        """Search the folders for LoRAs again."""
        catalog.loras.refresh()

    @router.post("/refresh-embeddings", "admin")
    def refresh_embeddings() -> None:
        """Does nothing: embeddings are looked up for each job."""

    return router


def _scale(name: str) -> int:
    """How many times as large an upscaler makes a picture, as its name says."""
    found = re.search(r"(?<!\d)(\d)x|x(\d)(?!\d)", name.lower())
    return int(found[1] or found[2]) if found else int(NO_SCALE)


def _lora(lora: Lora) -> dict[str, object]:
    return {"name": lora.stem, "alias": lora.alias, "path": named(lora.path), "metadata": lora.metadata}


def _embedding(path: Path) -> dict[str, object]:
    """What a file tells of an embedding; null where it cannot be read here."""
    unknown: dict[str, object] = dict.fromkeys(("step", "sd_checkpoint", "sd_checkpoint_name", "shape", "vectors"))
    try:
        return describe(path)
    except ModelError as error:
        log.debug("%s", error)
        return unknown


def _options(sampler: SamplerEntry) -> dict[str, str]:
    """A1111's remarks on a sampler."""
    found = {}
    if sampler.schedule:
        found["scheduler"] = registry.schedule(sampler.schedule).aliases[0]
    for key, holds in (
        ("discard_next_to_last_sigma", sampler.discard_penultimate),
        ("uses_ensd", sampler.uses_ensd),
        ("second_order", sampler.calls_per_step == 2),
        ("brownian_noise", sampler.brownian),
    ):
        if holds:
            found[key] = "True"
    if sampler.function.endswith("sde_heun"):
        found["solver_type"] = "heun"
    return found


def _schedule(entry: ScheduleEntry) -> dict[str, object]:
    name, *aliases = (*entry.aliases, *entry.listed)
    return {
        "name": name,
        "label": entry.name,
        "aliases": aliases or None,
        "default_rho": entry.default_rho or -1.0,
        "need_inner_model": entry.name in ASKS_MODEL,
    }


def _carried(kind: str) -> dict[str, type[FeatureParams]]:
    """The features that a request of this kind takes as always-on scripts, by their names in small letters."""
    return {entry.name.lower(): entry.params for entry in registry.carried(kind)}


def _of_feature(params: type[FeatureParams], ui: UiSettings) -> list[dict[str, object]]:
    """Its values by position: whether it is on, and its parameters; of one with units, the values of each by name."""
    if params.units:
        unit = {name: default_of(params, name) for name, param in params.params().items() if type(param) is not Param}
        whole = {
            **dict.fromkeys(("minimum", "maximum", "step", "choices")),
            "value": {**unit, **params.unit_of_programs},
        }
        return [{"label": "", **whole}] * params.shown(ui)
    switch = {"label": "Enabled", "value": False, "minimum": None, "maximum": None, "step": None, "choices": None}
    return [switch, *_arguments(params, tuple(name for name in params.params() if name != params.switch))]


def _arguments(cls: type[Declared], names: tuple[str, ...]) -> list[dict[str, object]]:
    """What A1111 tells of a script's values; here they are parameters of every request."""
    found = []
    for name in names:
        param = cls.params().get(name)
        if param is None:
            continue
        slider = param if isinstance(param, Slider) else None
        found.append(
            {
                "label": param.title,
                "value": default_of(cls, name),
                "minimum": slider.min if slider else None,
                "maximum": slider.max if slider else None,
                "step": slider.step if slider else None,
                "choices": list(param.choices) if isinstance(param, Choice) and param.choices else None,
            }
        )
    return found

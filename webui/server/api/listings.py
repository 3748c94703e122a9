"""Lists of what there is: samplers, models, styles. None of them waits for the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil
from fastapi import APIRouter

from webui import registry
from webui.base.errors import UserError
from webui.registry import SamplerEntry, ScheduleEntry

if TYPE_CHECKING:
    from webui.app import App

ASKS_MODEL = frozenset({"Uniform", "SGM Uniform", "Simple", "Normal", "DDIM", "Beta"})
"""A1111: schedules that need the model itself."""
NO_SCALE = 4.0


def routes(app: App) -> APIRouter:
    router = APIRouter(prefix="/sdapi/v1")
    catalog = app.catalog

    @router.get("/samplers")
    def samplers() -> list[dict[str, Any]]:
        """Samplers by the names that `sampler_name` takes."""
        return [{"name": s.name, "aliases": list(s.aliases), "options": _options(s)} for s in registry.samplers()]

    @router.get("/schedulers")
    def schedulers() -> list[dict[str, Any]]:
        """Schedules by the names that `scheduler` takes."""
        return [_schedule(entry) for entry in registry.schedules()]

    @router.get("/upscalers")
    def upscalers() -> list[dict[str, Any]]:
        """What enlarges pictures."""
        empty = {"model_name": None, "model_path": None, "model_url": None, "scale": NO_SCALE}
        return [{"name": name, **empty} for name in registry.PIXEL_UPSCALERS]

    @router.get("/latent-upscale-modes")
    def latent_modes() -> list[dict[str, str]]:
        """What enlarges latents, for hires fix."""
        return [{"name": name} for name in registry.LATENT_UPSCALERS]

    @router.get("/sd-models")
    def models() -> list[dict[str, Any]]:
        """Checkpoints; `title` is what the setting `sd_model_checkpoint` takes."""
        return [
            {
                "title": checkpoint.title,
                "model_name": checkpoint.stem,
                "hash": checkpoint.short_hash or None,
                "sha256": checkpoint.sha256 or None,
                "filename": str(checkpoint.path),
                "config": str(checkpoint.config) if checkpoint.config else None,
            }
            for checkpoint in catalog.checkpoints.scan()
        ]

    @router.get("/sd-vae")
    def vaes() -> list[dict[str, str]]:
        """VAE files."""
        return [{"model_name": vae.name, "filename": str(vae.path)} for vae in catalog.vaes.scan().values()]

    @router.get("/prompt-styles")
    def styles() -> list[dict[str, str]]:
        """Saved pieces of prompt."""
        return [
            {"name": style.name, "prompt": style.prompt, "negative_prompt": style.negative_prompt}
            for style in catalog.styles.all().values()
        ]

    def nothing() -> list[Any]:
        return []

    for path in ("hypernetworks", "face-restorers", "realesrgan-models", "loras", "sd-modules", "script-info"):
        router.get(f"/{path}", name=path, description="None yet.")(nothing)
    router.get("/extensions", name="extensions", description="Extensions of A1111 are not run.")(nothing)

    @router.get("/scripts")
    def scripts() -> dict[str, list[str]]:
        """Scripts by tab. None yet."""
        return {"txt2img": [], "img2img": []}

    @router.get("/embeddings")
    def embeddings() -> dict[str, dict[str, Any]]:
        """Textual inversion embeddings by name."""
        found = {}
        for folder in app.paths.embeddings:
            if folder.is_dir():
                for file in sorted(folder.rglob("*")):
                    if file.suffix.lower() in (".pt", ".safetensors", ".bin"):
                        found[file.stem] = {
                            "step": None,
                            "sd_checkpoint": None,
                            "sd_checkpoint_name": None,
                            "shape": None,
                            "vectors": None,
                        }
        return {"loaded": found, "skipped": {}}

    @router.get("/memory")
    def memory() -> dict[str, Any]:
        """Memory of the machine and of the GPU, in bytes."""
        ram = psutil.virtual_memory()
        beat = app.queue.models.beat
        answer: dict[str, Any] = {"ram": {"free": ram.available, "used": beat.ram_used, "total": ram.total}}
        if not beat.vram_total:
            return {**answer, "cuda": {"error": "unavailable"}}
        use = {"current": beat.vram_used, "peak": beat.vram_used}
        answer["cuda"] = {
            "system": {
                "free": beat.vram_total - beat.vram_used,
                "used": beat.vram_used,
                "total": beat.vram_total,
            },
            "active": use,
            "allocated": use,
            "reserved": use,
            "inactive": {"current": 0, "peak": 0},
            "events": {"retries": 0, "oom": 0},
        }
        return answer

    @router.post("/refresh-checkpoints")
    def refresh_checkpoints() -> None:
        """Look again which checkpoints there are."""
        catalog.checkpoints.refresh()
        catalog.hash_in_background()

    @router.post("/refresh-vae")
    def refresh_vae() -> None:
        """Look again which VAEs there are."""
        catalog.vaes.refresh()

    @router.post("/refresh-embeddings")
    @router.post("/refresh-loras")
    def refresh_networks() -> None:
        """They are looked for at each job."""

    @router.post("/unload-checkpoint")
    def unload() -> dict[str, str]:
        """Put all models away and give the memory back."""
        app.queue.unload()
        return {}

    @router.post("/reload-checkpoint")
    def reload() -> dict[str, str]:
        """Load the checkpoint of the settings again."""
        app.queue.preload()
        return {}

    def stoppable() -> None:
        if not app.flags.api_server_stop:
            raise UserError("The server cannot be stopped over the API.", hint="Start it with --api-server-stop.")

    @router.post("/server-stop")
    @router.post("/server-kill")
    def stop() -> str:
        """End the server."""
        stoppable()
        app.stop()
        return "Stopping."

    @router.post("/server-restart")
    def restart() -> str:
        """End the server and start it again."""
        stoppable()
        app.restart()
        return "Restarting."

    return router


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
    return found


def _schedule(entry: ScheduleEntry) -> dict[str, Any]:
    name, *aliases = entry.aliases
    return {
        "name": name,
        "label": entry.name,
        "aliases": aliases or None,
        "default_rho": entry.default_rho or -1.0,
        "need_inner_model": entry.name in ASKS_MODEL,
    }

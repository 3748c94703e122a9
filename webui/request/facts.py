"""Facts: what an infotext says of a picture beyond the request, such as the model's hash.

Some follow from the plan (below); others only the engine knows, and sends along with the picture.
"""

from __future__ import annotations

from collections.abc import Mapping

from webui import registry
from webui.registry import SamplerEntry, ScheduleEntry
from webui.request.fields import Generation
from webui.request.plan import Picture, Plan
from webui.request.settings import RenderSettings, SaveSettings
from webui.request.templates import facts_of_templates

PLACES: Mapping[str, int] = {
    "Face restoration": 15,
    "Model hash": 30,
    "Model": 31,
    "FP8 weight": 32,
    "Cache FP16 weight for LoRA": 32,
    "VAE hash": 34,
    "VAE": 35,
    "Init image hash": 50,
    "TI hashes": 92,
    "Lora hashes": 92,
    "Version": 99,
    "User": 99,
}
"""Rank of the labels that no parameter has, among the `Param.place`s."""
LAST_PLACE = 95
"""Of labels that nobody declared: what extensions say."""


def facts_of(picture: Picture, plan: Plan, save: SaveSettings, version: str, user: str = "") -> dict[str, str]:
    """Label -> text of what follows from the plan alone; the engine's facts come on top."""
    return {
        **_models(plan, save),
        **_schedules(picture.request),
        **_sampler_options(picture.request, picture.render),
        **_pass_options(picture.request, picture.render),
        **{label: text for wish in picture.wishes for label, text in wish.params.facts(picture, plan).items()},
        **facts_of_templates(picture.request),
        **_prompt_options(picture.request, picture.render),
        **({"Version": version} if version and save.add_version_to_infotext else {}),
        **({"User": user} if user and save.add_user_name_to_info else {}),
    }


def unwanted_labels(save: SaveSettings) -> frozenset[str]:
    """Labels that the settings leave out of infotexts."""
    wanted = {
        "Lora hashes": save.lora_add_hashes_to_infotext,
        "TI hashes": save.textual_inversion_add_hashes_to_infotext,
    }
    return frozenset(label for label, is_wanted in wanted.items() if not is_wanted)


def _models(plan: Plan, save: SaveSettings) -> dict[str, str]:
    found: dict[str, str] = {}
    if save.add_model_hash_to_info and plan.checkpoint.sha256:
        found["Model hash"] = plan.checkpoint.short_hash
    if save.add_model_name_to_info:
        found["Model"] = plan.checkpoint.name.replace(",", "").replace(":", "")
    if plan.vae is not None:
        if save.add_vae_hash_to_info and plan.vae.sha256:
            found["VAE hash"] = plan.vae.short_hash
        if save.add_vae_name_to_info:
            found["VAE"] = plan.vae.title
    if plan.hires_checkpoint is not None:
        found["Hires checkpoint"] = plan.hires_checkpoint.short_title
    return found


def _schedules(request: Generation) -> dict[str, str]:
    """The schedules in use, by name: Automatic only where the sampler has none of its own."""
    found = {"Schedule type": _resolved(*_sampler_and_schedule(request)).name}
    if request.hires:
        hires = _resolved(*registry.sampler_and_schedule(request.hires.sampler_name, request.hires.scheduler)).name
        if hires != found["Schedule type"]:
            found["Hires schedule type"] = hires
    return found


def _sampler_and_schedule(request: Generation) -> tuple[SamplerEntry, ScheduleEntry]:
    return registry.sampler_and_schedule(request.sampler_name, request.scheduler)


def _resolved(sampler: SamplerEntry, schedule: ScheduleEntry) -> ScheduleEntry:
    own = sampler.schedule and not schedule.function
    return registry.schedule(sampler.schedule) if own else schedule


def _sampler_options(request: Generation, render: RenderSettings) -> dict[str, str]:
    """Settings of samplers and schedules that are not as usual, where the ones in use take them."""
    sampler, schedule = _sampler_and_schedule(request)
    schedule = _resolved(sampler, schedule)
    schedules = [schedule]
    samplers = [sampler]
    if request.hires:
        hires_sampler, hires_schedule = registry.sampler_and_schedule(
            request.hires.sampler_name, request.hires.scheduler
        )
        samplers.append(hires_sampler)
        schedules.append(_resolved(hires_sampler, hires_schedule))
    in_sigmas = any(not entry.timesteps for entry in samplers)
    found: dict[str, str] = {}
    takes: dict[str, bool] = {
        "eta_ancestral": any("eta" in entry.options and not entry.timesteps for entry in samplers),
        "eta_ddim": any("eta" in entry.options and entry.timesteps for entry in samplers),
        "eta_noise_seed_delta": any(entry.uses_ensd for entry in samplers) and render.eta_ancestral != 0,
        "always_discard_next_to_last_sigma": any(not entry.discard_penultimate for entry in samplers),
        "sgm_noise_multiplier": in_sigmas and not request.is_img2img,
        "rho": in_sigmas and any(entry.default_rho not in (0.0, render.rho) for entry in schedules),
    }
    takes |= {
        name: any(name in entry.options for entry in samplers) for name in ("s_churn", "s_tmin", "s_tmax", "s_noise")
    }
    takes |= {name: in_sigmas and any(entry.function for entry in schedules) for name in ("sigma_min", "sigma_max")}
    takes |= {
        f"uni_pc_{name}": any(name in entry.options for entry in samplers)
        for name in ("variant", "skip_type", "order", "lower_order_final")
    }
    for name, taken in takes.items():
        if taken:
            found.update(render.unusual(name))
    if any("beta_alpha" in entry.options for entry in schedules) and in_sigmas:
        found["Beta schedule alpha"] = str(render.beta_dist_alpha)
        found["Beta schedule beta"] = str(render.beta_dist_beta)
    return found


def _pass_options(request: Generation, render: RenderSettings) -> dict[str, str]:
    """Settings of one pass or another that are not as usual."""
    merging = render.token_merging_ratio
    if request.is_img2img:
        merging = render.token_merging_ratio_img2img or merging
    return {
        **({"Token merging ratio": str(merging)} if merging else {}),
        **(render.unusual("token_merging_ratio_hr") if request.hires else {}),
        **(render.unusual("initial_noise_multiplier") if request.is_img2img else {}),
        **(render.unusual("img2img_extra_noise") if request.strength is not None else {}),
    }


def _prompt_options(request: Generation, render: RenderSettings) -> dict[str, str]:
    """Settings of the prompt language that are not as usual, where a bracket in the prompts may feel them."""
    text = "".join((*request.positive_prompts, *request.negative_prompts))
    return {
        **(render.unusual("emphasis") if "(" in text or "[" in text else {}),
        **(render.unusual("use_old_scheduling") if "[" in text else {}),
    }

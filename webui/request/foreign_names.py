"""Samplers and schedules by the names that other programs have for them."""

from __future__ import annotations

from collections.abc import Mapping

from webui import registry
from webui.base.errors import NotFound

LONGEST = 200
"""Letters: a longer text is no name."""

_SAMPLERS: Mapping[str, str] = {
    "euler": "Euler",
    "euler_a": "Euler a",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "lms": "LMS",
    "plms": "PLMS",
    "pndm": "PLMS",
    "ddim": "DDIM",
    "ddim_v3": "DDIM",
    "dpm_2": "DPM2",
    "kdpm_2": "DPM2",
    "dpm2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "kdpm_2_a": "DPM2 a",
    "kdpm_2_ancestral": "DPM2 a",
    "dpm2_a": "DPM2 a",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpm_adaptative": "DPM adaptive",
    "dpmpp_2s": "DPM++ 2S a",
    "dpmpp_2s_a": "DPM++ 2S a",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "dpmsolver++": "DPM++ 2M",
    "uni_pc": "UniPC",
    "uni_pc_bh2": "UniPC",
    "unipc": "UniPC",
    "lcm": "LCM",
    "restart": "Restart",
}
_SCHEDULES: Mapping[str, str] = {
    "normal": "Normal",
    "karras": "Karras",
    "native": "Automatic",
    "default": "Automatic",
    "exponential": "Exponential",
    "polyexponential": "Polyexponential",
    "sgm_uniform": "SGM Uniform",
    "simple": "Simple",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "ays": "Align Your Steps",
}
_ENDS: Mapping[str, str] = {"_k": "Karras", "_ka": "Karras", **{f"_{key}": name for key, name in _SCHEDULES.items()}}
"""Ends of sampler names that name a schedule."""


def named(sampler: str, schedule: str) -> tuple[str, str]:
    """Our names for them; those that we do not have stay as they are. An empty schedule stays so unless implied."""
    if len(sampler) > LONGEST or len(schedule) > LONGEST:
        return sampler[:LONGEST], schedule[:LONGEST]
    schedule = _SCHEDULES.get(_plain(schedule), schedule)
    for name, implied in _readings(sampler):
        try:
            found = registry.sampler_and_schedule(name, "")
        except NotFound:
            continue
        own = found[1].name if found[1].function else ""
        return found[0].name, own or schedule or implied
    return sampler, schedule


def is_sampler(name: str) -> bool:
    """Whether it is a name of ours, perhaps with the schedule behind it."""
    if len(name) > LONGEST:
        return False
    try:
        registry.sampler_and_schedule(name, "")
    except NotFound:
        return False
    return True


def is_schedule(name: str) -> bool:
    return _plain(name[:LONGEST]) in _SCHEDULES


def _readings(sampler: str) -> list[tuple[str, str]]:
    """(name, schedule that it implies): as it stands, and as other programs spell theirs."""
    plain = _plain(sampler).removeprefix("sample_")
    found = [(sampler, "")]
    for end, implied in {"": "", **_ENDS}.items():
        if plain.endswith(end):
            bare = plain.removesuffix(end).removesuffix("_gpu")
            names = [_SAMPLERS.get(bare) or _SAMPLERS.get(bare.removeprefix("k_"), ""), bare, bare.removeprefix("k_")]
            found += [(name, implied) for name in names if name]
    return found


def _plain(name: str) -> str:
    return name.casefold().strip().replace(" ", "_").replace("-", "_")

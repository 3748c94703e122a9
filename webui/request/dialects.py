"""Infotexts of older programs and versions, put into today's spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from webui import registry
from webui.base.errors import NotFound
from webui.request.foreign_names import is_sampler, is_schedule, named
from webui.request.hires import old_first_size

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:-?(rc)[.-]?(\d*)|-(\d+))?", re.IGNORECASE)
_HASH_BEHIND = re.compile(r"[0-9a-f]+")

LARGEST_SIDE = 1_000_000
"""Pixels."""
LONGEST_VERSION = 200
"""Letters: a longer one is none of A1111's."""

Version = tuple[tuple[int, ...], int, int]
"""(release, -1 candidate 0 itself 1 commits after it, number)"""


def modern(prompt: str, labels: Mapping[str, str], *, habits: bool = True) -> tuple[str, dict[str, str]]:
    """The prompt and the labels as a program of today would have written them.

    habits: with the settings that do today what the version that wrote them always did.
    """
    changed = dict(_spelt(labels))
    labels = dict(changed)
    changed.update(_foreign_sampler(labels))
    prompt += _hypernetwork(labels) + _additional_networks(labels)
    changed.update(_sizes(labels))
    if habits:
        changed.update(_habits(prompt, labels))
    return prompt, changed


def todays_names(labels: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The labels with samplers and schedules as we call them, and complaints about names that nothing has.

    "DPM++ 2M Karras" is a sampler and a schedule; a schedule that is the sampler's own is Automatic.
    """
    changed = dict(labels)
    complaints = []
    for sampler_label, schedule_label in (("Sampler", "Schedule type"), ("Hires sampler", "Hires schedule type")):
        name = labels.get(sampler_label)
        if name is None or name == "Use same sampler":
            continue
        same = labels.get(schedule_label) == "Use same scheduler"
        name, wanted = named(name, "" if same else labels.get(schedule_label, ""))
        try:
            schedule = registry.schedule(wanted or "Automatic")
        except NotFound as error:
            complaints.append(f"{error.message} Automatic is used instead.")
            changed[schedule_label] = wanted = "Automatic"
        try:
            sampler, schedule = registry.sampler_and_schedule(name, wanted)
        except NotFound as error:
            complaints.append(error.message)
            del changed[sampler_label]
            if wanted:
                changed[schedule_label] = schedule.name
            continue
        changed[sampler_label] = sampler.name
        if (schedule_label in labels and not same) or schedule.name != "Automatic":
            changed[schedule_label] = "Automatic" if schedule.name == sampler.schedule else schedule.name
    return changed, complaints


_LABELS = (
    "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size-1", "Size-2", "Model hash", "Model", "VAE hash",
    "VAE", "Clip skip", "Denoising strength", "Hires upscale", "Hires upscaler", "Hires steps", "Variation seed",
    "Variation seed strength", "Version",
)  # fmt: skip
SPELLINGS: Mapping[str, str] = {
    **{label.casefold(): label for label in _LABELS},
    "cfgscale": "CFG scale",
    "guidance scale": "CFG scale",
    "clipskip": "Clip skip",
    "scheduler": "Schedule type",
    "schedule": "Schedule type",
    "denoise": "Denoising strength",
    "denoising": "Denoising strength",
    "hires scale": "Hires upscale",
    "sampling method": "Sampler",
    "sampling steps": "Steps",
}
"""How other programs spell A1111's labels."""


def _spelt(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The labels as A1111 spells them; where it has both spellings, its own counts."""
    for label, text in labels.items():
        # A1111: in small letters they are no labels of its own.
        spelt = SPELLINGS.get(label.casefold(), label) if label != label.casefold() else label
        yield (label if spelt in labels else spelt), text


def _foreign_sampler(labels: Mapping[str, str]) -> dict[str, str]:
    """A sampler in another program's spelling: "euler_ancestral_karras", SD.Next's "Sampler options: karras"."""
    name, schedule = labels.get("Sampler", ""), labels.get("Schedule type", "")
    if not schedule:
        schedule = next((word for word in labels.get("Sampler options", "").split("/") if is_schedule(word)), "")
    if not name or (is_sampler(name) and not (schedule and "Schedule type" not in labels)):
        return {}
    ours, implied = named(name, schedule)
    return {"Sampler": ours, **({"Schedule type": implied} if implied else {})}


def _hypernetwork(labels: Mapping[str, str]) -> str:
    name = labels.get("Hypernet")
    return f"<hypernet:{name}:{labels.get('Hypernet strength', '1.0')}>" if name else ""


def _additional_networks(labels: Mapping[str, str]) -> str:
    """The LoRAs of the extension "additional networks", as tags on a line of their own."""
    tags = ""
    for label, model in labels.items():
        number = label.removeprefix("AddNet Model ")
        if number == label or labels.get(f"AddNet Module {number}") != "LoRA":
            continue
        tags += f"<lora:{_without_hash(model)}:{labels.get(f'AddNet Weight A {number}', '1.0')}>"
    return f"\n{tags}" if tags else ""


def _without_hash(model: str) -> str:
    """ "fur(0123456789ab)" -> "fur" """
    name, _, behind = model.rpartition("(")
    return name if name and behind.endswith(")") and _HASH_BEHIND.fullmatch(behind[:-1]) else model


def _sizes(labels: Mapping[str, str]) -> dict[str, str]:
    """Hires fix of 2022 gave the final size, and that of the first pass or 0x0."""
    try:
        first = int(labels["First pass size-1"]), int(labels["First pass size-2"])
        final = int(labels["Size-1"]), int(labels["Size-2"])
    except (KeyError, ValueError):
        return {}
    if max(*first, *final) > LARGEST_SIDE:
        return {}
    if 0 in first:
        first = old_first_size(*final) if all(final) else (512, 512)
    return {
        "Size-1": str(first[0]),
        "Size-2": str(first[1]),
        "Hires resize-1": str(final[0]),
        "Hires resize-2": str(final[1]),
    }


def _habits(prompt: str, labels: Mapping[str, str]) -> dict[str, str]:
    """What A1111 did differently in the version that wrote the picture."""
    version = _version(labels.get("Version", ""))
    found: dict[str, str] = {}
    if version is None:
        return found
    if version < ((1, 6, 0), 0, 0):
        if "[" in prompt:
            found["Old prompt editing timelines"] = "True"
        if labels.get("Sampler") in ("DDIM", "PLMS"):
            found["Pad conds v0"] = "True"
    if version < ((1, 7, 0), 1, 225):
        found["Downcast alphas_cumprod"] = "True"
    if version < ((1, 8, 0), 0, 0) and "Refiner" in labels:
        found["Refiner switch by sampling steps"] = "True"
    return found


def _version(text: str) -> Version | None:
    """ "v1.7.0-RC-5-g1234" -> a number to compare; None for what is no version of A1111's."""
    if len(text) > LONGEST_VERSION:
        return None
    shortened = re.match(r"([^-]+-[^-]+)-", text)
    match = _VERSION.fullmatch(shortened[1] if shortened else text)
    if match is None:
        return None
    release = tuple(int(part) for part in match[1].split("."))
    kind = -1 if match[2] else 1 if match[4] else 0
    return (*release, 0, 0)[: max(3, len(release))], kind, int(match[3] or match[4] or 0)

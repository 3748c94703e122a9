"""A batch's pass as its request says."""

from __future__ import annotations

from webui import registry
from webui.engine.batch import Batch, Pass
from webui.engine.conditioning import Timeline
from webui.engine.dressing import with_added
from webui.prompt.comments import strip_comments
from webui.prompt.networks import NetworkTag, extract_networks
from webui.request.plan import added_networks
from webui.request.settings import RenderSettings

SAMPLED = 0.95
"""The share after which only decoding is left."""


def planned(batch: Batch) -> Pass:
    """The batch's pass as its request says, from noise."""
    request, render = batch.request, batch.render
    entry = registry.sampler(request.sampler_name)
    return Pass(
        phase="sampling",
        share=(0.0, SAMPLED),
        sampler=entry,
        schedule=registry.schedule(request.scheduler),
        steps=request.steps,
        t_enc=None,
        cfg_scale=request.cfg_scale,
        positive=tuple(text_of(picture.request.prompt, render, networks=True) for picture in batch.pictures),
        negative=tuple(text_of(picture.request.negative_prompt, render) for picture in batch.pictures),
        timeline=Timeline(request.steps * entry.calls_per_step, old=render.use_old_scheduling),
        size=(request.width, request.height),
        tagged=tuple(text_of(picture.request.prompt, render) for picture in batch.pictures),
        networks=() if request.disable_extra_networks else tags_of(request.prompt, render),
    )


def text_of(prompt: str, render: RenderSettings, *, networks: bool = False) -> str:
    """The prompt without comments; with `networks` (the negative prompt has none) without their tags."""
    text = strip_comments(prompt) if render.enable_prompt_comments else prompt
    return extract_networks(text)[0] if networks else text


def tags_of(prompt: str, render: RenderSettings) -> tuple[NetworkTag, ...]:
    """The tags of a prompt, and those that the settings add."""
    text = strip_comments(prompt) if render.enable_prompt_comments else prompt
    return with_added(extract_networks(text)[1], added_networks(render))

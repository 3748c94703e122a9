"""Pictures of models that are run as a whole by a pipeline of diffusers, one after the other.

What the request asks for and the pipeline cannot do is named in a remark; see `request/whole.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from PIL import Image

from webui.base.errors import UserError
from webui.engine.batch import Batch
from webui.engine.families.diffusers_pipeline import fitting, interruptible, spatial
from webui.engine.families.family import Task, WholeMaker
from webui.engine.families.typed import Pipeline
from webui.engine.finished import DecodedPicture
from webui.engine.planned import SAMPLED
from webui.engine.previews import shown
from webui.engine.start import Beginnings
from webui.engine.watch import Watch
from webui.prompt.attention import parse_attention
from webui.prompt.comments import strip_comments
from webui.prompt.networks import extract_networks
from webui.prompt.schedule import prompt_schedule
from webui.request.plan import Picture
from webui.request.settings import RenderSettings
from webui.request.whole import unhonoured


def whole_pictures(batch: Batch, model: WholeMaker, beginnings: Beginnings, watch: Watch) -> Iterator[DecodedPicture]:
    """The pictures of a batch.

    Raises:
        UserError: the pipeline cannot do it.
    """
    request = batch.request
    beginning, mask = beginnings.pixels(batch) if request.is_img2img else (None, None)
    task: Task = "txt2img" if beginning is None else "img2img" if mask is None else "inpaint"
    pipeline = model.of(task)
    for remark in unhonoured(request, batch.render):
        watch.remark(remark)
    batch.facts.note("Sampler", type(pipeline.scheduler).__name__.removesuffix("Scheduler"))
    batch.facts.note("Schedule type", "")
    for index, picture in enumerate(batch.pictures):
        watch.check()
        start, share = index / len(batch.pictures), 1 / len(batch.pictures)
        watch.enter("sampling", start, start + SAMPLED * share)
        result = _run(picture, pipeline, model, beginning.givens[index].picture if beginning else None, mask, watch)
        yield DecodedPicture(result, torch.empty(0), beginning)


def _run(
    picture: Picture,
    pipeline: Pipeline,
    model: WholeMaker,
    given: Image.Image | None,
    mask: Image.Image | None,
    watch: Watch,
) -> Image.Image:
    request = picture.request
    width, height = (max(side // model.multiple, 1) * model.multiple for side in (request.width, request.height))
    if (width, height) != (request.width, request.height):
        watch.remark(
            f"Made at {width}x{height}: {model.name} needs sizes that are multiples of {model.multiple} pixels."
        )
    rgb = torch.tensor(model.latent_rgb)

    def seen(step: int, latents: torch.Tensor) -> None:
        watch.check()
        watch.step(step + 1, getattr(pipeline, "num_timesteps", 0) or request.steps)
        if len(rgb) and watch.wants_preview(step + 1, request.steps):
            flat = spatial(pipeline, latents, height, width)
            if flat is not None and flat.shape[1] == len(rgb):
                pixels = torch.einsum("bchw,cr->brhw", flat.float().cpu(), rgb)
                watch.show(*shown(pixels, watch.viewing.wish.format))

    def after_step(
        _pipeline: object, step: int, _time: object, values: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        seen(step, values["latents"])
        return values

    wished: dict[str, object] = {
        "prompt": _text(request.prompt, request.steps, picture.render, watch),
        "negative_prompt": _text(request.negative_prompt, request.steps, picture.render, watch),
        "width": width,
        "height": height,
        "num_inference_steps": request.steps,
        "generator": torch.Generator("cpu").manual_seed(picture.seed % 2**63),
        "callback_on_step_end": after_step,
        "callback": lambda step, _time, latents: seen(step, latents),
        "callback_steps": 1,
        "use_resolution_binning": False,
        "clean_caption": False,
        **_guidance(pipeline, request.cfg_scale, picture.render),
    }
    if given is not None:
        wished |= {"image": given.resize((width, height)), "strength": request.strength}
    if mask is not None:
        wished["mask_image"] = mask.resize((width, height))
    try:
        with watch.stopwatch.running(), interruptible(model, watch.check):
            result: Image.Image = pipeline(**fitting(pipeline, wished)).images[0]
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UserError(f"{model.name} cannot make this picture: {str(error).splitlines()[0][:300]}") from error
    return result.convert("RGB")


def _guidance(pipeline: Pipeline, scale: float, render: RenderSettings) -> dict[str, float]:
    """Where a pipeline has both, `true_cfg_scale` is the one with a negative prompt."""
    if "true_cfg_scale" not in fitting(pipeline, {"true_cfg_scale": scale}):
        return {"guidance_scale": scale}
    config = getattr(getattr(pipeline, "transformer", None), "config", {})
    distilled = {"guidance_scale": render.distilled_cfg_scale} if config.get("guidance_embeds") else {}
    return {"true_cfg_scale": scale, **distilled}


def _text(prompt: str, steps: int, render: RenderSettings, watch: Watch) -> str:
    """The prompt as these models read it: plain, as it stands at the first step."""
    text = strip_comments(prompt) if render.enable_prompt_comments else prompt
    text, tags = extract_networks(text)
    if tags:
        watch.remark(f"Diffusers' pipelines cannot use extra networks; ignored: {', '.join(tag.name for tag in tags)}.")
    edits = prompt_schedule(text, max(steps, 1))
    spans = parse_attention(edits[0].text)
    if len(edits) > 1 or any(span.is_break or span.weight != 1 for span in spans):
        watch.remark(
            "Diffusers' pipelines read prompts as plain text: emphasis, BREAK and prompt editing have no effect."
        )
        return " ".join(span.text.strip() for span in spans if not span.is_break)
    return edits[0].text

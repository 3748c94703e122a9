"""What one job may ask for at most, as the settings say."""

from __future__ import annotations

from webui.base.errors import UserError
from webui.request.extras import RESIZE_TO, Extras
from webui.request.fields import Txt2Img
from webui.request.jobs import Errands, Request
from webui.request.settings import LimitSettings


def within(request: Request, limits: LimitSettings) -> None:
    """
    Raises:
        UserError: it asks for too much; says of what, and how much would be taken.
    """
    if isinstance(request, Errands):
        return
    if isinstance(request, Extras):
        pixels = request.upscaling_resize_w * request.upscaling_resize_h if request.resize_mode == RESIZE_TO else 0
        _refuse_beyond(request.picture_count, limits.most_pictures, "pictures in one job", "images")
        _refuse_beyond(_mega(pixels), limits.most_megapixels, "megapixels in one picture", "upscaling_resize_w")
        return
    steps = request.steps
    pixels = request.width * request.height
    if isinstance(request, Txt2Img) and request.enable_hr:
        steps = max(steps, request.hr_second_pass_steps)
        factor = max(request.hr_scale, 1.0) ** 2
        wanted = request.hr_resize_x * request.hr_resize_y
        one_side = max(request.hr_resize_x / request.width, request.hr_resize_y / request.height) ** 2 * pixels
        pixels = int(wanted or one_side or pixels * factor)
    characters = max(len(request.prompt), len(request.negative_prompt))
    for asked, most, what, field in (
        (characters, limits.most_prompt_characters, "characters in a prompt", "prompt"),
        (request.picture_count, limits.most_pictures, "pictures in one job", "n_iter"),
        (request.batch_size, limits.most_batch_size, "pictures in one batch", "batch_size"),
        (steps, limits.most_steps, "steps", "steps"),
        (_mega(pixels), limits.most_megapixels, "megapixels in one picture", "width"),
    ):
        _refuse_beyond(asked, most, what, field)


def _refuse_beyond(asked: float, most: float, what: str, field: str) -> None:
    if asked > most:
        raise UserError(
            f"{asked:,} {what} are too many.", hint=f"At most {most:,} are taken (Settings, Limits).", field=field
        )


def _mega(pixels: int) -> float:
    return round(pixels / 1e6, 2)

"""What one job may ask for at most, as the settings say."""

from __future__ import annotations

from webui.base.errors import UserError
from webui.request.fields import Generation, Txt2Img
from webui.request.settings import LimitSettings


def within(request: Generation, limits: LimitSettings) -> None:
    """
    Raises:
        UserError: it asks for too much; says of what, and how much would be taken.
    """
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
        (round(pixels / 1e6, 2), limits.most_megapixels, "megapixels in one picture", "width"),
    ):
        if asked > most:
            raise UserError(
                f"{asked:,} {what} are too many.", hint=f"At most {most:,} are taken (Settings, Limits).", field=field
            )

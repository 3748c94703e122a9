"""Parts of the picture with prompts of their own, as a text that requests and infotexts carry.

The names of the values, and the object that holds the regions, are those that multidiffusion-upscaler writes into
infotexts: `{"Region 1": {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a cat"}, ...}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, TypeVar

from webui.base.errors import UserError
from webui.request.params import Declared, Param, Text

MOST_REGIONS = 32
EXAMPLE = '{"Region 1": {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a cat"}}'


class PromptedRegion(Declared):
    """A rectangle of the picture with a prompt of its own."""

    enable: bool = True
    x: Annotated[float, Param(ui="x", ge=0, le=1)] = 0.4
    """Of its left edge, as a share of the picture's width."""
    y: Annotated[float, Param(ui="y", ge=0, le=1)] = 0.4
    """Of its upper edge, as a share of the picture's height."""
    w: Annotated[float, Param(ui="w", ge=0, le=1)] = 0.2
    """Its width."""
    h: Annotated[float, Param(ui="h", ge=0, le=1)] = 0.2
    """Its height."""
    prompt: Annotated[str, Text(ui="Prompt")] = ""
    neg_prompt: Annotated[str, Text(ui="Negative Prompt")] = ""
    """Stands behind the picture's negative prompt, after a comma."""


R = TypeVar("R", bound=PromptedRegion)


def regions_in(text: str, cls: type[R], what: str) -> tuple[R, ...]:
    """The regions of an object as infotexts have it; only those that are on. what: the feature that they belong to.

    Raises:
        UserError: it is none.
    """
    if not text.strip():
        return ()
    hint = f"Write {EXAMPLE}, for example."
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"The regions of {what} are not valid JSON.", hint=hint, field="features") from error
    if not isinstance(told, Mapping) or not all(isinstance(each, Mapping) for each in told.values()):
        raise UserError(f"The regions of {what} are no object of regions.", hint=hint, field="features")
    if len(told) > MOST_REGIONS:
        raise UserError(f"{what} has {len(told)} regions.", hint=f"At most {MOST_REGIONS}.", field="features")
    found = []
    for name, values in told.items():
        try:
            found.append(cls.made(**values))
        except UserError as error:
            raise UserError(f"{name} of {what}: {error.message}", hint=error.hint, field="features") from error
    return tuple(each for each in found if each.enable)

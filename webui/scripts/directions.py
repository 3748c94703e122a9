"""What scripts that enlarge the canvas have in common: on which sides, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from webui.base.errors import UserError
from webui.request.params import Several

SIDES = LEFT, RIGHT, UP, DOWN = ("left", "right", "up", "down")
GRID = 64
"""Finished pictures are multiples of so many pixels, wide and high."""


def _checked(sides: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [side for side in sides if side not in SIDES]:
        raise PydanticCustomError(
            "choice",
            "there is no direction {side}; they are {all}",
            {"side": repr(unknown[0]), "all": ", ".join(SIDES)},
        )
    return sides


Directions: TypeAlias = Annotated[
    tuple[str, ...], Several(ui="Outpainting direction", choices=SIDES, checks=True), AfterValidator(_checked)
]


@dataclass(frozen=True)
class Margins:
    """How many pixels are added on each side of a picture."""

    left: int
    right: int
    up: int
    down: int

    @staticmethod
    def around(size: tuple[int, int], pixels: int, sides: tuple[str, ...]) -> Margins:
        """At least `pixels` on each of these sides, so that the whole, (width, height), is a multiple of 64.

        Raises:
            UserError: there is no side.
        """
        if not sides:
            raise UserError("Choose at least one direction to enlarge the picture in.", field="direction")
        left, right = _spread(size[0], *(pixels if side in sides else 0 for side in (LEFT, RIGHT)))
        up, down = _spread(size[1], *(pixels if side in sides else 0 for side in (UP, DOWN)))
        return Margins(left, right, up, down)

    def of(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of a picture of this size with them."""
        return size[0] + self.left + self.right, size[1] + self.up + self.down


def _spread(side: int, before: int, after: int) -> tuple[int, int]:
    """A1111: the side itself becomes a multiple of 64 only where it grows before or after; what is missing to it goes
    to both in proportion."""
    if not before + after:
        return 0, 0
    more = math.ceil((side + before + after) / GRID) * GRID - side
    first = before * more // (before + after)
    return first, more - first if after else 0

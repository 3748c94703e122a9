"""Prompt matrix: every combination of the parts of a prompt that stand behind bars, `a fox|in snow|at night`."""

from __future__ import annotations

import itertools
from typing import Annotated, ClassVar

from webui.request.fields import Generation
from webui.request.params import Choice, Slider, Toggle
from webui.scripts.script import Cell, Script, Seeds, Sheets, Table, Title, refuse_beyond

JOINTS = {"comma": ", ", "space": " "}


class PromptMatrix(Script):
    """The part before the first bar is in every picture; each further one is there or not."""

    title: ClassVar[str] = "Prompt matrix"

    put_at_start: Annotated[bool, Toggle(ui="Put variable parts at start of prompt")] = False
    """Places the variable parts before the constant part."""
    different_seeds: Annotated[bool, Toggle(ui="Use different seed for each image")] = False
    """The seed increases by 1 from picture to picture."""
    prompt_type: Annotated[str, Choice(ui="Select prompt", choices=("positive", "negative"), radio=True)] = "positive"
    """Which of the two prompts contains the | separators."""
    delimiter: Annotated[str, Choice(ui="Select joining char", choices=tuple(JOINTS), radio=True)] = "comma"
    """The text that joins the parts."""
    margin_size: Annotated[int, Slider(ui="Grid margins (px)", min=0, max=500, step=2, ge=0, le=500)] = 0
    """Space between the pictures of the grid, in pixels."""

    def expand(self, request: Generation, seeds: Seeds, most: int) -> Table:
        field = "prompt" if self.prompt_type == "positive" else "negative_prompt"
        first, *parts = getattr(request, field).split("|")
        refuse_beyond(2 ** min(len(parts), 40), most)
        # A1111: as many pictures as there are combinations, whatever the batch count says.
        request = seeds.fixed(request).changed(n_iter=1, batch_size=1)
        # A1111: the columns are combinations of the first half of the parts, the rows of the others.
        split = (len(parts) + 1) // 2
        across, down = parts[:split], parts[split:]
        cells = []
        for number in range(2 ** len(parts)):
            chosen = [part.strip().strip(",") for index, part in enumerate(parts) if number & (1 << index)]
            words = [*chosen, first] if self.put_at_start else [first, *chosen]
            place = (number % 2 ** len(across), number >> len(across), 0)
            seed = request.seed + (number if self.different_seeds else 0)
            cells.append(Cell(place, request.changed(seed=seed, **{field: JOINTS[self.delimiter].join(words)})))
        titles = (_titles(across), _titles(down), ("",))
        return Table(tuple(cells), Sheets(titles, "prompt_matrix", margin=self.margin_size))


def _titles(parts: list[str]) -> tuple[Title, ...]:
    """Of all combinations: every part, those that are left out as such."""
    if not parts:
        return ("",)
    # The first part changes fastest, as the bits of a number do.
    return tuple(
        tuple(zip((part.strip() for part in parts), reversed(there), strict=True))
        for there in itertools.product((False, True), repeat=len(parts))
    )

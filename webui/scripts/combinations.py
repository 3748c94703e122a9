"""All combinations of a prompt's choices: `{red|green} __animals/cat__` is a picture of each pair."""

from __future__ import annotations

from typing import Annotated, ClassVar

from webui.base.errors import UserError
from webui.prompt.filling import Lines, Look, all_texts
from webui.request.fields import Generation
from webui.request.params import Slider, Toggle
from webui.request.plan import Names
from webui.scripts.script import Cell, Script, Seeds, Table, refuse_beyond


class Combinations(Script):
    """The positive prompt's choices are all made, one after the other; the last one changes first."""

    title: ClassVar[str] = "Dynamic prompts: all combinations"

    limit: Annotated[int, Slider(ui="Maximum combinations", min=1, max=1000, ge=1, le=10000)] = 100
    """Further combinations are left out."""
    different_seeds: Annotated[bool, Toggle(ui="Use different seed for each image")] = False
    """The seed increases by 1 from combination to combination."""

    def expand_with(self, request: Generation, seeds: Seeds, most: int, names: Names) -> Table:
        return self._table(request, seeds, most, lambda name: names.wildcard(name))

    def expand(self, request: Generation, seeds: Seeds, most: int) -> Table:
        return self._table(request, seeds, most, lambda _name: Lines(()))

    def _table(self, request: Generation, seeds: Seeds, most: int, look: Look) -> Table:
        texts, remarks = all_texts(request.prompt, look, self.limit + 1)
        if texts == (request.prompt,):
            raise UserError(
                " ".join(("The prompt has no choices to combine.", *remarks)),
                hint="Write {red|green} or __name__ into it, or choose no script.",
                field="prompt",
            )
        if len(texts) > self.limit:
            texts = texts[: self.limit]
            remarks = (*remarks, f"Only the first {self.limit:,} combinations of the prompt were made.")
        refuse_beyond(len(texts) * request.picture_count, most)
        request = seeds.fixed(request)
        templates = {"prompt": request.prompt}
        step = request.picture_count if self.different_seeds else 0
        cells = [
            Cell((number, 0, 0), request.changed(prompt=text, seed=request.seed + number * step, templates=templates))
            for number, text in enumerate(texts)
        ]
        return Table(tuple(cells), remarks=remarks)

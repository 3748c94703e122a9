"""ADetailer: in the finished picture, what a detector finds is painted anew, one thing after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from PIL import Image, ImageDraw

from webui.base.errors import Interrupted
from webui.base.fence import fenced, told_of
from webui.engine.detectors.by_name import look
from webui.engine.detectors.found import Detection
from webui.engine.detectors.yolo_answers import as_pixels
from webui.engine.feature import FeatureEngine, FinishedPicture
from webui.engine.memory import give_back, is_out_of_memory
from webui.engine.start import copy
from webui.engine.watch import Skipped
from webui.features.detailer.choosing import chosen, masks
from webui.features.detailer.parameters import Params
from webui.features.detailer.seam import matched

PLURALS = {"face": "faces", "hand": "hands", "person": "persons", "eye": "eyes"}
SAID = 8
"""Boxes that a remark names."""
MANY = 20
"""Things from which on a remark says how to have fewer."""
TOP = "Only so many"
BORDER = "#ff3b30"


class Engine(FeatureEngine[Params]):
    """A unit for one batch. Whatever fails, or whoever stops it, the picture is as it was before, or as far as it had
    come: it is whole without, too."""

    borrows: ClassVar[bool] = True

    @property
    def keeps_given(self) -> bool:
        return self.params.ad_skip_img2img

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        if self.params.detector is None:
            self.unsay(finished.batch.facts)
            return finished  # It was left out, with a remark.
        made = finished

        def note(error: Exception) -> None:
            if is_out_of_memory(error) and finished.services.residents is not None:
                give_back(finished.services.residents.profile.device)
            stopped = isinstance(error, Interrupted | Skipped)
            what = f"it was stopped after {steps - 1} of them." if steps > 1 else "it was stopped."
            self._say(finished, f"{what if stopped else told_of(error)} The rest was left as it was.")

        steps = 0
        with fenced(note):
            for step in self._steps(finished):
                made, steps = step, steps + 1
        (self.say if steps else self.unsay)(finished.batch.facts)  # It has looked, at least.
        return made

    def _steps(self, finished: FinishedPicture) -> Iterator[FinishedPicture]:
        """The picture as it becomes."""
        wish, services, before = self.params, finished.services, finished.picture
        if wish.detector is None or services.residents is None or services.plan is None:
            raise RuntimeError("A picture with ADetailer was asked for where no networks are lent.")
        with finished.watch.stopwatch.running():
            found = look(wish.detector, services.residents, as_pixels(before), wish.ad_confidence)
        wanted = chosen(found, wish, before.size)
        within = finished.mask.convert("L").resize(before.size) if finished.mask is not None else None
        areas = masks(wanted, wish, before.size, within)
        self._say(finished, _told(found, wanted, len(areas)))
        if wish.shows_boxes and found:
            boxes = copy(f"adetailer-{self.unit}", _with_boxes(before, found, wanted), shown=True, saved=False)
            finished = replace(finished, extras=(*finished.extras, boxes))
        if wish.keeps_before and areas:
            kept = copy("before-adetailer", before)
            finished = replace(finished, extras=(*finished.extras, kept))
        yield finished
        merged = len(areas) < len(wanted)
        names = ["part" if merged else each.label or "part" for each in wanted[: len(areas)]]
        for number in finished.watch.parts(names):
            mask, part = areas[number], wish.parts[min(number, len(wish.parts) - 1)]
            if part.is_left_out:
                continue
            seed = finished.batch.pictures[finished.index].seed + (0 if wish.same_seed else number)
            inner = services.plan.inner[part.place]
            given = finished.picture.convert("RGB")
            painted = matched(services.made(inner, given, mask, seed), given, mask, wish.ad_mask_blur)
            finished = replace(finished, picture=_as_transparent(painted, before))
            yield finished

    def _say(self, finished: FinishedPicture, what: str) -> None:
        several = len(finished.batch.pictures) > 1
        unit = f" {self.unit + 1}" if self.unit else ""
        which = f", picture {finished.index + 1}" if several else ""
        finished.watch.remark(f"ADetailer{unit}{which}: {what}")


def _told(found: Sequence[Detection], wanted: Sequence[Detection], painted: int) -> str:
    """What was found, and how much of it is painted, in a sentence."""
    if not found:
        return "nothing was found."
    counts = Counter(each.label for each in found)
    words = [f"{count} {_word(label, count)}" for label, count in counts.items()]
    places = [
        f"{each.score:.2f} at {left},{top} to {right},{bottom}"
        for each in found[:SAID]
        for left, top, right, bottom in [each.box]
    ]
    more = f", and {len(found) - SAID} more" if len(found) > SAID else ""
    left_out = f" {len(wanted)} of them matched the filters." if len(wanted) < len(found) else ""
    if wanted and not painted:
        left_out += " Nothing of them lies where the picture may change."
    if painted > MANY:
        left_out += (
            f" Each of the {painted} was painted by itself, which takes its time: {TOP!r} (ad_mask_k) limits how many."
        )
    return f"{' and '.join(words)} found ({'; '.join(places)}{more}).{left_out}"


def _word(label: str, count: int) -> str:
    if not label:
        return "thing" if count == 1 else "things"
    return label if count == 1 else PLURALS.get(label, f"of {label!r}")


def _with_boxes(picture: Image.Image, found: Sequence[Detection], wanted: Sequence[Detection]) -> Image.Image:
    """What is painted in full lines, what is not in thin ones."""
    shown = picture.convert("RGB")
    pen, width = ImageDraw.Draw(shown), max(min(shown.size) // 150, 1)
    for each in found:
        left, top, right, bottom = each.box
        is_wanted = any(each is one for one in wanted)
        pen.rectangle((left, top, right - 1, bottom - 1), outline=BORDER, width=2 * width if is_wanted else 1)
        pen.text((left + 3 * width, top + 3 * width), f"{each.label} {each.score:.2f}".strip(), fill=BORDER)
    return shown


def _as_transparent(painted: Image.Image, before: Image.Image) -> Image.Image:
    """With the alpha channel of the picture before, if it has one."""
    if before.mode != "RGBA":
        return painted
    painted = painted.copy()
    painted.putalpha(before.getchannel("A"))
    return painted

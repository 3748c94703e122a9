"""ADetailer: what is found is painted anew, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.engine.conftest import Engine, Names, levels, most_apart
from tests.engine.detectors.published import save, tensors
from tests.engine.test_dressing import LAYER
from tests.engine.test_generate import CLOSE, png, request
from tests.packaged import have_detectors
from webui.base.errors import NotFound, UserError
from webui.catalog.detector_files import PACKAGED
from webui.engine.detectors.by_name import look
from webui.engine.detectors.found import Detection
from webui.engine.generate import Tools, pictures
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.features.detailer.choosing import chosen, masks, placed
from webui.features.detailer.engine import TOP, _told
from webui.features.detailer.parameters import Params
from webui.request.fields import Img2Img, Txt2Img
from webui.request.infotext import fields_of, labels_of, read, write
from webui.request.messages import Event, Pictured, Progress
from webui.request.model_ref import ModelRef
from webui.request.plan import NetworkRef, Plan, resolve
from webui.request.settings import LimitSettings, RenderSettings, Settings
from webui.scripts.xyz import axes
from webui.server.api.alwayson import features_in
from webui.server.jobs.limits import within

SMALL: dict[str, Any] = {"width": 128, "height": 64, "steps": 1, "sampler_name": "Euler"}
TWO: dict[str, Any] = {
    "ad_model": "x",
    "ad_confidence": 0.5,
    "ad_mask_k": 2,
    "ad_mask_max_ratio": 0.2,
    "ad_mask_blur": 0,
}
"""Two things of a random network."""


@dataclass
class Detecting(Names):
    """With detectors, by name."""

    detectors: Mapping[str, Path] = field(default_factory=dict)

    def detector(self, name: str) -> ModelRef:
        if name in PACKAGED:
            return ModelRef("", name)
        if name not in self.detectors:
            raise NotFound(f"There is no detector named {name!r}.")
        return ModelRef(str(self.detectors[name]), name)


@dataclass
class Detailing:
    """An engine that has detectors."""

    engine: Engine
    detectors: dict[str, Path]
    remarks: list[str] = field(default_factory=list)

    def plan(self, asked: Txt2Img | Img2Img, images: Mapping[str, bytes] | None = None) -> Plan:
        names = Detecting(self.engine.ref, images or {}, self.engine.networks, detectors=self.detectors)
        return resolve(asked, Settings(), names, lambda: 1)

    def run(
        self,
        asked: Txt2Img | Img2Img,
        images: Mapping[str, bytes] | None = None,
        cancel: Cancel | None = None,
        heard: Callable[[Event], None] = lambda _event: None,
    ) -> list[Pictured]:
        engine, plan = self.engine, self.plan(asked, images)
        watch = Watch("job", heard, cancel or Cancel(), Viewing(), Stopwatch(torch.device("cpu")), progress_period=0.0)
        with torch.inference_mode():
            lent = Tools(engine.models, engine.cache, engine.shelf, watch, residents=engine.models.residents)
            made = list(pictures(plan, lent))
        self.remarks = list(watch.comments)
        return made


@pytest.fixture
def detailing(engine: Engine, tmp_path: Path) -> Detailing:
    return Detailing(engine, {"x": save(tmp_path / "x.pt", tensors(seed=3))})


def with_unit(*units: object, **more: Any) -> Txt2Img:
    return request(**{**SMALL, **more}, features={"ADetailer": list(units)})


def painted(asked: Params, size: tuple[int, int], found: list[Detection]) -> np.ndarray:
    """(h, w): where a unit may have painted."""
    whole = np.zeros((size[1], size[0]), bool)
    for mask in masks(chosen(found, asked, size), asked, size, None):
        whole |= np.asarray(mask) > 0
    return whole


def found_by(detailing: Detailing, picture: np.ndarray) -> list[Detection]:
    from webui.engine.detectors import yolo

    return yolo.opened(detailing.detectors["x"], torch.device("cpu"))(picture.astype(np.uint8), 0.5)


def test_what_is_found_is_painted_and_everything_outside_stays_byte_for_byte(detailing: Detailing) -> None:
    plain = detailing.engine.run(request(**SMALL))[0]
    made = detailing.run(with_unit({**TWO, "ad_denoising_strength": 1.0}))[0]
    before, after = levels(plain), levels(made)
    there = painted(Params.made(**TWO), (128, 64), found_by(detailing, before))
    assert 0 < there.sum() < there.size
    assert (before[~there] == after[~there]).all()
    assert (before[there] != after[there]).any()
    (told,) = detailing.remarks
    assert "found (" in told and "2 of them matched the filters." in told


def test_where_nothing_is_found_the_picture_is_as_without(detailing: Detailing) -> None:
    plain = detailing.engine.run(request(**SMALL))[0]
    assert detailing.run(with_unit({"ad_model": "x", "ad_confidence": 1.0}))[0].rgb == plain.rgb
    assert detailing.remarks == ["ADetailer: nothing was found."]


def test_each_picture_of_a_batch_is_as_it_is_alone(detailing: Detailing) -> None:
    one = {**TWO, "ad_mask_k": 1}
    asked = with_unit(one, batch_size=2)
    both, alone = detailing.run(asked), detailing.run(with_unit(one, seed=asked.seed + 1))[0]
    assert most_apart(both[1], alone) <= 4 * CLOSE < most_apart(both[0], alone)  # rounded twice
    plain = detailing.engine.run(request(**SMALL, batch_size=2))
    assert all(most_apart(*pair) > CLOSE for pair in zip(plain, both, strict=True))


def test_a_failure_never_costs_the_picture(
    detailing: Detailing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = detailing.engine.run(request(**SMALL))[0]
    detailing.detectors["broken"] = tmp_path / "broken.pt"
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    asked = with_unit({**TWO, "ad_model": "broken"}, TWO)
    made = detailing.run(asked)[0]
    assert made.rgb != plain.rgb and "broken.pt" in detailing.remarks[0]
    told = [label for label, _ in labels_of(asked, RenderSettings(), dict(made.facts)) if "ADetailer" in label]
    assert "ADetailer model 2nd" in told and all("2nd" in label for label in told), "what has acted, and nothing else"
    made = detailing.run(with_unit({**TWO, "ad_model": "nobody's", "impossible": "Leave out"}))[0]
    assert dict(made.facts)["ADetailer model"] == ""

    def full(*_anything: object) -> Image.Image:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("webui.engine.generate.made_within", full)
    assert detailing.run(with_unit(TWO))[0].rgb == plain.rgb
    assert "out of memory" in detailing.remarks[-1] and "left as it was" in detailing.remarks[-1]


@pytest.mark.parametrize("half_done", [True, False])
def test_who_stops_it_gets_the_picture_as_it_was(detailing: Detailing, half_done: bool) -> None:
    plain = detailing.engine.run(request(**SMALL))[0]
    cancel, seen = Cancel(half_done=half_done), list[str]()

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "sampling" and "decoding" in seen:
            cancel.interrupt()
        if isinstance(event, Progress):
            seen.append(event.phase)

    (made,) = detailing.run(with_unit(TWO), cancel=cancel, heard=stop)
    assert made.rgb == plain.rgb and not made.half_done
    assert "stopped" in detailing.remarks[-1]


def test_whoever_stops_it_keeps_what_is_painted_and_sees_how_many_there_are(detailing: Detailing) -> None:
    before = levels(detailing.engine.run(request(**SMALL))[0])
    many = {**TWO, "ad_mask_k": 3, "ad_mask_filter_method": "Area", "ad_denoising_strength": 1.0}
    told: list[Progress] = []
    cancel = Cancel()

    def stop(event: Event) -> None:
        if isinstance(event, Progress):
            told.append(event)
            if event.part.endswith("2 of 3") and event.phase == "sampling":
                cancel.interrupt()

    (made,) = detailing.run(with_unit(many), cancel=cancel, heard=stop)
    assert "stopped after 1 of them" in detailing.remarks[-1]
    wish = Params.made(**many)
    first = np.asarray(masks(chosen(found_by(detailing, before), wish, (128, 64)), wish, (128, 64), None)[0]) > 0
    changed = (levels(made) != before).any(-1)
    assert changed.any() and not (changed & ~first).any(), "the first is painted, and nothing else"
    parts = list(dict.fromkeys(event.part for event in told))
    assert [part.split(" ", 1)[1] if part else part for part in parts] == ["", "1 of 3", "2 of 3"]
    fractions = [event.fraction for event in told]
    assert fractions == sorted(fractions)
    (second,) = {event.part for event in told if event.seconds_left is not None}
    assert second == parts[2]


def test_sixty_faces_are_as_many_alike_shares_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("webui.engine.watch.time", SimpleNamespace(monotonic=lambda: now[0]))
    told: list[Progress] = []
    watch = Watch("job", told.append, Cancel(), Viewing(), Stopwatch(torch.device("cpu")), progress_period=0.0)  # type: ignore[arg-type]
    watch.begin_batch(0)
    watch.enter("sampling", 0.0, 0.4)
    watch.step(1, 1)
    for number in watch.parts(["face"] * 60):
        with watch.within():
            watch.enter("sampling", 0.0, 1.0)
            now[0] += 2
            watch.step(1, 1)
        assert told[-1].part == f"face {number + 1} of 60"
        assert told[-1].fraction == pytest.approx(0.4 + 0.6 * (number + 1) / 61)
        if number:
            assert told[-1].seconds_left == pytest.approx(2 * (60 * (number + 1) / number - number - 1))
    watch.step(1, 1)
    assert told[-1].part == ""


def test_many_things_come_with_the_way_to_paint_fewer() -> None:
    found = [Detection((at, 0, at + 1, 1), 0.9, "face") for at in range(60)]
    assert "ad_mask_k" in _told(found, found, 60) and "60 faces" in _told(found, found, 60)
    assert TOP in str(Params.model_fields["ad_mask_k"].metadata)
    assert "ad_mask_k" not in _told(found[:20], found[:20], 20)


def test_prompts_are_separated_taken_over_and_left_out(detailing: Detailing) -> None:
    unit = {**TWO, "ad_prompt": "[SKIP][SEP] a [PROMPT], smiling", "ad_negative_prompt": "[SEP]bad"}
    plan = detailing.plan(with_unit(unit, prompt="fox", negative_prompt="wolf"))
    asked = [inner.batches[0][0].request for inner in plan.inner]
    assert [(each.prompt, each.negative_prompt) for each in asked] == [("[SKIP]", "wolf"), ("a fox, smiling", "bad")]
    plain, all_skipped = (detailing.run(with_unit(*units))[0].rgb for units in ((), ({**TWO, "ad_prompt": "[SKIP]"},)))
    assert plain == all_skipped
    first, both = (detailing.run(with_unit({**TWO, "ad_prompt": text}))[0].rgb for text in ("x[SEP][SKIP]", "x"))
    assert len({plain, first, both}) == 3
    with pytest.raises(UserError, match="too many"):
        detailing.plan(with_unit({**TWO, "ad_prompt": "a[SEP]" * 99}))


def test_a_lora_of_a_units_prompt_acts_there_and_is_gone_afterwards(
    detailing: Detailing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(4)
    weights = {f"{LAYER}.lora_up.weight": torch.randn(128, 4), f"{LAYER}.lora_down.weight": torch.randn(4, 128)}
    save_file(weights, tmp_path / "strong.safetensors")
    ref = NetworkRef(str(tmp_path / "strong.safetensors"), "strong", "ab" * 32)
    monkeypatch.setattr(detailing.engine, "networks", {"strong": ref})
    unit = {**TWO, "ad_mask_k": 1, "ad_denoising_strength": 0.9}
    before, strong, after = (
        detailing.run(with_unit({**unit, "ad_prompt": text}))[0] for text in ("a", "a <lora:strong:1>", "a")
    )
    assert most_apart(before, strong) > 2
    assert before.rgb == after.rgb
    plain = levels(detailing.engine.run(request(**SMALL))[0])
    there = painted(Params.made(**unit), (128, 64), found_by(detailing, plain))
    assert (plain[~there] == levels(strong)[~there]).all(), "It does not act on the picture itself."


def test_all_prompts_of_a_unit_are_in_the_infotext() -> None:
    unit = {"ad_model": "x", "ad_prompt": "a[SEP]b, [PROMPT][SEP]c"}
    asked = Txt2Img.made(prompt="p", features={"ADetailer": [unit]})
    labels = dict(labels_of(asked, RenderSettings(), {}))
    assert labels["ADetailer prompt"] == "a[SEP]b, [PROMPT][SEP]c"
    back = fields_of(read(write("p", "", labels.items())), Txt2Img)
    assert Txt2Img.made(**{**asked.model_dump(), **back}).features == asked.features


def test_the_prompt_itself_may_ask_for_a_unit(detailing: Detailing) -> None:
    """As in SwarmUI: what follows such a tag is the prompt of what it finds."""
    plan = detailing.plan(with_unit(TWO, prompt="a fox <segment:x,0.7,0.4> its face <segment:yolo-x>"))
    (picture,) = plan.batches[0]
    units = picture.request.features["ADetailer"]
    assert picture.request.prompt == "a fox"
    assert [wish.unit for wish in picture.wishes if wish.feature == "ADetailer"] == [0, 1, 2]
    told = [(unit["ad_prompt"], unit["ad_denoising_strength"], unit["ad_confidence"]) for unit in units]  # type: ignore[attr-defined]
    assert told == [("", 0.4, 0.5), ("its face", 0.7, 0.4), ("", 0.6, 0.3)]
    assert [inner.batches[0][0].request.prompt for inner in plan.inner] == ["a fox", "its face", "a fox"]
    plan = detailing.plan(request(**SMALL, prompt="a <segment:nobody's> b"))
    assert "nobody's" in plan.remarks[0] and "left out" in plan.remarks[0]
    with pytest.raises(UserError, match="high"):
        detailing.plan(request(**SMALL, prompt="a <segment:x,high>"))


def test_a_unit_asks_for_what_it_says_otherwise_and_else_as_the_picture() -> None:
    unit = {
        **TWO, "ad_use_steps": True, "ad_steps": 9, "ad_use_sampler": True, "ad_sampler": "DPM++ 2M Karras",
        "ad_use_inpaint_width_height": True, "ad_inpaint_width": 96, "ad_inpaint_height": 72, "ad_cfg_scale": 3,
        "ad_use_checkpoint": True, "ad_checkpoint": "other", "ad_use_vae": True, "ad_vae": "v",
        "ad_use_clip_skip": True, "ad_clip_skip": 2, "ad_controlnet_model": "tile", "ad_inpaint_only_masked_padding": 8,
    }  # fmt: skip
    whole = with_unit(unit, cfg_scale=5, override_settings={"eta_noise_seed_delta": 7})
    ((asked, left_out),) = Params.made(**unit).requests(whole)
    assert not left_out
    assert (asked.steps, asked.sampler_name, asked.width, asked.height) == (9, "DPM++ 2M Karras", 96, 72)
    assert (asked.cfg_scale, asked.inpaint_full_res, asked.inpaint_full_res_padding) == (5, True, 8)
    settings = asked.override_settings
    assert settings["eta_noise_seed_delta"] == 7
    assert [settings[name] for name in ("sd_model_checkpoint", "sd_vae", "CLIP_stop_at_last_layers")] == [
        "other",
        "v",
        2,
    ]
    (control,) = asked.features["ControlNet"]  # type: ignore[misc]
    assert (control["model"], control["image"]) == ("tile", "")
    features = {"CFG rescale": {"share": 0.5}, "FreeU": {}, "Refiner": {"checkpoint": "other"}}
    ((kept, _),) = Params.made(ad_model="x").requests(request(features=features))
    assert kept.features.keys() == {"CFG rescale"}, "what guides the model; not what belongs to the whole picture"
    ((plain, _),) = Params.made(ad_model="x").requests(whole)
    assert (plain.steps, plain.width, plain.height, plain.features) == (1, 128, 64, {})


# ---------------------------------------------------------------- img2img


def test_a_given_picture_is_looked_at_itself_where_img2img_is_skipped(detailing: Detailing) -> None:
    drawn = np.random.default_rng(1).integers(0, 256, (50, 90, 4)).astype(np.uint8)
    given = {"a": png(Image.fromarray(drawn, "RGBA"))}
    asked = Img2Img.made(**SMALL, init_images=("a",), features={"ADetailer": [{**TWO, "ad_skip_img2img": True}]})
    made = detailing.run(asked, given)[0]
    assert (made.width, made.height) == (90, 50)
    assert made.alpha == drawn[..., 3].tobytes()
    assert 0 < (levels(made) != drawn[..., :3]).any(-1).sum() < 90 * 50
    none = {**TWO, "ad_skip_img2img": True, "ad_confidence": 1.0}
    same = detailing.run(asked.changed(features={"ADetailer": [none]}), given)[0]
    assert (levels(same) == drawn[..., :3]).all()


def test_the_face_of_an_old_photograph_is_painted_anew_and_nothing_else(detailing: Detailing) -> None:
    """Without any file of one's own: by the detector that comes in a package."""
    have_detectors()
    photo = Path(__file__).parents[2] / "pictures" / "astronaut.jpg"
    given = np.asarray(Image.open(photo).convert("RGB")).astype(int)
    unit = {"ad_model": "face", "ad_skip_img2img": True, "ad_mask_blur": 0, "ad_dilate_erode": 0}
    asked = Img2Img.made(**SMALL, init_images=("a",), features={"ADetailer": [unit]})
    made = detailing.run(asked, {"a": photo.read_bytes()})[0]
    assert "1 face found" in detailing.remarks[0]
    rows, columns = np.nonzero((levels(made) != given).any(-1))
    (face,) = look(ModelRef("", "face"), detailing.engine.models.residents, given.astype(np.uint8), 0.3)
    left, top, right, bottom = face.box
    assert left <= columns.min() and columns.max() < right and top <= rows.min() and rows.max() < bottom
    assert len(rows) > (right - left) * (bottom - top) / 2


@pytest.mark.parametrize(
    ("mode", "size"), [("RGB", (1, 1)), ("RGB", (3, 700)), ("I;16", (40, 30)), ("LA", (40, 30)), ("P", (40, 30))]
)
def test_odd_pictures_come_back(mode: str, size: tuple[int, int], detailing: Detailing) -> None:
    unit = {"ad_model": "x", "ad_confidence": 0.0, "ad_mask_k": 2, "ad_skip_img2img": True}
    asked = Img2Img.made(**SMALL, init_images=("a",), features={"ADetailer": [unit]})
    made = detailing.run(asked, {"a": png(Image.new(mode, size, 99))})[0]
    assert (made.width, made.height) == size
    assert "found (" in detailing.remarks[0] and len(detailing.remarks) == 1


def test_as_many_things_as_there_are_are_told_in_a_sentence_and_painted(
    detailing: Detailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network that finds something everywhere, at the edges too."""
    masks_seen: list[Image.Image] = []

    def seen(_tools: object, _inner: object, picture: Image.Image, mask: Image.Image, _seed: int) -> Image.Image:
        masks_seen.append(mask)
        return picture

    monkeypatch.setattr("webui.engine.generate.made_within", seen)
    plain = detailing.engine.run(request(**SMALL))[0]
    made = detailing.run(with_unit({"ad_model": "x", "ad_confidence": 0.0}))[0]
    (told,) = detailing.remarks
    boxes = [mask.getbbox() for mask in masks_seen]
    assert made.rgb == plain.rgb and len(boxes) >= 60 and all(boxes)
    assert any(box and min(box[:2]) == 0 for box in boxes), "some are at an edge"
    assert len(told) < 600 and f", and {len(masks_seen) - 8} more" in told


def test_outside_the_mask_of_inpainting_nothing_is_painted(detailing: Detailing) -> None:
    mask = Image.new("L", (128, 64), 0)
    mask.paste(255, (0, 0, 40, 64))
    images = {"a": png(Image.new("RGB", (128, 64), "green")), "m": png(mask)}
    asked = Img2Img.made(**SMALL, init_images=("a",), mask="m", mask_blur_x=0, mask_blur_y=0, inpaint_full_res=True)
    unit = {"ad_model": "x", "ad_confidence": 0.3, "ad_mask_blur": 0, "ad_mask_merge_invert": "Merge"}
    made = detailing.run(asked.changed(features={"ADetailer": [unit]}), images)[0]
    assert (levels(made)[:, 40:] == (0, 128, 0)).all()


# ---------------------------------------------------------------- what is chosen


def thing(left: int, top: int, side: int, score: float, label: str = "face") -> Detection:
    return Detection((left, top, left + side, top + side), score, label)


FOUND = [thing(60, 0, 10, 0.9), thing(40, 40, 20, 0.8, "hand"), thing(0, 0, 30, 0.5)]


def lefts(found: list[Detection]) -> list[int]:
    return [each.box[0] for each in found]


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ({}, [60, 40, 0]),
        ({"ad_mask_k": 2}, [40, 0]),
        ({"ad_mask_k": 2, "ad_mask_filter_method": "Confidence"}, [60, 40]),
        ({"ad_mask_min_ratio": 0.03}, [40, 0]),
        ({"ad_mask_max_ratio": 0.05}, [60, 40]),
        ({"ad_confidence": 0.6}, [60, 40]),
        ({"ad_model_classes": "Hand, cat"}, [40]),
        ({"sorted_by": "Position (left to right)"}, [0, 40, 60]),
        ({"sorted_by": "Position (center to edge)"}, [40, 60, 0]),
        ({"sorted_by": "Area (large to small)"}, [0, 40, 60]),
    ],
)
def test_filters_and_orders(wish: dict[str, Any], kept: list[int]) -> None:
    assert lefts(chosen(FOUND, Params(**wish), (100, 100))) == kept


def test_masks_are_moved_without_coming_in_again_at_the_other_edge() -> None:
    mask = FOUND[2].mask((100, 100))
    moved = placed(mask, Params(ad_x_offset=-10, ad_y_offset=-20, ad_dilate_erode=0))
    assert moved.getbbox() == (0, 20, 20, 50)
    gone = masks([FOUND[2]], Params(ad_x_offset=-99), (100, 100), None)
    assert gone == []


def test_masks_grow_shrink_and_merge() -> None:
    mask = FOUND[1].mask((100, 100))
    grown, shrunk = (placed(mask, Params(ad_dilate_erode=by)) for by in (4, -4))
    assert np.asarray(grown).sum() > np.asarray(mask).sum() > np.asarray(shrunk).sum() > 0
    assert masks([FOUND[0]], Params(ad_dilate_erode=-99), (100, 100), None) == []
    (merged,) = masks(FOUND, Params(ad_mask_merge_invert="Merge", ad_dilate_erode=0), (100, 100), None)
    (inverted,) = masks(FOUND, Params(ad_mask_merge_invert="Merge and Invert", ad_dilate_erode=0), (100, 100), None)
    assert np.asarray(merged).astype(bool).sum() == 100 + 400 + 900
    assert (np.asarray(merged) == 255 - np.asarray(inverted)).all()


# ---------------------------------------------------------------- requests and infotexts


def asked_by(*args: object) -> object:
    return features_in({"ADetailer": {"args": list(args)}}).get("ADetailer")


def test_programs_ask_by_units_and_may_say_first_whether_it_is_on() -> None:
    unit = {"ad_model": "x", "ad_prompt": "a", "is_api": True}
    assert asked_by(True, False, unit) == asked_by(unit) == asked_by(True, unit)
    found = Params.carried(asked_by({"ad_model": "None"}, unit))
    assert isinstance(found, list) and found[0] is None and found[1]["ad_prompt"] == "a"
    skipping = Params.carried(asked_by(True, True, unit))
    assert isinstance(skipping, list) and skipping[0]["ad_skip_img2img"] is True
    off = ((False, False, unit), ({"ad_prompt": "a"},), ({**unit, "ad_tab_enable": False},), (), (True, False))
    assert [asked_by(*args) for args in off] == [None] * len(off)
    odd = Params.carried(asked_by({**unit, "ad_new": 1, "ad_mask_k_largest": 3, "ad_steps": None}))
    assert isinstance(odd, list) and odd[0]["ad_mask_k"] == 3 and "ad_new" in odd[0]["unread"]


def test_the_infotext_is_that_of_the_extension_and_reads_back() -> None:
    units = [{"ad_model": "face_yolov8n.pt"}, None, {"ad_model": "hand.pt", "ad_prompt": "a, b", "ad_mask_k": 1}]
    asked = Txt2Img.made(prompt="p", features={"ADetailer": units})
    labels = dict(labels_of(asked, RenderSettings(), {}))
    own = [f"{label}: {text}" for label, text in labels.items() if "ADetailer" in label]
    assert ", ".join(own).startswith(
        "ADetailer model: face_yolov8n.pt, ADetailer confidence: 0.3, ADetailer dilate erode: 4, "
        "ADetailer mask blur: 4, "
        "ADetailer denoising strength: 0.4, ADetailer inpaint only masked: True, ADetailer inpaint padding: 32, "
        "ADetailer model 3rd: hand.pt, ADetailer prompt 3rd: a, b, ADetailer confidence 3rd: 0.3, "
        "ADetailer method to decide top k masks 3rd: Area, ADetailer mask only top k 3rd: 1"
    )
    back = fields_of(read(write("p", "", labels.items())), Txt2Img)
    assert Txt2Img.made(**{**asked.model_dump(), **back}).features == asked.features
    old = "p\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, ADetailer model: m.pt, ADetailer dilate/erode: 8"
    found = fields_of(read(f"{old}, ADetailer mask only top k largest: 2, ADetailer version: 23.7.11"), Txt2Img)
    (unit,) = found["features"]["ADetailer"]  # type: ignore[index]
    assert (unit["ad_model"], unit["ad_dilate_erode"], unit["ad_mask_k"]) == ("m.pt", 8, 2)


def test_the_limits_of_the_settings_hold_for_a_unit_too() -> None:
    limits = LimitSettings(most_steps=10, most_megapixels=0.1, most_prompt_characters=100)
    within(with_unit({"ad_model": "x", "ad_steps": 99}), limits)
    size = {"ad_use_inpaint_width_height": True, "ad_inpaint_width": 1024}
    steps, prompt = {"ad_use_steps": True}, {"ad_prompt": "x" * 101}
    for unit, said in ((steps, "28 steps"), (size, "megapixels"), (prompt, "prompt")):
        with pytest.raises(UserError, match=said):
            within(with_unit({"ad_model": "x", **unit}), limits)


def test_its_values_are_axes() -> None:
    axis = next(each for each in axes(Txt2Img) if each.title == "[ADetailer] Denoising strength")
    assert axis.apply(Txt2Img.made(), 0.5, ()).features["ADetailer"][0]["ad_denoising_strength"] == 0.5  # type: ignore[index]

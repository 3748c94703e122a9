"""The seam carries what others will hang on it: a network beside the network, tiles, repainting, prompts that vary."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.conftest import Engine, levels, most_apart
from tests.engine.features.rooms import (
    ENTRIES,
    ControlEngine,
    ControlParams,
    RepaintEngine,
    WildcardParams,
    entry_of,
)
from tests.engine.test_generate import CLOSE, png, request
from webui import registry
from webui.base.errors import NotFound, UserError
from webui.engine.denoisers import Window
from webui.engine.generate import use_of
from webui.engine.passes import features_of
from webui.prompt.networks import extract_networks
from webui.request.fields import Img2Img, Txt2Img
from webui.request.infotext import fields_of, labels_of, read, write
from webui.request.messages import Progress
from webui.request.settings import RenderSettings
from webui.scripts.xyz import axes
from webui.server.api.alwayson import features_in

HINT = Image.fromarray(np.indices((64, 128)).prod(0).astype(np.uint8)[..., None].repeat(3, 2))
WIDE: dict[str, Any] = {"width": 128, "height": 64, "steps": 2, "sampler_name": "Euler"}


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "features", lambda: ENTRIES)
    for heard in (ControlEngine.heard, ControlEngine.seen, RepaintEngine.heard):
        heard.clear()  # type: ignore[attr-defined]


@pytest.fixture
def hint() -> dict[str, bytes]:
    return {"hint": png(HINT)}


def control(**values: Any) -> dict[str, Any]:
    return {"image": "hint", **values}


def test_units_add_up_and_one_that_is_off_keeps_its_place(engine: Engine, hint: dict[str, bytes]) -> None:
    plain = engine.run(request(**WIDE))[0]
    one = engine.run(request(**WIDE, features={"Control": control()}), hint)[0]
    assert ControlEngine.heard == [(0, "None")]
    assert most_apart(plain, one) > CLOSE
    second = engine.run(request(**WIDE, features={"Control": [None, control()]}), hint)[0]
    assert ControlEngine.heard[1:] == [(1, "None")]
    assert second.rgb == one.rgb
    half = control(weight=0.5)
    two = engine.run(request(**WIDE, features={"Control": [half, half]}), hint)[0]
    assert most_apart(two, one) <= CLOSE
    assert engine.run(request(**WIDE))[0].rgb == plain.rgb


def test_a_unit_acts_in_its_steps_and_knows_the_rows(engine: Engine, hint: dict[str, bytes]) -> None:
    wish = {**WIDE, "steps": 4, "sampler_name": "Heun", "batch_size": 2, "prompt": "a AND b:0.5"}
    engine.run(request(**wish, features={"Control": control(end=0.5)}), hint)
    assert {(call.step, call.steps) for call in ControlEngine.seen} == {(0, 4), (1, 4)}
    rows = [(row.picture, row.side, row.part, row.weight) for row in ControlEngine.seen[0].rows]
    positive = [(picture, "positive", part, weight) for picture in (0, 1) for part, weight in ((0, 1.0), (1, 0.5))]
    assert rows == [*positive, (0, "negative", 0, 1.0), (1, "negative", 0, 1.0)]


def test_a_hint_is_cut_like_the_tile_that_sees_it(engine: Engine, hint: dict[str, bytes]) -> None:
    both = {"Control": control(), "Tiles": {"width": 8}}
    tiled = engine.run(request(**WIDE, features=both), hint)[0]
    assert {call.windows for call in ControlEngine.seen} == {(Window(0, 0, 8, 8),), (Window(0, 8, 8, 8),)}
    whole = engine.run(request(**WIDE, features={**both, "Tiles": {"width": 16}}), hint)[0]
    alone = engine.run(request(**WIDE, features={"Control": control()}), hint)[0]
    assert whole.rgb == alone.rgb != tiled.rgb


def test_a_window_of_a_window_counts_from_the_whole() -> None:
    from webui.engine.denoisers import Call, Clock
    from webui.engine.families.family import Conditioning

    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    told = Conditioning(torch.zeros(1, 1, 1), concat=x + 100)
    inner = Call(x, torch.ones(1), (), told, 0, Clock(1)).through(Window(2, 2, 4, 4)).through(Window(1, 0, 2, 2))
    assert inner.windows == (Window(3, 2, 2, 2),)
    assert torch.equal(inner.x, inner.cut(x))
    assert inner.conditioning.concat is not None and torch.equal(inner.conditioning.concat, inner.cut(x + 100))


def test_what_a_unit_lacks_is_said_before_anything_is_read(engine: Engine) -> None:
    with pytest.raises(UserError, match="no picture"):
        engine.plan(request(features={"Control": [{}]}))
    with pytest.raises(NotFound, match="canny"):
        engine.plan(request(features={"Control": control(model="canny")}), {"hint": b""})
    with pytest.raises(UserError, match="no parameter named 'ref'"):
        request(features={"Control": control(ref={"name": "x"})})
    with pytest.raises(UserError, match="33 units"):
        request(features={"Control": [control()] * 33})
    for wrong in ("x", 3, [3]):
        with pytest.raises(UserError, match="Control"):
            request(features={"Control": wrong})
    assert request(features={"Control": [None, None]}).features == {}


def test_pictures_at_any_depth_come_with_the_plan(engine: Engine) -> None:
    images = {"hint": b"1", "mask": b"2"}
    asked = request(features={"Control": control(area={"mask": "mask"})})
    assert engine.plan(asked, images).images == images


def test_memory_knows_of_networks_beside_the_network(engine: Engine) -> None:
    plan = engine.plan(request(features={"Control": [control(), control()]}), {"hint": b""})
    assert use_of(plan.batches[0], features_of(plan.batches[0][0])).work.weights == 2000


# ---------------------------------------------------------------- repainting


def test_a_part_of_the_finished_picture_is_made_anew_by_a_plan_of_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = engine.run(request(**WIDE, batch_size=2))
    monkeypatch.setattr(RepaintEngine, "loans", lambda: sum(each.loans for each in engine.models.residents))
    asked = request(**WIDE, batch_size=2, features={"Repaint": {"prompt": "red"}})
    engine.events.clear()
    made = engine.run(asked)
    assert RepaintEngine.heard == [0, 0], "nothing is on loan then"
    for before, after in zip(plain, made, strict=True):
        assert (levels(before)[:, :64] != levels(after)[:, :64]).any()
        assert (levels(before)[:, 64:] == levels(after)[:, 64:]).all()
    told = [event.fraction for event in engine.events if isinstance(event, Progress)]
    assert told == sorted(told)


def test_units_repaint_one_after_the_other_with_features_of_their_own(engine: Engine) -> None:
    one = engine.run(request(**WIDE, features={"Repaint": [{"prompt": "red"}]}))[0]
    two = engine.run(request(**WIDE, features={"Repaint": [{"prompt": "red"}, {"prompt": "blue"}]}))[0]
    assert len(engine.plan(request(features={"Repaint": [{}, {}]})).inner) == 2
    assert one.rgb != two.rgb


def test_plans_within_plans_end(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engine.features.rooms import RepaintParams
    from webui.request.plan import Resolving

    def endless(self: RepaintParams, resolving: Resolving) -> RepaintParams:
        resolving.plan(Img2Img.made(features={"Repaint": {}}))
        return self

    monkeypatch.setattr(RepaintParams, "resolve", endless)
    with pytest.raises(UserError, match="too deep"):
        engine.plan(request(features={"Repaint": {}}))


# ---------------------------------------------------------------- prompts that vary


def test_each_picture_has_its_own_prompt_and_the_same_one_each_time(engine: Engine) -> None:
    asked = request(prompt="a __beast__", n_iter=2, batch_size=4, features={"Wildcards": {}})
    plan = engine.plan(asked)
    prompts = [picture.request.prompt for batch in plan.batches for picture in batch]
    assert len(set(prompts)) > 1 and not any("__" in prompt for prompt in prompts)
    assert plan == engine.plan(asked)
    alone = engine.plan(request(prompt="a __beast__", seed=asked.seed + 3, subseed=-1, features={"Wildcards": {}}))
    assert plan.batches[0][3].seed == alone.batches[0][0].seed
    assert [len(batch) for batch in plan.batches] == [4, 4], "texts may differ within a batch"


def test_a_batch_is_split_where_pictures_wear_other_networks(engine: Engine) -> None:
    beasts = "<lora:a:1>,<lora:b:1>"
    plan = engine.plan(request(prompt="x __beast__", batch_size=8, features={"Wildcards": {"beasts": beasts}}))
    assert [picture.position for batch in plan.batches for picture in batch] == list(range(8))
    worn = [{extract_networks(picture.request.prompt)[1] for picture in batch} for batch in plan.batches]
    assert len(worn) > 1 and all(len(each) == 1 for each in worn)
    assert (
        len(
            engine.run(request(prompt="x __beast__", batch_size=3, steps=1, features={"Wildcards": {"beasts": beasts}}))
        )
        == 3
    )


def test_the_stream_of_a_pass_begins_as_the_noise_of_its_last_picture(engine: Engine, tmp_path: Path) -> None:
    from webui.engine.feature import PassContext

    drawn: list[torch.Tensor] = []

    def begin(self: ControlEngine, context: PassContext) -> None:
        drawn.append(torch.randn(3, generator=context.stream))
        drawn.append(torch.randn(3, generator=context.stream))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ControlEngine, "begin", begin)
        engine.run(request(**WIDE, batch_size=2, features={"Control": [control(), control()]}), {"hint": b""})
    own = torch.Generator().manual_seed(request().seed + 1)
    assert torch.equal(torch.stack(drawn), torch.stack([torch.randn(3, generator=own) for _ in range(4)]))


def test_an_old_request_whose_feature_has_changed_can_be_looked_at_and_says_what_is_wrong() -> None:
    stored = {"prompt": "a", "features": {"Tiles": {"gone": 1}, "Never": {"heard": "of"}}}
    asked = Txt2Img.restored(stored)
    assert asked.prompt == "a" and asked.features == stored["features"]
    with pytest.raises(UserError, match="Tiles: There is no parameter named 'gone'"):
        Txt2Img.made(**stored)
    assert WildcardParams.title in {entry.name for entry in registry.carried()}


# ---------------------------------------------------------------- the edges


class Suffixed(ControlParams):
    """Labels with the unit's number behind, as some extensions have them."""

    title: ClassVar[str] = "Suffixed"

    @classmethod
    def label_of(cls, label: str, unit: int) -> str:
        return f"Suffixed {label.lower()}{f' {unit + 1}' if unit else ''}"


@pytest.mark.parametrize("cls", [Txt2Img, Img2Img])
def test_the_infotext_tells_all_units_and_gives_them_back(cls: type[Txt2Img | Img2Img]) -> None:
    units = [None, {"model": 'a, "b": c', "weight": 0.5}, {"end": 0.25}]
    asked = cls.made(prompt="a", features={"Control": units})
    labels = dict(labels_of(asked, RenderSettings(), {}))
    assert labels["Control 1"] == 'Model: "a, \\"b\\": c", Weight: 0.5'
    assert "Control 0" not in labels
    back = fields_of(read(write("a", "", labels.items())), cls)
    assert cls.made(**{**asked.model_dump(), **back}).features == asked.features
    assert dict(labels_of(asked, RenderSettings(), {"Control 1": "as it was"}))["Control 1"] == "as it was"


def test_a_feature_may_have_labels_of_its_own_for_each_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "features", lambda: (*ENTRIES, entry_of("Suffixed", Suffixed, ControlEngine)))
    asked = Txt2Img.made(features={"Suffixed": [{"model": "x"}, {"model": "y", "end": 0.5}]})
    labels = dict(labels_of(asked, RenderSettings(), {}))
    assert labels["Suffixed model"] == "x"
    assert labels["Suffixed model 2"] == "y" and labels["Suffixed guidance end 2"] == "0.5"
    assert fields_of(read(write("a", "", labels.items())), Txt2Img)["features"]["Suffixed"] == [
        {"model": "x", "weight": 1.0, "end": 1.0},
        {"model": "y", "weight": 1.0, "end": 0.5},
    ]


def test_units_are_always_on_scripts_by_any_of_their_names() -> None:
    for title in ("Control", "controlled"):
        args = [True, {"enabled": False}, {"enabled": True, "image": "x"}, None]
        assert features_in({title: {"args": args}}) == {"Control": [None, {"image": "x"}, None]}
        assert features_in({title: {"args": [False, {"image": "x"}]}}) == {}
        assert features_in({title: [{"image": "x"}]}) == {"Control": [{"image": "x"}]}


def test_an_axis_of_a_feature_with_units_is_that_of_the_first() -> None:
    axis = next(each for each in axes(Txt2Img) if each.title == "[Control] Control weight")
    assert axis.apply(Txt2Img.made(), 0.5, ()).features["Control"][0]["weight"] == 0.5
    asked = Txt2Img.made(features={"Control": [control(end=0.5), control()]})
    made = axis.apply(asked, 0.5, ()).features["Control"]
    assert [(unit["image"], unit["end"], unit["weight"]) for unit in made] == [("hint", 0.5, 0.5), ("hint", 1.0, 1.0)]


def test_every_picture_goes_through_the_store() -> None:
    stored: list[tuple[str, str]] = []

    def keep(text: str, field: str) -> str:
        stored.append((text, field))
        return text.upper()

    units = [None, control(image="a", area={"mask": "b"})]
    asked = Img2Img.made(init_images=("x", "y"), mask="z", features={"Control": units, "Gone": {"image": "raw"}})
    made = asked.with_pictures(keep)
    assert stored == [("x", "init_images"), ("y", "init_images"), ("z", "mask"), ("a", "image"), ("b", "mask")]
    assert (made.init_images, made.mask) == (("X", "Y"), "Z")
    assert made.features["Control"][1]["image"] == "A" and made.features["Control"][1]["area"] == {"mask": "B"}
    assert made.features["Gone"] == {"image": "raw"}

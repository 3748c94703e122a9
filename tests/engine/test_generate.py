"""Stories of pictures: the same plan, neighbours, interrupts, given pictures, masks, the hires pass."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps
from torch import nn

from tests.engine.conftest import SMALL, Engine, levels, most_apart, sampling_steps
from webui import registry
from webui.base.errors import Interrupted, UserError
from webui.engine.watch import Cancel
from webui.request.fields import Img2Img, Txt2Img
from webui.request.messages import Event, Pictured, Preview, Progress

CLOSE = 1
"""Levels of 255 that another order of additions may make."""


def request(**changes: object) -> Txt2Img:
    return Txt2Img.model_validate({"prompt": "a cat", **SMALL, **changes})


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


GRADIENT = Image.fromarray(np.indices((64, 64)).sum(0).astype(np.uint8)[..., None].repeat(3, 2) * 2)


def from_picture(
    engine: Engine, given: Image.Image = GRADIENT, mask: Image.Image | None = None, **changes: object
) -> list[Pictured]:
    names = {"given": png(given)} | ({"mask": png(mask)} if mask else {})
    asked = {"prompt": "a cat", **SMALL, "init_images": ("given",), "mask": "mask" if mask else "", **changes}
    return engine.run(Img2Img.model_validate(asked), names)


# ---------------------------------------------------------------- text to image


def test_the_same_plan_gives_the_same_bits(engine: Engine) -> None:
    assert engine.run(request())[0].rgb == engine.run(request())[0].rgb


def test_another_seed_or_prompt_gives_another_picture(engine: Engine) -> None:
    first = engine.run(request())[0]
    assert most_apart(first, engine.run(request(seed=8))[0]) > 20
    assert most_apart(first, engine.run(request(prompt="a red house"))[0]) > CLOSE


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE"])
def test_a_picture_does_not_depend_on_its_neighbours(engine: Engine, sampler: str) -> None:
    alone = engine.run(request(seed=7, sampler_name=sampler))[0]
    among = engine.run(request(seed=5, batch_size=3, sampler_name=sampler))[2]
    later = engine.run(request(seed=6, n_iter=2, sampler_name=sampler))[1]
    assert most_apart(alone, among) <= CLOSE
    assert most_apart(alone, later) <= CLOSE


def test_pictures_come_in_order_with_their_positions(engine: Engine) -> None:
    made = engine.run(request(steps=1, batch_size=2, n_iter=2))
    assert [picture.position for picture in made] == [0, 1, 2, 3]
    assert all((picture.width, picture.height) == (64, 64) for picture in made)


def test_a_side_that_is_no_multiple_of_8_is_cut(engine: Engine) -> None:
    made = engine.run(request(width=68, height=60))[0]
    assert (made.width, made.height) == (64, 56)


def test_cfg_scale_1_is_the_prompt_alone(engine: Engine) -> None:
    with_negative = engine.run(request(cfg_scale=1, negative_prompt="a dog"))[0]
    assert with_negative.rgb == engine.run(request(cfg_scale=1))[0].rgb
    assert most_apart(with_negative, engine.run(request(cfg_scale=7))[0]) > CLOSE


def test_prompt_and_negative_prompt_of_different_lengths(engine: Engine) -> None:
    long = "a cat, " * 40
    apart = engine.run(request(prompt=long))[0]
    split = engine.run(request(prompt=long, override_settings={"batch_cond_uncond": False}))[0]
    assert most_apart(apart, split) <= CLOSE


def test_and_with_weight_0_adds_nothing(engine: Engine) -> None:
    alone = engine.run(request(prompt="a cat"))[0]
    assert most_apart(alone, engine.run(request(prompt="a cat AND a dog :0"))[0]) <= CLOSE
    assert most_apart(alone, engine.run(request(prompt="a cat AND a dog"))[0]) > CLOSE


def test_editing_takes_effect_at_its_step(engine: Engine) -> None:
    first = engine.run(request(prompt="a cat", steps=8))[0]
    never = engine.run(request(prompt="a [cat:dog:9]", steps=8))[0]
    halfway = engine.run(request(prompt="a [cat:dog:0.25]", steps=8))[0]
    at_once = engine.run(request(prompt="a [cat:dog:0.0]", steps=4))[0]
    assert most_apart(first, never) <= CLOSE
    assert most_apart(first, halfway) > CLOSE
    assert most_apart(at_once, engine.run(request(prompt="a dog", steps=4))[0]) <= CLOSE


def test_comments_and_network_tags_are_no_text(engine: Engine) -> None:
    plain = engine.run(request(prompt="a cat"))[0]
    assert most_apart(plain, engine.run(request(prompt="a cat<lora:none:1>"))[0]) <= CLOSE
    commented = engine.run(request(prompt="a cat# and a dog"))[0]
    assert most_apart(plain, commented) <= CLOSE


def test_facts_name_what_had_an_effect(engine: Engine) -> None:
    facts = dict(engine.run(request(sampler_name="DPM++ 2M", override_settings={"s_min_uncond": 20.0}))[0].facts)
    assert facts["NGMS"] == "20.0"
    assert "Schedule type" not in facts, "What follows from the plan is told by the plan alone."
    assert "NGMS" not in dict(engine.run(request(sampler_name="DPM++ 2M"))[0].facts)


# ---------------------------------------------------------------- watching and stopping


def test_progress_rises_to_the_end_and_previews_come_while_somebody_looks(engine: Engine) -> None:
    engine.run(request(steps=4, n_iter=2), watched=True)
    fractions = [event.fraction for event in engine.events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    previews = [event for event in engine.events if isinstance(event, Preview)]
    assert len(previews) == 8
    with Image.open(io.BytesIO(previews[0].content)) as preview:
        assert preview.size == (8, 8)
    engine.events.clear()
    engine.run(request())
    assert not [event for event in engine.events if isinstance(event, Preview)]


def stop_at(step: int, cancel: Cancel, *, after_current: bool = False) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "sampling" and event.step == step:
            cancel.interrupt(after_current=after_current)

    return on_event


def test_interrupt_acts_before_the_next_call_of_the_network(engine: Engine) -> None:
    cancel = Cancel()
    with pytest.raises(Interrupted):
        engine.run(request(steps=50), cancel=cancel, on_event=stop_at(2, cancel))
    assert max(sampling_steps(engine.events)) <= 3


def test_interrupt_after_the_current_batch_keeps_it(engine: Engine) -> None:
    cancel = Cancel()
    made = engine.run(request(n_iter=3), cancel=cancel, on_event=stop_at(2, cancel, after_current=True))
    assert [picture.position for picture in made] == [0]


def test_skip_gives_up_one_batch(engine: Engine) -> None:
    cancel = Cancel()
    skipped: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "sampling" and event.batch == 1 and not skipped:
            skipped.append(1)
            cancel.skip()

    made = engine.run(request(n_iter=3), cancel=cancel, on_event=on_event)
    assert [picture.position for picture in made] == [0, 2]


def test_an_interrupted_job_leaves_nothing_patched(engine: Engine) -> None:
    before = engine.run(request())[0]
    cancel = Cancel()
    bent = {"tiling": True, "token_merging_ratio": 0.5}
    with pytest.raises(Interrupted):
        engine.run(request(override_settings=bent), cancel=cancel, on_event=stop_at(1, cancel))
    with engine.models.lend(engine.ref, None) as loaded:
        for part in loaded.model.parts.values():
            assert all(m.padding_mode == "zeros" for m in part.modules() if isinstance(m, nn.Conv2d))
    assert engine.run(request())[0].rgb == before.rgb


# ---------------------------------------------------------------- bent networks


def test_tiling_makes_the_edges_meet(engine: Engine) -> None:
    """With seams the picture moved by half is what the moved noise gives: here, that opposite edges are alike."""
    plain, tiled = engine.run(request(steps=6))[0], engine.run(request(steps=6, override_settings={"tiling": True}))[0]

    def seam(picture: Pictured) -> float:
        pixels = levels(picture)
        return float(np.abs(pixels[:, 0] - pixels[:, -1]).mean() + np.abs(pixels[0] - pixels[-1]).mean())

    assert most_apart(plain, tiled) > CLOSE
    assert seam(tiled) < seam(plain)


def test_merging_tokens_changes_the_picture_a_little(engine: Engine) -> None:
    plain = engine.run(request())[0]
    merged = engine.run(request(override_settings={"token_merging_ratio": 0.5}))[0]
    assert most_apart(plain, merged) > CLOSE
    assert np.abs(levels(plain) - levels(merged)).mean() < 30


# ---------------------------------------------------------------- image to image


def test_little_denoising_keeps_the_picture(engine: Engine) -> None:
    little = from_picture(engine, denoising_strength=0.05, steps=10)[0]
    much = from_picture(engine, denoising_strength=0.9, steps=10)[0]
    same = from_picture(engine, denoising_strength=0.05, steps=10, seed=8)[0]
    assert np.abs(levels(little) - levels(same)).mean() < np.abs(levels(little) - levels(much)).mean()


def test_img2img_walks_its_share_of_the_steps(engine: Engine) -> None:
    from_picture(engine, denoising_strength=0.5, steps=8)
    assert max(sampling_steps(engine.events)) == 5
    engine.events.clear()
    from_picture(engine, denoising_strength=0.5, steps=8, override_settings={"img2img_fix_steps": True})
    assert max(sampling_steps(engine.events)) == 8


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_a_given_picture_of_another_shape_is_fitted(engine: Engine, mode: int) -> None:
    made = from_picture(engine, GRADIENT.resize((90, 50)), resize_mode=mode, steps=2)[0]
    assert (made.width, made.height) == (64, 64)


def test_only_the_masked_part_changes(engine: Engine) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    wished = ("save_mask", "return_mask", "save_mask_composite", "face_restoration")
    made = from_picture(engine, mask=mask, mask_blur_x=0, mask_blur_y=0, override_settings=dict.fromkeys(wished, True))[
        0
    ]
    assert [(extra.name, extra.shown, extra.saved) for extra in made.extras] == [
        ("mask", True, True),
        ("mask-composite", False, True),
    ]
    assert any("Faces were not restored" in comment for comment in made.comments)
    change = np.abs(levels(made) - np.asarray(GRADIENT).astype(int)).max(axis=2)
    inside = np.asarray(mask) > 0
    assert change[~inside].max() <= CLOSE
    assert change[inside].mean() > CLOSE


def test_only_masked_works_at_full_size_and_pastes_back(engine: Engine) -> None:
    given = GRADIENT.resize((160, 128))
    mask = Image.new("L", given.size)
    mask.paste(255, (100, 20, 120, 40))
    made = from_picture(
        engine, given, mask, inpaint_full_res=True, inpaint_full_res_padding=4, mask_blur_x=0, mask_blur_y=0
    )[0]
    assert (made.width, made.height) == given.size
    change = np.abs(levels(made) - np.asarray(given).astype(int)).max(axis=2)
    assert change[np.asarray(mask) == 0].max() <= CLOSE
    assert change[np.asarray(mask) > 0].mean() > CLOSE


def inverted(picture: Image.Image) -> Image.Image:
    """Stands for what mends faces."""
    return ImageOps.invert(picture)


def test_faces_are_mended_before_the_untouched_part_is_put_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.RestorerEntry("Inverter", f"{__name__}:inverted")
    monkeypatch.setattr(registry, "restorers", lambda: (entry,))
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    options = {"save_images_before_face_restoration": True, "face_restoration_model": "inverter"}
    plain = from_picture(engine, mask=mask, mask_blur_x=0, mask_blur_y=0)[0]
    made = from_picture(
        engine, mask=mask, mask_blur_x=0, mask_blur_y=0, override_settings={"face_restoration": True, **options}
    )[0]
    inside = np.asarray(mask) > 0
    assert np.abs(levels(made) + levels(plain) - 255)[inside].max() <= CLOSE
    assert np.abs(levels(made) - levels(plain))[~inside].max() <= CLOSE
    assert [(extra.name, extra.shown) for extra in made.extras] == [("before-face-restoration", False)]
    assert dict(made.facts)["Face restoration"] == "Inverter"


def test_a_blank_mask_is_said(engine: Engine) -> None:
    made = from_picture(engine, mask=Image.new("L", (64, 64)), inpaint_full_res=True)[0]
    assert "blank" in made.comments[0]


def test_a_broken_given_picture_is_named(engine: Engine) -> None:
    asked = Img2Img.model_validate({**SMALL, "init_images": ("given",)})
    with pytest.raises(UserError, match="An input picture"):
        engine.run(asked, {"given": b"no picture"})


# ---------------------------------------------------------------- hires


@pytest.mark.parametrize("upscaler", ["Latent", "Lanczos", "None"])
def test_the_hires_pass_gives_the_large_size(engine: Engine, upscaler: str) -> None:
    made = engine.run(request(enable_hr=True, hr_scale=1.5, hr_upscaler=upscaler, hr_second_pass_steps=2))[0]
    assert (made.width, made.height) == (96, 96)
    phases = [event.phase for event in engine.events if isinstance(event, Progress)]
    assert phases.index("sampling") < phases.index("hires") < phases.index("decoding")


def test_an_unknown_upscaler_is_named(engine: Engine) -> None:
    with pytest.raises(UserError, match="There is no upscaler named 'Lanczoss'") as caught:
        engine.run(request(enable_hr=True, hr_upscaler="Lanczoss"))
    assert "Lanczos" in caught.value.hint

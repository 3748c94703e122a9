"""From a request to a plan: seeds fixed, names resolved, settings frozen in."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import pytest

from webui import registry
from webui.base.errors import NotFound, UserError
from webui.request.fields import Img2Img, Txt2Img
from webui.request.plan import CheckpointRef, NetworkRef, Plan, UpscalerRef, resolve
from webui.request.settings import Settings

PICTURE = "a" * 64
MASK = "b" * 64


class Known:
    """Names as the catalog has them: two checkpoints, a style, two pictures."""

    def checkpoint(self, name: str) -> CheckpointRef:
        if name not in ("", "one", "two"):
            raise NotFound(f"There is no checkpoint {name!r}.")
        return CheckpointRef(path=f"/{name or 'one'}", title=f"{name or 'one'}.ckpt", name=name or "one")

    def vae(self, name: str, checkpoint: CheckpointRef, *, overrides: bool = True) -> CheckpointRef | None:
        return None if name == "Automatic" else CheckpointRef(path=f"/{name}", title=name, name=name)

    def network(self, kind: str, name: str) -> NetworkRef | None:
        return NetworkRef("", name) if name == "known" else None

    def picture_size(self, name: str) -> tuple[int, int]:
        return 64, 64

    def upscaler(self, name: str, field: str = "") -> UpscalerRef:
        return UpscalerRef(name)

    def styled(self, prompt: str, negative: str, styles: tuple[str, ...]) -> tuple[str, str]:
        return (f"{prompt}, styled", negative) if styles else (prompt, negative)

    def picture(self, name: str) -> bytes:
        if name not in (PICTURE, MASK):
            raise NotFound("There is no such picture.")
        return name.encode()


def planned(request: Txt2Img | Img2Img, settings: Settings | None = None, random: Sequence[int] = (111, 222)) -> Plan:
    numbers = iter(random)
    return resolve(request, settings or Settings(), Known(), lambda: next(numbers))


def seeds(plan: Plan) -> list[tuple[int, int]]:
    return [(picture.seed, picture.subseed) for batch in plan.batches for picture in batch]


def test_seeds_count_up_over_all_batches() -> None:
    plan = planned(Txt2Img(seed=5, subseed=9, batch_size=2, n_iter=2))
    assert seeds(plan) == [(5, 9), (6, 10), (7, 11), (8, 12)]
    assert [len(batch) for batch in plan.batches] == [2, 2]
    assert [picture.position for batch in plan.batches for picture in batch] == [0, 1, 2, 3]


def test_with_a_variation_the_seed_stays_and_the_variation_seeds_count_up() -> None:
    plan = planned(Txt2Img(seed=5, subseed=9, subseed_strength=0.3, batch_size=3))
    assert seeds(plan) == [(5, 9), (5, 10), (5, 11)]


def test_an_open_seed_is_drawn_once() -> None:
    assert seeds(planned(Txt2Img(batch_size=2))) == [(111, 222), (112, 223)]
    assert seeds(planned(Txt2Img(seed=0, batch_size=1))) == [(0, 111)]


def test_each_picture_carries_its_own_request() -> None:
    second = planned(Txt2Img(seed=5, batch_size=2, prompt="cat", styles=("x",))).batches[0][1]
    assert second.request.seed == 6
    assert second.request.prompt == "cat, styled"
    assert second.request.styles == ()


def test_names_are_put_into_ours() -> None:
    request = planned(Txt2Img(sampler_name="k_dpmpp_2m_ka", scheduler="automatic")).batches[0][0].request
    assert (request.sampler_name, request.scheduler) == ("DPM++ 2M", "Karras")
    with pytest.raises(NotFound, match=r"No sampler is called 'Eular'.* Did you mean 'Euler'"):
        planned(Txt2Img(sampler_name="Eular"))


def test_a_schedule_s_name_that_a1111_lists_but_does_not_know_is_automatic() -> None:
    assert registry.schedule("SGMUniform").name == "Automatic"
    assert registry.schedule("SGM Uniform") is registry.schedule("sgm_uniform")


def test_override_settings_hold_for_this_plan_alone() -> None:
    settings = Settings()
    plan = planned(Txt2Img(override_settings={"sd_model_checkpoint": "two", "CLIP_stop_at_last_layers": 2}), settings)
    assert plan.checkpoint.name == "two"
    assert plan.batches[0][0].render.clip_skip == 2
    assert settings.render.clip_skip == 1
    with pytest.raises(UserError, match="Clip skip"):
        planned(Txt2Img(override_settings={"CLIP_stop_at_last_layers": "many"}))


def test_hires_prompts_get_the_styles_too() -> None:
    request = planned(Txt2Img(prompt="cat", enable_hr=True, styles=("x",))).batches[0][0].request
    assert isinstance(request, Txt2Img)
    assert request.hr_prompt == "cat, styled"


def test_only_what_is_used_is_looked_up() -> None:
    plan = planned(Txt2Img(refiner_checkpoint="two", hr_checkpoint_name="missing"))
    assert [each.name for each in plan.partners] == ["two"]
    assert plan.hires_checkpoint is None
    assert planned(Txt2Img(refiner_checkpoint="two", refiner_switch_at=1)).partners == ()
    with pytest.raises(NotFound, match="missing"):
        planned(Txt2Img(enable_hr=True, hr_checkpoint_name="missing"))


def test_image_to_image_needs_a_picture_and_takes_the_mask_along() -> None:
    with pytest.raises(UserError, match="no picture to start from"):
        planned(Img2Img())
    plan = planned(Img2Img(init_images=(PICTURE,), mask=MASK))
    assert set(plan.images) == {PICTURE, MASK}
    with pytest.raises(NotFound):
        planned(Img2Img(init_images=("c" * 64,)))


def test_what_remains_after_a_crash_keeps_its_seeds_and_places() -> None:
    plan = planned(Txt2Img(seed=5, batch_size=2, n_iter=3))
    rest = plan.without(frozenset({0, 1, 2}))
    assert [(picture.position, picture.seed) for batch in rest.batches for picture in batch] == [
        (3, 8),
        (4, 9),
        (5, 10),
    ]
    assert rest.count == 3
    assert plan.without(frozenset(range(6))).batches == ()


def test_a_plan_is_plain_data() -> None:
    plan = planned(Txt2Img(seed=1))
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_tags_are_looked_up_and_the_hypernetwork_of_the_settings_joins_the_prompt() -> None:
    settings = Settings().with_options({"sd_hypernetwork": "known", "sd_lora": "known"})
    request = Txt2Img(prompt="a cat <lora:known:0.5> <lora:unknown> <thing:known>")
    plan = resolve(request, settings, Known(), lambda: 1)
    assert set(plan.networks) == {("lora", "known"), ("hypernet", "known")}
    assert plan.batches[0][0].request.prompt == f"{request.prompt}<hypernet:known:1.0>"


def test_comments_are_no_part_of_the_prompts_unless_the_settings_say_so() -> None:
    request = Txt2Img(
        prompt="a fox # red\nin snow", negative_prompt="# none\nugly", enable_hr=True, hr_prompt="an owl # grey"
    )
    made = planned(request).at(0).request
    assert isinstance(made, Txt2Img)
    texts = (made.prompt, made.negative_prompt, made.hr_prompt, made.hr_negative_prompt)
    assert texts == ("a fox \nin snow", "\nugly", "an owl \n", "\nugly")
    kept = planned(request, Settings().with_options({"enable_prompt_comments": False})).at(0).request
    assert kept.prompt == request.prompt

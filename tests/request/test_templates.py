"""Requests whose prompts are templates."""

from __future__ import annotations

from typing import Any

from tests.request.test_plan import Known
from webui.prompt.filling import Lines
from webui.request.facts import facts_of
from webui.request.fields import Img2Img, Txt2Img
from webui.request.infotext import fields_of, labels_of, pasted, read, write
from webui.request.plan import Picture, Plan, resolve
from webui.request.settings import SaveSettings, Settings, UiSettings
from webui.request.templates import filled_in


class Listed(Known):
    """Names with a wildcard."""

    def wildcard(self, name: str) -> Lines:
        return Lines.of(("cat", "dog", "fox", "owl") if name == "beast" else ())


def planned(settings: Settings | None = None, **asked: Any) -> Plan:
    return resolve(Txt2Img(**{"seed": 5, **asked}), settings or Settings(), Listed(), lambda: 1)


def pictures(plan: Plan) -> list[Picture]:
    return [picture for batch in plan.batches for picture in batch]


def infotext(picture: Picture, plan: Plan) -> str:
    labels = labels_of(picture.request, picture.render, facts_of(picture, plan, SaveSettings(), ""))
    return write(picture.request.prompt, picture.request.negative_prompt, labels)


def test_each_picture_has_its_own_text_whatever_it_is_made_with() -> None:
    asked = {"prompt": "a __beast__", "negative_prompt": "{a|b|c|d}", "n_iter": 2, "batch_size": 4}
    made = pictures(planned(**asked))
    prompts = [each.request.prompt for each in made]
    assert len(set(prompts)) > 2 and all(text in ("a cat", "a dog", "a fox", "a owl") for text in prompts)
    for place in (0, 3, 7):
        alone = pictures(planned(**{**asked, "seed": 5 + place, "n_iter": 1, "batch_size": 1}))[0]
        assert alone.request.prompt == prompts[place]
        assert alone.request.negative_prompt == made[place].request.negative_prompt


def test_both_passes_and_the_detailer_make_the_same_choice() -> None:
    features = {"ADetailer": [None, {"ad_model": "face", "ad_prompt": "__beast__ face"}]}
    asked = Txt2Img(
        prompt="__beast__", hr_prompt="__beast__, sharp", enable_hr=True, features=features, n_iter=4, seed=1
    )
    for seed in range(6):
        made = filled_in(asked, Listed().wildcard, seed, print)
        beast = made.prompt
        assert beast in ("cat", "dog", "fox", "owl") and made.hr_prompt == f"{beast}, sharp"
        unit = made.features["ADetailer"][1]  # type: ignore[index]
        assert unit["ad_prompt"] == f"{beast} face" and made.features["ADetailer"][0] is None  # type: ignore[index]
        assert made.templates == {"prompt": "__beast__"}


def test_a_prompt_without_choices_is_not_touched_and_the_setting_switches_them_off() -> None:
    for settings, prompt in (
        (Settings(), "a {fox}, [a|b], __no such, (x:1.2)"),
        (Settings().with_options({"dynamic_prompts": False}), "a {cat|dog} __beast__"),
    ):
        plan = planned(settings, prompt=prompt)
        request = pictures(plan)[0].request
        assert request.prompt == prompt and not request.templates and not plan.remarks
    off = planned(prompt="a {cat|dog}", override_settings={"dynamic_prompts": False})
    assert pictures(off)[0].request.prompt == "a {cat|dog}"


def test_what_is_not_there_is_told_once() -> None:
    plan = planned(prompt="__none__", n_iter=3)
    assert plan.remarks == ("There is no wildcard 'none' in models/wildcards. It was left as text.",)


def test_the_infotext_has_the_text_and_the_template_and_both_come_back() -> None:
    plan = planned(prompt='a __beast__, "x"\nin {red|green}', negative_prompt="{a|b}, c: d")
    picture = pictures(plan)[0]
    text = infotext(picture, plan)
    assert text.startswith(picture.request.prompt) and "__" not in picture.request.prompt
    for ui, prompt, negative in (
        (UiSettings(), picture.request.prompt, picture.request.negative_prompt),
        (UiSettings(paste_templates=True), 'a __beast__, "x"\nin {red|green}', "{a|b}, c: d"),
    ):
        values = fields_of(pasted(text, ui), Txt2Img)
        assert (values["prompt"], values["negative_prompt"], values["seed"]) == (prompt, negative, 5)
    again = planned(**{name: values[name] for name in ("prompt", "negative_prompt", "seed")})
    assert infotext(pictures(again)[0], again) == text


def test_infotexts_of_sd_dynamic_prompts_are_read() -> None:
    text = (
        "a red fox\nin snow\nNegative prompt: blurry\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 512x768, Version: v1.6.0\n"
        "Template: a {red|green} fox\nin snow\nNegative Template: {blurry|ugly}"
    )
    found = read(text)
    assert (found.prompt, found.negative) == ("a red fox\nin snow", "blurry")
    assert found.labels["Template"] == "a {red|green} fox\nin snow"
    assert found.labels["Negative Template"] == "{blurry|ugly}"
    assert fields_of(found, Txt2Img)["height"] == 768
    assert read("Template: a prompt\nof this kind").prompt == "Template: a prompt\nof this kind"


def test_pictures_from_pictures_have_templates_too() -> None:
    request = Img2Img(prompt="{a|b}", init_images=("sha256:1",), seed=1)
    assert {filled_in(request, Listed().wildcard, seed, print).prompt for seed in range(9)} == {"a", "b"}

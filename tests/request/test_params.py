"""The vocabulary: a field's annotation says all there is to say of it."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pytest

from webui import registry
from webui.base.errors import UserError
from webui.request.fields import REQUESTS, Img2Img, Txt2Img
from webui.request.params import MISSING, Choice, Declared, Slider, Text, default_of, parsed
from webui.request.settings import Settings


class Soup(Declared):
    salt: Annotated[float, Slider(label="Salt", ui="Salt (grams)", ge=0, le=10)] = 2.5
    """How salty."""
    name: Annotated[str, Text(label="Name")] = "broth"
    note: str = ""


def test_params_come_in_declaration_order_and_only_where_declared() -> None:
    assert list(Soup.params()) == ["salt", "name"]
    assert Soup.params()["salt"].title == "Salt (grams)"
    assert Soup.model_fields["salt"].description == "How salty."
    assert default_of(Soup, "salt") == 2.5


@pytest.mark.parametrize("bad", [-1, 11, math.nan, math.inf, "much", None])
def test_a_value_outside_the_law_is_refused_in_the_words_of_the_form(bad: Any) -> None:
    with pytest.raises(UserError, match=r"^Salt \(grams\) cannot be") as caught:
        Soup.made(salt=bad)
    assert caught.value.field == "salt"


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(UserError, match="no parameter named 'pepper'"):
        Soup.made(pepper=1)


def test_a_change_makes_a_new_value_and_is_checked() -> None:
    soup = Soup()
    assert soup.changed(salt=3).salt == 3.0
    assert soup.salt == 2.5
    with pytest.raises(UserError):
        soup.changed(salt=-3)


def test_a_huge_value_does_not_make_a_huge_message() -> None:
    with pytest.raises(UserError) as caught:
        Soup.made(salt="x" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "20", 20),
        ("cfg_scale", "7", 7.0),
        ("cfg_scale", "7.5", 7.5),
        ("enable_hr", "True", True),
        ("sampler_name", "Euler a", "Euler a"),
        ("seed", "4294967301", 4294967301),
    ],
)
def test_text_is_parsed_by_the_fields_own_type(name: str, text: str, value: Any) -> None:
    assert parsed(Txt2Img, name, text) == value
    assert type(parsed(Txt2Img, name, text)) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("steps", "0"),
        ("steps", "many"),
        ("cfg_scale", "nan"),
        ("width", "1e99"),
        ("seed", "-2"),
        ("enable_hr", "perhaps"),
    ],
)
def test_text_that_is_no_such_value_is_refused(name: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(Txt2Img, name, text)
    assert caught.value.field == name


def test_a_codec_reads_what_it_writes() -> None:
    for cls in (Txt2Img, Img2Img):
        for name, param in cls.params().items():
            if param.codec is not None and hasattr(param, "choices") and param.choices:
                for index in range(len(param.choices)):
                    value = parsed(cls, name, index)
                    assert parsed(cls, name, param.codec.write(value)) == value


def every_param() -> list[tuple[str, type[Declared], str]]:
    classes: list[type[Declared]] = [*REQUESTS.values(), *Settings.sections().values()]
    return [(f"{cls.__name__}.{name}", cls, name) for cls in classes for name in cls.params()]


@pytest.mark.parametrize(("cls", "name"), [case[1:] for case in every_param()], ids=[case[0] for case in every_param()])
def test_every_declaration_is_whole(cls: type[Declared], name: str) -> None:
    param = cls.params()[name]
    info = cls.model_fields[name]
    assert info.description or not param.title, "a control needs its help text"
    default = default_of(cls, name)
    assert parsed(cls, name, default) == default, "the default obeys its own limits"
    if param.absent is not MISSING:
        assert parsed(cls, name, param.absent) == param.absent
    if param.api_default is not MISSING:
        assert parsed(cls, name, param.api_default) == param.api_default
    if isinstance(param, Slider):
        assert param.min < param.max
        for bound in (param.min, param.max):
            parsed(cls, name, bound)
    if param.switch:
        switched = [other for other in REQUESTS.values() if name in other.params() and param.switch in other.params()]
        assert switched, "the switch is a field of the same request"


@pytest.mark.parametrize("kind", REQUESTS)
def test_no_two_controls_of_a_form_have_one_title(kind: str) -> None:
    titles = [param.title for param in REQUESTS[kind].params().values() if param.title]
    assert len(titles) == len(set(titles))


def test_a_request_knows_its_kind() -> None:
    assert (Txt2Img().kind, Img2Img().kind) == ("txt2img", "img2img")
    assert Txt2Img(batch_size=3, n_iter=2).picture_count == 6


def test_every_setting_is_found_by_both_its_names() -> None:
    keys = Settings.keys()
    assert keys["CLIP_stop_at_last_layers"] == keys["clip_skip"]
    assert len(Settings().options()) == len(list(Settings.walk()))


def test_a_parameter_depends_on_one_beside_it_and_on_values_that_this_can_have() -> None:
    bound = 0
    for entry in registry.carried():
        params = entry.params.params()
        for name, param in params.items():
            for other in param.depends:
                bound += 1
                assert other.name in params and other.name != name, (entry.name, name)
                for value in (*other.among, *other.besides):
                    if isinstance(chosen := params[other.name], Choice) and chosen.choices:
                        known = range(len(chosen.choices)) if chosen.by_index else chosen.choices
                        assert value in known, (entry.name, name, value)
                    parsed(entry.params, other.name, value)
    assert bound > 10

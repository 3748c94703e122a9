"""Values as programs send them: what is made to fit, what is said of it, and what is left to be refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from webui.request.fields import Img2Img, Txt2Img
from webui.request.fitting import fitted, fitted_options
from webui.request.params import Slider, default_of
from webui.request.settings import Settings


@pytest.mark.parametrize(
    ("name", "sent", "taken"),
    [
        ("hr_second_pass_steps", 7.5, 7), ("width", 64.5, 64), ("steps", "7.9", 7), ("seed", -5, -1),
        ("hr_scale", 0, 1), ("prompt", 123, "123"), ("prompt", 1.5, "1.5"), ("denoising_strength", 2, 1),
        ("enable_hr", 2, True),
        ("subseed_strength", "-1", 0), ("styles", ["a", 1], ("a", "1")), ("cfg_scale", -200, -100),
    ],
)  # fmt: skip
def test_what_nearly_fits_is_taken_and_said(name: str, sent: Any, taken: Any) -> None:
    values, remarks = fitted(Txt2Img, {name: sent})
    assert getattr(Txt2Img(**values), name) == taken
    assert len(remarks) == 1
    assert name in remarks[0]


@pytest.mark.parametrize(
    ("name", "sent", "taken"),
    [
        ("steps", 7.0, 7), ("steps", "7", 7), ("cfg_scale", "7.5", 7.5), ("styles", "a", ("a",)),
        ("enable_hr", 1, True), ("styles", [], ()), ("override_settings", [], {}), ("cfg_scale", -1, -1.0),
        ("prompt", "123", "123"),
    ],
)  # fmt: skip
def test_where_only_the_writing_differs_nothing_is_said(name: str, sent: Any, taken: Any) -> None:
    values, remarks = fitted(Txt2Img, {name: sent})
    assert (getattr(Txt2Img(**values), name), remarks) == (taken, ())


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("steps", 0), ("width", -8), ("height", 10**9), ("batch_size", 0), ("seed", 2**70), ("steps", "many"),
        ("prompt", ["a"]), ("prompt", {}), ("cfg_scale", float("nan")), ("steps", float("inf")), ("styles", {"a": 1}),
        ("override_settings", "none"), ("enable_hr", "perhaps"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_left_to_be_refused(name: str, sent: Any) -> None:
    values, _ = fitted(Txt2Img, {name: sent})
    with pytest.raises(ValidationError):
        Txt2Img(**values)


def test_settings_are_made_to_fit_too() -> None:
    sent = {
        "CLIP_stop_at_last_layers": 13, "samples_format": "JPEG", "sd_vae": None, "eta_noise_seed_delta": 3.5,
        "a setting of another program": 7.5, "samples_save": "true",
    }  # fmt: skip
    values, remarks = fitted_options(sent)
    settings = Settings().with_options(values, strict=False)
    assert (settings.render.clip_skip, settings.save.samples_format) == (12, "jpg")
    assert (settings.render.eta_noise_seed_delta, settings.render.sd_vae) == (3, "Automatic")
    assert values["a setting of another program"] == 7.5
    assert len(remarks) == 3
    assert fitted_options({"CLIP_stop_at_last_layers": 0})[0] == {"CLIP_stop_at_last_layers": 1}


SLIDERS = [
    (cls, name)
    for cls in (Txt2Img, Img2Img)
    for name, param in cls.params().items()
    if isinstance(param, Slider) and not param.firm
]


@given(
    st.sampled_from(SLIDERS),
    st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False), st.booleans()),
)
def test_every_number_fits_every_amount(field: tuple[type[Txt2Img | Img2Img], str], value: float) -> None:
    cls, name = field
    values, remarks = fitted(cls, {name: value})
    taken = getattr(cls(**values), name)
    assert type(taken) is type(default_of(cls, name))
    same = float(value) if isinstance(taken, float) else value  # as near as a fraction comes to it
    assert bool(remarks) == (taken != same)

"""Settings: one frozen value, spoken of in A1111's keys or ours."""

from __future__ import annotations

import json

import pytest

from webui.base.errors import NotFound, UserError
from webui.request.settings import Settings, setting_title


def test_a_setting_changes_under_either_name() -> None:
    ours, theirs = Settings().with_options({"clip_skip": 2}), Settings().with_options({"CLIP_stop_at_last_layers": 2})
    assert ours == theirs
    assert ours.render.clip_skip == 2
    assert Settings().render.clip_skip == 1


def test_what_differs_is_all_that_is_saved() -> None:
    changed = Settings().with_options({"samples_format": "webp", "CLIP_stop_at_last_layers": 2, "tiling": False})
    assert changed.changed_options() == {"CLIP_stop_at_last_layers": 2, "samples_format": "webp"}
    assert Settings().changed_options() == {}


def test_options_are_a_table_that_makes_the_same_settings() -> None:
    changed = Settings().with_options({"quicksettings_list": ["sd_vae"], "rho": 3})
    plain = json.loads(json.dumps(changed.options()))
    assert Settings().with_options(plain) == changed


def test_an_unknown_setting_is_an_error_unless_said_otherwise() -> None:
    with pytest.raises(NotFound, match="Did you mean 'clip_skip'"):
        Settings().with_options({"clip_skp": 2})
    assert Settings().with_options({"clip_skp": 2}, strict=False) == Settings()


def test_a_value_that_does_not_fit_names_the_setting() -> None:
    with pytest.raises(UserError, match="Clip skip cannot be 99") as caught:
        Settings().with_options({"CLIP_stop_at_last_layers": 99})
    assert caught.value.field == "clip_skip"


def test_a_setting_has_a_title() -> None:
    assert setting_title("CLIP_stop_at_last_layers") == setting_title("clip_skip") == "Clip skip"

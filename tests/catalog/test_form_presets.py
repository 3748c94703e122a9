"""Presets of a form: any of its fields under a name, each user's own; what does not fit is named and left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webui.base.errors import NotFound, UserError
from webui.catalog.form_presets import NAME, FormPresets, form_preset
from webui.catalog.problems import Problems


def test_a_preset_is_kept_for_its_owner_and_its_form(tmp_path: Path) -> None:
    presets = FormPresets(tmp_path)
    presets.save("user:anna", "txt2img", form_preset("  My   look ", {"steps": 33, "cfg_scale": 5.5}, "a", "txt2img"))
    again = FormPresets(tmp_path)
    (kept,) = again.all("user:anna", "txt2img")
    assert (kept.name, dict(kept.values), kept.checkpoint) == ("My look", {"steps": 33, "cfg_scale": 5.5}, "a")
    assert again.all("user:bert", "txt2img") == again.all("user:anna", "img2img") == ()
    assert again.get("user:anna", "txt2img", "My look") == kept
    with pytest.raises(NotFound, match="My lok"):
        again.get("user:anna", "txt2img", "My lok")
    again.delete("user:anna", "txt2img", "My look")
    with pytest.raises(NotFound):
        again.delete("user:anna", "txt2img", "My look")


@pytest.mark.parametrize(
    ("name", "values", "checkpoint", "kind", "says"),
    [
        ("", {"steps": 3}, "", "txt2img", "no name"),
        ("x" * 81, {"steps": 3}, "", "txt2img", "named so"),
        ("a", {}, "", "txt2img", "at least one field"),
        ("a", {"init_images": ["0" * 64]}, "", "img2img", "at least one field"),
        ("a", {"steps": -1}, "", "txt2img", "steps"),
        ("a", {"stesp": 3}, "", "txt2img", "stesp"),
        ("a", ["steps"], "", "txt2img", "at least one field"),
        ("a", {"steps": 3}, 7, "txt2img", "checkpoint"),
        ("a", {"steps": 3}, "", "extras", "extras"),
    ],
)
def test_what_is_no_preset_is_refused_in_words(
    name: object, values: object, checkpoint: object, kind: str, says: str
) -> None:
    with pytest.raises(UserError, match=f"(?i){says}"):
        form_preset(name, values, checkpoint, kind)


def test_a_broken_preset_in_the_file_is_named_and_the_others_stay(tmp_path: Path) -> None:
    good = {"checkpoint": "", "values": {"steps": 7}}
    table = {"": {"txt2img": {"good": good, "bad": {"values": {"steps": "many"}}, "odd": [1]}, "img2img": 3}, "x": "y"}
    (tmp_path / NAME).write_text(json.dumps(table))
    problems = Problems()
    presets = FormPresets(tmp_path, problems)
    assert [preset.name for preset in presets.all("", "txt2img")] == ["good"]
    assert presets.all("", "img2img") == ()
    assert {problem.name for problem in problems.all()} == {"txt2img, bad", "txt2img, odd"}

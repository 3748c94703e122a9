"""Each user's presets are their own, and one that does not fit is named, and spoils no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webui.base.errors import NotFound, UserError
from webui.catalog.problems import Problems
from webui.catalog.unit_presets import MOST, NAME, UnitPresets
from webui.features.controlnet.parameters import Params as ControlNet
from webui.features.detailer.parameters import Params as Detailer
from webui.request.presets import unit_preset

SOFT = unit_preset("Soft", [{"module": "canny", "weight": 0.5}], ControlNet)
BOTH = unit_preset("both", [{"module": "canny"}, None, {"module": "openpose"}], ControlNet)


def test_what_one_has_saved_is_theirs_and_stays(tmp_path: Path) -> None:
    presets = UnitPresets(tmp_path)
    presets.save("ann", "ControlNet", SOFT)
    presets.save("ann", "ControlNet", BOTH)
    presets.save("ben", "ControlNet", unit_preset("Soft", [{"weight": 1.5}], ControlNet))
    again = UnitPresets(tmp_path)
    assert again.names("ann", "ControlNet") == ["both", "Soft"]
    assert again.names("ann", "ADetailer") == again.names("", "ControlNet") == []
    assert again.get("ann", "ControlNet", "both", ControlNet) == BOTH
    assert again.get("ben", "ControlNet", "Soft", ControlNet).units == ({"weight": 1.5},)
    again.delete("ann", "ControlNet", "Soft")
    assert UnitPresets(tmp_path).names("ann", "ControlNet") == ["both"]
    assert UnitPresets(tmp_path).names("ben", "ControlNet") == ["Soft"]
    for gone in (lambda: again.delete("ann", "ControlNet", "Soft"), lambda: again.get("", "x", "Soft", ControlNet)):
        with pytest.raises(NotFound, match="no preset named 'Soft'"):
            gone()


def test_there_are_not_too_many(tmp_path: Path) -> None:
    many = {f"{n}": [{"weight": 1}] for n in range(MOST)}
    (tmp_path / NAME).write_text(json.dumps({"": {"ControlNet": many}}))
    presets = UnitPresets(tmp_path)
    with pytest.raises(UserError, match="200 presets"):
        presets.save("", "ControlNet", SOFT)
    presets.save("", "ControlNet", unit_preset("7", [{"weight": 0.5}], ControlNet))
    assert len(presets.names("", "ControlNet")) == MOST


def test_what_stands_in_the_file_is_read_one_by_one(tmp_path: Path) -> None:
    own = {"good": [{"weight": 0.5}], "heavy": [{"weight": 50}], "odd": {"weight": 1}, "": [{}]}
    table = {"ann": {"ControlNet": own, "ADetailer": 7, "Gone": {"x": [1]}}, "ben": [], "": {"ControlNet": None}}
    (tmp_path / NAME).write_text(json.dumps(table))
    problems = Problems()
    presets = UnitPresets(tmp_path, problems)
    presets.look({"ControlNet": ControlNet, "ADetailer": Detailer})
    assert [problem.name for problem in problems.all()] == ["ControlNet, ", "ControlNet, heavy", "ControlNet, odd"]
    assert presets.get("ann", "ControlNet", "good", ControlNet).units == ({"weight": 0.5},)
    presets.save("", "ControlNet", SOFT)
    assert json.loads((tmp_path / NAME).read_text())["ann"] == table["ann"], "what others have is left as it is"
